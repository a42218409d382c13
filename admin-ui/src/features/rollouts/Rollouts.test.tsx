import { screen, waitFor, within } from "@testing-library/react";
import type { UserEvent } from "@testing-library/user-event";
import { expect, it } from "vitest";

import { createBackend, type Backend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";

/** The whole form is drawn many times, perhaps on a machine that is busy elsewhere. */
const FORM_MS = 90_000;

/** All at once: each key typed draws the form anew. */
async function fill(user: UserEvent, field: HTMLElement, text: string): Promise<void> {
  await user.clear(field);
  await user.click(field);
  await user.paste(text);
}

const FLAG = "/projects/shop/flags/dark-mode?environment=development&tab=rollout";
const START = "/projects/shop/flags/dark-mode/rollouts/new?environment=development";
const PAYMENTS = "/projects/shop/flags/payments-v2/rollouts/r-payments?environment=staging";

it("leads from the flag to a start with gates, which the page then tells of, and rolls it back with a reason", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(FLAG);
  await user.click(await screen.findByRole("button", { name: "Roll out another variant…" }));
  await user.click(await screen.findByRole("button", { name: "Gate on events" }));
  await fill(user, screen.getByRole("textbox", { name: "Metric" }), "render-error");
  await user.type(screen.getByRole("textbox", { name: "Reason" }), "winter");
  await user.click(screen.getByRole("button", { name: "Start in Development" }));

  await screen.findByRole("heading", { name: "dark-mode: on → off" });
  const asked = backend.requests.find(({ method, path }) => method === "POST" && path.endsWith("/rollouts"))?.body;
  expect(asked).toMatchObject({ flag: "dark-mode", variant: "off", reason: "winter", spec: { gates: [{ key: "errors", metric: "render-error" }] } });
  const steps = within(screen.getByRole("list", { name: "Steps" })).getAllByRole("listitem");
  expect(steps.map((step) => step.getAttribute("aria-current"))).toEqual(["step", null, null, null]);
  const gate = screen.getByRole("region", { name: "errors" });
  expect(gate).toHaveTextContent(/no harm found.*render-error happens to over 10.% more units with off than with on.*Evidence of harm0.3 to 1.*12 with off, 9 with on/);

  await user.click(screen.getByRole("button", { name: "Roll back…" }));
  const dialog = await screen.findByRole("dialog");
  expect(dialog).toHaveTextContent("everyone gets on again");
  const button = within(dialog).getByRole("button", { name: "Roll back" });
  expect(button).toBeDisabled();
  await user.type(within(dialog).getByRole("textbox", { name: "Reason" }), "support is swamped");
  await user.click(button);
  await screen.findByText("Rolled back");
  expect(backend.requests.findLast(({ path }) => path.endsWith("/actions"))?.body).toEqual({ action: "rollBack", reason: "support is swamped" });
  expect(await screen.findByText(/support is swamped” is in the audit log/)).toBeVisible();
  expect(screen.queryByRole("button", { name: "Roll back…" })).toBeNull();
}, FORM_MS);

it("keeps the short form on the flag's page, with a way to the whole", async () => {
  const backend = serve(createBackend({ withRollouts: true }));
  const { user } = renderAt("/projects/shop/flags/payments-v2?environment=staging");
  await user.click(await screen.findByRole("link", { name: "Rollout going on" }));
  const panel = await screen.findByRole("region", { name: "Rolling out off" });
  expect(within(panel).getByRole("status")).toHaveTextContent("suspicious: slow for 141 units");
  expect(within(panel).getByText("revenue").closest("li")).toHaveTextContent(/overridden.*\+1.3.%, 2,144 with off/);
  await user.click(within(panel).getByRole("button", { name: "Heed revenue" }));
  const dialog = await screen.findByRole("dialog");
  await user.type(within(dialog).getByRole("textbox", { name: "Reason" }), "repaired");
  await user.click(within(dialog).getByRole("button", { name: "Heed" }));
  await waitFor(() => expect(backend.requests.findLast(({ path }) => path.endsWith("/actions"))?.body).toEqual({ action: "heed", gate: "revenue", reason: "repaired" }));
  await user.click(within(panel).getByRole("link", { name: "Steps, charts and history" }));
  await screen.findByRole("heading", { name: "payments-v2: on → off" });
});

it("tells what is not known, what comes next, and each gate's numbers as a table, too", async () => {
  serve(createBackend({ withRollouts: true }));
  const { user } = renderAt(PAYMENTS);
  await screen.findByRole("heading", { name: "payments-v2: on → off" });
  expect(screen.getByText(/^Next step, 50/).parentElement).toHaveTextContent(/in 9 min at the earliest.*and only once the suspicion is gone/);
  expect(screen.getByText("Everybody has off").parentElement).toHaveTextContent(/in 24 min at the earliest.*somebody approves/);
  const slow = await screen.findByRole("region", { name: "slow" });
  expect(within(slow).getByRole("img", { name: "Evidence of harm 34 to 1; 20 to 1 holds, 100 to 1 acts" })).toBeVisible();
  const chart = await within(slow).findByRole("slider", { name: "slow over time" });
  expect(chart).toHaveAttribute("aria-valuetext", expect.stringMatching(/at 25.%: suspicious, evidence 34 to 1; 141 with off, 96 with on/));
  chart.focus();
  await user.keyboard("{Home}");
  expect(chart).toHaveAttribute("aria-valuenow", "0");
  expect(chart).toHaveAttribute("aria-valuetext", expect.stringMatching(/at 10.%/));
  await user.click(within(slow).getByText("Table"));
  const rows = within(within(slow).getByRole("table")).getAllByRole("row");
  expect(rows).toHaveLength(26);
  expect(rows[1]).toHaveTextContent(/25.%suspicious34 to 1141 with off, 96 with on/);
  expect(screen.getByRole("region", { name: "error-rate" })).toHaveTextContent(/not known.*has no number newer than 90 s.*the bake stops until it is known/);
});

it("tells of A/A bakes, turns, windows, guards and ends", async () => {
  serve(createBackend({ withRollouts: true }));
  const { router } = renderAt("/projects/shop/flags/search-ranking/rollouts/r-aa?environment=development");
  expect(await screen.findByText(/Both arms have the old variant: a difference means/)).toBeVisible();
  expect(screen.getByRole("region", { name: "errors" })).toHaveTextContent("4 and 5, all with neural");
  const go = (flag: string, rollout: string, environment: string) => router.navigate({ to: "/projects/$project/flags/$flag/rollouts/$rollout", params: { project: "shop", flag, rollout }, search: { environment } });
  await go("passkeys", "r-turn", "development");
  expect(await screen.findByRole("link", { name: "payments-v2" })).toBeVisible();
  await go("home-hero", "r-window", "staging");
  expect(await screen.findByText("Mon to Thu from 09:00, for 7 h, Europe/Berlin")).toBeVisible();
  expect(screen.getByText(/^Next step, 50/).parentElement).toHaveTextContent(/in 13 h 59 min|in 14 h/);
  await go("express-shipping", "r-guard", "development");
  expect(await screen.findByRole("button", { name: "End the watch…" })).toBeVisible();
  expect(screen.queryByRole("button", { name: "Roll back…" })).toBeNull();
  await go("dark-mode", "r-harm", "staging");
  await waitFor(() => expect(screen.getByText(/Everybody has on again/)).toHaveTextContent(/Harm: render-error for 27 units in treatment/));
});

it("keeps the reason where the rollout was moved meanwhile, and only lowers without asking again", async () => {
  const backend = serve(createBackend({ withRollouts: true }));
  const { user } = renderAt("/projects/shop/flags/recommendations/rollouts/r-approval?environment=staging");
  await user.click(await screen.findByRole("button", { name: "Approve…" }));
  const dialog = await screen.findByRole("dialog");
  await user.type(within(dialog).getByRole("textbox", { name: "Reason" }), "looks well");
  const overtake = () => {
    const now = backend.rollouts.get("r-approval");
    if (now) backend.rollouts.set("r-approval", { ...now, status: { ...now.status, generation: now.status.generation + 1 } });
  };
  overtake();
  await user.click(within(dialog).getByRole("button", { name: "Approve" }));
  expect(await within(dialog).findByRole("alert")).toHaveTextContent("It was moved meanwhile");
  expect(within(dialog).getByRole("textbox", { name: "Reason" })).toHaveValue("looks well");
  await user.click(within(dialog).getByRole("button", { name: "Approve" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());

  await user.click(screen.getByRole("button", { name: "Roll back…" }));
  await user.type(within(await screen.findByRole("dialog")).getByRole("textbox", { name: "Reason" }), "no");
  overtake();
  await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Roll back" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(backend.rollouts.get("r-approval")?.status.state).toBe("rolledBack");
  expect(backend.requests.filter(({ path }) => path.endsWith("/actions"))).toHaveLength(3);
});

it("lets nobody move a rollout who may not, and says why", async () => {
  const backend = serve(createBackend({ role: "editor", withRollouts: true }));
  const { user } = renderAt(PAYMENTS);
  const button = await screen.findByRole("button", { name: "Roll back…" });
  expect(button).toHaveAttribute("aria-disabled", "true");
  expect(button).toHaveAttribute("aria-description", "Moving a rollout needs the role operator; you are an editor here");
  await user.click(button);
  expect(screen.queryByRole("dialog")).toBeNull();
  expect(backend.requests.some(({ path }) => path.endsWith("/actions"))).toBe(false);
});

it("lets no viewer start one", async () => {
  const backend = serve(createBackend({ role: "viewer" }));
  const { user } = renderAt(START);
  const button = await screen.findByRole("button", { name: "Start in Development" });
  expect(button).toHaveAttribute("aria-description", "Starting a rollout needs the role editor; you are a viewer here");
  await user.click(button);
  expect(backend.rollouts.size).toBe(0);
});

it("offers none where nobody would get it, and says why", async () => {
  renderAt("/projects/shop/flags/dark-mode?environment=production&tab=rollout");
  expect(await screen.findByText(/^No rollout can start here\. Its default serves several variants/)).toBeVisible();
  expect(screen.queryByRole("button", { name: "Roll out another variant…" })).toBeNull();
  expect(await screen.findByText("None has ended in Production yet.")).toBeVisible();
});

it("tells on the flag's page what became of its rollouts there, and of no other's", async () => {
  serve(createBackend({ withRollouts: true }));
  const { user } = renderAt("/projects/shop/flags/dark-mode?environment=staging&tab=rollout");
  const rows = within(await screen.findByRole("list", { name: "Past rollouts" })).getAllByRole("listitem");
  expect(rows).toHaveLength(1);
  expect(rows[0]).toHaveTextContent(/on → off.*Rolled back.*came to 25.%/);
  await user.click(screen.getByRole("link", { name: "on → off" }));
  await screen.findByRole("heading", { name: "dark-mode: on → off" });
  await user.click(screen.getByRole("link", { name: "← dark-mode" }));
  expect(await screen.findByRole("list", { name: "Past rollouts" })).toBeVisible();
});

it("lists what goes on and what has ended, by the filter in the address", async () => {
  serve(createBackend({ withRollouts: true }));
  const { user, router } = renderAt("/projects/shop/rollouts");
  const rows = await waitFor(() => {
    const found = within(screen.getByRole("table")).getAllByRole("row").slice(1);
    expect(found).toHaveLength(7);
    return found;
  });
  expect(rows.at(-1)).toHaveTextContent(/dark-mode.*Rolled back/);
  expect(screen.getByRole("link", { name: "payments-v2" }).closest("tr")).toHaveTextContent(/Staging.*Running25.%Suspicious: slow|Staging.*Running25.%suspicious: slow/);
  await user.click(screen.getByText("Ended"));
  await waitFor(() => expect(within(screen.getByRole("table")).getAllByRole("row")).toHaveLength(2));
  expect(router.state.location.search).toEqual({ state: "ended" });
  await user.type(screen.getByRole("textbox", { name: "Flag" }), "nothing");
  expect(await screen.findByText("No rollout matches")).toBeVisible();
});

it("asks what to expect as the form changes, and places what is wrong at its field", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(START);
  await user.click(await screen.findByRole("button", { name: "Gate on events" }));
  await fill(user, screen.getByRole("textbox", { name: "Metric" }), "checkout-error");
  const expected = await screen.findByRole("list", { name: "What to expect of each step" });
  await waitFor(() => expect(within(expected).getAllByText(/^finds errors that/)).toHaveLength(3));
  expect(screen.getByText(/With 600 new units a minute, it takes/)).toHaveTextContent("1 h");

  const second = within(screen.getByRole("listitem", { name: "Step 2, 25\u202f%" })).getByRole("textbox", { name: "Share" });
  await fill(user, second, "5");
  await waitFor(() => expect(second).toHaveAccessibleDescription("each share is above the one before, here above 10000"));
  await fill(user, second, "30");
  await waitFor(() => expect(second).not.toBeInvalid());

  await user.click(screen.getByText("Assume other traffic"));
  await fill(user, screen.getByLabelText("New units a minute"), "6000");
  await fill(user, screen.getByLabelText("Units that checkout-error happens to now"), "2");
  await waitFor(() => expect(backend.requests.findLast(({ path }) => path.endsWith("/preview"))?.body).toMatchObject({ unitsPerMinute: 6_000, baselines: { errors: { rate: 0.02 } } }));
  expect(await screen.findByText(/With 6,000 new units/)).toBeVisible();
}, FORM_MS);

const started = (backend: Backend) => backend.requests.findLast(({ method, path }) => method === "POST" && path.endsWith("/rollouts"))?.body;

it("takes a preset's gates, and tries their query", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(START);
  await user.click(await screen.findByRole("button", { name: /^Careful/ }));
  expect(screen.getByRole("button", { name: /^Careful/ })).toHaveAttribute("aria-pressed", "true");
  expect(screen.getByRole("listitem", { name: "Step 1, A/A" })).toBeVisible();
  await user.click(screen.getByRole("button", { name: /^Fast/ }));
  await user.click(screen.getByRole("button", { name: "From a preset" }));
  await user.click(await screen.findByRole("menuitem", { name: /Error rate/ }));
  const dialog = within(await screen.findByRole("dialog"));
  await fill(user, dialog.getByRole("textbox", { name: /requests/ }), "shop_requests_total");
  await user.click(dialog.getByRole("button", { name: "Add its gates" }));
  const gate = within(await screen.findByRole("group", { name: "Gate error-rate" }));
  expect(gate.getByRole("textbox", { name: "Query" })).toHaveValue("sum(rate(shop_requests_total[5m]))");
  await user.click(gate.getByRole("button", { name: "Test it now" }));
  expect(await gate.findByText("0.0213")).toBeVisible();
  await user.click(screen.getByText("Start although a query has no number yet"));
  await user.click(screen.getByText("Begin with other units than the attempt before"));
  await user.click(screen.getByRole("button", { name: "Start in Development" }));
  await waitFor(() => expect(backend.rollouts.size).toBe(1));
  expect(started(backend)).toMatchObject({
    freshCohort: true,
    allowNoData: true,
    spec: { steps: [{ share: 25_000, bakeMs: 300_000 }, { share: 50_000 }, { share: 100_000 }], gates: [{ key: "error-rate", source: "prometheus", max: 0.1, forMs: 300_000 }] },
  });
}, FORM_MS);

it("saves what was written as a template, names a taken key at its field, and goes on from the template", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(START);
  const first = await screen.findByRole("listitem", { name: "Step 1, 10\u202f%" });
  await fill(user, within(first).getByRole("textbox", { name: "Share" }), "15");
  await user.click(screen.getByRole("button", { name: "Save as template…" }));
  const dialog = await screen.findByRole("dialog", { name: "Save as a template" });
  const key = within(dialog).getByRole("textbox", { name: "Key" });
  await fill(user, within(dialog).getByRole("textbox", { name: "Name" }), "Fast");
  expect(key).toHaveValue("fast");
  await user.click(within(dialog).getByRole("button", { name: "Save template" }));
  await waitFor(() => expect(key).toBeInvalid());
  expect(key).toHaveAccessibleDescription(/template `fast` is there already/);
  await fill(user, key, "evening");
  await fill(user, within(dialog).getByRole("textbox", { name: "Description" }), "After eight");
  await user.click(within(dialog).getByRole("button", { name: "Save template" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(backend.templates.get("evening")).toMatchObject({ key: "evening", name: "Fast", description: "After eight", spec: { steps: [{ share: 15_000 }, { share: 25_000 }, { share: 50_000 }, { share: 100_000 }] } });
  const pressed = within(screen.getByRole("group", { name: "Templates" })).getAllByRole("button", { pressed: true });
  expect(pressed.map((button) => button.textContent)).toEqual(["FastAfter eight"]);
  // Nothing was started by it.
  expect(backend.rollouts.size).toBe(0);
}, FORM_MS);

it("lets no viewer save a template, and says why", async () => {
  serve(createBackend({ role: "viewer" }));
  const { user } = renderAt(START);
  const button = await screen.findByRole("button", { name: "Save as template…" });
  expect(button).toHaveAttribute("aria-description", "Changing templates needs the role editor; you are a viewer here");
  await user.click(button);
  expect(screen.queryByRole("dialog")).toBeNull();
});

it("writes means, approvals, windows, a guard and what harm does", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(START);
  await user.click(await screen.findByRole("button", { name: "Gate on events" }));
  const gate = within(screen.getByRole("group", { name: "Gate errors" }));
  await fill(user, gate.getByLabelText("Metric"), "amount");
  await user.selectOptions(gate.getByLabelText("What is compared"), "mean");
  await user.selectOptions(gate.getByLabelText("Direction"), "down");
  await fill(user, gate.getByLabelText("Margin"), "5");
  await user.selectOptions(screen.getByLabelText("On harm"), "kill");
  await user.click(screen.getByText(/^Guard: /));
  await user.click(screen.getByText("Weekdays 9–17"));
  await user.click(screen.getAllByText("A person approves next")[1]!);
  await user.click(screen.getByText("Start in Development"));
  await waitFor(() => expect(backend.rollouts.size).toBe(1));
  expect(started(backend)).toMatchObject({
    spec: {
      steps: [{ share: 10_000 }, { share: 25_000, approval: true }, { share: 50_000 }, { share: 100_000 }],
      gates: [{ key: "errors", metric: "amount", test: "mean", worse: "down", margin: 0.05 }],
      onHarm: "kill",
      guardMs: 86_400_000,
      windows: [{ rrule: "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", durationMs: 28_800_000 }],
    },
  });
}, FORM_MS);

it("shows the same spec as JSON, and takes it back", async () => {
  const { user } = renderAt(START);
  await user.click(await screen.findByRole("tab", { name: "JSON" }));
  const text = await screen.findByRole("textbox", { name: "The spec" });
  expect(text).toHaveTextContent('"share": 25000');
  await user.clear(text);
  await user.click(text);
  await user.paste('{"steps": [{"share": 100000, "bakeMs": 60000, "minUnits": 7}]');
  expect(text).toBeInvalid();
  await user.clear(text);
  await user.click(text);
  await user.paste('{"steps": [{"share": 100000, "bakeMs": 60000, "minUnits": 7}]}');
  expect(text).not.toBeInvalid();
  await user.click(screen.getByRole("tab", { name: "Form" }));
  expect(within(await screen.findByRole("listitem", { name: "Step 1, 100\u202f%" })).getByRole("textbox", { name: "Min. units" })).toHaveValue("7");
}, FORM_MS);

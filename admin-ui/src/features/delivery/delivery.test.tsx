import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";

const AREA = "/projects/shop/delivery";

it("copies a template that is always there into the project's own", async () => {
  const backend = serve(createBackend({ role: "editor" }));
  const { user } = renderAt(`${AREA}/templates`);
  expect(await screen.findByText("payments")).toBeVisible();
  expect(screen.queryByRole("button", { name: "Edit Careful" })).toBeNull();
  await user.click(screen.getByRole("button", { name: "Copy Fast" }));
  const name = await screen.findByRole("textbox", { name: "Name" });
  expect(name).toHaveValue("Fast copy");
  await user.clear(name);
  await user.type(name, "Night run");
  expect(screen.getByRole("textbox", { name: "Key" })).toHaveValue("night-run");
  await user.click(screen.getByRole("button", { name: "Create template" }));
  expect(await screen.findByRole("heading", { name: "Night run" })).toBeVisible();
  expect(backend.templates.get("night-run")).toMatchObject({ key: "night-run", spec: { steps: [{ share: 25_000 }, { share: 50_000 }, { share: 100_000 }] } });
});

it("loses nothing of what was typed where somebody else changed the template, and shows what they did", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(`${AREA}/templates/payments`);
  const description = await screen.findByRole("textbox", { name: "Description" });
  await user.clear(description);
  await user.type(description, "Mine");
  const stored = backend.templates.get("payments");
  if (stored) Object.assign(stored, { name: "Theirs", version: 9 });
  await user.click(screen.getByRole("button", { name: "Save template" }));
  const alert = await screen.findByRole("alert");
  expect(alert).toHaveTextContent(/Somebody else changed it meanwhile.*"name": "Theirs"/);
  expect(description).toHaveValue("Mine");
  await user.click(screen.getByRole("button", { name: "Save mine" }));
  await waitFor(() => expect(backend.templates.get("payments")).toMatchObject({ description: "Mine", version: 10 }));
  expect(backend.requests.findLast(({ method }) => method === "PATCH")?.headers.get("if-match")).toBe('"9"');
});

it("places what is wrong with a template at its field", async () => {
  const { user } = renderAt(`${AREA}/templates/new`);
  await user.type(await screen.findByRole("textbox", { name: "Name" }), "Half");
  // It begins as the one that is always there.
  const shares = screen.getAllByRole<HTMLInputElement>("textbox", { name: "Share" });
  expect(shares.map(({ value }) => value)).toEqual(["10 %", "25 %", "50 %", "100 %"]);
  const share = shares.at(-1) ?? document.body;
  await user.clear(share);
  await user.type(share, "60");
  await user.click(screen.getByRole("button", { name: "Create template" }));
  await waitFor(() => expect(share).toHaveAccessibleDescription("the last step is for everybody: 100000"));
});

it("archives a template with its version", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(`${AREA}/templates`);
  await user.click(await screen.findByRole("button", { name: "Archive Payments" }));
  const dialog = within(await screen.findByRole("dialog"));
  expect(dialog.getByRole("button", { name: "Archive" })).toBeDisabled();
  await user.type(dialog.getByLabelText(/^Type payments to confirm/), "payments");
  await user.click(dialog.getByRole("button", { name: "Archive" }));
  await waitFor(() => expect(screen.queryByRole("heading", { name: "Payments" })).toBeNull());
  expect(backend.requests.findLast(({ method }) => method === "DELETE")?.headers.get("if-match")).toBe('"3"');
});

it("makes a metric source, and tries queries on it: a number, or what is wrong", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(`${AREA}/sources`);
  await user.type(await screen.findByRole("textbox", { name: "Try a query on Prometheus" }), "up");
  await user.click(screen.getByRole("button", { name: "Test it now" }));
  expect(await screen.findByText("0.0213")).toBeVisible();
  await user.type(screen.getByRole("textbox", { name: "Try a query on Prometheus" }), "nothing");
  expect(screen.queryByText("0.0213")).toBeNull();
  await user.click(screen.getByRole("button", { name: "Test it now" }));
  expect(await screen.findByText("No number: answers with an empty result")).toBeVisible();

  await user.click(screen.getByRole("button", { name: "New metric source" }));
  const dialog = await screen.findByRole("dialog");
  await user.type(within(dialog).getByRole("textbox", { name: "Name" }), "Prometheus");
  await user.type(within(dialog).getByRole("textbox", { name: "Address" }), "https://two.example.org");
  await user.click(within(dialog).getByRole("button", { name: "Create metric source" }));
  await waitFor(() => expect(within(dialog).getByRole("textbox", { name: "Key" })).toHaveAccessibleDescription(/metric source `prometheus` is there already/));
  await user.clear(within(dialog).getByRole("textbox", { name: "Key" }));
  await user.type(within(dialog).getByRole("textbox", { name: "Key" }), "two");
  await user.click(within(dialog).getByRole("button", { name: "Create metric source" }));
  await waitFor(() => expect([...backend.sources.keys()]).toEqual(["prometheus", "stats", "two"]));
});

it("shows a webhook's signing key once, tests it, and changes the key", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(`${AREA}/channels`);
  await user.click(await screen.findByRole("button", { name: "New channel" }));
  const dialog = await screen.findByRole("dialog");
  await user.type(within(dialog).getByRole("textbox", { name: "Name" }), "Release bot");
  await user.type(within(dialog).getByRole("textbox", { name: "Address" }), "https://bot.example.org");
  await user.click(within(dialog).getByRole("button", { name: "Create channel" }));
  expect(await screen.findByText(/^whsec_/)).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Done" }));
  await waitFor(() => expect(screen.queryByText(/^whsec_/)).toBeNull());
  expect(backend.channels.get("release-bot")).toMatchObject({ key: "release-bot", target: { kind: "webhook", url: "https://bot.example.org" }, minSeverity: "info", environments: [] });

  await user.click(screen.getByRole("button", { name: "Send a test to Ops room" }));
  expect(await screen.findByText("The receiver took it, status 204, after 41 ms.")).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Send a test to Checkout team" }));
  expect(await screen.findByText(/^Not delivered: the mail server answered 550/)).toBeVisible();

  await user.click(screen.getByRole("button", { name: "Deliveries of Ops room" }));
  await user.click(await screen.findByRole("button", { name: "Change the signing key…" }));
  await user.click(within(await screen.findByRole("dialog")).getByRole("button", { name: "Change key" }));
  expect(await screen.findByText(/^whsec_bmV3/)).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Done" }));
  expect(await screen.findByText(/Signed with the old key, too, until/)).toBeVisible();
});

it("lists deliveries, and sends a dead one again", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(`${AREA}/channels/ops`);
  const dead = (await screen.findByText(/harm rolled/)).closest("tr");
  expect(dead).toHaveTextContent(/critical.*given up.*tried 56 times: no address/);
  await user.click(within(dead!).getByRole("button", { name: /^Send again/ }));
  await waitFor(() => expect(screen.getByText(/harm rolled/).closest("tr")).toHaveTextContent(/waits.*not tried yet/));
  expect(backend.requests.some(({ path }) => path.endsWith("/deliveries/msg_1/retry"))).toBe(true);
});

it("freezes an environment by the version read, and names what is wrong with a rule", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(`${AREA}/freezes`);
  const add = await screen.findAllByRole("button", { name: "Weekdays 9–17" });
  await user.click(add[2]!);
  await user.selectOptions(screen.getByRole("combobox", { name: "When" }), "rule");
  const rule = screen.getByRole("textbox", { name: "Rule" });
  await user.clear(rule);
  await user.type(rule, "sometimes");
  await user.click(screen.getByRole("button", { name: "Save freezes of Production" }));
  await waitFor(() => expect(rule).toHaveAccessibleDescription(/a rule of RFC 5545/));
  await user.clear(rule);
  await user.type(rule, "FREQ=DAILY");
  await user.click(screen.getByRole("button", { name: "Save freezes of Production" }));
  expect(await screen.findByText("The freezes of Production are saved")).toBeVisible();
  const sent = backend.requests.findLast(({ method }) => method === "PATCH");
  expect(sent?.path).toBe("/projects/shop/environments/production");
  expect(sent?.headers.get("if-match")).toBe('"1"');
  expect(sent?.body).toMatchObject({ freezes: [{ rrule: "FREQ=DAILY", durationMs: 28_800_000 }] });
});

it("has rollouts take turns", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(`${AREA}/freezes`);
  await user.click(await screen.findByRole("switch", { name: /one rollout goes on at a time/ }));
  await user.click(screen.getByRole("button", { name: "Save" }));
  await waitFor(() => expect(backend.projects.get("shop")?.oneRolloutAtATime).toBe(true));
});

it("says who may not, and why", async () => {
  const backend = serve(createBackend({ role: "operator" }));
  const { user, router } = renderAt(`${AREA}/channels`);
  expect(await screen.findByText("Seeing and changing notification channels needs the role admin; you are an operator here.")).toBeVisible();
  expect(backend.requests.some(({ path }) => path.includes("notification-channels"))).toBe(false);
  await router.navigate({ to: "/projects/$project/delivery/sources", params: { project: "shop" } });
  const button = await screen.findByRole("button", { name: "New metric source" });
  expect(button).toHaveAttribute("aria-description", "Changing metric sources needs the role admin; you are an operator here");
  await user.click(button);
  expect(screen.queryByRole("dialog")).toBeNull();
});

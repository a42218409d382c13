import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";
import { hasEvaluator } from "../playground/evaluator";

const at = (flag: string, environment = "staging") => `/projects/shop/flags/${flag}?environment=${environment}`;
const editor = () => screen.findByRole("region", { name: "Edit the targeting" });

async function edit(flag: string, environment?: string) {
  const view = renderAt(at(flag, environment));
  await view.user.click(await screen.findByRole("button", { name: /^Edit the targeting/ }));
  const region = await editor();
  await within(region).findByRole("region", { name: "Rules" });
  return { ...view, region };
}

it("writes a rule, and saves what changed and nothing else", async () => {
  const backend = serve(createBackend());
  const { user, region } = await edit("dark-mode");
  expect(within(region).getByRole("button", { name: "Save" })).toBeDisabled();
  await user.click(within(region).getByRole("button", { name: "Rule" }));
  await user.type(within(region).getByRole("combobox", { name: "Attribute of condition 1 of rule 1" }), "plan");
  await user.type(within(region).getByRole("combobox", { name: "Values of condition 1 of rule 1" }), "pro{Enter}team{Enter}");
  await user.selectOptions(within(region).getByRole("combobox", { name: "What rule 1 serves" }), "off");
  await user.type(within(region).getByRole("textbox", { name: "Reason" }), "the plan page first");
  await user.click(within(region).getByRole("button", { name: "Save" }));
  await waitFor(() => expect(screen.queryByRole("region", { name: "Edit the targeting" })).toBeNull());
  const write = backend.requests.findLast(({ method }) => method === "PATCH");
  expect(write?.headers.get("if-match")).toBe('"3"');
  expect(write?.body).toEqual({
    reason: "the plan page first",
    rules: [{ conditions: [{ attribute: "plan", operator: "in", values: ["pro", "team"] }], serve: { variant: "off" } }],
  });
});

it("begins a draft with the targeting of another environment, and says where there is nothing to copy", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(at("new-checkout"));
  const copy = async (from: RegExp) => {
    await user.click(await screen.findByRole("button", { name: "Copy from…" }));
    await user.click(await screen.findByRole("menuitem", { name: from }));
  };
  await copy(/Production/);
  const region = await editor();
  expect(await within(region).findByText("Changed: prerequisites, units by name, rules, everyone else")).toBeVisible();
  expect(backend.config("new-checkout", "staging").rules).toEqual([]);
  await user.click(within(region).getByRole("button", { name: "Save" }));
  await waitFor(() => expect(screen.queryByRole("region", { name: "Edit the targeting" })).toBeNull());
  for (const field of ["prerequisites", "targets", "rules", "default"] as const) {
    expect(backend.config("new-checkout", "staging")[field]).toEqual(backend.config("new-checkout", "production")[field]);
  }

  await copy(/Production/);
  expect(await screen.findByText("Staging has the targeting of Production already")).toBeVisible();
  expect(screen.queryByRole("region", { name: "Edit the targeting" })).toBeNull();
});

it("asks before production changes, with the difference, and waits for it", async () => {
  const backend = serve(createBackend());
  const { user, region } = await edit("payments-v2", "production");
  await user.selectOptions(within(region).getByRole("combobox", { name: "What the default serves" }), "off");
  await user.click(within(region).getByRole("button", { name: "Review…" }));
  const dialog = await screen.findByRole("dialog", { name: "Change payments-v2 in Production?" });
  expect(await within(dialog).findByRole("region", { name: "Difference of the configuration" })).toHaveTextContent('"variant": "off"');
  expect(backend.config("payments-v2", "production").version).toBe(3);
  await user.click(within(dialog).getByRole("button", { name: "Change in Production" }));
  await waitFor(() => expect(backend.config("payments-v2", "production").default).toEqual({ variant: "off" }));
  await waitFor(() => expect(screen.queryByRole("region", { name: "Edit the targeting" })).toBeNull());
});

it("takes weights that add up, and no others", async () => {
  const backend = serve(createBackend());
  const { user, region } = await edit("search-ranking");
  await user.selectOptions(within(region).getByRole("combobox", { name: "What the default serves" }), "A split by percentage");
  const hybrid = within(region).getByRole("textbox", { name: "hybrid" });
  await user.clear(hybrid);
  await user.type(hybrid, "60");
  expect(await within(region).findByText(/Adds up to 60.%: 40.% left/)).toBeVisible();
  await waitFor(() => expect(within(region).getByRole("button", { name: "Save" })).toBeDisabled());
  await user.clear(within(region).getByRole("textbox", { name: "neural" }));
  await user.type(within(region).getByRole("textbox", { name: "neural" }), "40");
  const save = within(region).getByRole("button", { name: "Save" });
  await waitFor(() => expect(save).toBeEnabled());
  await user.click(save);
  await waitFor(() =>
    expect(backend.config("search-ranking", "staging").default).toEqual({
      distribution: { ranges: [{ start: 0, end: 60_000, variant: "hybrid" }, { start: 60_000, end: 100_000, variant: "neural" }] },
    }),
  );
});

it("moves rules by buttons and by keys, and the focus goes along", async () => {
  const { user, region } = await edit("new-checkout", "production");
  const titles = () => within(region).getAllByRole("button", { name: /^Rule \d/ }).map((button) => button.textContent?.slice(0, 22));
  await user.click(within(region).getByRole("button", { name: "Move rule 2 up" }));
  expect(titles()[0]).toMatch(/^Rule 1 · beta-in-europ/);
  expect(await within(region).findByText("Rule 2 is now rule 1 of 2")).toBeInTheDocument();
  await waitFor(() => expect(within(region).getByRole("button", { name: "Move rule 1 down" })).toHaveFocus());
  await user.keyboard("{Alt>}{ArrowDown}{/Alt}");
  expect(titles()[1]).toMatch(/^Rule 2 · beta-in-europ/);
  expect(within(region).getByRole("button", { name: "Review…" })).toBeDisabled();
});

it("edits the same draft as JSON, and says what is wrong with it", async () => {
  const { user, region } = await edit("dark-mode");
  await user.click(within(region).getByRole("radio", { name: "JSON" }));
  const field = within(region).getByRole("textbox", { name: "Targeting as JSON" });
  fireEvent.change(field, { target: { value: '{"default": {"variant": "off"}, "targets": [{"variant": "on", "values": ["ada"]}]' } });
  expect(await within(region).findByText(/^Not JSON/)).toBeVisible();
  expect(within(region).getByRole("radio", { name: "Form" })).toBeDisabled();
  fireEvent.change(field, { target: { value: '{"default": {"variant": "off"}, "targets": [{"variant": "on", "values": ["ada"]}]}' } });
  await user.click(within(region).getByRole("radio", { name: "Form" }));
  expect(within(region).getByRole("combobox", { name: "What the default serves" })).toHaveValue("off");
  expect(within(region).getByRole("textbox", { name: "Targeting keys of list 1" })).toHaveValue("ada");
});

it("puts both changes together where somebody else was faster", async () => {
  const backend = serve(createBackend());
  const { user, region } = await edit("new-checkout", "staging");
  await user.selectOptions(within(region).getByRole("combobox", { name: "What the default serves" }), "off");
  await user.click(within(region).getByRole("button", { name: "Rule" }));
  await user.type(within(region).getByRole("combobox", { name: "Attribute of condition 1 of rule 1" }), "plan");
  await user.type(within(region).getByRole("combobox", { name: "Values of condition 1 of rule 1" }), "pro{Enter}");
  backend.meddle("new-checkout", "staging", { default: { variant: "on" }, targets: [{ variant: "on", values: ["grace"] }] });
  await user.click(within(region).getByRole("button", { name: "Save" }));

  const dialog = await screen.findByRole("dialog", { name: "Put both changes together" });
  expect(within(dialog).getByRole("radiogroup", { name: /^Units by name only they changed it/ })).toBeVisible();
  expect(within(dialog).getByRole("radiogroup", { name: /^A new rule only you changed it/ })).toBeVisible();
  expect(within(dialog).getByRole("button", { name: "Go on with this" })).toBeDisabled();
  const both = within(dialog).getByRole("radiogroup", { name: /^Everyone else both changed it/ });
  await user.click(within(both).getByRole("radio", { name: "Yours" }));
  await user.click(within(dialog).getByRole("button", { name: "Go on with this" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  // Nothing was saved by putting it together.
  expect(backend.config("new-checkout", "staging").version).toBe(4);
  await user.click(within(region).getByRole("button", { name: "Save" }));
  await waitFor(() => expect(backend.config("new-checkout", "staging").version).toBe(5));
  expect(backend.config("new-checkout", "staging")).toMatchObject({
    default: { variant: "off" },
    targets: [{ variant: "on", values: ["grace"] }],
    rules: [{ conditions: [{ attribute: "plan", operator: "in", values: ["pro"] }], serve: { variant: "on" } }],
  });
});

it("goes on where the flag was only switched meanwhile", async () => {
  const backend = serve(createBackend());
  const { user, region } = await edit("dark-mode");
  await user.selectOptions(within(region).getByRole("combobox", { name: "What the default serves" }), "off");
  backend.meddle("dark-mode", "staging", { enabled: false });
  await user.click(within(region).getByRole("button", { name: "Save" }));
  expect(await within(region).findByText(/switched, killed, restored or moved by a rollout meanwhile/)).toBeVisible();
  expect(screen.queryByRole("dialog")).toBeNull();
  await user.click(within(region).getByRole("button", { name: "Save" }));
  await waitFor(() => expect(backend.config("dark-mode", "staging")).toMatchObject({ version: 5, enabled: false, default: { variant: "off" } }));
});

it("does not confirm a production change of a version that nobody looked at", async () => {
  const backend = serve(createBackend());
  const { user, region } = await edit("payments-v2", "production");
  await user.selectOptions(within(region).getByRole("combobox", { name: "What the default serves" }), "off");
  await user.click(within(region).getByRole("button", { name: "Review…" }));
  const dialog = await screen.findByRole("dialog", { name: "Change payments-v2 in Production?" });
  await within(dialog).findByRole("region", { name: "Difference of the configuration" });
  backend.meddle("payments-v2", "production", { targets: [{ variant: "on", values: ["grace"] }] });
  await user.click(within(dialog).getByRole("button", { name: "Change in Production" }));
  const merging = await screen.findByRole("dialog", { name: "Put both changes together" });
  await user.click(within(merging).getByRole("button", { name: "Not now" }));
  expect(within(region).getByRole("combobox", { name: "What the default serves" })).toHaveValue("off");
  expect(within(region).getByText("Somebody else changed this flag meanwhile")).toBeVisible();
});

it("keeps a draft when the page is left, until it is discarded", async () => {
  const first = await edit("dark-mode");
  await first.user.selectOptions(within(first.region).getByRole("combobox", { name: "What the default serves" }), "off");
  first.unmount();
  const { user } = renderAt(at("dark-mode"));
  const region = await editor();
  expect(await within(region).findByRole("combobox", { name: "What the default serves" })).toHaveValue("off");
  await user.click(within(region).getByRole("button", { name: "Discard" }));
  expect(await screen.findByRole("region", { name: "How it is evaluated" })).toBeVisible();
});

it("duplicates a rule right after it, opens the copy, and gives it the focus", async () => {
  const backend = serve(createBackend());
  const { user, region } = await edit("new-checkout", "production");
  await user.click(within(region).getByRole("button", { name: "Duplicate rule 1" }));
  const copy = within(region).getByRole("button", { name: /^Rule 2 · staff-first-copy/ });
  await waitFor(() => expect(copy).toHaveFocus());
  expect(copy).toHaveAttribute("aria-expanded", "true");
  expect(within(region).getByText("Rule 1 duplicated: the copy is rule 2 of 3")).toBeInTheDocument();
  await user.selectOptions(within(region).getByRole("combobox", { name: "What rule 2 serves" }), "off");
  await user.click(within(region).getByRole("button", { name: "Review…" }));
  const dialog = await screen.findByRole("dialog");
  await within(dialog).findByRole("region", { name: "Difference of the configuration" });
  await user.click(within(dialog).getByRole("button", { name: "Change in Production" }));
  await waitFor(() => expect(backend.config("new-checkout", "production").version).toBe(4));
  const [first, second, third] = backend.config("new-checkout", "production").rules;
  expect([first?.id, second, third?.id]).toEqual(["staff-first", { ...first, id: "staff-first-copy", serve: { variant: "off" } }, "beta-in-europe"]);
  expect(first?.serve).toEqual({ variant: "on" });
});

const SHOP_FLAG = "/projects/shop/flags/payments-v2/environments/staging";
/** The default as the rollout has set it, and its rule for a segment. */
const MOVED = {
  default: { distribution: { ranges: [{ start: 0, end: 25_000, variant: "off" }, { start: 25_000, end: 100_000, variant: "on" }] } },
  rules: [{ id: "rollout-r-payments", conditions: [{ operator: "segment", values: ["beta-testers"] }], serve: { variant: "off" } }],
};

async function editUnderRollout() {
  const backend = serve(createBackend({ withRollouts: true }));
  backend.meddle("payments-v2", "staging", MOVED);
  const view = await edit("payments-v2");
  await view.user.click(within(view.region).getByRole("button", { name: "Rule" }));
  await view.user.type(within(view.region).getByRole("combobox", { name: "Attribute of condition 1 of rule 1" }), "plan");
  await view.user.type(within(view.region).getByRole("combobox", { name: "Values of condition 1 of rule 1" }), "pro{Enter}");
  await view.user.click(within(view.region).getByRole("button", { name: "Save and restart the rollout…" }));
  const dialog = await screen.findByRole("dialog", { name: "Save, and restart the rollout of payments-v2?" });
  await within(dialog).findByRole("region", { name: "What changes for whom" });
  return { ...view, backend, dialog };
}

it("restarts the rollout that moves the flag, once somebody has read what that means and said why", async () => {
  const { user, backend, region, dialog } = await editUnderRollout();
  // The flag as it is without the rollout.
  expect(within(region).getByRole("combobox", { name: "What the default serves" })).toHaveValue("on");
  expect(dialog).toHaveTextContent(/The 25.% of units that have “off” by it get “on” again, at once\..*begins from its first step with the changed flag/);
  const save = within(dialog).getByRole("button", { name: "Save and restart" });
  expect(save).toBeDisabled();
  await user.type(within(dialog).getByRole("textbox", { name: "Reason" }), "pro first");
  await user.click(save);
  expect(await screen.findByText("payments-v2 is changed in Staging, and its rollout begins anew")).toBeVisible();
  expect(screen.queryByRole("dialog")).toBeNull();
  expect(screen.queryByRole("region", { name: "Edit the targeting" })).toBeNull();
  const write = backend.requests.findLast(({ method }) => method === "PATCH");
  expect(write?.path).toBe(`${SHOP_FLAG}?restartRollout=true`);
  expect(write?.body).toEqual({ reason: "pro first", rules: [{ conditions: [{ attribute: "plan", operator: "in", values: ["pro"] }], serve: { variant: "on" } }] });
  expect(backend.config("payments-v2", "staging")).toMatchObject({ default: { variant: "on" }, rollout: "r-payments-again" });
});

it("keeps the reason where the rollout took a step meanwhile, and asks once more", async () => {
  const { user, backend, dialog } = await editUnderRollout();
  await user.type(within(dialog).getByRole("textbox", { name: "Reason" }), "pro first");
  backend.meddle("payments-v2", "staging", { default: { distribution: { ranges: [{ start: 0, end: 50_000, variant: "off" }, { start: 50_000, end: 100_000, variant: "on" }] } } });
  await user.click(within(dialog).getByRole("button", { name: "Save and restart" }));
  expect(await within(dialog).findByRole("alert")).toHaveTextContent("It was moved meanwhile");
  expect(within(dialog).getByRole("textbox", { name: "Reason" })).toHaveValue("pro first");
  await within(dialog).findByRole("region", { name: "What changes for whom" });
  await user.click(within(dialog).getByRole("button", { name: "Save and restart" }));
  await waitFor(() => expect(backend.config("payments-v2", "staging").rollout).toBe("r-payments-again"));
});

it("merges where somebody else changed the targeting while a restart was asked for", async () => {
  const { user, backend, dialog } = await editUnderRollout();
  await user.type(within(dialog).getByRole("textbox", { name: "Reason" }), "pro first");
  backend.meddle("payments-v2", "staging", { targets: [{ variant: "on", values: ["grace"] }] });
  await user.click(within(dialog).getByRole("button", { name: "Save and restart" }));
  const merging = await screen.findByRole("dialog", { name: "Put both changes together" });
  expect(within(merging).getByRole("radiogroup", { name: /^Units by name only they changed it/ })).toBeVisible();
  expect(backend.config("payments-v2", "staging").rollout).toBe("r-payments");
});

it("says in the server's words why a rollout cannot begin from a draft", async () => {
  serve(createBackend({ withRollouts: true }));
  const { user, region } = await edit("payments-v2");
  await user.selectOptions(within(region).getByRole("combobox", { name: "What the default serves" }), "off");
  await user.click(within(region).getByRole("button", { name: "Save and restart the rollout…" }));
  const dialog = await screen.findByRole("dialog");
  expect(await within(dialog).findByRole("alert")).toHaveTextContent("serves this variant to everybody already");
  await user.type(within(dialog).getByRole("textbox", { name: "Reason" }), "so");
  expect(within(dialog).getByRole("button", { name: "Save and restart" })).toBeDisabled();
});

it("leads from the targeting to the rollout that moves it", async () => {
  serve(createBackend({ withRollouts: true }));
  const { user } = renderAt(at("payments-v2"));
  expect(await screen.findByText("A rollout moves this flag")).toBeVisible();
  await user.click(screen.getByRole("link", { name: "let it complete, or roll it back" }));
  expect(await screen.findByRole("region", { name: "Rolling out off" })).toBeVisible();
});

it("is not for viewers, and says so", async () => {
  serve(createBackend({ role: "viewer" }));
  const { user } = renderAt(at("dark-mode"));
  await user.click(await screen.findByRole("button", { name: /^Edit the targeting\. Changing flags needs the role editor/ }));
  expect(screen.queryByRole("region", { name: "Edit the targeting" })).toBeNull();
});

it("keeps targeting keys and patterns as they are, commas and all", async () => {
  const backend = serve(createBackend());
  backend.meddle("dark-mode", "staging", {
    targets: [
      { variant: "on", values: ["a,b"] },
      { variant: "off", values: [" spaced "] },
    ],
  });
  const { user, region } = await edit("dark-mode");
  await user.type(within(region).getByRole("textbox", { name: "Targeting keys of list 1" }), "{Enter}c");
  expect(within(region).getByRole("textbox", { name: "Targeting keys of list 2" })).toHaveAttribute("readonly");
  await user.click(within(region).getByRole("button", { name: "Rule" }));
  await user.type(within(region).getByRole("combobox", { name: "Attribute of condition 1 of rule 1" }), "email");
  await user.selectOptions(within(region).getByRole("combobox", { name: "Operator of condition 1 of rule 1" }), "matches");
  await user.type(within(region).getByRole("combobox", { name: "Values of condition 1 of rule 1" }), "^a{{1,3}{Enter}");
  await user.click(within(region).getByRole("button", { name: "Save" }));
  await waitFor(() =>
    expect(backend.config("dark-mode", "staging")).toMatchObject({
      targets: [{ values: ["a,b", "c"] }, { values: [" spaced "] }],
      rules: [{ conditions: [{ values: ["^a{1,3}"] }] }],
    }),
  );
});

describe.runIf(hasEvaluator)("with the evaluator", () => {
  it("says at the field what does not compile, while it is typed", async () => {
    const { user, region } = await edit("dark-mode");
    await user.click(within(region).getByRole("button", { name: "Rule" }));
    await user.type(within(region).getByRole("combobox", { name: "Attribute of condition 1 of rule 1" }), "email");
    await user.selectOptions(within(region).getByRole("combobox", { name: "Operator of condition 1 of rule 1" }), "matches");
    const values = within(region).getByRole("combobox", { name: "Values of condition 1 of rule 1" });
    await user.type(values, "[[a-{Enter}");
    await waitFor(() => expect(values).toBeInvalid());
    expect(within(region).getByRole("button", { name: "Save" })).toBeDisabled();
    expect(within(region).getByText("This does not compile")).toBeVisible();
    expect(within(region).getByText("1 thing to fix first")).toBeVisible();
    await user.type(values, "{Backspace}^ada@{Enter}");
    await waitFor(() => expect(within(region).getByRole("button", { name: "Save" })).toBeEnabled());
    expect(values).toBeValid();
  });

  it("tries the draft on somebody before anybody gets it", async () => {
    const { user, region } = await edit("payments-v2", "production");
    await user.selectOptions(within(region).getByRole("combobox", { name: "What the default serves" }), "off");
    await user.click(await within(region).findByText("Try this draft"));
    expect(await within(region).findByText("Gets on (true): everyone does.")).toBeVisible();
    expect(await within(region).findByText("≠ Gets off (false): everyone does.")).toBeVisible();
  });

  it("tries weights as they would be stored", async () => {
    const backend = serve(createBackend());
    // Whoever has “on” already keeps it when there are more of them.
    backend.meddle("dark-mode", "staging", { default: { distribution: { ranges: [{ start: 0, end: 55_000, variant: "off" }, { start: 55_000, end: 100_000, variant: "on" }] } } });
    const { user, region } = await edit("dark-mode");
    await user.click(within(region).getByRole("button", { name: "Split evenly" }));
    await user.click(await within(region).findByText("Try this draft"));
    // Laid out anew, “on” would have 0–49,999.
    await waitFor(() => expect(within(region).getAllByText("Gets on (true): it fell into bucket 59,221 of the default.")).toHaveLength(2));
  });

  it("names prerequisites that go in circles", async () => {
    const { user, region } = await edit("payments-v2", "production");
    await user.click(within(region).getByRole("button", { name: "Add prerequisites or units by name" }));
    await user.click(within(region).getByRole("button", { name: "Prerequisite" }));
    await user.type(within(region).getByRole("combobox", { name: "Flag of prerequisite 1" }), "new-checkout");
    expect(await within(region).findByText("This does not compile")).toBeVisible();
    expect(within(region).getByRole("checkbox", { name: "on" })).toBeChecked();
  });
});

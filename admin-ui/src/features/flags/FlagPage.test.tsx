import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";
import { parseVariants } from "./NewFlag";
import { shareOf, withShare } from "./ShareEditor";

it("tells how a flag is evaluated, in order", async () => {
  renderAt("/projects/shop/flags/new-checkout");
  const section = await screen.findByRole("region", { name: "How it is evaluated" });
  const steps = within(section).getAllByRole("listitem").filter((item) => within(item).queryByRole("heading"));
  expect(steps.map((step) => within(step).getByRole("heading").textContent)).toEqual([
    "Only if",
    "One unit by name",
    "Rule 1 · staff-first",
    "Rule 2 · beta-in-europe",
    "Everyone else gets",
  ]);
  expect(steps[3]).toHaveTextContent("in segment “beta-testers”");
  expect(steps[3]).toHaveTextContent("country is one of");
});

it("tries a rule with somebody for whom it holds, and the flag from its history", async () => {
  const { user, router } = renderAt("/projects/shop/flags/new-checkout?environment=production&tab=history");
  expect((await screen.findAllByRole("link", { name: "Try it: new-checkout in production" }))[0]).toHaveAttribute("href", expect.stringMatching(/\/playground\?environment=production&flag=new-checkout$/));
  await user.click(within(parts()).getByRole("link", { name: "Targeting" }));
  await user.click(await screen.findByRole("link", { name: "Try it: rule 2" }));
  await waitFor(() => expect(router.state.location.pathname).toBe("/projects/shop/playground"));
  expect(router.state.location.search).toEqual({ environment: "production", flag: "new-checkout", context: { targetingKey: "user-1", country: "DE" } });
});

it("opens in production and goes to other environments by the URL", async () => {
  const { user, router } = renderAt("/projects/shop/flags/recommendations");
  expect(await screen.findByText(/Killed by Ada Lindqvist/)).toBeVisible();
  await user.click(within(screen.getByRole("navigation", { name: "Environment" })).getByRole("link", { name: /Staging/ }));
  await waitFor(() => expect(router.state.location.search).toEqual({ environment: "staging" }));
  expect(await screen.findByRole("switch", { name: /^recommendations in Staging/ })).toBeChecked();
});

const parts = () => screen.getByRole("navigation", { name: "Parts of the flag" });
const current = () => within(parts()).getAllByRole("link").filter((link) => link.getAttribute("aria-current") === "page").map((link) => link.textContent);

it("has its parts in tabs with addresses, and how it stands above all of them", async () => {
  const { user, router } = renderAt("/projects/shop/flags/recommendations?environment=production");
  expect(await screen.findByRole("region", { name: "How it is evaluated" })).toBeVisible();
  expect(current()).toEqual(["Targeting"]);
  const shown = {
    Rollout: "Past rollouts",
    Insights: "Served in Production",
    History: "History in all environments",
    Settings: "Settings in all environments",
    Targeting: "How it is evaluated",
  };
  for (const [tab, heading] of Object.entries(shown)) {
    // oxlint-disable-next-line no-await-in-loop -- one tab after the other
    await user.click(within(parts()).getByRole("link", { name: tab }));
    // oxlint-disable-next-line no-await-in-loop -- one tab after the other
    expect(await screen.findByRole("heading", { name: heading })).toBeVisible();
    expect(current()).toEqual([tab]);
    expect(screen.getByText(/Killed by Ada Lindqvist/)).toBeVisible();
    expect(screen.getByRole("button", { name: "Restore…" })).toBeVisible();
    expect(screen.getByText("Version 3")).toBeVisible();
  }
  // The first tab has the address that it always had.
  expect(router.state.location.search).toEqual({ environment: "production" });
});

it("keeps the tab from one environment to the next, and shows the targeting where the address names none that there is", async () => {
  const { user, router } = renderAt("/projects/shop/flags/recommendations?tab=insights");
  await screen.findByRole("heading", { name: "Served in Production" });
  await user.click(within(screen.getByRole("navigation", { name: "Environment" })).getByRole("link", { name: /Staging/ }));
  expect(await screen.findByRole("heading", { name: "Served in Staging" })).toBeVisible();
  expect(router.state.location.search).toEqual({ environment: "staging", tab: "insights" });
  await router.navigate({ to: "/projects/$project/flags/$flag", params: { project: "shop", flag: "dark-mode" }, search: { tab: "nothing" } });
  expect(await screen.findByRole("region", { name: "How it is evaluated" })).toBeVisible();
  expect(current()).toEqual(["Targeting"]);
});

it("changes the share of a boolean flag through the same confirmation", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt("/projects/shop/flags/new-checkout?environment=production");
  const field = await screen.findByRole("textbox", { name: "Percentage that gets on" });
  await user.clear(field);
  await user.type(field, "40");
  await user.click(screen.getByRole("button", { name: "Review…" }));
  const dialog = await screen.findByRole("dialog");
  await within(dialog).findByRole("region");
  await user.click(within(dialog).getByRole("button", { name: /in Production$/ }));
  await waitFor(() => expect(shareOf({ ...FLAG, key: "new-checkout" }, backend.config("new-checkout", "production"))).toBe(40_000));
});

it("says how many a change reaches, and takes the key for one that reaches everyone in production", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt("/projects/shop/flags/dark-mode?environment=production");
  const field = await screen.findByRole("textbox", { name: "Percentage that gets on" });
  await user.clear(field);
  await user.type(field, "100");
  await user.click(screen.getByRole("button", { name: "Review…" }));
  const dialog = await screen.findByRole("dialog");
  expect(await within(dialog).findByText(/^In the last hour it was evaluated [\d,]+ times here: .*Then: about 100.% on\.$/)).toBeVisible();
  const save = within(dialog).getByRole("button", { name: /in Production$/ });
  const typed = within(dialog).getByLabelText(/^Type dark-mode to confirm/);
  expect(typed).toHaveAccessibleDescription("From then on, everyone gets on by default.");
  await user.type(typed, "dark-mod");
  expect(save).toBeDisabled();
  await user.type(typed, "e{Enter}");
  await waitFor(() => expect(shareOf({ ...FLAG, key: "dark-mode" }, backend.config("dark-mode", "production"))).toBe(100_000));
});

it("says what is missing", async () => {
  renderAt("/projects/shop/flags/nothing");
  expect(await screen.findByRole("alert")).toHaveTextContent("It is not thereThere is no flag nothing");
});

const FLAG = {
  key: "f",
  name: "",
  description: "",
  tags: [],
  kind: "boolean" as const,
  variants: [
    { key: "yes", value: true },
    { key: "no", value: false },
  ],
  version: 1,
  environments: {},
};
const ON_OFF = { ...FLAG, variants: [{ key: "on", value: true }, { key: "off", value: false }] };
FLAG.variants = ON_OFF.variants;

it("keeps what a distribution is bucketed by when its share changes", () => {
  const config = { default: { distribution: { bucketBy: "accountId", ranges: [{ start: 0, end: 100_000, variant: "off" }] } } };
  expect(withShare(ON_OFF, config, 10_000)).toEqual({
    distribution: {
      bucketBy: "accountId",
      weights: [
        { variant: "on", weight: 10_000 },
        { variant: "off", weight: 90_000 },
      ],
    },
  });
});

it("offers no slider where it would not say it all", () => {
  const rollout = { default: { distribution: { rollout: { share: 1 }, ranges: [] } } };
  expect(shareOf(ON_OFF, rollout)).toBeNull();
  expect(shareOf({ ...ON_OFF, kind: "string" }, { default: { variant: "on" } })).toBeNull();
  expect(shareOf(ON_OFF, { default: { variant: "off" } })).toBe(0);
});

it("reads variants, or says what is wrong with them", () => {
  expect(parseVariants('a = "x"\n\nb={"y": [1]}')).toEqual([
    { key: "a", value: "x" },
    { key: "b", value: { y: [1] } },
  ]);
  expect(parseVariants("a = x")).toMatch(/not JSON/);
  expect(parseVariants("a = 1\na = 2")).toMatch(/twice/);
  expect(parseVariants("a b = 1")).toMatch(/not a key/);
  expect(parseVariants("")).toMatch(/at least one/);
});

it("makes a flag, and shows what is wrong at the field", async () => {
  const backend = serve(createBackend());
  const { user, router } = renderAt("/projects/shop/flags");
  await user.click(await screen.findByRole("button", { name: "New flag" }));
  const dialog = await screen.findByRole("dialog", { name: "New flag" });
  await user.type(within(dialog).getByLabelText(/^Name/), "Dark mode");
  await user.click(within(dialog).getByRole("button", { name: "Create flag" }));
  expect(await within(dialog).findByRole("alert")).toHaveTextContent("/key");
  await user.type(within(dialog).getByLabelText(/^Name/), " two!");
  expect(within(dialog).getByLabelText(/^Key/)).toHaveValue("dark-mode-two");
  await user.selectOptions(within(dialog).getByLabelText("Once it is on, everyone gets"), "off");
  await user.click(within(dialog).getByRole("button", { name: "Create flag" }));
  await waitFor(() => expect(router.state.location.pathname).toBe("/projects/shop/flags/dark-mode-two"));
  expect(backend.config("dark-mode-two", "production")).toMatchObject({ enabled: false, default: { variant: "off" } });
});

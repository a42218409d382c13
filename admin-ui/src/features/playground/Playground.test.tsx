import { screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";
import { hasEvaluator } from "./evaluator";

const URL = "/projects/shop/playground";
/** With a segment that lists some, and has a rule for others. */
function withTesters() {
  const backend = serve(createBackend());
  const found = backend.segments.get("production/beta-testers");
  if (!found) throw new Error("the mock has no such segment");
  const conditions = [
    { attribute: "plan", operator: "in", values: ["team", "enterprise"] },
    { attribute: "appVersion", operator: "semverGreaterOrEqual", values: ["4.2.0"] },
  ];
  backend.segments.set("production/beta-testers", { ...found, included: ["user-7"], excluded: [], rules: [{ conditions }] });
}

const row = (flag: string) => screen.findByRole("row", { name: new RegExp(`^${flag}`) });

it.runIf(process.env.CI === "true")("has its evaluator", () => expect(hasEvaluator).toBe(true));

it.skipIf(hasEvaluator)("says so where it was built without", async () => {
  renderAt(URL);
  expect(await screen.findByText(/no evaluator for the browser/)).toBeVisible();
});

// `cargo xtask` builds it; without Rust's wasm32 target, it says that this is left out.
describe.runIf(hasEvaluator)("with the evaluator", () => {
  it("answers every flag for a context, and follows what is typed", async () => {
    const { user, router } = renderAt(URL);
    expect(await row("recommendations")).toHaveTextContent("killed");
    expect(await row("new-checkout")).toHaveTextContent("bucket");
    await user.click(screen.getByRole("button", { name: "+ email" }));
    await user.type(screen.getByRole("textbox", { name: "Value of email" }), "ada@tidegate.example");
    expect(await row("new-checkout")).toHaveTextContent("rule 1 · staff-first");
    await waitFor(() => expect(router.state.location.search).toEqual({ context: { targetingKey: "user-1", email: "ada@tidegate.example" } }));
  });

  it("tells every step of a flag from the address alone", async () => {
    withTesters();
    const context = encodeURIComponent(JSON.stringify({ targetingKey: "user-7", country: "NL" }));
    renderAt(`${URL}?environment=production&flag=new-checkout&context=${context}`);
    const trace = await screen.findByRole("region", { name: "new-checkout in Production" });
    const places = within(trace).getAllByRole("heading", { level: 3 }).map((heading) => heading.textContent);
    expect(places).toEqual([
      "Needs payments-v2 held",
      "Units by name did not hold",
      "Rule 1 · staff-first did not hold",
      "Rule 2 · beta-in-europe held",
      "Everyone else not looked at",
    ]);
    expect(trace).toHaveTextContent("country is \"NL\"");
    expect(trace).toHaveTextContent("beta-testers lists the targeting key as included");
    expect(trace).toHaveTextContent(/Bucket [\d,]+ lies in/);
  });

  it("tells of the rules of a segment that lists nobody like this", async () => {
    withTesters();
    const context = encodeURIComponent(JSON.stringify({ targetingKey: "user-99", country: "NL", plan: "team", appVersion: "4.1.9" }));
    const { user } = renderAt(`${URL}?environment=production&flag=new-checkout&context=${context}`);
    const trace = await screen.findByRole("region", { name: "new-checkout in Production" });
    await user.click(within(trace).getByText(/its rule decides/));
    expect(within(trace).getByText("plan is one of “team” or “enterprise”").parentElement).toHaveTextContent("held");
    expect(within(trace).getByText("appVersion is at least version “4.2.0”").parentElement).toHaveTextContent("did not hold");
  });

  it("compares two environments, and marks what differs in words", async () => {
    const { user, router } = renderAt(`${URL}?compare=staging`);
    expect(await row("search-ranking")).toHaveTextContent("differs");
    expect(await row("payments-v2")).not.toHaveTextContent("differs");
    await user.click(screen.getByRole("checkbox", { name: "Only what differs" }));
    await waitFor(() => expect(screen.queryByRole("row", { name: /^payments-v2/ })).toBeNull());
    expect(router.state.location.search).toEqual({ compare: "staging", differences: true });
  });

  it("needs no server once it is loaded", async () => {
    const backend = serve(createBackend());
    const { user } = renderAt(URL);
    await row("new-checkout");
    const before = backend.requests.length;
    await user.clear(screen.getByRole("textbox", { name: /^Targeting key/ }));
    expect(await row("new-checkout")).toHaveTextContent("TARGETING_KEY_MISSING");
    await user.type(screen.getByRole("textbox", { name: /^Targeting key/ }), "user-4711");
    expect(await row("new-checkout")).toHaveTextContent("targeted by name");
    expect(backend.requests).toHaveLength(before);
  });

  it("takes contexts as JSON, and says what is wrong with one", async () => {
    const { user } = renderAt(URL);
    await row("new-checkout");
    await user.click(screen.getByRole("radio", { name: "JSON" }));
    const field = screen.getByRole("textbox", { name: "Context as JSON" });
    await user.clear(field);
    await user.type(field, "[[]");
    expect(screen.getByText("A context is an object: {…}")).toBeVisible();
    await user.clear(field);
    await user.type(field, '{{"targetingKey": 7}');
    expect(await screen.findByText("This context cannot be used")).toBeVisible();
  });
});

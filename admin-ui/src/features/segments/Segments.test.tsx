import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";
import { hasEvaluator } from "../playground/evaluator";
import { merged, parseMembers, type Draft } from "./members";
import { parseRules } from "./RulesEditor";
import { usersOf } from "./usage";

const BETA = "/projects/shop/segments/beta-testers?environment=development";

it("lists the segments of an environment, says who is in and who uses them, and searches", async () => {
  const { user, router } = renderAt("/projects/shop/segments?environment=production");
  const list = await screen.findByRole("list", { name: "Segments" });
  const row = within(list).getByRole("link", { name: "Beta testers" }).closest("li");
  await waitFor(() => expect(row).toHaveTextContent("2,400 in, 2 out, 1 rule"));
  await waitFor(() => expect(row).toHaveTextContent("used by 1 flag"));
  await user.type(screen.getByLabelText("Search segments by name, key or description"), "staff");
  await waitFor(() => expect(within(list).queryByRole("link", { name: "Beta testers" })).toBeNull());
  expect(router.state.location.search).toEqual({ environment: "production", search: "staff" });
});

it("takes pasted members, counts only those that are new, and sends the whole list with what was read", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(BETA);
  const included = await screen.findByRole("region", { name: "Included" });
  fireEvent.change(within(included).getByLabelText("Add to included"), { target: { value: 'user-1000, zoe\n"amy"\n\nzoe' } });
  expect(within(included).getByText("1 is there already")).toBeInTheDocument();
  await user.click(within(included).getByRole("button", { name: "Add 2" }));
  expect(screen.getByRole("region", { name: "Changes" })).toHaveTextContent("Changed: included (2 added)");
  await user.click(screen.getByRole("button", { name: "Save in Development…" }));
  const dialog = await screen.findByRole("dialog");
  expect(dialog).toHaveTextContent("Added to included: 2");
  expect(dialog).toHaveTextContent("amy, zoe");
  await user.type(within(dialog).getByLabelText("Reason"), "asked for it");
  await user.click(within(dialog).getByRole("button", { name: "Save in Development" }));
  await waitFor(() => expect(screen.queryByRole("region", { name: "Changes" })).toBeNull());
  const patch = backend.requests.find(({ method }) => method === "PATCH");
  expect(patch?.headers.get("if-match")).toBe('"2"');
  expect(patch?.body).toMatchObject({ reason: "asked for it" });
  expect(backend.segments.get("development/beta-testers")?.included).toHaveLength(14);
});

it("puts what was typed on top of somebody else's change, and loses nothing of either", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(BETA);
  const included = await screen.findByRole("region", { name: "Included" });
  fireEvent.change(within(included).getByLabelText("Add to included"), { target: { value: "mine" } });
  await user.click(within(included).getByRole("button", { name: "Add 1" }));
  await user.clear(screen.getByLabelText(/Name/));
  await user.type(screen.getByLabelText(/Name/), "My testers");
  const stored = backend.segments.get("development/beta-testers");
  if (!stored) throw new Error("no such segment");
  backend.segments.set("development/beta-testers", { ...stored, version: 9, name: "Their testers", description: "Theirs.", included: ["theirs", ...(stored.included ?? [])] });

  await user.click(screen.getByRole("button", { name: "Save in Development…" }));
  const dialog = await screen.findByRole("dialog");
  await user.click(within(dialog).getByRole("button", { name: "Save in Development" }));
  expect(await within(dialog).findByText("Somebody else changed this segment meanwhile")).toBeInTheDocument();
  await waitFor(() => expect(within(dialog).getByRole("region", { name: "Difference of the segment" })).toHaveTextContent("Their testers"));
  await user.click(within(dialog).getByRole("button", { name: "Save in Development" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  const now = backend.segments.get("development/beta-testers");
  expect(now).toMatchObject({ version: 10, name: "My testers", description: "Theirs." });
  expect(now?.included).toEqual(expect.arrayContaining(["mine", "theirs", "user-1000"]));
  expect(backend.requests.filter(({ method }) => method === "PATCH").map(({ headers }) => headers.get("if-match"))).toEqual(['"2"', '"9"']);
});

it("edits rules in a form and as JSON; what does not read or compile is said while it is typed, and is not sent", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(BETA);
  await user.click(await screen.findByRole("button", { name: "Add a rule" }));
  const rules = screen.getAllByRole("heading", { name: /^Rule \d+$/ });
  const at = `condition 1 of rule ${rules.length}`;
  await user.type(screen.getByRole("combobox", { name: `Attribute of ${at}` }), "country");
  await user.type(screen.getByRole("combobox", { name: `Values of ${at}` }), "SE{Enter}NO{Enter}");
  expect(await screen.findByText("Changed: rules")).toBeInTheDocument();

  await user.click(screen.getByText("JSON"));
  const text = screen.getByLabelText("Rules as JSON");
  expect(JSON.parse((text as HTMLTextAreaElement).value).at(-1)).toEqual({ conditions: [{ attribute: "country", operator: "in", values: ["SE", "NO"] }] });
  fireEvent.change(text, { target: { value: "[{" } });
  expect(screen.getByText(/This is not JSON/)).toBeInTheDocument();
  expect(screen.getByRole("button", { name: "Save in Development…" })).toBeDisabled();
  fireEvent.change(text, { target: { value: '[{"conditions": [{"attribute": "a", "operator": "nonsense", "values": [1]}]}]' } });
  if (hasEvaluator) {
    expect(await screen.findByText("This does not compile")).toBeInTheDocument();
    expect(screen.getByRole("button", { name: "Save in Development…" })).toBeDisabled();
  } else {
    await user.click(screen.getByRole("button", { name: "Save in Development…" }));
    const dialog = await screen.findByRole("dialog");
    await user.click(within(dialog).getByRole("button", { name: "Save in Development" }));
    expect(await within(dialog).findByRole("alert")).toHaveTextContent("unknown operator `nonsense`");
  }
  expect(backend.segments.get("development/beta-testers")?.version).toBe(2);
});

it.runIf(hasEvaluator)("says whether somebody is in, with the draft and before", async () => {
  serve(createBackend());
  const { user } = renderAt(BETA);
  await user.click(await screen.findByText("Is somebody in?"));
  const answer = () => screen.getAllByRole("status").find((each) => /^(In|Out)/.test(each.textContent ?? ""))?.textContent;
  await waitFor(() => expect(answer()).toBeDefined());
  await user.clear(screen.getByLabelText("Targeting key"));
  await user.type(screen.getByLabelText("Targeting key"), "nobody-known");
  await waitFor(() => expect(answer()).toBe("Out"));
  await user.click(screen.getByRole("button", { name: "Add a rule" }));
  const at = `condition 1 of rule ${screen.getAllByRole("heading", { name: /^Rule \d+$/ }).length}`;
  await user.type(screen.getByRole("combobox", { name: `Attribute of ${at}` }), "targetingKey");
  await user.type(screen.getByRole("combobox", { name: `Values of ${at}` }), "nobody-known{Enter}");
  await waitFor(() => expect(answer()).toBe("In; out before it is saved"));
});

it("archives only what nothing uses, and names who does", async () => {
  const backend = serve(createBackend());
  const { user, router } = renderAt("/projects/shop/segments/staff?environment=development");
  expect(await screen.findByRole("link", { name: "friends" })).toBeInTheDocument();
  await user.click(screen.getByRole("button", { name: "Archive…" }));
  const refused = await screen.findByRole("dialog", { name: "staff is in use" });
  expect(refused).toHaveTextContent("segment friends, rule 1");
  await user.click(within(refused).getAllByRole("button", { name: "Close" }).at(-1) as HTMLElement);

  await router.navigate({ to: "/projects/$project/segments/$segment", params: { project: "shop", segment: "unused" }, search: { environment: "development" } });
  await screen.findByText("No rule in Development asks for it.");
  await user.click(screen.getByRole("button", { name: "Archive…" }));
  const dialog = await screen.findByRole("dialog", { name: "Archive unused in Development?" });
  await user.type(within(dialog).getByRole("textbox", { name: "Reason" }), "tidying");
  expect(within(dialog).getByRole("button", { name: "Archive" })).toBeDisabled();
  await user.type(within(dialog).getByRole("textbox", { name: /^Type unused to confirm/ }), "unused");
  await user.click(within(dialog).getByRole("button", { name: "Archive" }));
  await waitFor(() => expect(router.state.location.pathname).toBe("/projects/shop/segments"));
  expect(backend.segments.has("development/unused")).toBe(false);
});

it("asks before what was typed is left behind", async () => {
  const confirm = vi.spyOn(window, "confirm").mockReturnValue(false);
  const { user, router } = renderAt(BETA);
  await user.type(await screen.findByLabelText(/Name/), "!");
  await user.click(screen.getByRole("link", { name: "← All segments" }));
  await waitFor(() => expect(confirm).toHaveBeenCalled());
  expect(router.state.location.pathname).toBe("/projects/shop/segments/beta-testers");
});

it("shows viewers everything, and why they change nothing", async () => {
  serve(createBackend({ role: "viewer" }));
  renderAt(BETA);
  expect(await screen.findByText(/needs the role editor; you are a viewer here/)).toBeInTheDocument();
  expect(screen.getByRole("button", { name: "Archive…" })).toBeDisabled();
  expect(screen.queryByLabelText("Add to included")).toBeNull();
});

describe("members", () => {
  it("reads what people paste", () => expect(parseMembers('a\r\nb; c\t"d e" ,,a')).toEqual(["a", "b", "c", "d e"]));
  const draft = (more: Partial<Draft>): Draft => ({ name: "n", description: "", included: [], excluded: [], rules: [], ...more });
  it("merges list by list and names what both changed", () => {
    const base = draft({ included: ["a", "b"] });
    const { draft: both, conflicts } = merged(base, draft({ included: ["b", "c"], name: "mine" }), draft({ included: ["a", "b", "d"], name: "theirs", description: "x" }));
    expect(both).toMatchObject({ included: ["b", "c", "d"], name: "mine", description: "x" });
    expect(conflicts).toEqual(["name"]);
  });
});

it("finds uses within groups", () => {
  const rules = [{ conditions: [] }, { conditions: [{ any: [{ none: [{ operator: "segment", values: ["x", "staff"] }] }] }] }];
  expect(usersOf({ flags: [{ key: "f", rules }], segments: [] } as never, "staff")).toEqual([{ kind: "flag", key: "f", rules: [2] }]);
});

it("names the rule that has no conditions", () => expect(parseRules('[{"conditions": []}, {}]')).toMatch(/^Rule 2 has no list/));

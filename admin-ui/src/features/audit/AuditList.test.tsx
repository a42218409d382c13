import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";
import type { AuditRow } from "../../api/types";
import { csvOf, filterOf } from "./filter";
import { wantedSegment } from "./wayBack";

it("tells every change as a sentence, newest first", async () => {
  renderAt("/projects/shop/audit");
  const rows = await screen.findAllByRole("button", { expanded: false, name: /express-shipping|recommendations|new-checkout/ });
  expect(rows[0]).toHaveTextContent("Bo Ek turned off express-shipping in Staging");
  expect(rows[1]).toHaveTextContent("Ada Lindqvist killed recommendations in Production“the model answers in 900 ms, the basket waits”");
});

it("opens a row to what differed", async () => {
  const { user } = renderAt("/projects/shop/audit");
  const row = await screen.findByRole("button", { name: /killed recommendations/ });
  await user.click(row);
  const diff = await screen.findByRole("region", { name: /What change \d+ changed/ });
  expect(diff).toHaveTextContent('added: "killed": true');
  await user.click(row);
  expect(screen.queryByRole("region", { name: /What change/ })).toBeNull();
});

it("leads from a flag's row to the playground, there where the change was made", async () => {
  const { user, router } = renderAt("/projects/shop/audit");
  await user.click(await screen.findByRole("button", { name: /turned off express-shipping in Staging/ }));
  await user.click(await screen.findByRole("link", { name: "Try it: express-shipping" }));
  await waitFor(() => expect(router.state.location.pathname).toBe("/projects/shop/playground"));
  expect(router.state.location.search).toMatchObject({ environment: "staging", flag: "express-shipping" });
});

it("filters by flag, environment and person through the URL", async () => {
  const { user, router } = renderAt("/projects/shop/audit");
  await user.type(await screen.findByLabelText("Flag or resource"), "new-checkout");
  await waitFor(() => expect(router.state.location.search).toEqual({ resource: "flag/new-checkout" }));
  await waitFor(() => expect(screen.queryByText("express-shipping")).toBeNull());
  await user.selectOptions(screen.getByLabelText("Environment"), "staging");
  expect(await screen.findByText("No change matches")).toBeVisible();
  expect(within(screen.getByLabelText("Who")).getByRole("option", { name: "Everybody" })).toBeInTheDocument();
});

const PRODUCTION_ON = /turned on new-checkout in Production/;

it("filters by what was done and by day in the URL", async () => {
  const backend = serve(createBackend());
  for (let n = 0; n < 260; n++) backend.meddle("dark-mode", "staging", { enabled: n % 2 === 0 });
  const { user, router } = renderAt("/projects/shop/audit");
  await user.selectOptions(await screen.findByLabelText("What was done"), "flag.kill");
  expect(await screen.findByRole("button", { name: /killed recommendations/ })).toBeVisible();
  expect(router.state.location.search).toEqual({ action: "flag.kill" });
  expect(screen.queryByRole("button", { name: /dark-mode/ })).toBeNull();
  fireEvent.change(screen.getByLabelText("From"), { target: { value: "2199-01-01" } });
  expect(await screen.findByText("No change matches")).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Clear" }));
  await waitFor(() => expect(router.state.location.search).toEqual({}));
});

it("shows older changes below those that are there", async () => {
  const backend = serve(createBackend());
  for (let n = 0; n < 60; n++) backend.meddle("dark-mode", "staging", { enabled: n % 2 === 0 });
  const { user } = renderAt("/projects/shop/audit");
  const first = await screen.findAllByRole("button", { name: /dark-mode in Staging/ });
  expect(first).toHaveLength(50);
  await user.click(screen.getByRole("button", { name: "Older changes" }));
  await waitFor(() => expect(screen.getAllByRole("button", { name: /dark-mode in Staging/ })).toHaveLength(60));
  expect(screen.getAllByRole("button", { name: /dark-mode in Staging/ })[0]).toBe(first[0]);
});

it("shows one row by its link, side by side where one wants", async () => {
  const { user } = renderAt("/projects/shop/audit?row=6");
  expect(await screen.findByRole("heading", { name: "Change 6" })).toBeVisible();
  expect(await screen.findAllByRole("listitem")).toHaveLength(1);
  await user.click(await screen.findByText("Side by side"));
  const diff = screen.getByRole("region", { name: "What change 6 changed" });
  expect(within(diff).getByRole("columnheader", { name: "Before" })).toBeVisible();
  expect(within(diff).getByText(/"killed": true/)).toBeVisible();
});

it("says so where a link's row is not of this project", async () => {
  renderAt("/projects/shop/audit?row=4000");
  expect(await screen.findByText("There is no such change in this project")).toBeVisible();
});

it("reverts a configuration by another change, with what is stored now and a reason", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt("/projects/shop/audit");
  await user.click(await screen.findByRole("button", { name: PRODUCTION_ON }));
  await user.click(await screen.findByRole("button", { name: "Revert…" }));
  const dialog = await screen.findByRole("dialog", { name: "Revert change 4?" });
  const diff = await within(dialog).findByRole("region", { name: "What reverting changes" });
  expect(diff).toHaveTextContent('removed: "enabled": true');
  const reason = within(dialog).getByRole("textbox", { name: "Reason" });
  expect(reason).toHaveValue("Undoes change 4");
  await user.type(reason, ": too early");
  await user.click(within(dialog).getByRole("button", { name: "Revert in Production" }));
  await waitFor(() => expect(backend.config("new-checkout", "production").enabled).toBe(false));
  const patch = backend.requests.findLast(({ method }) => method === "PATCH");
  expect(patch?.headers.get("if-match")).toBe('"3"');
  expect(patch?.body).toEqual({ enabled: false, reason: "Undoes change 4: too early" });
});

it("takes the key where reverting in production reaches everyone", async () => {
  const backend = serve(createBackend());
  backend.meddle("payments-v2", "production", { enabled: false });
  const { user } = renderAt("/projects/shop/audit");
  await user.click(await screen.findByRole("button", { name: /turned off payments-v2 in Production/ }));
  await user.click(await screen.findByRole("button", { name: "Revert…" }));
  const dialog = await screen.findByRole("dialog");
  await user.type(await within(dialog).findByLabelText(/^Type payments-v2 to confirm/), "payments-v2{Enter}");
  await waitFor(() => expect(backend.config("payments-v2", "production").enabled).toBe(true));
});

it("reverts nothing that is not valid any more, and says what is wrong", async () => {
  const backend = serve(createBackend());
  const { handle } = backend;
  backend.handle = async (request) =>
    request.url.includes("dryRun=true")
      ? new Response(JSON.stringify({ status: 422, code: "does_not_compile", title: "x", detail: "flag `gone` is not there" }), { status: 422, headers: { "content-type": "application/problem+json" } })
      : handle(request);
  const { user } = renderAt("/projects/shop/audit");
  await user.click(await screen.findByRole("button", { name: PRODUCTION_ON }));
  await user.click(await screen.findByRole("button", { name: "Revert…" }));
  const dialog = await screen.findByRole("dialog");
  expect(await within(dialog).findByRole("alert")).toHaveTextContent("The change does not compileFlag gone is not there");
  expect(within(dialog).getByRole("button", { name: "Revert in Production" })).toBeDisabled();
});

it("checks the chain for those who run the server, and says where it is broken", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt("/projects/shop/audit");
  await user.click(await screen.findByRole("button", { name: "Verify" }));
  expect(await screen.findByText(/^7 rows, whole/)).toBeVisible();
  const { handle } = backend;
  backend.handle = async (request) => (request.url.endsWith("/audit/verification") ? Response.json({ broken: "row 3 does not follow from row 2" }) : handle(request));
  await user.click(screen.getByRole("button", { name: "Verify again" }));
  expect(await screen.findByText("the chain is broken")).toBeVisible();
  expect(screen.getByTitle("row 3 does not follow from row 2")).toBeVisible();
});

it("offers the check to nobody else", async () => {
  serve(createBackend({ role: "admin" }));
  renderAt("/projects/shop/audit");
  await screen.findByRole("button", { name: "Export" });
  expect(screen.queryByRole("button", { name: "Verify" })).toBeNull();
});

it("exports all pages of what is filtered", async () => {
  const backend = serve(createBackend());
  for (let n = 0; n < 230; n++) backend.meddle("dark-mode", "staging", { enabled: n % 2 === 0 });
  const blobs: Blob[] = [];
  vi.stubGlobal("URL", Object.assign(URL, { createObjectURL: (blob: Blob) => (blobs.push(blob), "blob:x"), revokeObjectURL: () => {} }));
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(() => {});
  const { user } = renderAt("/projects/shop/audit?resource=flag%2Fdark-mode");
  await user.click(await screen.findByRole("button", { name: "Export" }));
  await user.click(await screen.findByRole("menuitem", { name: /JSON Lines/ }));
  expect(await screen.findByText("231 changes exported")).toBeVisible();
  const lines = (await blobs[0]?.text())?.trim().split("\n") ?? [];
  expect(lines).toHaveLength(231);
  expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ sequence: 2, resource: "flag/dark-mode" });
});

describe("files", () => {
  const row = (more: object) => ({ sequence: 1, at: "2026-11-20T10:00:00Z", actor: "user:1", actorName: "A", action: "flag.kill", resource: "flag/a", reason: "", before: null, after: { a: 1 }, requestId: "r", leafVersion: 1, hash: "h", previousHash: "p", ...more }) as AuditRow;
  it("quotes cells and disarms formulas", () => {
    expect(csvOf([row({ reason: '=HYPERLINK("x"),\nevil' })])).toContain('"\'=HYPERLINK(""x""),\nevil",,"{""a"":1}"');
  });
  it("knows days and groups of actions", () => {
    const [begins, ends] = [20, 21].map((day) => new Date(2026, 10, day).toISOString());
    expect(filterOf("shop", { since: "2026-11-20", until: "2026-11-20", action: "flag.*" })).toEqual({ project: "shop", action: "flag.", since: begins, until: ends });
    expect(filterOf("shop", { action: "flag.kill", since: "yesterday", actor: "user:1" })).toEqual({ project: "shop", actor: "user:1", action: "flag.kill" });
  });
});

describe("long lists of a segment", () => {
  const kept = (onlyHere: string[], countOnlyHere = onlyHere.length) => ({ name: "S", included: { count: 5_000, countOnlyHere, onlyHere } });
  const now = { name: "S", description: "", included: ["a", "new", "other"], excluded: [], rules: [] };
  it("go back by what the change did", () => {
    expect(wantedSegment(kept(["gone"]), kept(["new"]), now)).toMatchObject({ included: ["a", "gone", "other"] });
  });
  it("are refused where the log has not all of it", () => {
    expect(wantedSegment(kept(["gone"], 900), kept([]), now)).toMatch(/does not hold all members/);
  });
});

import { screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";
import type { Environment, ListedFlag, Receipts, Rollout } from "../../api/types";
import { attention, rolloutNeeds, type InEnvironment } from "./attention";

const NOW = Date.parse("2026-11-21T12:00:00Z");
const HOUR = 3_600_000;

const rollout = (status: object, more: object = {}) =>
  ({ id: "r", flag: "f", variant: "on", baseline: "off", share: 25_000, status: { generation: 1, state: "running", since: NOW - HOUR, bake: { doneMs: 0 }, ...status }, ...more }) as Rollout;

describe("rollouts", () => {
  it.each([
    [{ state: "paused", waiting: "paused" }, "paused"],
    [{ waiting: "approval" }, "waits for approval"],
    [{ waiting: "suspect" }, "held"],
    [{ waiting: "noTelemetry" }, "held"],
    [{ state: "rolledBack" }, "rolled back"],
    [{ state: "killed" }, "killed by its rollout"],
  ])("%o needs somebody", (status, state) => expect(rolloutNeeds(rollout(status), NOW)?.state).toBe(state));

  it.each([[{ waiting: "baking" }], [{ waiting: "converging" }], [{ waiting: "window" }], [{ state: "completed" }], [{ state: "rolledBack", since: NOW - 8 * 24 * HOUR }]])("%o needs nobody", (status) =>
    expect(rolloutNeeds(rollout(status), NOW)).toBeNull(),
  );
});

describe("attention", () => {
  const environment = { key: "production", name: "Production", production: true } as Environment;
  const place = (more: Partial<InEnvironment>): InEnvironment => ({ environment, rollouts: [], receipts: null, segments: [], ...more });
  const receipts = (more: Partial<Receipts>) => ({ revision: 7, changedAt: NOW - HOUR, connected: 3, applied: 3, servers: 1, epoch: "e", behind: [], ...more }) as Receipts;

  it("is calm where all is well", () => {
    const flag = { key: "f", name: "F", createdAt: "x", environments: { production: { killed: false, enabled: true } } } as unknown as ListedFlag;
    expect(attention([flag], [place({ receipts: receipts({}) })], NOW)).toEqual([]);
  });

  it("gives an SDK the time that a change takes", () => {
    const behind = { applied: 2, behind: [{ sdk: "tidegate-rust/0.1.0", connectedAt: 0 }] };
    expect(attention([], [place({ receipts: receipts({ ...behind, changedAt: NOW - 500 }) })], NOW)).toEqual([]);
    expect(attention([], [place({ receipts: receipts(behind) })], NOW)[0]?.items[0]).toMatchObject({ state: "1 of 3 SDKs behind", detail: "without revision 7: tidegate-rust/0.1.0" });
  });

  it("counts a flag's newest rollout only, and each broken thing once", () => {
    const sections = attention(
      [{ key: "broken", broken: "no variants", version: 1 }, { key: "other", name: "O", createdAt: "x", environments: { production: { enabled: true, killed: false, broken: "bad rule" } } } as unknown as ListedFlag],
      [place({ rollouts: [rollout({ state: "rolledBack" }), rollout({ state: "completed" }, { id: "r2" })], segments: [{ key: "seg", broken: "no rules", version: 1 }] })],
      NOW,
    );
    expect(sections.map(({ title, items }) => [title, items.map(({ title: name }) => name)])).toEqual([["Cannot be read", ["broken", "seg", "other"]]]);
  });
});

it("names what needs somebody, each with its link, and the flags are one click away", async () => {
  const backend = serve(createBackend());
  backend.receipts.set("staging", { applied: 1, changedAt: Date.now() - HOUR, behind: [{ sdk: "tidegate-rust/0.1.0", connectedAt: 0 }] });
  const { user, router } = renderAt("/projects/shop");
  const killed = await screen.findByRole("region", { name: "Killed flags" });
  expect(within(killed).getByRole("listitem")).toHaveTextContent("killedrecommendations");
  await waitFor(() => expect(killed).toHaveTextContent("by Ada Lindqvist: “the model answers in 900 ms, the basket waits”"));
  expect(screen.getByRole("region", { name: "SDKs behind" })).toHaveTextContent("2 of 3 SDKs behind");
  expect(screen.getByText("2 things need somebody.")).toBeInTheDocument();
  await user.click(within(killed).getByRole("link", { name: "recommendations" }));
  await waitFor(() => expect(router.state.location.href).toBe("/projects/shop/flags/recommendations?environment=production"));
  await router.navigate({ to: "/projects/$project", params: { project: "shop" } });
  await user.click(await screen.findByRole("link", { name: "All 10 flags" }));
  await waitFor(() => expect(router.state.location.pathname).toBe("/projects/shop/flags"));
});

describe("flags that are ready to clean up", () => {
  const section = () => screen.findByRole("region", { name: "Ready to clean up" });
  const names = async () => within(await section()).getAllByRole("link").map(({ textContent }) => textContent);

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["Date"], now: NOW });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("are named with why, and with the safe order", async () => {
    const backend = serve(createBackend());
    // Changed just now, it is no more left alone.
    backend.meddle("home-hero", "production", { availability: "values" });
    const { user, router } = renderAt("/projects/shop");
    expect(await section()).toHaveTextContent(/out of the code.*Deploy.*Archive/);
    await waitFor(async () => expect(await names()).toEqual(["payments-v2", "api-rate-limit", "express-shipping", "legacy-invoices", "passkeys"]));
    const [first, , , unasked] = within(await section()).getAllByRole("listitem").slice(3);
    expect(first).toHaveTextContent("on for everyone, last changed 10 months ago; last evaluated just now");
    expect(unasked).toHaveTextContent("not asked for since the server started 10 months ago");
    await user.click(within(await section()).getByRole("link", { name: "legacy-invoices" }));
    await waitFor(() => expect(router.state.location.pathname).toBe("/projects/shop/flags/legacy-invoices"));
  });

  it("are those that configurations tell, for whom may not ask how long the server is up", async () => {
    const backend = serve(createBackend({ role: "viewer" }));
    renderAt("/projects/shop");
    await waitFor(async () => expect(await names()).toContain("payments-v2"));
    expect(await names()).not.toContain("legacy-invoices");
    expect(backend.requests.some(({ path }) => path === "/system")).toBe(false);
  });

  it("are shown some at first", async () => {
    serve(createBackend({ more: 4 }));
    const { user } = renderAt("/projects/shop");
    await user.click(await screen.findByRole("button", { name: "Show all 10" }));
    expect(await names()).toHaveLength(10);
  });
});

it("says that all is calm", async () => {
  const backend = serve(createBackend());
  backend.meddle("recommendations", "production", { killed: false });
  renderAt("/projects/shop");
  expect(await screen.findByRole("heading", { name: "All calm" })).toBeInTheDocument();
  expect(screen.getByText("Nothing needs you.")).toBeInTheDocument();
});

import { screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";

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
  backend.admin.receipts.set("staging", { applied: 1, changedAt: Date.now() - HOUR, behind: [{ sdk: "tidegate-rust/0.1.0", connectedAt: 0 }] });
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

it("says that all is calm", async () => {
  const backend = serve(createBackend());
  backend.meddle("recommendations", "production", { killed: false });
  renderAt("/projects/shop");
  expect(await screen.findByRole("heading", { name: "All calm" })).toBeInTheDocument();
  expect(screen.getByText("Nothing needs you.")).toBeInTheDocument();
});

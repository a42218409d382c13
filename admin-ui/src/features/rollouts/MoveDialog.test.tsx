import { screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";
import type { Rollout } from "../../api/types";
import { reachesEveryone } from "./MoveDialog";

// There is no canvas here, and nothing is drawn.
vi.mock("uplot", () => ({ default: null }));

describe("a move that reaches everyone", () => {
  const rollout = (step: number | null, ...steps: number[]) =>
    ({ share: step === null ? 0 : steps[step], status: { step }, spec: { steps: steps.map((share) => ({ share, bakeMs: 1 })) } }) as Rollout;
  it.each([
    ["to the step of 100 %", "skip", rollout(0, 50_000, 100_000), true],
    ["past the last step, below 100 %", "skip", rollout(0, 50_000), true],
    ["at once to 100 %", "skip", rollout(null, 100_000), true],
    ["to a step below", "skip", rollout(0, 10_000, 50_000, 100_000), false],
    ["past the last step, which was for everyone", "skip", rollout(1, 50_000, 100_000), false],
    ["approved: the gates still decide", "approve", rollout(0, 50_000, 100_000), false],
    ["back", "rollBack", rollout(0, 50_000, 100_000), false],
  ] as const)("%s", (_, action, of, reaches) => expect(reachesEveryone({ action }, of)).toBe(reaches));
});

it("goes to 100 % in production once the flag's key is typed", async () => {
  const backend = serve(createBackend({ withRollouts: true }));
  const rollout = backend.rollouts.get("r-payments") as Rollout;
  backend.rollouts.set("r-payments", { ...rollout, share: 50_000, spec: { steps: [{ share: 50_000, bakeMs: 60_000 }, { share: 100_000, bakeMs: 60_000 }] }, status: { ...rollout.status, state: "running", step: 0 } });
  const { user } = renderAt("/projects/shop/flags/payments-v2/rollouts/r-payments?environment=production");
  await user.click(await screen.findByRole("button", { name: "Next step now…" }));
  const dialog = await screen.findByRole("dialog");
  await user.type(within(dialog).getByRole("textbox", { name: "Reason" }), "it is well");
  const go = within(dialog).getByRole("button", { name: "Go to the next step" });
  expect(go).toBeDisabled();
  await user.type(within(dialog).getByLabelText(/^Type payments-v2 to confirm/), "payments-v2");
  await user.click(go);
  const moves = () => backend.requests.filter(({ method }) => method === "POST").map(({ body }) => body);
  await waitFor(() => expect(moves()).toEqual([{ action: "skip", reason: "it is well" }]));
});

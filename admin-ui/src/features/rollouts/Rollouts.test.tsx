import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";

const FLAG = "/projects/shop/flags/dark-mode?environment=development";

it("starts a rollout, says how far it is and what its gates say, and rolls it back with a reason", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(FLAG);
  await user.click(await screen.findByRole("button", { name: "Roll out another variant…" }));
  const start = await screen.findByRole("dialog");
  await user.type(within(start).getByRole("textbox", { name: "What must not happen more often" }), "render-error, slow");
  await user.click(within(start).getByRole("button", { name: "Start in Development" }));

  const panel = await screen.findByRole("region", { name: "Rolling out off" });
  expect(within(panel).getByRole("status")).toHaveTextContent("baking for another 12 min");
  const steps = within(within(panel).getByRole("list", { name: "Steps" })).getAllByRole("listitem");
  expect(steps.map((step) => step.getAttribute("aria-current"))).toEqual(["step", null, null, null]);
  expect(within(panel).getByText("render-error").closest("li")).toHaveTextContent(/no harm found.*12 with off, 9 with on; evidence 0.3 to 1/);
  expect(screen.queryByRole("textbox", { name: "Percentage that gets on" })).toBeNull();

  await user.click(within(panel).getByRole("button", { name: "Override slow" }));
  const override = await screen.findByRole("dialog");
  expect(override).toHaveTextContent("Whatever slow says, it holds nothing and ends nothing any more.");
  await user.type(within(override).getByRole("textbox", { name: "Reason" }), "the probe is broken");
  await user.click(within(override).getByRole("button", { name: "Override" }));
  await within(panel).findByText("no harm found, overridden");
  expect(backend.requests.find(({ path }) => path.endsWith("/actions"))?.body).toEqual({ action: "override", gate: "slow", reason: "the probe is broken" });

  await user.click(within(panel).getByRole("button", { name: "Roll back…" }));
  const dialog = await screen.findByRole("dialog");
  expect(dialog).toHaveTextContent("everyone gets on again");
  const button = within(dialog).getByRole("button", { name: "Roll back" });
  expect(button).toBeDisabled();
  await user.type(within(dialog).getByRole("textbox", { name: "Reason" }), "support is swamped");
  await user.click(button);
  await waitFor(() => expect(screen.queryByRole("region", { name: "Rolling out off" })).toBeNull());
  expect(backend.requests.findLast(({ path }) => path.endsWith("/actions"))?.body).toEqual({ action: "rollBack", reason: "support is swamped" });
});

it("lets nobody move a rollout who may not", async () => {
  const backend = serve(createBackend({ role: "editor" }));
  const { user } = renderAt(FLAG);
  await user.click(await screen.findByRole("button", { name: "Roll out another variant…" }));
  await user.click(within(await screen.findByRole("dialog")).getByRole("button", { name: "Start in Development" }));
  expect(within(await screen.findByRole("region", { name: "Rolling out off" })).getByRole("button", { name: "Pause…" })).toBeDisabled();
  expect(backend.rollouts.size).toBe(1);
});

it("offers none where nobody would get it", async () => {
  renderAt("/projects/shop/flags/dark-mode?environment=production");
  await screen.findByRole("region", { name: "How it is evaluated" });
  expect(screen.queryByRole("button", { name: "Roll out another variant…" })).toBeNull();
});

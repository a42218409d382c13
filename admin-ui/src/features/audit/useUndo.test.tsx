import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";

import { createBackend, type Backend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";

const SEGMENT = "/projects/shop/segments/staff";

async function toggled(control: RegExp) {
  const view = renderAt("/projects/shop/flags");
  await view.user.click(await screen.findByRole("switch", { name: control }));
  return view;
}

/** Renames the segment, and saves. */
async function renamed(environment: string) {
  const view = renderAt(`${SEGMENT}?environment=${environment.toLowerCase()}`);
  await view.user.type(await screen.findByLabelText(/^Name/), "!");
  await view.user.click(screen.getByRole("button", { name: `Save in ${environment}…` }));
  await view.user.click(within(await screen.findByRole("dialog")).getByRole("button", { name: `Save in ${environment}` }));
  expect(await screen.findByText(`staff is changed in ${environment}`)).toBeVisible();
  return view;
}

const nameOf = (backend: Backend, environment: string) => backend.segments.get(`${environment}/staff`)?.name;

it("takes a change outside of production back at once, and says which", async () => {
  const backend = serve(createBackend());
  const { user } = await toggled(/^express-shipping in Staging: Off/);
  await user.click(await screen.findByRole("button", { name: "Undo" }));
  expect(await screen.findByText("Undone: express-shipping in Staging is as before")).toBeVisible();
  expect(backend.config("express-shipping", "staging").enabled).toBe(false);
  expect(backend.audit.at(-1)).toMatchObject({ action: "flag.configure", reason: "Undoes change 8" });
});

it("shows in production what undoing changes, and leaves the focus on the page", async () => {
  const backend = serve(createBackend());
  const { user } = await toggled(/^passkeys in Production: Off/);
  await user.click(await screen.findByRole("button", { name: "Turn on in Production" }));
  await user.click(await screen.findByRole("button", { name: "Undo…" }));
  const dialog = await screen.findByRole("dialog", { name: "Revert change 8?" });
  expect(await within(dialog).findByRole("region", { name: "What reverting changes" })).toHaveTextContent('added: "enabled": false');
  expect(within(dialog).getByRole("textbox", { name: "Reason" })).toHaveValue("Undoes change 8");
  expect(backend.config("passkeys", "production").enabled).toBe(true);
  await user.click(within(dialog).getByRole("button", { name: "Revert in Production" }));
  await waitFor(() => expect(backend.config("passkeys", "production").enabled).toBe(false));
  expect(backend.audit.at(-1)?.reason).toBe("Undoes change 8");
  await waitFor(() => expect(screen.getByRole("main")).toHaveFocus());
});

it("shows it elsewhere, too, where somebody else's change would go with it", async () => {
  const backend = serve(createBackend());
  const { user } = await toggled(/^express-shipping in Staging: Off/);
  const undo = await screen.findByRole("button", { name: "Undo" });
  backend.meddle("express-shipping", "staging", { availability: "values" });
  await user.click(undo);
  const dialog = await screen.findByRole("dialog", { name: "Revert change 8?" });
  expect(await within(dialog).findByText(/It was changed again since then/)).toBeVisible();
  expect(backend.config("express-shipping", "staging").enabled).toBe(true);
});

it("says so where the change is not in the log", async () => {
  const backend = serve(createBackend());
  const { user } = await toggled(/^express-shipping in Staging: Off/);
  const undo = await screen.findByRole("button", { name: "Undo" });
  backend.audit.length = 0;
  await user.click(undo);
  expect(await screen.findByText("The newest rows of the audit log do not have this change.")).toBeVisible();
  expect(backend.config("express-shipping", "staging").enabled).toBe(true);
});

it("takes back what was saved of a segment", async () => {
  const backend = serve(createBackend());
  const { user } = await renamed("Staging");
  expect(nameOf(backend, "staging")).toBe("Staff!");
  await user.click(screen.getByRole("button", { name: "Undo" }));
  expect(await screen.findByText("Undone: staff in Staging is as before")).toBeVisible();
  expect(nameOf(backend, "staging")).toBe("Staff");
  await waitFor(() => expect(screen.getByLabelText(/^Name/)).toHaveValue("Staff"));
});

it("asks first for a segment in production", async () => {
  const backend = serve(createBackend());
  const { user } = await renamed("Production");
  await user.click(screen.getByRole("button", { name: "Undo…" }));
  const dialog = await screen.findByRole("dialog", { name: "Revert change 8?" });
  await user.click(await within(dialog).findByRole("button", { name: "Revert in Production" }));
  await waitFor(() => expect(nameOf(backend, "production")).toBe("Staff"));
});

import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";

const step = () => within(screen.getByRole("list", { name: "Set-up" })).getAllByRole("listitem", { current: "step" })[0];

it("leads from nothing to the first SDK, and then to the flags", async () => {
  const backend = serve(createBackend({ empty: true }));
  const { user, router } = renderAt("/");
  await screen.findByRole("heading", { name: "Your first project" });
  await user.type(screen.getByRole("textbox", { name: /Name/ }), "Shop");
  await user.click(screen.getByRole("button", { name: "Create the project" }));

  await screen.findByRole("heading", { name: "Where flags are evaluated" });
  expect(step()).toHaveTextContent("Environments");
  await user.click(screen.getByRole("switch", { name: /Staging/ }));
  await user.click(screen.getByRole("button", { name: "Create 2 environments" }));

  await screen.findByRole("heading", { name: "Your first flag" });
  await user.click(screen.getByRole("button", { name: "Create the flag" }));

  await screen.findByRole("heading", { name: "Connect an application" });
  expect(backend.config("new-checkout", "development").enabled).toBe(true);
  await user.click(screen.getByRole("button", { name: "Make a key for Development" }));
  expect(await screen.findByLabelText("Code: Rust")).toHaveTextContent(/tgs_.*new-checkout/s);
  await screen.findByText(/Waiting for the first SDK/);
  backend.receipts.set("development", { connected: 1, applied: 1 });
  await user.click(await screen.findByRole("button", { name: "To the flags" }));
  await waitFor(() => expect(router.state.location.pathname).toBe("/projects/shop/flags"));
  expect(window.localStorage.getItem("tidegate.start")).toBeNull();
});

it("is left, offered on the overview, taken up where it was, and left for good", async () => {
  const backend = serve(createBackend({ empty: true }));
  backend.projects.set("shop", { key: "shop", name: "Shop", version: 1, createdAt: "2026-01-05T09:00:00.000Z", updatedAt: "2026-01-05T09:00:00.000Z" });
  const { user, router } = renderAt("/start?project=shop");
  await screen.findByRole("heading", { name: "Where flags are evaluated" });
  await user.click(screen.getByRole("button", { name: "Later" }));
  await user.click(await screen.findByRole("link", { name: "Go on" }));
  await screen.findByRole("heading", { name: "Where flags are evaluated" });
  await user.click(screen.getByRole("button", { name: "Skip the set-up" }));
  await waitFor(() => expect(router.state.location.pathname).toBe("/projects/shop"));
  await screen.findByRole("heading", { name: "Overview" });
  expect(screen.queryByRole("link", { name: "Go on" })).toBeNull();
});

it("tells those who may make no project whom to ask", async () => {
  const backend = serve(createBackend({ empty: true, role: "viewer" }));
  backend.me = { user: { id: "u3", name: "Chidi", email: "c@example.org" }, instanceAdmin: false, roles: {} };
  renderAt("/start");
  expect(await screen.findByText(/Ask an administrator to add you to one/)).toBeInTheDocument();
});

import { screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";
import { forgetSecret, takeSecretFromAddress, takenSecret } from "../../lib/secret";

it("sends strangers to the sign-in, and back to where they were going", async () => {
  serve(createBackend({ signedIn: false }));
  const { user, router } = renderAt("/projects/shop/audit?environment=staging");
  await user.type(await screen.findByLabelText(/Email/), "ada@example.org");
  await user.type(screen.getByLabelText(/Password/, { selector: "input" }), "wrong");
  await user.click(screen.getByRole("button", { name: "Sign in" }));
  expect(await screen.findByRole("alert")).toHaveTextContent("Email and password do not belong together");
  await user.clear(screen.getByLabelText(/Password/, { selector: "input" }));
  await user.type(screen.getByLabelText(/Password/, { selector: "input" }), "correct horse battery");
  await user.click(screen.getByRole("button", { name: "Sign in" }));
  await waitFor(() => expect(router.state.location.href).toBe("/projects/shop/audit?environment=staging"));
});

it("goes nowhere else after the sign-in", async () => {
  serve(createBackend({ signedIn: false }));
  const { user, router } = renderAt("/sign-in?next=%2F%2Fevil.example%2F");
  await user.type(await screen.findByLabelText(/Email/), "ada@example.org");
  await user.type(screen.getByLabelText(/Password/, { selector: "input" }), "correct horse battery");
  await user.click(screen.getByRole("button", { name: "Sign in" }));
  await waitFor(() => expect(router.state.location.pathname).toBe("/projects/shop"));
});

it.each(["/#/link/good-secret", "/link/good-secret"])("signs in by %s and leaves no secret in the address", async (address) => {
  serve(createBackend({ signedIn: false }));
  window.history.replaceState(null, "", address);
  takeSecretFromAddress();
  expect(window.location.href).not.toContain("good-secret");
  const { router } = renderAt("/link");
  await waitFor(() => expect(router.state.location.pathname).toBe("/projects/shop"));
  expect(takenSecret()).toBeNull();
});

it("says so where a link does not work any more", async () => {
  serve(createBackend({ signedIn: false }));
  window.history.replaceState(null, "", "/#/link/spent");
  takeSecretFromAddress();
  renderAt("/link");
  expect(await screen.findByRole("alert")).toHaveTextContent("This link was used");
  forgetSecret();
});

it("sets a new instance up by its link, with the server's word at the field", async () => {
  const backend = serve(createBackend({ signedIn: false }));
  backend.setupNeeded = true;
  window.history.replaceState(null, "", "/#/link/first");
  takeSecretFromAddress();
  const { user, router } = renderAt("/link");
  await user.type(await screen.findByLabelText(/Your name/), "Ada");
  await user.type(screen.getByLabelText(/Email/), "ada@example.org");
  await user.type(screen.getByLabelText(/Password/, { selector: "input" }), "correct horse battery");
  await user.click(screen.getByRole("button", { name: "Create the account" }));
  await waitFor(() => expect(router.state.location.pathname).toBe("/projects/shop"));
  expect(backend.requests.find(({ path }) => path === "/setup" )).toBeDefined();
  expect(backend.requests.find(({ method, path }) => method === "POST" && path === "/setup")?.body).toMatchObject({ secret: "first" });
});

import { screen, within } from "@testing-library/react";
import { expect, it } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";

const PAGE = "/projects/shop/flags/dark-mode";
const changes = (backend: ReturnType<typeof createBackend>, method: string) =>
  backend.requests.filter((request) => request.method === method && request.path === "/projects/shop/flags/dark-mode");

async function open() {
  const rendered = renderAt(PAGE);
  await rendered.user.click(await screen.findByRole("button", { name: "Settings…" }));
  return { ...rendered, dialog: await screen.findByRole("dialog", { name: "Settings of dark-mode" }) };
}

it("renames a flag by the version that was read", async () => {
  const backend = serve(createBackend());
  const { user, dialog } = await open();
  const name = within(dialog).getByLabelText(/^Name/);
  await user.clear(name);
  expect(within(dialog).getByRole("button", { name: "Save" })).toBeDisabled();
  await user.type(name, "Dark pages");
  await user.click(within(dialog).getByRole("button", { name: "Save" }));
  expect(await screen.findByRole("heading", { level: 1, name: "Dark pages" })).toBeVisible();
  const [sent] = changes(backend, "PATCH");
  expect(sent?.headers.get("if-match")).toBe('"1"');
  expect(sent?.body).toMatchObject({ name: "Dark pages" });
});

it("keeps what was typed where somebody else was first, and says what they have", async () => {
  const backend = serve(createBackend());
  const { user, dialog } = await open();
  await user.type(within(dialog).getByLabelText("Description"), " Mine.");
  await backend.handle(
    new Request("http://localhost/api/v1/projects/shop/flags/dark-mode", {
      method: "PATCH",
      headers: { "x-tidegate-csrf": "1", "if-match": '"1"' },
      body: JSON.stringify({ name: "Theirs" }),
    }),
  );
  await user.click(within(dialog).getByRole("button", { name: "Save" }));
  expect(await within(dialog).findByText(/They have: name “Theirs”/)).toBeVisible();
  await user.click(within(dialog).getByRole("button", { name: "Save in place of theirs" }));
  await screen.findByText(/Mine\./);
  expect(changes(backend, "PATCH").at(-1)?.headers.get("if-match")).toBe('"2"');
});

it("archives only what was named, for a reason", async () => {
  const backend = serve(createBackend());
  const { user, dialog, router } = await open();
  await user.click(within(dialog).getByRole("button", { name: "Archive…" }));
  const asked = await screen.findByRole("dialog", { name: "Archive dark-mode?" });
  await user.type(within(asked).getByLabelText(/^Reason/), "gone from the code");
  const archive = within(asked).getByRole("button", { name: "Archive" });
  await user.type(within(asked).getByLabelText(/^Type dark-mode/), "dark");
  expect(archive).toBeDisabled();
  await user.type(within(asked).getByLabelText(/^Type dark-mode/), "-mode");
  await user.click(archive);
  await screen.findByRole("heading", { level: 1, name: "Flags" });
  expect(router.state.location.pathname).toBe("/projects/shop/flags");
  const sent = backend.requests.find(({ method }) => method === "DELETE");
  expect(decodeURIComponent(sent?.path ?? "").replaceAll("+", " ")).toBe("/projects/shop/flags/dark-mode?reason=gone from the code");
});

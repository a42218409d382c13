import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";

const PATH = "/projects/shop/members";

it("changes a role with the version that was read, once it is confirmed", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(PATH);
  await user.selectOptions(await screen.findByRole("combobox", { name: "Role of Bo Ek" }), "admin");
  const dialog = await screen.findByRole("dialog", { name: "Make Bo Ek an admin?" });
  expect(backend.users.get("u2")?.roles["shop"]).toBe("operator");
  await user.click(within(dialog).getByRole("button", { name: "Change the role" }));
  await waitFor(() => expect(screen.getByRole("combobox", { name: "Role of Bo Ek" })).toHaveValue("admin"));
  const put = backend.requests.find(({ method }) => method === "PUT");
  expect(put?.headers.get("if-match")).toBe('"1"');
  expect(put?.body).toEqual({ role: "admin" });
});

it("reads again where somebody was faster, and does it on the second try", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(PATH);
  await user.click(await screen.findByRole("button", { name: "Remove Chidi Okafor" }));
  const dialog = await screen.findByRole("dialog");
  await user.type(within(dialog).getByRole("textbox", { name: "Reason" }), "left");
  const chidi = backend.users.get("u3");
  if (chidi) backend.users.set("u3", { ...chidi, version: 7 });
  await user.click(within(dialog).getByRole("button", { name: "Remove" }));
  expect(await within(dialog).findByText(/Somebody else changed this membership/)).toBeInTheDocument();
  await user.click(within(dialog).getByRole("button", { name: "Remove" }));
  await waitFor(() => expect(screen.queryByText("Chidi Okafor")).toBeNull());
});

it("adds somebody who is not a member yet", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(PATH);
  await screen.findByText("Bo Ek");
  await user.click(screen.getByRole("button", { name: "Add a member" }));
  const dialog = await screen.findByRole("dialog", { name: "Add a member" });
  await user.click(within(dialog).getByRole("combobox", { name: /Person/ }));
  expect(screen.queryByRole("option", { name: /Bo Ek/ })).toBeNull();
  await user.click(await screen.findByRole("option", { name: /Dana/ }));
  await user.click(within(dialog).getByRole("button", { name: "Add" }));
  await waitFor(() => expect(backend.users.get("u4")?.roles).toEqual({ shop: "editor" }));
  expect(backend.requests.find(({ method }) => method === "PUT")?.headers.get("if-match")).toBeNull();
});

it("adds a person to the instance and shows their link once", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(`${PATH}?tab=users`);
  await user.click(await screen.findByRole("button", { name: "New person" }));
  const dialog = await screen.findByRole("dialog", { name: "New person" });
  await user.type(within(dialog).getByRole("textbox", { name: /Name/ }), "Eve");
  await user.type(within(dialog).getByRole("textbox", { name: /Email/ }), "bo@example.org");
  await user.click(within(dialog).getByRole("button", { name: "Add and make a link" }));
  expect(await within(dialog).findByText("somebody has this address already")).toBeInTheDocument();
  await user.clear(within(dialog).getByRole("textbox", { name: /Email/ }));
  await user.type(within(dialog).getByRole("textbox", { name: /Email/ }), "eve@example.org");
  await user.click(within(dialog).getByRole("button", { name: "Add and make a link" }));
  const once = await screen.findByRole("dialog", { name: "Copy the link for Eve now" });
  expect(within(once).getByText("http://localhost:8580/#/link/tgl_u5")).toBeVisible();
  expect(backend.users.get("u5")).toMatchObject({ roles: { shop: "viewer" } });
  await user.click(within(once).getByRole("button", { name: "Done" }));
  await waitFor(() => expect(screen.queryByText(/tgl_u5/)).toBeNull());
});

it("archives for a reason, never oneself", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(`${PATH}?tab=users`);
  await user.click(await screen.findByRole("button", { name: "Actions for Ada Lindqvist" }));
  expect(await screen.findByRole("menuitem", { name: "Archive: not yourself" })).toBeDisabled();
  await user.keyboard("{Escape}");
  await user.click(screen.getByRole("button", { name: "Actions for Bo Ek" }));
  await user.click(await screen.findByRole("menuitem", { name: "Archive…" }));
  const dialog = await screen.findByRole("dialog", { name: "Archive Bo Ek?" });
  await user.type(within(dialog).getByRole("textbox", { name: "Reason" }), "left");
  await user.click(within(dialog).getByRole("button", { name: "Archive" }));
  await waitFor(() => expect(backend.users.has("u2")).toBe(false));
});

it("makes tokens that expire, and says which have", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(`${PATH}?tab=tokens`);
  expect((await screen.findByText("old importer")).closest("li")).toHaveTextContent(/expired/);
  await user.click(screen.getByRole("button", { name: "New token" }));
  const dialog = await screen.findByRole("dialog", { name: "New API token" });
  await user.type(within(dialog).getByRole("textbox", { name: /Name/ }), "ci");
  await user.selectOptions(within(dialog).getByLabelText("Expires after"), "30");
  await user.click(within(dialog).getByRole("button", { name: "Create token" }));
  const once = await screen.findByRole("dialog", { name: "Copy the token ci now" });
  expect(within(once).getByText(/^tgt_/)).toBeVisible();
  const body = backend.requests.findLast(({ method, path }) => method === "POST" && path === "/tokens")?.body as { expiresAt: string };
  expect(body).toMatchObject({ name: "ci", project: "shop", role: "editor" });
  expect(Math.round((Date.parse(body.expiresAt) - Date.now()) / 86_400_000)).toBe(30);
});

it("shows editors who is there, and why they change nothing", async () => {
  serve(createBackend({ role: "editor" }));
  const { user } = renderAt(PATH);
  expect(await screen.findByText("Bo Ek")).toBeInTheDocument();
  expect(screen.getByText(/Changing members needs the role admin; you are an editor here/)).toBeInTheDocument();
  expect(screen.queryByRole("combobox", { name: "Role of Bo Ek" })).toBeNull();
  await user.click(screen.getByRole("link", { name: "API tokens" }));
  expect(await screen.findByText(/Seeing them needs the role admin/)).toBeInTheDocument();
  const kinds = within(screen.getByRole("navigation", { name: "Kind" })).getAllByRole("link");
  expect(kinds.filter((link) => link.hasAttribute("aria-current")).map((link) => link.textContent)).toEqual(["API tokens"]);
  await user.click(screen.getByRole("link", { name: "Users of this instance" }));
  expect(await screen.findByText("Only administrators of the instance manage users")).toBeInTheDocument();
});

import { act, screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { holdChanges } from "../../../tests/mocks/held";
import { FakeSocket } from "../../../tests/mocks/socket";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";

const LIST = "/projects/shop/flags";
const writes = (backend: ReturnType<typeof createBackend>) => backend.requests.filter(({ method, path }) => method !== "GET" && !path.includes("dryRun"));

it("shows a row per flag and its state in each environment, in words", async () => {
  renderAt(LIST);
  const row = await screen.findByRole("row", { name: /new-checkout/ });
  expect(within(row).getByRole("rowheader")).toHaveTextContent("New checkout");
  expect(within(row).getByText("On for everyone")).toBeVisible();
  expect(within(row).getByText(/^On 25.% \/ off 75.%$/)).toBeVisible();
  expect(within(row).getByText("1 prerequisite, 1 target, 2 rules first")).toBeVisible();
  expect(within(await screen.findByRole("row", { name: /recommendations/ })).getByText("Killed")).toBeVisible();
});

it("filters by what the URL says and writes it there", async () => {
  const { user, router } = renderAt(`${LIST}?tag=checkout`);
  await screen.findByRole("row", { name: /payments-v2/ });
  expect(screen.queryByRole("row", { name: /dark-mode/ })).toBeNull();
  await user.type(screen.getByRole("textbox", { name: /Search/ }), "express");
  await waitFor(() => expect(router.state.location.search).toEqual({ tag: "checkout", search: "express" }));
  await waitFor(() => expect(screen.queryByRole("row", { name: /payments-v2/ })).toBeNull());
  expect(screen.getByRole("row", { name: /express-shipping/ })).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Tag checkout: remove the filter" }));
  await waitFor(() => expect(router.state.location.search).toEqual({ search: "express" }));
});

it("finds the flags that a rollout moves, and leads to it", async () => {
  const backend = serve(createBackend({ withRollouts: true }));
  const { user, router } = renderAt(LIST);
  await screen.findByRole("row", { name: /checkout-button|new-checkout/ });
  await user.selectOptions(screen.getByRole("combobox", { name: "State" }), "Has a rollout");
  await user.selectOptions(screen.getByRole("combobox", { name: "Environment of the state" }), "in Staging");
  await waitFor(() => expect(screen.queryByRole("row", { name: /new-checkout/ })).toBeNull());
  const row = within(screen.getByRole("row", { name: /payments-v2/ }));
  await user.click(row.getByRole("link", { name: "Rollout under way of payments-v2 in Staging" }));
  await waitFor(() => expect(router.state.location.pathname).toBe(`${LIST}/payments-v2/rollouts/${String(backend.config("payments-v2", "staging").rollout)}`));
  expect(router.state.location.search).toEqual({ environment: "staging" });
});

it("toggles at once outside of production, and takes it back", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(LIST);
  await user.click(await screen.findByRole("switch", { name: /^express-shipping in Staging: Off/ }));
  expect(await screen.findByText("express-shipping is on in Staging")).toBeVisible();
  expect(backend.config("express-shipping", "staging").enabled).toBe(true);
  expect(writes(backend)[0]?.headers.get("if-match")).toBe('"3"');
  await user.click(screen.getByRole("button", { name: "Undo" }));
  await screen.findByText(/^Undone: express-shipping in Staging/);
  expect(backend.config("express-shipping", "staging").enabled).toBe(false);
  expect(backend.audit.at(-1)?.reason).toBe("Undoes change 8");
});

it("moves the switch before the server has answered, and reads the list not again for it, whoever tells of the change", async () => {
  const backend = serve(createBackend());
  const answer = holdChanges(backend);
  const { user } = renderAt(LIST);
  await screen.findByRole("switch", { name: /^express-shipping in Staging: Off/ });
  for (const environment of ["development", "staging", "production"]) FakeSocket.open(environment).greet(backend.revision(environment));
  const lists = () => backend.requests.filter(({ method, path }) => method === "GET" && path.startsWith("/projects/shop/flags?"));
  const before = lists().length;
  await user.click(screen.getByRole("switch", { name: /^express-shipping in Staging: Off/ }));
  expect(await screen.findByRole("switch", { name: /^express-shipping in Staging: Saving…/ })).toBeChecked();
  expect(backend.config("express-shipping", "staging").enabled).toBe(false);
  // The stream may be faster than the answer. The flag's version there is the sum of its own, 1, and of its configuration's, 4.
  FakeSocket.open("staging").commit(backend.revision("staging") + 1, "changes", { key: "express-shipping", version: 5 });
  answer();
  expect(await screen.findByRole("switch", { name: /^express-shipping in Staging: On for everyone/ })).toBeChecked();
  await screen.findByText("express-shipping is on in Staging");
  expect(lists().length).toBe(before);
});

it("puts the switch back where the server refuses, and says why", async () => {
  const backend = serve(createBackend());
  const { handle } = backend;
  const refused = { status: 422, code: "invalid", title: "Not valid", detail: "the freeze has begun" };
  backend.handle = (request) => (request.method === "PATCH" ? Promise.resolve(Response.json(refused, { status: 422 })) : handle(request));
  const { user } = renderAt(LIST);
  await user.click(await screen.findByRole("switch", { name: /^express-shipping in Staging: Off/ }));
  expect(await screen.findByText("The freeze has begun")).toBeVisible();
  expect(await screen.findByRole("switch", { name: /^express-shipping in Staging: Off/ })).not.toBeChecked();
});

it("shows in production what would change, and changes it once confirmed", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(LIST);
  await user.click(await screen.findByRole("switch", { name: /^passkeys in Production: Off/ }));
  const dialog = await screen.findByRole("dialog", { name: "Turn on passkeys in Production?" });
  const diff = await within(dialog).findByRole("region", { name: "Difference of the configuration" });
  expect(diff).toHaveTextContent(/removed: "enabled": false/);
  expect(diff).toHaveTextContent(/added: "enabled": true/);
  expect(diff.textContent).not.toContain("version");
  expect(within(dialog).getByText(/^Off: everyone gets off \(false\)$/)).toBeVisible();
  expect(writes(backend)).toEqual([]);
  await user.type(within(dialog).getByLabelText(/Reason/), "launch day");
  await user.click(within(dialog).getByRole("button", { name: "Turn on in Production" }));
  await screen.findByText("passkeys is on in Production");
  expect(backend.config("passkeys", "production").enabled).toBe(true);
  expect(backend.audit.at(-1)).toMatchObject({ action: "flag.configure", reason: "launch day" });
});

it("cancels without a trace", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(LIST);
  await user.click(await screen.findByRole("switch", { name: /^passkeys in Production/ }));
  await user.click(within(await screen.findByRole("dialog")).getByRole("button", { name: "Cancel" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(writes(backend)).toEqual([]);
});

it("says that somebody else was first, and shows the new difference", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(LIST);
  await user.click(await screen.findByRole("switch", { name: /^passkeys in Production/ }));
  const dialog = await screen.findByRole("dialog");
  await within(dialog).findByRole("region");
  backend.meddle("passkeys", "production", { default: { variant: "on" } });
  await user.click(within(dialog).getByRole("button", { name: "Turn on in Production" }));
  expect(await within(dialog).findByText("Somebody else changed this flag meanwhile")).toBeVisible();
  expect(backend.config("passkeys", "production").enabled).toBe(false);
  await waitFor(() => expect(within(dialog).getByRole("region")).toHaveTextContent('"variant": "on"'));
  // With that, it reaches everyone.
  expect(within(dialog).getByRole("button", { name: "Turn on in Production" })).toBeDisabled();
  await user.type(within(dialog).getByLabelText(/^Type passkeys to confirm/), "passkeys");
  await user.click(within(dialog).getByRole("button", { name: "Turn on in Production" }));
  await waitFor(() => expect(backend.config("passkeys", "production").enabled).toBe(true));
  expect(backend.config("passkeys", "production").default).toEqual({ variant: "on" });
});

it("asks about a stale toggle outside of production as well", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(LIST);
  const control = await screen.findByRole("switch", { name: /^express-shipping in Staging/ });
  backend.meddle("express-shipping", "staging", { enabled: true });
  await user.click(control);
  const dialog = await screen.findByRole("dialog", { name: "Turn on express-shipping in Staging?" });
  expect(await within(dialog).findByText("It is like that already: there is nothing to change.")).toBeVisible();
  expect(within(dialog).getByRole("button", { name: "Turn on in Staging" })).toBeDisabled();
});

it("kills in production for a reason only, once the key is typed", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(LIST);
  await user.click(await screen.findByRole("button", { name: "Actions for payments-v2" }));
  await user.click(await screen.findByRole("menuitem", { name: "Kill in Production…" }));
  const dialog = await screen.findByRole("dialog", { name: "Kill payments-v2 in Production?" });
  const kill = within(dialog).getByRole("button", { name: "Kill in Production" });
  expect(kill).toBeDisabled();
  expect(await within(dialog).findByText(/everyone in Production gets/)).toHaveTextContent("off (false)");
  await user.type(within(dialog).getByLabelText(/Reason/), "declines doubled");
  expect(kill).toBeDisabled();
  await user.type(within(dialog).getByLabelText(/^Type payments-v2 to confirm/), "payments-v2");
  await user.click(kill);
  expect(await screen.findByText("payments-v2 is killed in Production")).toBeVisible();
  expect(await screen.findByText("Applied on 3 of 3 SDKs, slowest 38 ms")).toBeVisible();
  expect(backend.config("payments-v2", "production")).toMatchObject({ killed: true, kill: { reason: "declines doubled" } });
});

it("kills elsewhere for a reason alone", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(LIST);
  await user.click(await screen.findByRole("button", { name: "Actions for payments-v2" }));
  await user.click(await screen.findByRole("menuitem", { name: "Kill in Staging…" }));
  const dialog = await screen.findByRole("dialog");
  await user.type(within(dialog).getByLabelText(/Reason/), "a drill");
  expect(within(dialog).queryByLabelText(/to confirm/)).toBeNull();
  await user.click(within(dialog).getByRole("button", { name: "Kill in Staging" }));
  await waitFor(() => expect(backend.config("payments-v2", "staging").killed).toBe(true));
});

it("restores from the same place", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(LIST);
  await user.click(await screen.findByRole("button", { name: "Actions for recommendations" }));
  await user.click(await screen.findByRole("menuitem", { name: "Restore in Production…" }));
  const dialog = await screen.findByRole("dialog");
  await user.type(within(dialog).getByLabelText(/Reason/), "model is fast again");
  await user.click(within(dialog).getByRole("button", { name: "Restore in Production" }));
  await waitFor(() => expect(backend.config("recommendations", "production").killed).toBe(false));
});

it("tells viewers why they cannot", async () => {
  const backend = serve(createBackend({ role: "viewer" }));
  const { user } = renderAt(LIST);
  const control = await screen.findByRole("switch", { name: /^passkeys in Production: Off\. Changing flags needs the role editor; you are a viewer here/ });
  expect(control).toHaveAttribute("aria-disabled", "true");
  await user.click(control);
  expect(screen.queryByRole("dialog")).toBeNull();
  await user.click(screen.getByRole("button", { name: "Actions for passkeys" }));
  expect(await screen.findByRole("menuitem", { name: "Kill in Production…" })).toHaveAttribute("data-disabled", "true");
  expect(screen.getByText(/needs the role operator/)).toBeVisible();
  expect(writes(backend)).toEqual([]);
});

it("shows the state and the kind that are asked for, and asks no server for it", async () => {
  const backend = serve(createBackend());
  const { user, router } = renderAt(LIST);
  await screen.findByRole("row", { name: /new-checkout/ });
  const before = backend.requests.length;
  await user.selectOptions(screen.getByRole("combobox", { name: "State" }), "killed");
  await screen.findByText("1 of 10 flags");
  expect(screen.getByRole("row", { name: /recommendations/ })).toBeVisible();
  await user.selectOptions(screen.getByRole("combobox", { name: "Environment of the state" }), "staging");
  expect(await screen.findByText("No flag matches")).toBeVisible();
  expect(router.state.location.search).toEqual({ state: "killed", environment: "staging" });
  await user.selectOptions(screen.getByRole("combobox", { name: "State" }), "");
  await user.selectOptions(screen.getByRole("combobox", { name: "Kind" }), "json");
  await screen.findByText("1 of 10 flags");
  expect(screen.getByRole("row", { name: /home-hero/ })).toBeVisible();
  await waitFor(() => expect(router.state.location.search).toEqual({ kind: "json" }));
  expect(backend.requests.slice(before)).toEqual([]);
});

it("takes the search from the URL whenever that changes by itself", async () => {
  const { router } = renderAt(`${LIST}?search=express`);
  await screen.findByText("1 of 10 flags");
  await act(() => router.navigate({ to: "/projects/$project/flags", params: { project: "shop" } }));
  await screen.findByText("10 flags");
  expect(screen.getByRole("textbox", { name: /Search/ })).toHaveValue("");
});

it("draws a screenful of a thousand flags, and finds the last of them", async () => {
  serve(createBackend({ more: 1_000 }));
  const { user } = renderAt(LIST);
  await screen.findByRole("row", { name: /new-checkout/ });
  expect(screen.getAllByRole("row").length).toBeLessThan(60);
  await screen.findByText("1,010 flags");
  await user.type(screen.getByRole("textbox", { name: /Search/ }), "flag-0999");
  expect(await screen.findByRole("row", { name: /flag-0999/ })).toBeVisible();
  expect(screen.getByText("1 of 1,010 flags")).toBeVisible();
});

it("shows what has come where the rest cannot be read, and reads on when asked", async () => {
  const backend = serve(createBackend({ more: 300 }));
  const { handle } = backend;
  backend.handle = (request) => (request.url.includes("cursor=200") ? Promise.resolve(Response.json({ title: "Bad Request", status: 400, code: "malformed", detail: "?cursor" }, { status: 400, headers: { "content-type": "application/problem+json" } })) : handle(request));
  const { user } = renderAt(LIST);
  await screen.findByText("200 flags so far");
  await screen.findByRole("alert");
  expect(screen.getByRole("row", { name: /new-checkout/ })).toBeVisible();
  backend.handle = handle;
  await user.click(screen.getByRole("button", { name: "Try again" }));
  await screen.findByText("310 flags");
  expect(screen.queryByRole("alert")).toBeNull();
});

it("follows the stream: a change elsewhere shows, and the chip says how it stands", async () => {
  const backend = serve(createBackend());
  renderAt(LIST);
  await screen.findByRole("switch", { name: /^dark-mode in Staging: On for everyone/ });
  expect(screen.getAllByText("Connecting…").length).toBeGreaterThan(0);
  for (const environment of ["development", "staging", "production"]) FakeSocket.open(environment).greet(backend.revision(environment));
  await waitFor(() => expect(screen.getAllByText("Live").length).toBeGreaterThan(0));
  backend.meddle("dark-mode", "staging", { enabled: false });
  FakeSocket.open("staging").commit(backend.revision("staging"));
  expect(await screen.findByRole("switch", { name: /^dark-mode in Staging: Off/ })).toBeVisible();
  FakeSocket.open("production").onclose?.();
  await waitFor(() => expect(screen.getAllByText("Reconnecting…").length).toBeGreaterThan(0));
});

import { screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";
import type { ListedFlag } from "../../api/types";
import { parseVerb, ranked } from "./commands";
import { keyReader } from "./shortcuts";

const FLAGS = "/projects/shop/flags";

const palette = () => screen.findByRole("combobox", { name: "Find a flag, a page or an action" });

it("opens by Ctrl+K from anywhere, opens the flag that is meant, and gives the focus back when left", async () => {
  const { user, router } = renderAt(FLAGS);
  const search = await screen.findByLabelText("Search flags by name, key or description");
  await user.click(search);
  await user.keyboard("{Control>}k{/Control}");
  expect(await palette()).toHaveFocus();
  await user.keyboard("{Escape}");
  await waitFor(() => expect(search).toHaveFocus());

  await user.keyboard("{Control>}k{/Control}");
  await user.type(await palette(), "payments");
  await screen.findByRole("group", { name: "Actions on payments-v2" });
  await user.keyboard("{Enter}");
  await waitFor(() => expect(router.state.location.pathname).toBe("/projects/shop/flags/payments-v2"));
});

it("kills by its verb: a reason and the key first, then on how many SDKs it is applied; the focus goes back behind both dialogs", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(FLAGS);
  const opener = await screen.findByRole("button", { name: "New flag" });
  opener.focus();
  await user.keyboard("{Control>}k{/Control}");
  await user.type(await palette(), "kill payments");
  await user.click(await screen.findByRole("option", { name: /Kill payments-v2 in Production/ }));
  const dialog = await screen.findByRole("dialog", { name: "Kill payments-v2 in Production?" });
  expect(within(dialog).getByRole("button", { name: "Kill in Production" })).toBeDisabled();
  await user.type(within(dialog).getByRole("textbox", { name: "Reason" }), "payments fail");
  await user.type(within(dialog).getByLabelText(/^Type payments-v2 to confirm/), "payments-v2");
  await user.click(within(dialog).getByRole("button", { name: "Kill in Production" }));
  expect(await screen.findByText("Applied on 3 of 3 SDKs, slowest 38 ms")).toBeInTheDocument();
  expect(backend.config("payments-v2", "production").killed).toBe(true);
  await waitFor(() => expect(opener).toHaveFocus());
});

it("never acts on what was found for an earlier letter", async () => {
  const backend = serve(createBackend());
  const { handle } = backend;
  let late = () => {};
  backend.handle = async (request) => {
    if (request.url.includes("search=dark")) await new Promise<void>((done) => (late = done));
    return handle(request);
  };
  const { user } = renderAt(FLAGS);
  await screen.findByRole("button", { name: "New flag" });
  await user.keyboard("{Control>}k{/Control}");
  await user.type(await palette(), "off ");
  await screen.findByRole("option", { name: /Turn off new-checkout in Development/ });
  await user.type(await palette(), "dark");
  expect(screen.queryByRole("option", { name: /new-checkout/ })).toBeNull();
  await user.keyboard("{Enter}");
  expect(backend.config("new-checkout", "development").enabled).toBe(true);
  late();
});

it("toggles from a flag's own actions, reached with the right arrow", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(FLAGS);
  await screen.findByRole("button", { name: "New flag" });
  await user.keyboard("{Control>}k{/Control}");
  await user.type(await palette(), "dark-mode");
  await screen.findByRole("group", { name: "Actions on dark-mode" });
  await user.keyboard("{ArrowRight}");
  expect(await screen.findByRole("option", { name: /Open Dark mode/ })).toBeInTheDocument();
  await user.keyboard("{ArrowDown}{Enter}");
  await waitFor(() => expect(backend.config("dark-mode", "development").enabled).toBe(false));
});

it("tells viewers why they may not, and does nothing", async () => {
  const backend = serve(createBackend({ role: "viewer" }));
  const { user } = renderAt(FLAGS);
  await screen.findByRole("table", { name: "Flags" });
  await user.keyboard("{Control>}k{/Control}");
  await user.type(await palette(), "kill payments");
  const option = await screen.findByRole("option", { name: /Kill payments-v2 in Production.*needs the role operator; you are a viewer here/ });
  expect(option).toHaveAttribute("aria-disabled", "true");
  await user.click(option);
  expect(screen.queryByRole("dialog", { name: /^Kill/ })).toBeNull();
  expect(backend.requests.every(({ method }) => method === "GET")).toBe(true);
});

it("jumps and searches by single keys, not while one types, and not once they are off", async () => {
  const { user, router } = renderAt(FLAGS);
  const search = await screen.findByLabelText("Search flags by name, key or description");
  await user.keyboard("/");
  expect(search).toHaveFocus();
  await user.keyboard("ga");
  await waitFor(() => expect(router.state.location.href).toBe(`${FLAGS}?search=ga`));
  screen.getByRole("button", { name: "New flag" }).focus();
  await user.keyboard("ga");
  await waitFor(() => expect(router.state.location.pathname).toBe("/projects/shop/audit"));

  await user.keyboard("?");
  const help = await screen.findByRole("dialog", { name: "Keyboard shortcuts" });
  await user.click(within(help).getByRole("switch", { name: "Single keys" }));
  await user.click(within(help).getAllByRole("button", { name: "Close" })[0] as HTMLElement);
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  await user.keyboard("gf");
  expect(router.state.location.pathname).toBe("/projects/shop/audit");
  expect(window.localStorage.getItem("tidegate.singleKeys")).toBe("off");
});

describe("keys", () => {
  const press = (key: string, timeStamp = 0, more = {}) => ({ key, timeStamp, ctrlKey: false, metaKey: false, altKey: false, ...more });
  const free = { typing: false, singleKeys: true };
  it("forgets a `g` that nothing followed in time", () => {
    const read = keyReader();
    expect(read(press("g"), free)).toBeNull();
    expect(read(press("f", 5_000), free)).toBeNull();
    expect(read(press("g", 6_000), free)).toBeNull();
    expect(read(press("f", 6_300), free)).toMatchObject({ kind: "jump", jump: { label: "Flags" } });
  });
  it("knows Ctrl+K and ⌘K also while one types", () => {
    const read = keyReader();
    expect(read(press("k", 0, { metaKey: true }), { typing: true, singleKeys: false })).toEqual({ kind: "palette" });
  });
});

describe("commands", () => {
  it("reads verbs", () => {
    expect(parseVerb("kill new")).toMatchObject({ verb: { verbs: ["kill"] }, rest: "new" });
    expect(parseVerb("turn off  dark")).toMatchObject({ verb: { verbs: ["off"] }, rest: "dark" });
    expect(parseVerb("killer-feature")).toEqual({ verb: null, rest: "killer-feature" });
  });
  it("puts what fits best first", () => {
    const flag = (key: string) => ({ key, name: "" }) as ListedFlag;
    expect(ranked([flag("a-search"), flag("research"), flag("search-x"), flag("search")], "search").map(({ key }) => key)).toEqual(["search", "search-x", "a-search", "research"]);
  });
});

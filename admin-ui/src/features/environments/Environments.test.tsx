import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";
import { SNIPPETS } from "./snippets";

const PATH = "/projects/shop/environments";

it("makes an environment with color and mark, and keeps what was typed where somebody else was faster", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(PATH);
  await user.click(await screen.findByRole("button", { name: "New environment" }));
  let dialog = await screen.findByRole("dialog", { name: "New environment" });
  await user.type(within(dialog).getByLabelText(/^Name/), "Pre prod");
  expect(within(dialog).getByLabelText(/^Key/)).toHaveValue("pre-prod");
  await user.type(within(dialog).getByLabelText(/Color/, { selector: "input" }), "#d92d20");
  await user.click(within(dialog).getByRole("switch", { name: /Production/ }));
  await user.click(within(dialog).getByRole("button", { name: "Create environment" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(backend.requests.findLast(({ method }) => method === "POST")?.body).toEqual({ name: "Pre prod", key: "pre-prod", production: true, color: "#d92d20" });

  await user.click(await screen.findByRole("button", { name: "Settings of Staging" }));
  dialog = await screen.findByRole("dialog", { name: "Settings of Staging" });
  await backend.handle(new Request("http://x/api/v1/projects/shop/environments/staging", { method: "PATCH", headers: { "if-match": '"1"', "x-tidegate-csrf": "1" }, body: JSON.stringify({ color: "#111111" }) }));
  await user.clear(within(dialog).getByLabelText(/^Name/));
  await user.type(within(dialog).getByLabelText(/^Name/), "Stage");
  await user.click(within(dialog).getByRole("button", { name: "Save" }));
  expect(await within(dialog).findByText("Somebody else changed these settings meanwhile")).toBeInTheDocument();
  expect(within(dialog).getByLabelText(/^Name/)).toHaveValue("Stage");
  await user.click(within(dialog).getByRole("button", { name: "Save" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  expect(backend.requests.findLast(({ method }) => method === "PATCH")?.headers.get("if-match")).toBe('"2"');
});

it("makes a client key for some sites, shows it and its secret once, and turns green with the first SDK", async () => {
  const backend = serve(createBackend());
  backend.receipts.set("staging", { connected: 0, applied: 0 });
  const { user } = renderAt(PATH);
  await user.click(await screen.findByRole("button", { name: "New SDK key for Staging" }));
  const dialog = await screen.findByRole("dialog", { name: "New SDK key for Staging" });
  await user.type(within(dialog).getByRole("textbox", { name: /^Name/ }), "web");
  await user.click(within(dialog).getByText("Browsers and apps"));
  await user.type(within(dialog).getByLabelText(/Allowed origins/, { selector: "input" }), "https://a.example,https://b.example");
  await user.click(within(dialog).getByRole("switch", { name: /Secure mode/ }));
  await user.click(within(dialog).getByRole("button", { name: "Create key" }));
  const shown = await screen.findByRole("dialog", { name: "Copy the key now" });
  expect(backend.requests.findLast(({ method }) => method === "POST")?.body).toEqual({ name: "web", kind: "client", secureMode: true, allowedOrigins: ["https://a.example", "https://b.example"] });
  expect(within(shown).getByText("tgc_abcdefghijklmnop_0123456789abcdef_a1b2c3")).toBeVisible();
  expect(within(shown).getByText("tgsig_fedcba9876543210")).toBeVisible();
  expect(within(shown).getByLabelText("Code: JavaScript")).toHaveTextContent('key: "tgc_abcdefghijklmnop_0123456789abcdef_a1b2c3"');
  expect(within(shown).queryByText("Rust")).toBeNull();
  const status = within(shown).getByText(/Waiting for the first SDK to connect to Staging/);
  expect(status).not.toHaveAttribute("data-connected");
  backend.receipts.set("staging", { connected: 1, applied: 1 });
  await waitFor(() => expect(status).toHaveTextContent("Connected: 1 SDK has the flags of Staging."));
  expect(status).toHaveAttribute("data-connected");
});

it("revokes for a reason, and says who is using the key", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(PATH);
  expect((await screen.findAllByRole("row", { name: /^checkout service servers now, by 2 SDKs/ })).length).toBeGreaterThan(0);
  await user.click(await screen.findByRole("button", { name: "Revoke web shop" }));
  const dialog = await screen.findByRole("dialog", { name: "Revoke web shop in Production?" });
  expect(dialog).toHaveTextContent("browsers and apps at https://shop.example.org");
  expect(await within(dialog).findByText("1 SDK is connected with this key now")).toBeInTheDocument();
  const button = within(dialog).getByRole("button", { name: "Revoke" });
  expect(button).toBeDisabled();
  await user.type(within(dialog).getByRole("textbox", { name: "Reason" }), "leaked");
  await user.click(button);
  await waitFor(() => expect(screen.queryByRole("button", { name: "Revoke web shop" })).toBeNull());
  expect(backend.requests.find(({ method }) => method === "DELETE")?.path).toContain("reason=leaked");
});

it("shows editors the environments, and why they change nothing", async () => {
  serve(createBackend({ role: "editor" }));
  renderAt(PATH);
  expect(await screen.findByRole("button", { name: "Settings of Staging" })).toBeDisabled();
  expect(screen.getByRole("button", { name: "New environment" })).toHaveAttribute("title", expect.stringContaining("needs the role admin"));
  expect(screen.getAllByText(/SDK keys are not shown: seeing them needs the role admin/)).toHaveLength(3);
});

it("archives an environment once its key is typed and its rollouts are over, and a project after its environments", async () => {
  const backend = serve(createBackend({ withRollouts: true }));
  const { user, router } = renderAt(PATH);
  const archive = async (name: string, word: string) => {
    await user.click(await screen.findByRole("button", { name: `Archive ${name}` }));
    const dialog = within(await screen.findByRole("dialog", { name: `Archive ${name}?` }));
    await user.type(dialog.getByRole("textbox", { name: "Reason" }), "nobody uses it");
    expect(dialog.getByRole("button", { name: "Archive" })).toBeDisabled();
    await user.type(dialog.getByLabelText(`Type ${word} to confirm`, { exact: false }), word);
    await user.click(dialog.getByRole("button", { name: "Archive" }));
    return dialog;
  };
  const goes = async (name: string, word: string) => {
    await archive(name, word);
    await waitFor(() => expect(screen.queryByRole("button", { name: `Archive ${name}` })).toBeNull());
  };
  const whole = await screen.findByRole("button", { name: "Archive Harbor Shop" });
  await waitFor(() => expect(whole).toHaveAttribute("aria-description", "Archive its environments first"));
  const dialog = await archive("Staging", "staging");
  expect(await dialog.findByRole("alert")).toHaveTextContent(/It is in useRollouts go on in the environment, of .*: end them first/);
  await user.click(dialog.getByRole("button", { name: "Cancel" }));

  backend.rollouts.clear();
  await goes("Development", "development");
  await goes("Staging", "staging");
  await goes("Production", "production");
  expect(backend.requests.findLast(({ method }) => method === "DELETE")?.path).toBe(`${PATH}/production?reason=nobody%20uses%20it`);
  await waitFor(() => expect(whole).not.toHaveAttribute("aria-description"));
  await archive("Harbor Shop", "shop");
  await waitFor(() => expect(router.state.location.pathname).toBe("/start"));
});

it("archives an environment that is called like its project, and was changed meanwhile", async () => {
  const backend = serve(createBackend());
  const staging = backend.environments.read("staging");
  backend.environments.set("shop", { ...staging, key: "shop", name: "Shop" });
  const { user } = renderAt(PATH);
  await user.click(await screen.findByRole("button", { name: "Archive Shop" }));
  const dialog = within(await screen.findByRole("dialog"));
  await user.type(dialog.getByRole("textbox", { name: "Reason" }), "a try");
  await user.type(dialog.getByLabelText("Type shop to confirm", { exact: false }), "shop");
  backend.environments.set("shop", { ...staging, key: "shop", name: "Shop", version: 7 });
  await user.click(dialog.getByRole("button", { name: "Archive" }));
  expect(await dialog.findByText("Somebody else changed it")).toBeVisible();
  await user.click(dialog.getByRole("button", { name: "Archive" }));
  await waitFor(() => expect(screen.queryByRole("button", { name: "Archive Shop" })).toBeNull());
  expect(screen.getByRole("button", { name: "Archive Staging" })).toBeVisible();
});

it("renames a project, and says so where somebody else was faster", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(PATH);
  await user.click(await screen.findByRole("button", { name: "Rename…" }));
  const dialog = within(await screen.findByRole("dialog", { name: "Rename Harbor Shop" }));
  await user.clear(dialog.getByRole("textbox", { name: "Name" }));
  await user.type(dialog.getByRole("textbox", { name: "Name" }), "Harbor Goods");
  const { createdAt, updatedAt } = backend.projects.read("shop");
  backend.projects.set("shop", { key: "shop", name: "Harbour Shop", version: 2, createdAt, updatedAt });
  await user.click(dialog.getByRole("button", { name: "Rename" }));
  expect(await dialog.findByText(/It is called Harbour Shop now/)).toBeVisible();
  await user.click(dialog.getByRole("button", { name: "Rename" }));
  expect(await screen.findByRole("heading", { name: "The project Harbor Goods" })).toBeVisible();
});

it("writes code that asks for the flag with the key", () => {
  const code = (label: string, kind: "server" | "client") =>
    SNIPPETS.find((each) => each.label === label)?.code({ url: "https://flags.example.com", key: "tgs_x", flag: "a b", kind });
  expect(code("Rust", "server")).toMatch(/let key = "tgs_x";\n.*Client::builder\("https:\/\/flags\.example\.com", key\)/);
  expect(code("JavaScript", "server")).toContain('flags.boolean("a b", false, { targetingKey: "user-42" })');
  expect(code("JavaScript", "client")).toMatch(/key: "tgs_x",\n {2}context: \{ targetingKey: "user-42" \},\n\}\);[^]*flags\.boolean\("a b", false\)/);
  expect(code("OFREP", "server")).toContain("https://flags.example.com/ofrep/v1/evaluate/flags/a%20b");
});

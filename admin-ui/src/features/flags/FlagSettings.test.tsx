import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";

const PAGE = "/projects/shop/flags/dark-mode?tab=settings";
const changes = (backend: ReturnType<typeof createBackend>, method: string) =>
  backend.requests.filter((request) => request.method === method && request.path === "/projects/shop/flags/dark-mode");
const settings = () => screen.findByRole("region", { name: "Settings in all environments" });

async function open() {
  const rendered = renderAt(PAGE);
  return { ...rendered, region: await settings() };
}

it("renames a flag by the version that was read, and says what keeps it from being saved", async () => {
  const backend = serve(createBackend());
  const { user, region } = await open();
  const save = within(region).getByRole("button", { name: "Save" });
  expect(save).toHaveAttribute("aria-description", "Nothing changed yet");
  const name = within(region).getByLabelText(/^Name/);
  await user.clear(name);
  expect(save).toHaveAttribute("aria-description", "It needs a name");
  await user.type(name, "Dark pages{Enter}");
  expect(await screen.findByRole("heading", { level: 1, name: "Dark pages" })).toBeVisible();
  expect(await screen.findByText("The settings of dark-mode are saved")).toBeVisible();
  const [sent] = changes(backend, "PATCH");
  expect(sent?.headers.get("if-match")).toBe('"1"');
  expect(sent?.body).toMatchObject({ name: "Dark pages" });
  // The next change begins from what was saved.
  expect(save).toHaveAttribute("aria-description", "Nothing changed yet");
  await user.type(within(region).getByLabelText("Description"), "At night.{Enter}");
  await user.click(save);
  await waitFor(() => expect(changes(backend, "PATCH").at(-1)?.headers.get("if-match")).toBe('"2"'));
});

it("keeps what was typed where somebody else was first, and says what they have", async () => {
  const backend = serve(createBackend());
  const { user, region } = await open();
  await user.type(within(region).getByLabelText("Description"), " Mine.");
  await backend.handle(
    new Request("http://localhost/api/v1/projects/shop/flags/dark-mode", {
      method: "PATCH",
      headers: { "x-tidegate-csrf": "1", "if-match": '"1"' },
      body: JSON.stringify({ name: "Theirs" }),
    }),
  );
  await user.click(within(region).getByRole("button", { name: "Save" }));
  expect(await within(region).findByText(/They have: name “Theirs”/)).toBeVisible();
  await user.click(within(region).getByRole("button", { name: "Save in place of theirs" }));
  await screen.findByText(/Mine\./, { selector: "p" });
  expect(changes(backend, "PATCH").at(-1)?.headers.get("if-match")).toBe('"2"');
});

it("keeps what was typed while another tab is looked at, until it is discarded", async () => {
  const { user, region } = await open();
  await user.type(within(region).getByLabelText("Description"), "Half a sentence");
  const parts = screen.getByRole("navigation", { name: "Parts of the flag" });
  await user.click(within(parts).getByRole("link", { name: "History" }));
  await screen.findByRole("heading", { name: "History in all environments" });
  await user.click(within(parts).getByRole("link", { name: "Settings" }));
  const again = await settings();
  expect(within(again).getByLabelText("Description")).toHaveValue("Half a sentence");
  await user.click(within(again).getByRole("button", { name: "Discard" }));
  expect(within(again).getByLabelText("Description")).toHaveValue("");
});

it("changes variants, and says which line cannot be read", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt("/projects/shop/flags/search-ranking?tab=settings");
  const region = await settings();
  const variants = within(region).getByLabelText("Variants");
  await user.click(variants);
  await user.paste("\nnewest = new");
  expect(variants).toBeInvalid();
  expect(within(region).getByRole("button", { name: "Save" })).toHaveAttribute("aria-description", "The variants cannot be read yet");
  await user.clear(variants);
  await user.paste('classic = "bm25"\nnewest = "n-1"');
  await user.click(within(region).getByRole("button", { name: "Save" }));
  await waitFor(() =>
    expect(backend.requests.findLast(({ method }) => method === "PATCH")?.body).toMatchObject({
      variants: [
        { key: "classic", value: "bm25" },
        { key: "newest", value: "n-1" },
      ],
    }),
  );
});

it("is read by viewers, who are told why they cannot change it", async () => {
  serve(createBackend({ role: "viewer" }));
  const { user, region } = await open();
  expect(within(region).getByText("Changing flags needs the role editor; you are a viewer here.")).toBeVisible();
  expect(within(region).getByLabelText(/^Name/)).toBeDisabled();
  const archive = within(region).getByRole("button", { name: "Archive…" });
  expect(archive).toHaveAttribute("aria-disabled", "true");
  await user.click(archive);
  expect(screen.queryByRole("dialog")).toBeNull();
});

it("archives only what was named, for a reason", async () => {
  const backend = serve(createBackend());
  const { user, region, router } = await open();
  await user.click(within(region).getByRole("button", { name: "Archive…" }));
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

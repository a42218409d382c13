import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";

import { createBackend, type Backend } from "../../../../tests/mocks/backend";
import { holdChanges } from "../../../../tests/mocks/held";
import { renderAt } from "../../../../tests/render";
import { serve } from "../../../../tests/setup";

const LIST = "/projects/shop/flags";
const writes = (backend: Backend) => backend.requests.filter(({ method }) => method === "PATCH" || method === "DELETE");

async function choose(keys: string[], path = LIST) {
  const { user, ...view } = renderAt(path);
  for (const key of keys) {
    // oxlint-disable-next-line no-await-in-loop -- one click after the other
    await user.click(await screen.findByRole("checkbox", { name: `Select ${key}` }));
  }
  const bar = await screen.findByRole("region", { name: "Selected flags" });
  const open = async (what: string) => {
    await user.click(within(bar).getByRole("button", { name: what }));
    return screen.findByRole("dialog");
  };
  return { ...view, user, bar, open };
}

it("tags those that have it not, each by its version and for one reason", async () => {
  const backend = serve(createBackend());
  const { user, open } = await choose(["dark-mode", "home-hero", "payments-v2"]);
  const dialog = await open("Tag…");
  await user.type(within(dialog).getByRole("combobox", { name: "Tag" }), "checkout");
  expect(within(dialog).getByText("1 flag already tagged: left as it is.")).toBeVisible();
  expect(within(dialog).getByRole("button", { name: "Tag 2 flags" })).toBeDisabled();
  await user.type(within(dialog).getByLabelText(/^Reason/), "one team now");
  await user.click(within(dialog).getByRole("button", { name: "Tag 2 flags" }));
  await screen.findByText("2 flags tagged “checkout”");
  await waitFor(() => expect(screen.queryByRole("region", { name: "Selected flags" })).toBeNull());
  expect(writes(backend).map(({ path, body, headers }) => [path, body, headers.get("if-match")])).toEqual([
    ["/projects/shop/flags/dark-mode", { tags: ["release", "checkout"], reason: "one team now" }, '"1"'],
    ["/projects/shop/flags/home-hero", { tags: ["marketing", "checkout"], reason: "one team now" }, '"1"'],
  ]);
  expect(within(screen.getByRole("row", { name: /dark-mode/ })).getByRole("button", { name: "Only flags tagged checkout" })).toBeVisible();
  expect(screen.getByRole("main")).toHaveFocus();
});

it("untags what has the tag, of all that match a filter", async () => {
  const backend = serve(createBackend());
  const { user } = renderAt(`${LIST}?tag=checkout`);
  await user.click(await screen.findByRole("checkbox", { name: "Select all 3 that match" }));
  const bar = await screen.findByRole("region", { name: "Selected flags" });
  await user.click(screen.getByRole("button", { name: "Tag checkout: remove the filter" }));
  await user.click(within(bar).getByRole("button", { name: "Untag…" }));
  const dialog = await screen.findByRole("dialog", { name: "Untag 3 flags" });
  await user.selectOptions(within(dialog).getByRole("combobox", { name: "Tag" }), "ops");
  await user.type(within(dialog).getByLabelText(/^Reason/), "not theirs");
  await user.click(within(dialog).getByRole("button", { name: "Untag 1 flag" }));
  await screen.findByText("1 flag without “ops”");
  expect(writes(backend).map(({ path, body }) => [path, body])).toEqual([["/projects/shop/flags/payments-v2", { tags: ["checkout"], reason: "not theirs" }]]);
});

it("keeps selected what the filter hides, and says so", async () => {
  const { user, bar } = await choose(["dark-mode", "home-hero"]);
  await user.selectOptions(screen.getByRole("combobox", { name: "Kind" }), "json");
  expect(await within(bar).findByText("2 selected, 1 not shown")).toBeVisible();
  await user.click(within(bar).getByRole("button", { name: "Deselect" }));
  await waitFor(() => expect(screen.queryByRole("region", { name: "Selected flags" })).toBeNull());
});

it("archives what can be, once the number is typed; the rest stays selected, and it is said why", async () => {
  const backend = serve(createBackend());
  const { user, bar, open } = await choose(["dark-mode", "passkeys", "payments-v2"]);
  const dialog = await open("Archive…");
  await user.type(within(dialog).getByLabelText(/^Reason/), "gone from the code");
  const archive = within(dialog).getByRole("button", { name: "Archive 3 flags" });
  await user.type(within(dialog).getByLabelText(/^Type archive 3/), "archive 2");
  expect(archive).toBeDisabled();
  await user.type(within(dialog).getByLabelText(/^Type archive 3/), "{Backspace}3");
  await user.click(archive);
  const said = await screen.findByText("2 of 3 flags archived");
  expect(said).toBeVisible();
  expect(screen.getByText(/is a prerequisite of `new-checkout` in `production`/)).toBeVisible();
  expect(writes(backend).map(({ method, path }) => [method, path.split("?")[0]])).toEqual([
    ["DELETE", "/projects/shop/flags/payments-v2"],
    ["DELETE", "/projects/shop/flags/dark-mode"],
    ["DELETE", "/projects/shop/flags/passkeys"],
  ]);
  await user.click(screen.getByText("Close"));
  await within(bar).findByText("1 selected");
  expect(screen.getByRole("checkbox", { name: "Select payments-v2" })).toBeChecked();
  expect(screen.queryByRole("row", { name: /passkeys/ })).toBeNull();
});

it("tells of a flag that somebody else changed, and takes the new version the next time", async () => {
  const backend = serve(createBackend());
  const { user, bar, open } = await choose(["dark-mode"]);
  const dialog = await open("Tag…");
  const theirs = { method: "PATCH", headers: { "x-tidegate-csrf": "1", "if-match": '"1"' }, body: JSON.stringify({ name: "Theirs" }) };
  await backend.handle(new Request("http://localhost/api/v1/projects/shop/flags/dark-mode", theirs));
  await user.type(within(dialog).getByRole("combobox", { name: "Tag" }), "ui");
  await user.type(within(dialog).getByLabelText(/^Reason/), "sorted");
  await user.click(within(dialog).getByRole("button", { name: "Tag 1 flag" }));
  expect(await screen.findByText("0 of 1 flag tagged “ui”")).toBeVisible();
  expect(screen.getByText(/flag `dark-mode` is at version 2/)).toBeVisible();
  await screen.findByRole("row", { name: /Theirs/, hidden: true });
  await user.click(screen.getByText("Close"));
  await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
  await user.click(within(bar).getByRole("button", { name: "Tag…" }));
  const again = await screen.findByRole("dialog");
  await user.type(within(again).getByRole("combobox", { name: "Tag" }), "ui");
  await user.type(within(again).getByLabelText(/^Reason/), "sorted");
  await user.click(within(again).getByRole("button", { name: "Tag 1 flag" }));
  await screen.findByText("1 flag tagged “ui”");
  expect(writes(backend).at(-1)?.headers.get("if-match")).toBe('"2"');
});

it("stops where it is asked to, and keeps the rest selected", async () => {
  const backend = serve(createBackend());
  const answer = holdChanges(backend);
  const { user, bar, open } = await choose(["dark-mode", "passkeys"]);
  const dialog = await open("Tag…");
  await user.type(within(dialog).getByRole("combobox", { name: "Tag" }), "ui");
  await user.type(within(dialog).getByLabelText(/^Reason/), "sorted");
  await user.click(within(dialog).getByRole("button", { name: "Tag 2 flags" }));
  expect(await screen.findByText("0 of 2 flags")).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Stop" }));
  answer();
  expect(await screen.findByText("Stopped: 1 flag not reached.")).toBeVisible();
  await user.click(screen.getByText("Close"));
  await within(bar).findByText("1 selected");
  expect(writes(backend).length).toBe(1);
});

it("selects nothing for those who may not change flags, and says why", async () => {
  serve(createBackend({ role: "viewer" }));
  renderAt(LIST);
  const box = await screen.findByRole("checkbox", { name: "Select dark-mode" });
  expect(box).toBeDisabled();
  expect(box).toHaveAttribute("title", "Changing flags needs the role editor; you are a viewer here");
});

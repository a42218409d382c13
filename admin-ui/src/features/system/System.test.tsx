import { screen, within } from "@testing-library/react";
import { expect, it } from "vitest";

import { createBackend } from "../../../tests/mocks/backend";
import { renderAt } from "../../../tests/render";
import { serve } from "../../../tests/setup";

const PATH = "/projects/shop/system";

it("tells who is connected, what SDKs are sent, and how the server does", async () => {
  const backend = serve(createBackend());
  backend.receipts.set("staging", { servers: 2, revision: 1_029 });
  const { user } = renderAt(PATH);
  const connected = within(await screen.findByRole("region", { name: "Connected SDKs" }));
  expect((await connected.findAllByRole("row", { name: /tidegate-rust.0.1.0 checkout service 2 all have it/ })).length).toBe(3);

  const snapshots = within(screen.getByRole("region", { name: "Snapshots" }));
  expect(snapshots.getByRole("row", { name: /^Staging 1,029 41.3 kB .* 3 of 3 SDKs, the slowest after 38 ms 2 servers$/ })).toBeVisible();
  expect(snapshots.getByRole("row", { name: /^Production.* 17 41.3 kB .* 1 server$/ })).toBeVisible();

  const server = within(screen.getByRole("region", { name: "Server" }));
  expect(await server.findByText(/SQLite, of this server alone; 12.4 MB/)).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Verify" }));
  expect(await screen.findByText(/7 rows, each follows from the one before/)).toBeVisible();
});

it("tells those who do not run the server of SDKs alone", async () => {
  serve(createBackend({ role: "viewer" }));
  renderAt(PATH);
  await screen.findByRole("region", { name: "Snapshots" });
  expect(screen.queryByRole("region", { name: "Server" })).toBeNull();
});

import { screen, waitFor, within } from "@testing-library/react";
import { expect, it } from "vitest";

import { renderAt } from "../../../tests/render";

it("tells every change as a sentence, newest first", async () => {
  renderAt("/projects/shop/audit");
  const rows = await screen.findAllByRole("button", { expanded: false, name: /express-shipping|recommendations|new-checkout/ });
  expect(rows[0]).toHaveTextContent("Bo Ek turned off express-shipping in Staging");
  expect(rows[1]).toHaveTextContent("Ada Lindqvist killed recommendations in Production“the model answers in 900 ms, the basket waits”");
});

it("opens a row to what differed", async () => {
  const { user } = renderAt("/projects/shop/audit");
  const row = await screen.findByRole("button", { name: /killed recommendations/ });
  await user.click(row);
  const diff = await screen.findByRole("region", { name: /What change \d+ changed/ });
  expect(diff).toHaveTextContent('added: "killed": true');
  await user.click(row);
  expect(screen.queryByRole("region", { name: /What change/ })).toBeNull();
});

it("filters by flag, environment and person through the URL", async () => {
  const { user, router } = renderAt("/projects/shop/audit");
  await user.type(await screen.findByLabelText("Flag"), "new-checkout");
  await waitFor(() => expect(router.state.location.search).toEqual({ resource: "flag/new-checkout" }));
  await waitFor(() => expect(screen.queryByText("express-shipping")).toBeNull());
  await user.selectOptions(screen.getByLabelText("Environment"), "staging");
  expect(await screen.findByText("No change matches")).toBeVisible();
  expect(within(screen.getByLabelText("Who")).getByRole("option", { name: "Everybody" })).toBeInTheDocument();
});

// A page whose checkout follows its flags while people look at it. See `docs/sdk-javascript.md` for how to run it.
import { createClient, localStorageCache } from "tidegate";

const query = new URLSearchParams(location.search);

const flags = createClient({
  url: query.get("url"),
  key: query.get("key"),
  context: { targetingKey: query.get("user") ?? "ada", country: "DE" },
  cache: localStorageCache(),
  events: { intervalMs: 2_000 },
});

const element = (id) => document.getElementById(id);
const pay = element("pay");

function render() {
  const isNew = flags.boolean("new-checkout", false);
  pay.textContent = isNew ? "Pay with one click" : "Go to checkout";
  pay.style.background = flags.string("checkout-button-color", "blue");
  pay.disabled = false;
  element("threshold").value = flags.number("free-shipping-threshold", 49);
}

flags.onStatus((status) => {
  element("status").value = status;
});
flags.onChange((change) => {
  element("changes").value = Number(element("changes").value) + change.flags.length;
  render();
});
pay.addEventListener("click", () => flags.track("checkout-started"));

// No longer than this: then the page shows what it has, defaults if need be.
await flags.ready(2_000).catch((error) => console.info(error.message));
element("status").value = flags.status;
render();

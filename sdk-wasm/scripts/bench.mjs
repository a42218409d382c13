// Nanoseconds per evaluation in Node.js: `npm run bench` after `cargo xtask wasm`. Of the process's own time, so that a busy machine
// counts less; median and best of the rounds.
import { Context, createClient } from "tidegate";

const ROUNDS = 41;
const CALLS = 100_000;

const weights = [
  { variant: "on", weight: 25_000 },
  { variant: "off", weight: 75_000 },
];
const variants = [
  { key: "on", value: true },
  { key: "off", value: false },
];
const rules = Array.from({ length: 10 }, (_, index) => ({
  conditions: [
    { attribute: "country", operator: "in", values: [`X${index}`, `Y${index}`] },
    { attribute: "plan", operator: "in", values: ["enterprise"] },
  ],
  serve: { variant: "on" },
}));
const flag = (key, rest) => ({ key, kind: "boolean", enabled: true, salt: key, variants, default: { variant: "off" }, ...rest });
const bootstrap = {
  flags: [
    flag("static", {}),
    flag("split", { default: { distribution: { weights } } }),
    flag("ten-rules", { rules }),
    { ...flag("text", {}), kind: "string", variants: [{ key: "off", value: "a string value" }] },
    ...Array.from({ length: 1_000 }, (_, index) => flag(`other-${index}`, {})),
  ],
};

const fields = { targetingKey: "user-17", country: "NL", plan: "pro", appVersion: "4.2.0", age: 34 };
const context = new Context(fields);
// Gathers exposures, as a connected client does; nothing listens at that address.
const quiet = { debug: () => {}, warn: () => {} };
const client = createClient({ url: "http://127.0.0.1:9", key: "tgs_bench", bootstrap, context: fields, logger: quiet });

const cases = {
  "floor: an empty loop": () => 0,
  "floor: Date.now()": () => Date.now(),
  "boolean, served to everybody": () => client.boolean("static", true),
  "boolean, split": () => client.boolean("split", true),
  "boolean, ten rules of two conditions": () => client.boolean("ten-rules", true),
  "string": () => client.string("text", "default"),
  "boolean, split, another prepared context": () => client.boolean("split", true, context),
  "boolean, split, with details": () => client.booleanDetails("split", true),
  "boolean, split, plain fields": () => client.boolean("split", true, fields),
  "a flag that is not there": () => client.boolean("nothing", true),
};

let sink;
for (const [name, work] of Object.entries(cases)) {
  const times = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = process.cpuUsage();
    for (let call = 0; call < CALLS; call += 1) sink = work();
    const { user, system } = process.cpuUsage(before);
    times.push(((user + system) * 1_000) / CALLS);
  }
  times.sort((one, other) => one - other);
  console.log(`${times[ROUNDS >> 1].toFixed(0).padStart(6)} ns, best ${times[0].toFixed(0).padStart(6)} ns  ${name}`);
}
globalThis.sink = sink;
await client.close();

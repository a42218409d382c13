// Says what each part of the package weighs, and fails where core and glue outgrow their budget.
import { readFileSync, readdirSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";

/** Of WASM and glue together, in KiB after gzip: 120,000 bytes, rounded down. */
const BUDGET_KIB = 117;

const dist = new URL("../dist/", import.meta.url);
const read = (name) => readFileSync(new URL(name, dist));
const javaScript = readdirSync(dist).filter((name) => name.endsWith(".js"));
const forNode = ["node.js", "file-cache.js"];
const openFeature = javaScript.filter((name) => name.startsWith("openfeature"));
const forBrowsers = javaScript.filter((name) => !forNode.includes(name) && !openFeature.includes(name));

const parts = {
  "WASM core": ["wasm/tidegate_bg.wasm"],
  glue: ["wasm/tidegate.js"],
  "our JavaScript, in browsers": forBrowsers,
  "our JavaScript, only in Node.js": forNode,
  "OpenFeature providers": openFeature,
};

const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`.padStart(10);
let counted = 0;
for (const [part, files] of Object.entries(parts)) {
  const bytes = Buffer.concat(files.map(read));
  const gzip = gzipSync(bytes, { level: 9 }).length;
  if (part === "WASM core" || part === "glue") counted += gzip;
  console.log(`${part.padEnd(32)} ${kib(bytes.length)} raw ${kib(gzip)} gzip ${kib(brotliCompressSync(bytes).length)} brotli`);
}
console.log(`${"core and glue".padEnd(32)} ${"".padStart(14)} ${kib(counted)} gzip of ${BUDGET_KIB} KiB`);
if (counted > BUDGET_KIB * 1024) {
  console.error("over budget: what did the core grow by?");
  process.exit(1);
}

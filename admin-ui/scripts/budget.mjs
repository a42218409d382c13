// Fails the build when the JavaScript that the flag list needs outgrows its budget.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGET_KIB = 250;

const dist = new URL("../dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", dist), "utf8"));

/** The entry's file and those of everything that it imports statically. */
function closure(name, seen = new Set()) {
  if (seen.has(name)) return seen;
  seen.add(name);
  for (const imported of manifest[name]?.imports ?? []) closure(imported, seen);
  return seen;
}

const gz = (file) => gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length;
// The flag list is what most people see first: it counts, although it is a chunk of its own.
const files = [...closure("src/features/flags/FlagList.tsx", closure("index.html"))].map((name) => manifest[name].file);
const all = Object.values(manifest).map((chunk) => chunk.file).filter((file) => file.endsWith(".js"));
const css = [...new Set(Object.values(manifest).flatMap((chunk) => chunk.css ?? []))];

const kib = (list) => list.reduce((sum, file) => sum + gz(file), 0) / 1024;
const initial = kib(files);
console.log(
  `initial JavaScript ${initial.toFixed(1)} KiB gzip of ${BUDGET_KIB} (${files.length} files); ` +
    `all JavaScript ${kib([...new Set(all)]).toFixed(1)} KiB; all CSS ${kib(css).toFixed(1)} KiB`,
);
if (initial > BUDGET_KIB) {
  console.error("over budget: load what the first screen does not need lazily");
  process.exit(1);
}

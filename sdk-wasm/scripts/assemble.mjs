// Puts the WASM core beside the compiled JavaScript: `dist` is the package. The glue goes without its comments, which the
// types beside it have, too.
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import ts from "typescript";

const built = new URL("../dist/wasm/", import.meta.url);
cpSync(new URL("../js/wasm/", import.meta.url), built, { recursive: true });

const glue = new URL("tidegate.js", built);
const compilerOptions = { target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext, removeComments: true };
writeFileSync(glue, ts.transpileModule(readFileSync(glue, "utf8"), { compilerOptions }).outputText);

/** The lines that connect an application, as they run: an application that tells a flag's value, and each change of it. */

import type { ReactNode } from "react";

import type { SdkKeyKind } from "../../api/types";

interface Given {
  url: string;
  key: string;
  flag: string;
  kind: SdkKeyKind;
}

export interface Snippet {
  label: string;
  kinds: SdkKeyKind[];
  /** What it needs, and what is to be expected of it. */
  note: ReactNode;
  code(given: Given): string;
}

/** A client key's application is one person's; a server asks for many. */
const CONTEXT = '{ targetingKey: "user-42" }';

export const SNIPPETS: Snippet[] = [
  {
    label: "Rust",
    kinds: ["server"],
    note: (
      <>
        Needs <code>tidegate</code>, the folder <code>sdk-rust</code> of Tidegate’s repository, and <code>tokio</code> with its feature <code>full</code>.
      </>
    ),
    code: ({ url, key, flag }) => `use std::time::Duration;
use tidegate::{Client, Context};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = ${quoted(key)};
    let flags = Client::builder(${quoted(url)}, key).connect()?;
    let _ = flags.wait_ready(Duration::from_secs(2)).await;

    let ctx = Context::new("user-42");
    let mut events = flags.events();
    println!("{}", flags.bool(${quoted(flag)}, false, &ctx));
    while events.next().await.is_some() {
        println!("{}", flags.bool(${quoted(flag)}, false, &ctx));
    }
    Ok(())
}
`,
  },
  {
    label: "JavaScript",
    kinds: ["server", "client"],
    note: (
      <>
        Not on npm yet: <code>cargo xtask wasm</code> builds the package in Tidegate’s repository, and <code>npm install path/to/tidegate/sdk-wasm</code> takes it from
        there. Node.js runs the code from a file like <code>app.mjs</code>.
      </>
    ),
    code: ({ url, key, flag, kind }) => `import { createClient } from "tidegate";

const flags = createClient({
  url: ${quoted(url)},
  key: ${quoted(key)},${kind === "client" ? `\n  context: ${CONTEXT},` : ""}
});
await flags.ready(2_000).catch((error) => console.warn(error.message));

const tell = () => console.log(flags.boolean(${quoted(flag)}, false${kind === "server" ? `, ${CONTEXT}` : ""}));
tell();
flags.onChange(tell);
`,
  },
  {
    label: "OFREP",
    kinds: ["server", "client"],
    note: "OFREP asks for each answer over HTTP and holds no connection, so it is not counted here.",
    code: ({ url, key, flag }) => `curl -H 'Authorization: Bearer ${key}' -H 'Content-Type: application/json' \\
  ${url}/ofrep/v1/evaluate/flags/${encodeURIComponent(flag)} \\
  -d '{"context": {"targetingKey": "user-42"}}'
`,
  },
  {
    label: "Example",
    kinds: ["server"],
    note: (
      <>
        A shop for trying things out, run in Tidegate’s repository: it asks <code>new-checkout</code> and two more flags for its customers, and says when an answer changes.
      </>
    ),
    code: ({ url, key }) => `TIDEGATE_URL=${url} \\
TIDEGATE_SDK_KEY=${key} \\
cargo run --example checkout
`,
  },
  {
    label: "Faulty release",
    kinds: ["server"],
    note: (
      <>
        Thousands of customers, run in Tidegate’s repository, who meet the metric <code>error</code> seven times as often where the flag is on. Roll the flag out on its page, from
        off to on, with a gate on <code>error</code>: within a minute it is rolled back by itself, and the rollout says why.
      </>
    ),
    code: ({ url, key, flag }) => `TIDEGATE_URL=${url} \\
TIDEGATE_SDK_KEY=${key} \\
cargo run --example traffic -- --faulty ${flag}
`,
  },
];

const quoted = (text: string) => JSON.stringify(text);

import { SegmentedControl } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useEffectEvent, useState } from "react";

import { isBroken } from "../../api/client";
import { queries } from "../../api/queries";
import type { Environment, ListedFlag, SdkKeyKind } from "../../api/types";
import { CopyValue } from "../../components/CopyValue";
import { CheckIcon } from "../../components/icons";
import styles from "./Environments.module.css";

/** While the first SDK is waited for, ask this often. */
const WAITING_MS = 1_000;

type Language = "rust" | "javascript" | "ofrep";

const LANGUAGES: { value: Language; label: string; kinds: SdkKeyKind[] }[] = [
  { value: "rust", label: "Rust", kinds: ["server"] },
  { value: "javascript", label: "JavaScript", kinds: ["server", "client"] },
  { value: "ofrep", label: "OFREP", kinds: ["server", "client"] },
];

interface ConnectProps {
  project: string;
  environment: Environment;
  sdkKey: string;
  kind: SdkKeyKind;
  /** The flag to ask for; the project's first of kind boolean where none is named. */
  flag?: string;
  /** Told once, when an SDK is there. */
  onConnected?(): void;
}

/** The lines that connect an application, and whether one has. */
export function Connect({ project, environment, sdkKey, kind, flag, onConnected }: ConnectProps) {
  const offered = LANGUAGES.filter(({ kinds }) => kinds.includes(kind));
  const [language, setLanguage] = useState<Language>(kind === "server" ? "rust" : "javascript");
  const flags = useInfiniteQuery({ ...queries.allFlags(project), enabled: flag === undefined }).data;
  const first = flags?.pages.flatMap(({ items }) => items).find((each): each is ListedFlag => !isBroken(each) && each.kind === "boolean");
  const text = snippet(language, { url: window.location.origin, key: sdkKey, flag: flag ?? first?.key ?? "new-checkout", kind });
  return (
    <section aria-label="Connect an application" className={styles.connect}>
      <div className={styles.connectHead}>
        <SegmentedControl size="xs" aria-label="Language" value={language} onChange={(value) => setLanguage(value as Language)} data={offered.map(({ value, label }) => ({ value, label }))} />
        <CopyValue value={text} label="Copy the code" />
      </div>
      <pre className={styles.code} tabIndex={0} aria-label={`Code in ${LANGUAGES.find(({ value }) => value === language)?.label ?? language}`}>
        {text}
      </pre>
      {language === "ofrep" ? <p className={styles.note}>OFREP asks for each answer over HTTP and holds no connection, so it is not counted here.</p> : null}
      <Connection project={project} environment={environment} {...(onConnected ? { onConnected } : {})} />
    </section>
  );
}

/** Grey while nobody is there; green with the first SDK that comes. */
export function Connection({ project, environment, onConnected }: { project: string; environment: Environment; onConnected?(): void }) {
  const [before, setBefore] = useState<number | null>(null);
  const [told, setTold] = useState(false);
  const receipts = useQuery({
    ...queries.receipts(project, environment.key),
    // What was known before this was opened is no news of it.
    staleTime: 0,
    refetchInterval: told ? false : WAITING_MS,
  });
  const connected = receipts.data?.connected;
  if (connected !== undefined && before === null) setBefore(connected);
  // One that goes must not hide the next that comes.
  if (connected !== undefined && before !== null && connected < before) setBefore(connected);
  const arrived = connected !== undefined && before !== null && connected > before;
  if (arrived && !told) setTold(true);
  const tell = useEffectEvent(() => onConnected?.());
  useEffect(() => {
    if (told) tell();
  }, [told]);
  const count = connected ?? 0;
  const words = told
    ? `Connected: ${count} ${count === 1 ? "SDK has" : "SDKs have"} the flags of ${environment.name}.`
    : (before ?? 0) > 0
      ? `${count} ${count === 1 ? "SDK is" : "SDKs are"} connected to ${environment.name} already. Waiting for another…`
      : `Waiting for the first SDK to connect to ${environment.name}…`;
  return (
    <p className={styles.connection} data-connected={told || undefined} role="status">
      {told ? <CheckIcon /> : <span className={styles.waiting} aria-hidden="true" />}
      {words}
    </p>
  );
}

export function snippet(language: Language, { url, key, flag, kind }: { url: string; key: string; flag: string; kind: SdkKeyKind }): string {
  const [quotedFlag, quotedKey, quotedUrl] = [flag, key, url].map((each) => JSON.stringify(each));
  if (language === "rust") {
    return `use std::time::Duration;
use tidegate::{Client, Context};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = ${quotedKey};
    let flags = Client::builder(${quotedUrl}, key).connect()?;
    let _ = flags.wait_ready(Duration::from_secs(2)).await;

    let ctx = Context::new("user-42");
    println!("{}", flags.bool(${quotedFlag}, false, &ctx));

    tokio::signal::ctrl_c().await?;
    flags.close().await;
    Ok(())
}
`;
  }
  if (language === "javascript" && kind === "client") {
    return `import { createClient } from "tidegate";

const flags = createClient({
  url: ${quotedUrl},
  key: ${quotedKey},
  context: { targetingKey: "user-42" },
});
await flags.ready(2_000).catch((error) => console.warn(error.message));
console.log(flags.boolean(${quotedFlag}, false));
`;
  }
  if (language === "javascript") {
    return `import { createClient } from "tidegate";

const flags = createClient({
  url: ${quotedUrl},
  key: ${quotedKey},
});
await flags.ready(2_000).catch((error) => console.warn(error.message));
console.log(flags.boolean(${quotedFlag}, false, { targetingKey: "user-42" }));
`;
  }
  return `curl -H 'Authorization: Bearer ${key}' -H 'Content-Type: application/json' \\
  ${url}/ofrep/v1/evaluate/flags/${encodeURIComponent(flag)} \\
  -d '{"context": {"targetingKey": "user-42"}}'
`;
}

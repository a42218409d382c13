import { SegmentedControl } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useEffectEvent, useState } from "react";

import { isBroken } from "../../api/client";
import { queries } from "../../api/queries";
import type { Environment, ListedFlag, SdkKeyKind } from "../../api/types";
import { CopyValue } from "../../components/CopyValue";
import { CheckIcon } from "../../components/icons";
import styles from "./Environments.module.css";
import { SNIPPETS } from "./snippets";

/** While the first SDK is waited for, ask this often. */
const WAITING_MS = 1_000;

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
  const offered = SNIPPETS.filter(({ kinds }) => kinds.includes(kind));
  const [label, setLabel] = useState(offered[0]?.label);
  const snippet = offered.find((each) => each.label === label);
  const flags = useInfiniteQuery({ ...queries.allFlags(project), enabled: flag === undefined }).data;
  const first = flags?.pages.flatMap(({ items }) => items).find((each): each is ListedFlag => !isBroken(each) && each.kind === "boolean");
  if (!snippet) return null;
  const code = snippet.code({ url: window.location.origin, key: sdkKey, flag: flag ?? first?.key ?? "new-checkout", kind });
  return (
    <section aria-label="Connect an application" className={styles.connect}>
      <div className={styles.connectHead}>
        <SegmentedControl size="xs" aria-label="Language" value={snippet.label} onChange={setLabel} data={offered.map((each) => each.label)} />
        <CopyValue value={code} label="Copy the code" />
      </div>
      <pre className={styles.code} tabIndex={0} aria-label={`Code: ${snippet.label}`}>
        {code}
      </pre>
      <p className={styles.note}>{snippet.note}</p>
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

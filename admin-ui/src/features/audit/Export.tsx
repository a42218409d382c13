import { Button, Group, Menu, Text } from "@mantine/core";
import { useRef, useState } from "react";

import { api } from "../../api/client";
import { problemOf } from "../../api/problem";
import type { AuditFilter } from "../../api/queries";
import type { AuditRow } from "../../api/types";
import { DownloadIcon } from "../../components/icons";
import { given } from "../../lib/given";
import { csvOf, jsonLinesOf } from "./filter";

const PAGE = 200;

type State = { phase: "idle" } | { phase: "busy"; found: number } | { phase: "failed"; detail: string } | { phase: "done"; found: number };

/** All that is filtered, every page of it, as a file. */
export function Export({ filter }: { filter: AuditFilter }) {
  const [state, setState] = useState<State>({ phase: "idle" });
  const abort = useRef<AbortController | null>(null);

  const run = async (kind: "csv" | "jsonl") => {
    const controller = new AbortController();
    abort.current = controller;
    const rows: AuditRow[] = [];
    let cursor: string | undefined;
    setState({ phase: "busy", found: 0 });
    try {
      do {
        // oxlint-disable-next-line no-await-in-loop -- each page names the next
        const page = await api.audit({ ...given({ ...filter, cursor }), limit: PAGE }, controller.signal);
        rows.push(...page.items);
        setState({ phase: "busy", found: rows.length });
        cursor = page.nextCursor ?? undefined;
      } while (cursor !== undefined);
    } catch (error) {
      setState(controller.signal.aborted ? { phase: "idle" } : { phase: "failed", detail: problemOf(error).message });
      return;
    }
    const [text, type] = kind === "csv" ? [csvOf(rows), "text/csv"] : [jsonLinesOf(rows), "application/jsonl"];
    save(`audit-${filter.project ?? "all"}.${kind}`, new Blob([text], { type: `${type};charset=utf-8` }));
    setState({ phase: "done", found: rows.length });
  };

  return (
    <Group gap="sm">
      <Text size="sm" c={state.phase === "failed" ? "var(--mantine-color-error)" : "dimmed"} role="status">
        {state.phase === "busy" ? `${state.found.toLocaleString("en")} read so far` : null}
        {state.phase === "failed" ? `Not exported: ${state.detail}` : null}
        {state.phase === "done" ? `${state.found.toLocaleString("en")} ${state.found === 1 ? "change" : "changes"} exported` : null}
      </Text>
      {state.phase === "busy" ? (
        <Button variant="default" onClick={() => abort.current?.abort()}>
          Stop
        </Button>
      ) : (
        <Menu position="bottom-end">
          <Menu.Target>
            <Button variant="default" leftSection={<DownloadIcon />}>
              Export
            </Button>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Label>All that is filtered</Menu.Label>
            <Menu.Item onClick={() => void run("csv")}>CSV, for spreadsheets</Menu.Item>
            <Menu.Item onClick={() => void run("jsonl")}>JSON Lines, with the hashes</Menu.Item>
          </Menu.Dropdown>
        </Menu>
      )}
    </Group>
  );
}

function save(name: string, blob: Blob): void {
  const url = URL.createObjectURL(blob);
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url));
}

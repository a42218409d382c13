import { Button, Group, Menu, Text } from "@mantine/core";
import { useRef, useState } from "react";

import { api } from "../../api/client";
import { problemOf } from "../../api/problem";
import type { AuditFilter } from "../../api/queries";
import type { AuditRow } from "../../api/types";
import { DownloadIcon } from "../../components/icons";
import { given } from "../../lib/given";
import { csvOf, isPast, jsonLinesOf, matches, type LocalFilter } from "./filter";

const PAGE = 200;

interface ExportProps {
  filter: AuditFilter;
  local: LocalFilter;
}

type State = { phase: "idle" } | { phase: "busy"; read: number; found: number } | { phase: "failed"; detail: string } | { phase: "done"; found: number };

/** All that is filtered, every page of it, as a file. */
export function Export({ filter, local }: ExportProps) {
  const [state, setState] = useState<State>({ phase: "idle" });
  const abort = useRef<AbortController | null>(null);

  const run = async (kind: "csv" | "jsonl") => {
    const controller = new AbortController();
    abort.current = controller;
    const rows: AuditRow[] = [];
    let read = 0;
    let cursor: string | undefined;
    setState({ phase: "busy", read, found: 0 });
    try {
      do {
        // oxlint-disable-next-line no-await-in-loop -- each page names the next
        const page = await api.audit({ ...given({ ...filter, cursor }), limit: PAGE }, controller.signal);
        read += page.items.length;
        rows.push(...page.items.filter((row) => matches(row, local)));
        setState({ phase: "busy", read, found: rows.length });
        cursor = isPast(page.items.at(-1), local) ? undefined : (page.nextCursor ?? undefined);
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
        {state.phase === "busy" ? `${state.found.toLocaleString("en")} of ${state.read.toLocaleString("en")} read so far` : null}
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

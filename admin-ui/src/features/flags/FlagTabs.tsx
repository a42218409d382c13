import { Link } from "@tanstack/react-router";

import type { FlagConfig } from "../../api/types";
import tabs from "../../components/PageTabs.module.css";
import { given } from "../../lib/given";
import { Tag } from "../rollouts/Tag";

const TABS = [
  ["targeting", "Targeting"],
  ["rollout", "Rollout"],
  ["insights", "Insights"],
  ["history", "History"],
  ["settings", "Settings"],
] as const;

export type FlagTab = (typeof TABS)[number][0];

const FIRST = TABS[0][0];

/** The tab that the address names, or the first. */
export function tabOf(asked: string | undefined): FlagTab {
  return TABS.find(([key]) => key === asked)?.[0] ?? FIRST;
}

/** The parts of a flag's page, each with an address. */
export function FlagTabs({ current, config }: { current: FlagTab; config: FlagConfig | undefined }) {
  return (
    <nav className={tabs.tabs} aria-label="Parts of the flag">
      {TABS.map(([key, label]) => (
        <Link
          key={key}
          to="."
          search={(search) => given({ ...search, tab: key === FIRST ? undefined : key })}
          replace
          resetScroll={false}
          className={tabs.tab}
          // The first tab's address is part of all others'.
          activeOptions={{ exact: true }}
          activeProps={{ "aria-current": undefined }}
          aria-current={key === current ? "page" : undefined}
        >
          {label}
          {key === "rollout" && config ? <RolloutMark config={config} /> : null}
        </Link>
      ))}
    </nav>
  );
}

function RolloutMark({ config }: { config: FlagConfig }) {
  const word = config.rollout ? "going on" : config.guard ? "guarded" : null;
  return word === null ? null : (
    <>
      {" "}
      <Tag tone="good">{word}</Tag>
    </>
  );
}

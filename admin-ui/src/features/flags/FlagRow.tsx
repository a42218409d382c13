import { ActionIcon, Checkbox, Menu } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { memo } from "react";

import type { Environment, ListedFlag } from "../../api/types";
import { EnvironmentName } from "../../components/EnvironmentName";
import { KillIcon, RestoreIcon } from "../../components/icons";
import { kindWords } from "../../lib/words";
import type { FlagFilter } from "./filter";
import { useFlagActions } from "./FlagActions";
import { FlagBasin } from "./FlagBasin";
import styles from "./FlagList.module.css";
import type { Select } from "./useSelection";

interface RowProps {
  project: string;
  flag: ListedFlag;
  environments: Environment[];
  /** The tag that the list is filtered by. */
  tag: string | undefined;
  onChange(part: FlagFilter): void;
  isSelected: boolean;
  onSelect: Select;
}

export const FlagRow = memo(function FlagRow({ project, flag, environments, tag, onChange, isSelected, onSelect }: RowProps) {
  const actions = useFlagActions();
  const mayNotEdit = actions.refusal("edit");
  const mayNotOperate = actions.refusal("operate");
  return (
    <>
      <div role="cell" className={styles.select}>
        <Checkbox
          size="md"
          aria-label={`Select ${flag.key}`}
          disabled={mayNotEdit !== null}
          title={mayNotEdit ?? undefined}
          checked={isSelected}
          onChange={(event) => onSelect([flag.key], event.currentTarget.checked)}
        />
      </div>
      <div role="rowheader" className={styles.flag}>
        <div className={styles.nameLine}>
          <Link to="/projects/$project/flags/$flag" params={{ project, flag: flag.key }} className={styles.name}>
            {flag.name || flag.key}
          </Link>
          <span className={styles.key}>{flag.key}</span>
        </div>
        {flag.description ? <p className={styles.description}>{flag.description}</p> : null}
        <div className={styles.tags}>
          <span className={styles.kind}>{kindWords(flag.kind)}</span>
          {(flag.tags ?? []).map((name) => (
            <button key={name} type="button" className={styles.tag} aria-pressed={name === tag} aria-label={`Only flags tagged ${name}`} onClick={() => onChange({ tag: name })}>
              {name}
            </button>
          ))}
        </div>
      </div>
      {environments.map((environment) => {
        const state = flag.environments[environment.key];
        return (
          <div role="cell" key={environment.key} className={styles.cell}>
            <span className={styles.cellName} aria-hidden="true">
              <EnvironmentName environment={environment} />
            </span>
            {state ? (
              <FlagBasin project={project} flag={flag} environment={environment} state={state} />
            ) : (
              <span>—</span>
            )}
          </div>
        );
      })}
      <div role="cell" className={styles.menu}>
        <Menu position="bottom-end" width={230}>
          <Menu.Target>
            <ActionIcon variant="subtle" color="buoy" size={36} title="Kill or restore" aria-label={`Actions for ${flag.key}`}>
              <KillIcon />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            {mayNotOperate ? <Menu.Label>{mayNotOperate}</Menu.Label> : null}
            {environments.map((environment) => {
              const killed = flag.environments[environment.key]?.killed;
              return (
                <Menu.Item
                  key={environment.key}
                  color={killed ? undefined : "buoy"}
                  disabled={mayNotOperate !== null}
                  leftSection={killed ? <RestoreIcon size={16} /> : <KillIcon size={16} />}
                  onClick={() => (killed ? actions.restore : actions.kill)(flag, environment)}
                >
                  {killed ? "Restore" : "Kill"} in {environment.name}…
                </Menu.Item>
              );
            })}
          </Menu.Dropdown>
        </Menu>
      </div>
    </>
  );
});

import { CloseButton, NativeSelect, TextInput } from "@mantine/core";
import type { ReactNode } from "react";

import type { Environment } from "../../api/types";
import { SearchIcon } from "../../components/icons";
import { kindWords } from "../../lib/words";
import { KINDS, STATES, type FlagFilter } from "./filter";
import styles from "./FlagList.module.css";

const IN_ANY_STATE = { value: "", label: "In any state" };
const STATE_OPTIONS = [IN_ANY_STATE, ...STATES.map((state) => ({ value: state, label: state === "rolling" ? "Has a rollout" : `Is ${state}` }))];
const KIND_OPTIONS = [{ value: "", label: "Of any kind" }, ...KINDS.map((kind) => ({ value: kind, label: kindWords(kind) }))];

interface FiltersProps {
  typed: string;
  onType(typed: string): void;
  filter: FlagFilter;
  onChange(part: FlagFilter): void;
  environments: Environment[];
  /** How many were found, as it changes. */
  children: ReactNode;
}

export function FlagFilters({ typed, onType, filter, onChange, environments, children }: FiltersProps) {
  return (
    <div role="search" className={styles.filters}>
      <TextInput
        className={styles.search}
        aria-label="Search flags by name, key or description"
        placeholder="Search by name, key or description"
        leftSection={<SearchIcon />}
        value={typed}
        onChange={(event) => onType(event.currentTarget.value)}
        rightSection={typed === "" ? null : <CloseButton size="sm" aria-label="Clear the search" onClick={() => onType("")} />}
      />
      <NativeSelect
        aria-label="State"
        value={filter.state ?? ""}
        onChange={({ currentTarget: { value } }) => onChange({ state: STATES.find((state) => state === value), ...(value === "" ? { environment: undefined } : {}) })}
        data={STATE_OPTIONS}
      />
      {filter.state === undefined ? null : (
        <NativeSelect
          aria-label="Environment of the state"
          value={filter.environment ?? ""}
          onChange={(event) => onChange({ environment: event.currentTarget.value })}
          data={[{ value: "", label: "in any environment" }, ...environments.map(({ key, name }) => ({ value: key, label: `in ${name}` }))]}
        />
      )}
      <NativeSelect
        aria-label="Kind"
        value={filter.kind ?? ""}
        onChange={({ currentTarget: { value } }) => onChange({ kind: KINDS.find((kind) => kind === value) })}
        data={KIND_OPTIONS}
      />
      {filter.tag === undefined ? null : (
        <button type="button" className={styles.tag} aria-pressed="true" onClick={() => onChange({ tag: undefined })} aria-label={`Tag ${filter.tag}: remove the filter`}>
          {filter.tag} <span aria-hidden="true">×</span>
        </button>
      )}
      <span className={styles.count} role="status">
        {children}
      </span>
    </div>
  );
}

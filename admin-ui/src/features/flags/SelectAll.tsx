import { Checkbox } from "@mantine/core";

import { isBroken } from "../../api/client";
import type { Broken, ListedFlag } from "../../api/types";
import { useFlagActions } from "./FlagActions";
import type { Select } from "./useSelection";

interface SelectAllProps {
  /** All that match, drawn or not. */
  flags: (ListedFlag | Broken)[];
  selected: ReadonlySet<string>;
  onSelect: Select;
}

/** Selects all flags that match, or none of them. */
export function SelectAll({ flags, selected, onSelect }: SelectAllProps) {
  const mayNot = useFlagActions().refusal("edit");
  const keys = flags.filter((flag) => !isBroken(flag)).map(({ key }) => key);
  const count = keys.filter((key) => selected.has(key)).length;
  return (
    <Checkbox
      size="md"
      label={`Select all ${keys.length.toLocaleString("en")} that match`}
      disabled={mayNot !== null || keys.length === 0}
      title={mayNot ?? undefined}
      checked={count > 0 && count === keys.length}
      indeterminate={count > 0 && count < keys.length}
      onChange={(event) => onSelect(keys, event.currentTarget.checked)}
    />
  );
}

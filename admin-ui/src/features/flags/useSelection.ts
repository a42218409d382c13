import { useCallback, useState } from "react";

export type Select = (keys: string[], isSelected: boolean) => void;

/** Which flags are selected, by their keys; other filters leave it as it is. */
export function useSelection(): [ReadonlySet<string>, Select] {
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const select = useCallback<Select>((keys, isSelected) => {
    setSelected((before) => (isSelected ? new Set([...before, ...keys]) : new Set([...before].filter((key) => !keys.includes(key)))));
  }, []);
  return [selected, select];
}

import { Autocomplete, NativeSelect, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api } from "../../../api/client";
import { changeListed } from "../../../api/listed";
import type { ListedFlag } from "../../../api/types";
import { BulkDialog, flagsWords } from "./BulkDialog";

export interface ChangeProps {
  project: string;
  flags: ListedFlag[];
  onChanged(keys: string[]): void;
  onClose(): void;
}

/** Puts a tag on those that have it not. */
export function TagFlags({ flags, allTags, onChanged, ...props }: ChangeProps & { allTags: string[] }) {
  const [typed, setTyped] = useState("");
  const retag = useRetag(props.project);
  const tag = typed.trim();
  const [tagged, untagged] = parted(flags, tag);
  return (
    <BulkDialog
      {...props}
      title={`Tag ${flagsWords(flags.length)}`}
      verb="Tag"
      done={`tagged “${tag}”`}
      flags={untagged}
      isReady={tag !== ""}
      change={(flag, reason) => retag(flag, [...(flag.tags ?? []), tag], reason)}
      onChanged={(keys) => onChanged([...keysOf(tagged), ...keys])}
    >
      <Autocomplete label="Tag" required data-autofocus maxLength={100} limit={20} comboboxProps={{ withinPortal: false }} data={allTags} value={typed} onChange={setTyped} />
      {tagged.length > 0 ? <Text size="sm">{flagsWords(tagged.length)} already tagged: left as {tagged.length === 1 ? "it is" : "they are"}.</Text> : null}
    </BulkDialog>
  );
}

/** Takes a tag off those that have it. */
export function UntagFlags({ flags, onChanged, ...props }: ChangeProps) {
  const tags = [...new Set(flags.flatMap((flag) => flag.tags ?? []))].toSorted();
  const [tag, setTag] = useState(tags[0] ?? "");
  const retag = useRetag(props.project);
  const [tagged, untagged] = parted(flags, tag);
  return (
    <BulkDialog
      {...props}
      title={`Untag ${flagsWords(flags.length)}`}
      verb="Untag"
      done={`without “${tag}”`}
      flags={tagged}
      isReady={tag !== ""}
      change={(flag, reason) =>
        retag(
          flag,
          (flag.tags ?? []).filter((each) => each !== tag),
          reason,
        )
      }
      onChanged={(keys) => onChanged([...keysOf(untagged), ...keys])}
    >
      <NativeSelect
        label="Tag"
        data-autofocus
        value={tag}
        onChange={(event) => setTag(event.currentTarget.value)}
        data={tags.map((each) => ({ value: each, label: `${each}, on ${flagsWords(parted(flags, each)[0].length)}` }))}
      />
    </BulkDialog>
  );
}

/** Those with the tag, and those without. */
function parted(flags: ListedFlag[], tag: string): [ListedFlag[], ListedFlag[]] {
  const isTagged = (flag: ListedFlag) => (flag.tags ?? []).includes(tag);
  return [flags.filter(isTagged), flags.filter((flag) => !isTagged(flag))];
}

const keysOf = (flags: ListedFlag[]) => flags.map(({ key }) => key);

function useRetag(project: string) {
  const queryClient = useQueryClient();
  return async (flag: ListedFlag, tags: string[], reason: string) => {
    // Shown before the answer, and of its version: so the stream's news of it is none, and the list is not read again for each flag.
    const before = changeListed(queryClient, project, flag.key, (listed) => ({ ...listed, tags, version: flag.version + 1 }));
    try {
      await api.updateFlag(project, flag.key, flag.version, { tags, reason });
    } catch (error) {
      if (before) changeListed(queryClient, project, flag.key, () => before);
      throw error;
    }
  };
}

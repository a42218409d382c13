import { Button } from "@mantine/core";
import { useState } from "react";

import type { ListedFlag } from "../../../api/types";
import type { Select } from "../useSelection";
import { ArchiveFlags } from "./ArchiveFlags";
import styles from "./Bulk.module.css";
import { TagFlags, UntagFlags } from "./TagFlags";

interface BarProps {
  project: string;
  /** The selected ones. */
  flags: ListedFlag[];
  /** How many of them the filter hides. */
  hidden: number;
  allTags: string[];
  onSelect: Select;
}

/** What can be done with the selected flags, all at once. */
export function BulkBar({ project, flags, hidden, allTags, onSelect }: BarProps) {
  const [open, setOpen] = useState<"tag" | "untag" | "archive" | null>(null);
  // As they were when the dialog opened: what is changed meanwhile is refused by its version, and told.
  const [asked, setAsked] = useState(flags);
  const ask = (what: typeof open) => {
    setAsked(flags);
    setOpen(what);
  };
  const deselect = (keys: string[]) => onSelect(keys, false);
  const dialog = { project, flags: asked, onChanged: deselect, onClose: () => setOpen(null) };
  const hasTags = flags.some(({ tags = [] }) => tags.length > 0);
  return (
    <>
      <section aria-label="Selected flags" className={styles.bar}>
        <span role="status" className={styles.count}>
          {flags.length.toLocaleString("en")} selected{hidden > 0 ? `, ${hidden.toLocaleString("en")} not shown` : ""}
        </span>
        <Button size="xs" variant="default" onClick={() => ask("tag")}>
          Tag…
        </Button>
        <Button size="xs" variant="default" onClick={() => ask("untag")} disabled={!hasTags} title={hasTags ? undefined : "None of them has a tag"}>
          Untag…
        </Button>
        <Button size="xs" variant="outline" color="buoy" onClick={() => ask("archive")}>
          Archive…
        </Button>
        <Button size="xs" variant="subtle" onClick={() => deselect(flags.map(({ key }) => key))}>
          Deselect
        </Button>
      </section>
      {open === "tag" ? <TagFlags {...dialog} allTags={allTags} /> : null}
      {open === "untag" ? <UntagFlags {...dialog} /> : null}
      {open === "archive" ? <ArchiveFlags {...dialog} /> : null}
    </>
  );
}

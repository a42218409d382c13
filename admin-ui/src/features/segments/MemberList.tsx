import { ActionIcon, Button, Group, Text, Textarea, TextInput } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef, useState } from "react";

import { CloseIcon, SearchIcon } from "../../components/icons";
import { joined, parseMembers } from "./members";
import styles from "./Segments.module.css";

const ROW_PX = 36;

interface MemberListProps {
  /** Like “Included”. */
  title: string;
  description: string;
  members: string[];
  /** Those in the other list. */
  others: string[];
  /** What it means to be in both. */
  bothWords: string;
  disabled: boolean;
  onChange(members: string[]): void;
}

/** Targeting keys by the thousand: pasted in, searched, taken out. */
export function MemberList({ title, description, members, others, bothWords, disabled, onChange }: MemberListProps) {
  const [text, setText] = useState("");
  const [search, setSearch] = useState("");
  const scroller = useRef<HTMLDivElement>(null);
  const pasted = useMemo(() => parseMembers(text), [text]);
  const fresh = useMemo(() => {
    const have = new Set(members);
    return pasted.filter((member) => !have.has(member));
  }, [members, pasted]);
  const shown = useMemo(() => members.filter((member) => member.toLowerCase().includes(search.toLowerCase())), [members, search]);
  const both = useMemo(() => {
    const other = new Set(others);
    return members.filter((member) => other.has(member)).length;
  }, [members, others]);
  const rows = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    getItemKey: (at) => shown[at] ?? at,
    overscan: 8,
    initialRect: { width: 400, height: 260 },
  });
  const add = () => {
    onChange(joined(members, pasted));
    setText("");
  };
  const repeated = pasted.length - fresh.length;
  return (
    <section aria-label={title} className={styles.members}>
      <div className={styles.memberHead}>
        <h3>
          {title} <span>{members.length.toLocaleString("en")}</span>
        </h3>
        <p>{description}</p>
      </div>
      {disabled ? null : (
        <>
          <Textarea
            label={`Add to ${title.toLowerCase()}`}
            description="Targeting keys, one a line or with commas; paste as many as you like."
            rows={3}
            resize="vertical"
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
            spellCheck={false}
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 13 } }}
          />
          <Group gap="sm" mt={8} mb={12}>
            <Button size="xs" variant="default" disabled={fresh.length === 0} onClick={add}>
              {fresh.length === 0 ? "Add" : `Add ${fresh.length.toLocaleString("en")}`}
            </Button>
            <Text size="sm" c="dimmed" role="status">
              {repeated > 0 ? `${repeated.toLocaleString("en")} ${repeated === 1 ? "is" : "are"} there already` : ""}
            </Text>
          </Group>
        </>
      )}
      {both > 0 ? (
        <Text size="sm" mb={8} role="status">
          {both === 1 ? "1 is" : `${both.toLocaleString("en")} are`} in both lists: {bothWords}.
        </Text>
      ) : null}
      {members.length > 6 ? (
        <TextInput
          size="xs"
          mb={8}
          aria-label={`Search in ${title.toLowerCase()}`}
          placeholder={`Search ${members.length.toLocaleString("en")} targeting keys`}
          leftSection={<SearchIcon size={15} />}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
        />
      ) : null}
      {members.length === 0 ? (
        <Text size="sm" c="dimmed">
          Nobody by name.
        </Text>
      ) : shown.length === 0 ? (
        <Text size="sm" c="dimmed" role="status">
          Nobody is called like that.
        </Text>
      ) : (
        // A region that scrolls has to take the keyboard's focus.
        <div ref={scroller} className={styles.scroller} tabIndex={0} role="region" aria-label={`${title}: ${shown.length} targeting keys`}>
          <ul style={{ height: rows.getTotalSize() }}>
            {rows.getVirtualItems().map(({ key, index, start, size }) => {
              const member = shown[index] ?? "";
              return (
                <li key={key} className={styles.member} style={{ transform: `translateY(${start}px)`, height: size }} aria-setsize={shown.length} aria-posinset={index + 1}>
                  <code title={member}>{member}</code>
                  {disabled ? null : (
                    <ActionIcon variant="subtle" color="gray" size={26} aria-label={`Remove ${member}`} onClick={() => onChange(members.filter((each) => each !== member))}>
                      <CloseIcon size={13} />
                    </ActionIcon>
                  )}
                </li>
              );
            })}
          </ul>
        </div>
      )}
    </section>
  );
}

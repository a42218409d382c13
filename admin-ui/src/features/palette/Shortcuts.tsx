import { Button, Group, Kbd, Stack, Switch, Text } from "@mantine/core";

import { Dialog } from "../../components/Dialog";
import { useKeyboard } from "./Keyboard";
import styles from "./Palette.module.css";
import { JUMPS } from "./shortcuts";

export const isMac = /Mac|iPhone|iPad/.test(navigator.userAgent);

const ALWAYS: [string[], string][] = [
  [[isMac ? "⌘" : "Ctrl", "K"], "Find a flag, an environment or a page, and act on it"],
  [["Esc"], "Close what is open"],
];

const SINGLE: [string[], string][] = [
  [["/"], "Search in the list"],
  [["?"], "This help"],
  ...JUMPS.map(({ key, label }): [string[], string] => [["g", key], `Go to ${label}`]),
];

export function Shortcuts({ onClose }: { onClose(): void }) {
  const { singleKeys, setSingleKeys } = useKeyboard();
  return (
    <Dialog onClose={onClose} title="Keyboard shortcuts">
      <Stack>
        <List entries={ALWAYS} />
        <Switch
          label="Single keys"
          aria-label="Single keys"
          description="Switch them off where they get in the way, as of speech input."
          checked={singleKeys}
          onChange={(event) => setSingleKeys(event.currentTarget.checked)}
          color="var(--tg-switch)"
        />
        <div data-off={!singleKeys || undefined}>
          {singleKeys ? null : (
            <Text size="sm" mb="xs">
              These are off:
            </Text>
          )}
          <List entries={SINGLE} />
        </div>
        <Group justify="flex-end">
          <Button variant="default" onClick={() => onClose()}>
            Close
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

function List({ entries }: { entries: [string[], string][] }) {
  return (
    <dl className={styles.keys}>
      {entries.map(([keys, label]) => (
        <div key={label}>
          <dt>
            {keys.map((key) => (
              <Kbd key={key}>{key}</Kbd>
            ))}
          </dt>
          <dd>{label}</dd>
        </div>
      ))}
    </dl>
  );
}

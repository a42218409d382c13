import { Button, Group, Stack, Text } from "@mantine/core";
import type { ReactNode } from "react";

import { CopyValue } from "../../components/CopyValue";
import { Dialog } from "../../components/Dialog";
import environments from "../environments/Environments.module.css";

/** A secret that nobody will see again: it goes with an explicit “Done”. */
export function ShownOnce({ title, value, children, onClose }: { title: string; value: string; children: ReactNode; onClose(): void }) {
  return (
    <Dialog onClose={onClose} title={title} size={560} closeOnClickOutside={false}>
      <Stack>
        <Text size="sm">{children}</Text>
        <div className={environments.once}>
          <div className={environments.secret}>{value}</div>
          <CopyValue value={value} />
        </div>
        <Group justify="flex-end">
          <Button onClick={onClose}>Done</Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

import { Button, CopyButton } from "@mantine/core";

import { CheckIcon, CopyIcon } from "./icons";

export function CopyValue({ value, label = "Copy" }: { value: string; label?: string }) {
  return (
    <CopyButton value={value}>
      {({ copied, copy }) => (
        <Button variant="default" onClick={copy} leftSection={copied ? <CheckIcon /> : <CopyIcon />}>
          {copied ? "Copied" : label}
        </Button>
      )}
    </CopyButton>
  );
}

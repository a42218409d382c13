import { Checkbox } from "@mantine/core";

interface PermanentProps {
  checked: boolean;
  onChange(checked: boolean): void;
}

/** Whether a flag is meant to stay: most are for a release, and go after it. */
export function Permanent({ checked, onChange }: PermanentProps) {
  return (
    <Checkbox
      label="Meant to stay"
      description="Like a kill switch or a setting: it is never listed as ready to clean up."
      checked={checked}
      onChange={(event) => onChange(event.currentTarget.checked)}
    />
  );
}

import { Textarea } from "@mantine/core";

/** Why somebody acts: required, for the audit log. */
export function ReasonField({ value, onChange }: { value: string; onChange(reason: string): void }) {
  return (
    <Textarea
      label="Reason"
      description="Required; kept in the audit log."
      required
      autosize
      minRows={2}
      maxRows={5}
      maxLength={1000}
      data-autofocus
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}

import { Textarea } from "@mantine/core";

interface ReasonProps {
  value: string;
  onChange(reason: string): void;
  /** Whether the focus begins here. */
  isFirst?: boolean;
}

/** Why somebody acts: required, for the audit log. */
export function ReasonField({ value, onChange }: Omit<ReasonProps, "isFirst">) {
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

/** Why somebody acts, where that need not be said. */
export function OptionalReason({ value, onChange, isFirst = false }: ReasonProps) {
  return (
    <Textarea
      label="Reason"
      description="Optional; kept in the audit log."
      autosize
      minRows={1}
      maxRows={4}
      maxLength={1000}
      data-autofocus={isFirst || undefined}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}

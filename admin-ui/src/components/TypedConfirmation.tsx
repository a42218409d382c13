import { TextInput } from "@mantine/core";

interface ConfirmationProps {
  word: string;
  /** Why this is asked. */
  description?: string;
  typed: string;
  onChange(typed: string): void;
}

/** A word to type before what cannot be taken back, or reaches everybody: no habit of clicking types it. */
export function TypedConfirmation({ word, description, typed, onChange }: ConfirmationProps) {
  return (
    <TextInput
      label={`Type ${word} to confirm`}
      description={description}
      required
      autoComplete="off"
      autoCapitalize="off"
      spellCheck={false}
      value={typed}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}

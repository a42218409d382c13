import { Stack, Textarea, TextInput } from "@mantine/core";

import { problemAt, type Problem } from "../../api/problem";
import { KEY_RULE, keyFrom } from "../../lib/keys";

/** What a template is known by. */
export interface TemplateNames {
  name: string;
  /** Null as long as nobody has typed one: it is made of the name. */
  key: string | null;
  description: string;
}

const keyOf = ({ name, key }: TemplateNames) => key ?? keyFrom(name);

/** As they are sent. */
export function namesOf(names: TemplateNames) {
  return { key: keyOf(names).trim(), name: names.name.trim(), description: names.description.trim() };
}

interface FieldsProps {
  names: TemplateNames;
  /** Whether it still gets its key, which never changes. */
  keyed: boolean;
  /** What the server refused. */
  problem: Problem | null;
  onChange(names: TemplateNames): void;
}

export function TemplateFields({ names, keyed, problem, onChange }: FieldsProps) {
  const at = problemAt(problem);
  return (
    <Stack gap="md">
      <TextInput label="Name" required data-autofocus value={names.name} onChange={(event) => onChange({ ...names, name: event.currentTarget.value })} error={at("/name")} />
      {keyed ? <TextInput label="Key" description={KEY_RULE} required value={keyOf(names)} onChange={(event) => onChange({ ...names, key: event.currentTarget.value })} error={at("/key")} /> : null}
      <Textarea label="Description" autosize minRows={1} maxRows={4} value={names.description} onChange={(event) => onChange({ ...names, description: event.currentTarget.value })} error={at("/description")} />
    </Stack>
  );
}

import { Button, Group, NativeSelect, Stack, TagsInput, Text, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import type { FlagKind, NewFlag as Body, Variant } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { ProblemAlert } from "../../components/ProblemAlert";
import { KEY, KEY_RULE, keyFrom } from "../../lib/keys";
import { Permanent } from "./Permanent";

const STARTING_VARIANTS: Record<FlagKind, Variant[]> = {
  boolean: [
    { key: "on", value: true },
    { key: "off", value: false },
  ],
  string: [
    { key: "a", value: "a" },
    { key: "b", value: "b" },
  ],
  number: [
    { key: "low", value: 1 },
    { key: "high", value: 10 },
  ],
  json: [
    { key: "full", value: { items: 10 } },
    { key: "empty", value: {} },
  ],
};

/** Variants as people type them: one a line, `key = value`, the value in JSON. */
export function variantsText(variants: Variant[]): string {
  return variants.map(({ key, value }) => `${key} = ${JSON.stringify(value)}`).join("\n");
}

/** The variants of a text, or what is wrong with it. */
export function parseVariants(text: string): Variant[] | string {
  const variants: Variant[] = [];
  for (const line of text.split("\n").filter((each) => each.trim() !== "")) {
    const equals = line.indexOf("=");
    if (equals < 0) return `“${line.trim()}” has no “=”: write key = value`;
    const key = line.slice(0, equals).trim();
    if (!KEY.test(key)) return `“${key}” is not a key. ${KEY_RULE}`;
    if (variants.some((variant) => variant.key === key)) return `“${key}” is there twice`;
    try {
      variants.push({ key, value: JSON.parse(line.slice(equals + 1)) });
    } catch {
      return `the value of “${key}” is not JSON: text needs quotes`;
    }
  }
  return variants.length === 0 ? "at least one variant is needed" : variants;
}

export function NewFlag({ project, onClose }: { project: string; onClose(): void }) {
  const [name, setName] = useState("");
  const [typedKey, setTypedKey] = useState<string | null>(null);
  const [description, setDescription] = useState("");
  const [tags, setTags] = useState<string[]>([]);
  const [permanent, setPermanent] = useState(false);
  const [kind, setKind] = useState<FlagKind>("boolean");
  const [text, setText] = useState(variantsText(STARTING_VARIANTS.boolean));
  const [served, setServed] = useState<string | null>(null);
  const key = typedKey ?? keyFrom(name);
  const variants = parseVariants(text);
  const keys = typeof variants === "string" ? [] : variants.map((variant) => variant.key);
  // The one that was chosen may have been renamed since.
  const defaultVariant = keys.find((each) => each === served) ?? keys[0];
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const create = useMutation({
    mutationFn: (body: Body) => api.createFlag(project, body),
    onSuccess: async (flag) => {
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
      onClose();
      await navigate({ to: "/projects/$project/flags/$flag", params: { project, flag: flag.key } });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (typeof variants === "string") return;
    const off = variants.at(-1);
    create.mutate({
      key,
      name: name.trim(),
      description: description.trim(),
      tags,
      permanent,
      kind,
      variants,
      ...(off ? { offVariant: off.key } : {}),
      ...(defaultVariant ? { defaultVariant } : {}),
    });
  };
  return (
    <Dialog onClose={onClose} size={560} title="New flag">
      <form onSubmit={submit}>
        <Stack>
          {create.error ? <ProblemAlert error={create.error} /> : null}
          <TextInput label="Name" required data-autofocus value={name} onChange={(event) => setName(event.currentTarget.value)} />
          <TextInput
            label="Key"
            description="What the application asks for. It can never be used again once the flag is archived."
            required
            value={key}
            onChange={(event) => setTypedKey(event.currentTarget.value)}
            error={key !== "" && !KEY.test(key) ? KEY_RULE : null}
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
          />
          <Textarea label="Description" autosize minRows={1} maxRows={4} value={description} onChange={(event) => setDescription(event.currentTarget.value)} />
          <TagsInput label="Tags" value={tags} onChange={setTags} clearable />
          <Permanent checked={permanent} onChange={setPermanent} />
          <NativeSelect
            label="Kind"
            value={kind}
            onChange={(event) => {
              const next = event.currentTarget.value as FlagKind;
              setKind(next);
              setText(variantsText(STARTING_VARIANTS[next]));
            }}
            data={[
              { value: "boolean", label: "boolean" },
              { value: "string", label: "string" },
              { value: "number", label: "number" },
              { value: "json", label: "JSON" },
            ]}
          />
          {kind === "boolean" ? (
            <Text size="sm" c="dimmed">
              Variants: <code>on</code> is true, <code>off</code> is false.
            </Text>
          ) : (
            <Textarea
              label="Variants"
              description="One a line, key = value, the value in JSON. Off, the flag serves the last."
              autosize
              minRows={2}
              maxRows={8}
              value={text}
              onChange={(event) => setText(event.currentTarget.value)}
              error={typeof variants === "string" ? variants : null}
              styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 13 } }}
            />
          )}
          <NativeSelect
            label="Once it is on, everyone gets"
            description="It starts off everywhere. For a rollout choose the old variant: the rollout brings the new one, step by step."
            value={defaultVariant ?? ""}
            disabled={keys.length === 0}
            onChange={(event) => setServed(event.currentTarget.value)}
            data={keys}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={create.isPending} disabled={!KEY.test(key) || typeof variants === "string"}>
              Create flag
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

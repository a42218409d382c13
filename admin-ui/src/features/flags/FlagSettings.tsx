import { Alert, Button, Group, Stack, TagsInput, Text, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { isProblem } from "../../api/problem";
import { queries } from "../../api/queries";
import type { Flag } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { ProblemAlert } from "../../components/ProblemAlert";
import { ReasonField } from "../../components/ReasonField";
import { parseVariants, variantsText } from "./NewFlag";

interface SettingsProps {
  project: string;
  flag: Flag;
  onClose(): void;
}

/** What a flag is called, what it is for and what it can serve: the same in every environment. */
export function FlagSettings({ project, flag, onClose }: SettingsProps) {
  // As it was when somebody began to type: the page goes on to what others make of it.
  const [opened] = useState(flag);
  // The one that a save replaces: somebody else's, once that is known.
  const [read, setRead] = useState(opened);
  const [name, setName] = useState(opened.name);
  const [description, setDescription] = useState(opened.description ?? "");
  const [tags, setTags] = useState(opened.tags ?? []);
  const [text, setText] = useState(variantsText(opened.variants));
  const [archiving, setArchiving] = useState(false);
  const variants = parseVariants(text);
  const queryClient = useQueryClient();
  const save = useMutation({
    mutationFn: (list: Flag["variants"]) => api.updateFlag(project, opened.key, read.version, { name: name.trim(), description: description.trim(), tags, variants: list }),
    onSuccess: async () => {
      onClose();
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
    },
    onError: async (error) => {
      if (isProblem(error, "stale")) setRead(await queryClient.fetchQuery({ ...queries.flag(project, opened.key), staleTime: 0 }));
    },
  });
  if (archiving) return <ArchiveFlag project={project} flag={read} onClose={onClose} />;
  const theirs = read.version === opened.version ? [] : changed(opened, read);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (typeof variants !== "string" && name.trim() !== "") save.mutate(variants);
  };
  return (
    <Dialog onClose={onClose} size={560} title={`Settings of ${opened.key}`}>
      <form onSubmit={submit}>
        <Stack>
          {read.version !== opened.version ? (
            <Alert color="yellow" title="Somebody else changed it meanwhile">
              {theirs.length > 0 ? `They have: ${theirs.join("; ")}.` : "They changed nothing that is here."} What you typed is still here, and saving puts it in place of theirs.
            </Alert>
          ) : save.error ? (
            <ProblemAlert error={save.error} />
          ) : null}
          <TextInput label="Name" required data-autofocus value={name} onChange={(event) => setName(event.currentTarget.value)} />
          <Textarea label="Description" autosize minRows={1} maxRows={6} value={description} onChange={(event) => setDescription(event.currentTarget.value)} />
          <TagsInput label="Tags" value={tags} onChange={setTags} clearable />
          {opened.kind === "boolean" ? null : (
            <Textarea
              label="Variants"
              description="One a line, key = value, the value in JSON. One that an environment serves cannot go."
              autosize
              minRows={2}
              maxRows={10}
              value={text}
              onChange={(event) => setText(event.currentTarget.value)}
              error={typeof variants === "string" ? variants : null}
              styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 13 } }}
            />
          )}
          <Group justify="space-between">
            <Button variant="subtle" color="buoy" onClick={() => setArchiving(true)}>
              Archive…
            </Button>
            <Group>
              <Button variant="default" onClick={onClose}>
                Cancel
              </Button>
              <Button type="submit" loading={save.isPending} disabled={name.trim() === "" || typeof variants === "string"}>
                {read.version === opened.version ? "Save" : "Save in place of theirs"}
              </Button>
            </Group>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

/** What differs between two versions of a flag, as a person reads it. */
export function changed(before: Flag, after: Flag): string[] {
  const said = (label: string, one: string, other: string) => (one === other ? [] : [`${label} “${other}”`]);
  return [
    ...said("name", before.name, after.name),
    ...said("description", before.description ?? "", after.description ?? ""),
    ...said("tags", (before.tags ?? []).join(", "), (after.tags ?? []).join(", ")),
    ...said("variants", variantsText(before.variants).replaceAll("\n", ", "), variantsText(after.variants).replaceAll("\n", ", ")),
  ];
}

/** For good: the key is typed, as it can never be used again. */
function ArchiveFlag({ project, flag, onClose }: SettingsProps) {
  const [typed, setTyped] = useState("");
  const [reason, setReason] = useState("");
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const archive = useMutation({
    mutationFn: () => api.archiveFlag(project, flag.key, flag.version, reason.trim()),
    onSuccess: async () => {
      onClose();
      await navigate({ to: "/projects/$project/flags", params: { project } });
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
    },
  });
  const isReady = typed === flag.key && reason.trim() !== "";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady) archive.mutate();
  };
  return (
    <Dialog onClose={onClose} title={`Archive ${flag.key}?`}>
      <form onSubmit={submit}>
        <Stack>
          {archive.error ? <ProblemAlert error={archive.error} /> : null}
          <Text size="sm">
            Applications that still ask for it get their own default, in every environment. Take it out of their code first. The key can never be used again.
          </Text>
          <ReasonField value={reason} onChange={setReason} />
          <TextInput label={`Type ${flag.key} to confirm`} required autoComplete="off" value={typed} onChange={(event) => setTyped(event.currentTarget.value)} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" color="buoy" loading={archive.isPending} disabled={!isReady}>
              Archive
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

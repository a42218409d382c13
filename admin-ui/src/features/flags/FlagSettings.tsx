import { Alert, Button, Group, Stack, TagsInput, Text, Textarea, TextInput } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { isProblem } from "../../api/problem";
import { queries } from "../../api/queries";
import type { Flag } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { Guarded } from "../../components/Guarded";
import { ProblemAlert } from "../../components/ProblemAlert";
import { ReasonField } from "../../components/ReasonField";
import { TypedConfirmation } from "../../components/TypedConfirmation";
import { canonical } from "../../lib/json";
import { useKept } from "../../lib/kept";
import { useFlagActions } from "./FlagActions";
import styles from "./FlagPage.module.css";
import { Permanent } from "./Permanent";
import { parseVariants, variantsText } from "./NewFlag";

interface SettingsProps {
  project: string;
  flag: Flag;
}

/** What is typed: texts, as the fields have them. */
interface Fields {
  name: string;
  description: string;
  tags: string[];
  permanent: boolean;
  variants: string;
}

interface Draft {
  /** The flag as it was when somebody began to type: the page goes on to what others make of it. */
  opened: Flag;
  fields: Fields;
}

function fieldsOf({ name, description, tags, permanent, variants }: Flag): Fields {
  return { name, description: description ?? "", tags: tags ?? [], permanent: permanent ?? false, variants: variantsText(variants) };
}

const changesNothing = ({ opened, fields }: Draft) => canonical(fields) === canonical(fieldsOf(opened));

/** What a flag is called, what it is for and what it can serve: the same in every environment. */
export function FlagSettings({ project, flag }: SettingsProps) {
  const [draft, keep] = useKept<Draft>(`tidegate.settings/${project}/${flag.key}`, changesNothing);
  // Somebody else's, once a save has met it: the one that the next save replaces.
  const [theirs, setTheirs] = useState<Flag | null>(null);
  const [archiving, setArchiving] = useState(false);
  const { opened, fields } = draft ?? { opened: flag, fields: fieldsOf(flag) };
  const mayNot = useFlagActions().refusal("edit");
  const queryClient = useQueryClient();
  const { queryKey } = queries.flag(project, flag.key);
  const end = () => {
    keep(null);
    setTheirs(null);
    save.reset();
  };
  const save = useMutation({
    mutationFn: (variants: Flag["variants"]) =>
      api.updateFlag(project, flag.key, (theirs ?? opened).version, { name: fields.name.trim(), description: fields.description.trim(), tags: fields.tags, permanent: fields.permanent, variants }),
    onSuccess: async (saved) => {
      queryClient.setQueryData(queryKey, saved);
      end();
      notifications.show({ color: "tide", autoClose: 4_000, message: `The settings of ${saved.key} are saved` });
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
    },
    onError: async (error) => {
      if (isProblem(error, "stale")) setTheirs(await queryClient.fetchQuery({ ...queries.flag(project, flag.key), staleTime: 0 }));
    },
  });
  const variants = parseVariants(fields.variants);
  const unchanged = changesNothing({ opened, fields });
  const notYet = mayNot ?? (unchanged ? "Nothing changed yet" : fields.name.trim() === "" ? "It needs a name" : typeof variants === "string" ? "The variants cannot be read yet" : null);
  const set = (more: Partial<Fields>) => keep({ opened, fields: { ...fields, ...more } });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (notYet === null && typeof variants !== "string") save.mutate(variants);
  };
  return (
    <section aria-labelledby="settings" className={styles.settings}>
      <h2 id="settings">Settings in all environments</h2>
      {mayNot === null ? null : (
        <Text size="sm" c="dimmed" mb="sm">
          {mayNot}.
        </Text>
      )}
      <form onSubmit={submit}>
        <Stack>
          {theirs ? <Overtaken opened={opened} theirs={theirs} /> : save.error ? <ProblemAlert error={save.error} /> : null}
          <fieldset className={styles.fields} disabled={mayNot !== null}>
            <TextInput label="Name" required value={fields.name} onChange={(event) => set({ name: event.currentTarget.value })} />
            <Textarea label="Description" autosize minRows={1} maxRows={6} value={fields.description} onChange={(event) => set({ description: event.currentTarget.value })} />
            <TagsInput label="Tags" value={fields.tags} onChange={(tags) => set({ tags })} disabled={mayNot !== null} clearable />
            <Permanent checked={fields.permanent} onChange={(permanent) => set({ permanent })} />
            {flag.kind === "boolean" ? null : (
              <Textarea
                label="Variants"
                description="One a line, key = value, the value in JSON. One that an environment serves cannot go."
                autosize
                minRows={2}
                maxRows={10}
                spellCheck={false}
                value={fields.variants}
                onChange={(event) => set({ variants: event.currentTarget.value })}
                error={typeof variants === "string" ? variants : null}
                styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 13 } }}
              />
            )}
          </fieldset>
          <Group justify="space-between">
            <Guarded refusal={mayNot} variant="subtle" color="buoy" onClick={() => setArchiving(true)}>
              Archive…
            </Guarded>
            <Group>
              {unchanged ? null : (
                <Button variant="default" onClick={end}>
                  Discard
                </Button>
              )}
              <Guarded refusal={notYet} type="submit" loading={save.isPending}>
                {theirs ? "Save in place of theirs" : "Save"}
              </Guarded>
            </Group>
          </Group>
        </Stack>
      </form>
      {archiving ? <ArchiveFlag project={project} flag={theirs ?? flag} onClose={() => setArchiving(false)} /> : null}
    </section>
  );
}

function Overtaken({ opened, theirs }: { opened: Flag; theirs: Flag }) {
  const have = changed(opened, theirs);
  return (
    <Alert color="yellow" title="Somebody else changed it meanwhile" role="alert">
      {have.length > 0 ? `They have: ${have.join("; ")}.` : "They changed nothing that is here."} What you typed is still here, and saving puts it in place of theirs.
    </Alert>
  );
}

/** What differs between two versions of a flag, as a person reads it. */
export function changed(before: Flag, after: Flag): string[] {
  const said = (label: string, one: string, other: string) => (one === other ? [] : [`${label} “${other}”`]);
  return [
    ...said("name", before.name, after.name),
    ...said("description", before.description ?? "", after.description ?? ""),
    ...said("tags", (before.tags ?? []).join(", "), (after.tags ?? []).join(", ")),
    ...said("meant to stay", before.permanent ? "yes" : "no", after.permanent ? "yes" : "no"),
    ...said("variants", variantsText(before.variants).replaceAll("\n", ", "), variantsText(after.variants).replaceAll("\n", ", ")),
  ];
}

/** For good: the key is typed, as it can never be used again. */
function ArchiveFlag({ project, flag, onClose }: SettingsProps & { onClose(): void }) {
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
          <TypedConfirmation word={flag.key} typed={typed} onChange={setTyped} />
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

import { Alert, Button, ColorInput, Group, Stack, Switch, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { isProblem } from "../../api/problem";
import { queries } from "../../api/queries";
import type { Environment } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { EnvironmentName } from "../../components/EnvironmentName";
import { ProblemAlert } from "../../components/ProblemAlert";
import { OptionalReason } from "../../components/ReasonField";
import { KEY, KEY_RULE, keyFrom } from "../../lib/keys";

const COLORS = ["#2f9e6e", "#3a86c8", "#7a6ff0", "#b65fc9", "#d6457f", "#d8572a", "#e08a1e", "#6b7f87"];
const COLOR = /^#[0-9a-fA-F]{6}$/;

interface FormProps {
  project: string;
  /** Null for one to make. */
  environment: Environment | null;
  onClose(): void;
}

/** Makes an environment, or changes how it is called, marked and guarded. */
export function EnvironmentForm({ project, environment, onClose }: FormProps) {
  const queryClient = useQueryClient();
  const [name, setName] = useState(environment?.name ?? "");
  const [typedKey, setTypedKey] = useState<string | null>(environment?.key ?? null);
  const [production, setProduction] = useState(environment?.production ?? false);
  const [color, setColor] = useState(environment?.color ?? "");
  const [reason, setReason] = useState("");
  const [version, setVersion] = useState(environment?.version ?? 0);
  const key = typedKey ?? keyFrom(name);
  const save = useMutation({
    mutationFn: () => {
      const fields = { name: name.trim(), production, ...(reason.trim() === "" ? {} : { reason: reason.trim() }) };
      return environment
        ? api.updateEnvironment(project, environment.key, version, { ...fields, color: color === "" ? null : color })
        : api.createEnvironment(project, { ...fields, key, ...(color === "" ? {} : { color }) });
    },
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
      onClose();
    },
    onError: async (error) => {
      if (!environment || !isProblem(error, "stale")) return;
      // What was typed stays; the next try is on top of what is there now.
      const now = await queryClient.fetchQuery({ ...queries.environments(project), staleTime: 0 });
      setVersion(now.find((each) => each.key === environment.key)?.version ?? version);
    },
  });
  const stale = isProblem(save.error, "stale");
  const badColor = color !== "" && !COLOR.test(color);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <Dialog onClose={onClose} title={environment ? `Settings of ${environment.name}` : "New environment"}>
      <form onSubmit={submit}>
        <Stack>
          {stale ? (
            <Alert color="yellow" title="Somebody else changed these settings meanwhile" role="status">
              Yours are still here. Save once more to put them in place of theirs.
            </Alert>
          ) : save.error ? (
            <ProblemAlert error={save.error} />
          ) : null}
          <TextInput label="Name" required data-autofocus maxLength={100} value={name} onChange={(event) => setName(event.currentTarget.value)} />
          {environment ? null : (
            <TextInput
              label="Key"
              required
              value={key}
              onChange={(event) => setTypedKey(event.currentTarget.value)}
              error={key !== "" && !KEY.test(key) ? KEY_RULE : null}
              styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
            />
          )}
          <ColorInput
            label="Color"
            description="Beside its name, everywhere."
            placeholder="None"
            format="hex"
            swatches={COLORS}
            swatchesPerRow={8}
            withEyeDropper={false}
            value={color}
            onChange={setColor}
            error={badColor ? "A color looks like #d92d20" : null}
          />
          <Switch
            label="Production"
            description="Marked with a lock and the word; each change shows what it does before it is made."
            checked={production}
            onChange={(event) => setProduction(event.currentTarget.checked)}
            color="var(--tg-switch)"
          />
          <div style={{ fontSize: 14 }}>
            It will look like this: <EnvironmentName environment={{ key, name: name.trim() || "Name", production, color: badColor ? null : color || null }} />
          </div>
          <OptionalReason value={reason} onChange={setReason} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending} disabled={name.trim() === "" || !KEY.test(key) || badColor}>
              {environment ? "Save" : "Create environment"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

import { Button, Group, NumberInput, Select, Stack, Text, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import type { Environment, FlagConfig, FlagHead } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { ProblemAlert } from "../../components/ProblemAlert";
import { useFlagActions } from "../flags/FlagActions";

interface StartProps {
  project: string;
  flag: FlagHead;
  environment: Environment;
  config: FlagConfig;
}

const SHARES = [10_000, 25_000, 50_000, 100_000];
const MINUTE_MS = 60_000;

/** The way to a rollout, where one can start: the flag is on and serves one variant to everybody by default. */
export function StartRollout({ project, flag, environment, config }: StartProps) {
  const [open, setOpen] = useState(false);
  const actions = useFlagActions();
  const mayNot = actions.refusal("edit");
  const baseline = "variant" in config.default ? config.default.variant : null;
  if (baseline === null || !config.enabled || config.killed || flag.variants.length < 2) return null;
  return (
    <Group mb="md">
      <Button variant="default" size="compact-sm" disabled={mayNot !== null} title={mayNot ?? undefined} onClick={() => setOpen(true)}>
        Roll out another variant…
      </Button>
      {open ? <StartDialog project={project} flag={flag} environment={environment} baseline={baseline} onClose={() => setOpen(false)} /> : null}
    </Group>
  );
}

interface DialogProps extends Omit<StartProps, "config"> {
  baseline: string;
  onClose(): void;
}

function StartDialog({ project, flag, environment, baseline, onClose }: DialogProps) {
  const others = flag.variants.map(({ key }) => key).filter((key) => key !== baseline);
  const [variant, setVariant] = useState(others[0] ?? "");
  const [minutes, setMinutes] = useState(15);
  const [metrics, setMetrics] = useState("");
  const [reason, setReason] = useState("");
  const queryClient = useQueryClient();
  const start = useMutation({
    mutationFn: () => {
      const names = [...new Set(metrics.split(/[\s,]+/).filter((name) => name !== ""))];
      const steps = SHARES.map((share) => ({ share, bakeMs: minutes * MINUTE_MS }));
      const spec = { steps, gates: names.map((name) => ({ key: name, metric: name })) };
      return api.startRollout(project, environment.key, { flag: flag.key, variant, spec, reason: reason.trim() });
    },
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    start.mutate();
  };
  return (
    <Dialog onClose={onClose} size={560} title={`Roll out ${flag.key} in ${environment.name}`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <Text size="sm">
            Everyone has <strong>{baseline}</strong> now. The new variant goes to 10, 25, 50 and 100 % of units, as long as no gate finds harm; where
            one does, everyone gets {baseline} again, by itself.
          </Text>
          {others.length > 1 ? (
            <Select label="New variant" data={others} value={variant} onChange={(value) => setVariant(value ?? variant)} allowDeselect={false} />
          ) : null}
          <NumberInput
            label="Minutes for each step"
            description="Counted only while every SDK has the share and something is heard of the flag."
            min={1}
            max={43_200}
            allowDecimal={false}
            clampBehavior="strict"
            value={minutes}
            onChange={(value) => {
              if (typeof value === "number") setMinutes(value);
            }}
          />
          <TextInput
            label="What must not happen more often"
            description="Names of metrics that the application tracks, like checkout-error. Without any it is a timed ramp."
            placeholder="checkout-error, payment-error"
            value={metrics}
            onChange={(event) => setMetrics(event.currentTarget.value)}
          />
          <Textarea label="Reason" autosize minRows={2} maxRows={5} maxLength={1000} value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
          {start.error ? <ProblemAlert error={start.error} /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={start.isPending}>
              Start in {environment.name}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

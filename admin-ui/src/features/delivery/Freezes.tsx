import { Group, Stack, Switch, Tooltip } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";

import { deliveryApi, deliveryQueries } from "../../api/delivery";
import { isProblem } from "../../api/problem";
import { queries } from "../../api/queries";
import type { Environment, Project, RolloutWindow } from "../../api/types";
import { EnvironmentName } from "../../components/EnvironmentName";
import { Guarded } from "../../components/Guarded";
import { Loading } from "../../components/Loading";
import { Card } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { OptionalReason } from "../../components/ReasonField";
import { canonical } from "../../lib/json";
import { windowWords } from "../rollouts/rolloutWords";
import { errorsOf } from "../rollouts/specDraft";
import { WindowsEditor } from "../rollouts/WindowsEditor";
import styles from "./Delivery.module.css";
import { Overtaken, useRefusal } from "./parts";

/** When no share may rise: the freezes of each environment, and whether rollouts take turns. */
export function Freezes() {
  const { project } = useParams({ from: "/projects/$project/delivery/freezes" });
  const environments = useQuery(queries.environments(project)).data ?? [];
  const itself = useQuery(deliveryQueries.project(project));
  return (
    <div className={styles.list}>
      <Card className={styles.card ?? ""}>
        <div className={styles.head}>
          <h2>One at a time</h2>
        </div>
        {itself.data ? <Turns key={itself.data.version} project={itself.data} /> : itself.error ? <ProblemAlert error={itself.error} onRetry={() => void itself.refetch()} /> : <Loading size="sm" what="Loading the project" />}
      </Card>
      {environments.map((environment) => (
        <Card key={environment.key} className={styles.card ?? ""}>
          <FreezesOf project={project} environment={environment} />
        </Card>
      ))}
    </div>
  );
}

function Turns({ project }: { project: Project }) {
  const [on, setOn] = useState(project.oneRolloutAtATime ?? false);
  const [reason, setReason] = useState("");
  const mayNot = useRefusal("administer", "Changing this");
  const queryClient = useQueryClient();
  const refresh = () => queryClient.invalidateQueries({ queryKey: ["project", project.key] });
  const save = useMutation({ mutationFn: () => deliveryApi.setOneRolloutAtATime(project.key, project.version, on, reason.trim()), onSuccess: refresh, onError: (error) => (isProblem(error, "stale") ? refresh() : undefined) });
  const changed = on !== (project.oneRolloutAtATime ?? false);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm" mt="xs">
        <Tooltip label={mayNot} disabled={mayNot === null}>
          <div>
            <Switch
              label="In production environments, one rollout goes on at a time"
              description={mayNot ? `The others wait for their turn, in the order in which they were started. ${mayNot}.` : "The others wait for their turn, in the order in which they were started."}
              checked={on}
              disabled={mayNot !== null}
              onChange={(event) => setOn(event.currentTarget.checked)}
            />
          </div>
        </Tooltip>
        {save.error ? <ProblemAlert error={save.error} /> : null}
        {changed ? (
          <>
            <OptionalReason value={reason} onChange={setReason} />
            <Group justify="flex-end">
              <Guarded refusal={mayNot} type="submit" loading={save.isPending}>
                Save
              </Guarded>
            </Group>
          </>
        ) : null}
      </Stack>
    </form>
  );
}

const freezesOf = ({ freezes }: Environment): RolloutWindow[] => freezes ?? [];

function FreezesOf({ project, environment }: { project: string; environment: Environment }) {
  const [base, setBase] = useState(environment);
  const [theirs, setTheirs] = useState<{ before: unknown; after: unknown } | null>(null);
  const [freezes, setFreezes] = useState<RolloutWindow[]>(freezesOf(environment));
  const [reason, setReason] = useState("");
  const mayNot = useRefusal("administer", "Changing freezes");
  const queryClient = useQueryClient();
  const changed = canonical(freezes) !== canonical(freezesOf(base));
  // What was only looked at follows what is stored.
  if (!changed && base.version !== environment.version) {
    setBase(environment);
    setFreezes(freezesOf(environment));
  }
  const save = useMutation({
    mutationFn: () => deliveryApi.setFreezes(project, environment.key, base.version, freezes, reason.trim()),
    onSuccess: async (saved) => {
      setTheirs(null);
      setReason("");
      setBase({ ...base, ...saved });
      setFreezes(saved.freezes ?? []);
      notifications.show({ color: "tide", autoClose: 4_000, message: `The freezes of ${environment.name} are saved` });
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
    },
    onError: async (error) => {
      if (!isProblem(error, "stale")) return;
      const now = (await queryClient.fetchQuery({ ...queries.environments(project), staleTime: 0 })).find(({ key }) => key === environment.key);
      if (!now) return;
      setTheirs({ before: { freezes: freezesOf(base) }, after: { freezes: freezesOf(now) } });
      setBase(now);
    },
  });
  const problem = isProblem(save.error) ? save.error : null;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="md">
        <div className={styles.head}>
          <h2>
            <EnvironmentName environment={environment} />
          </h2>
          <span className={styles.dim}>{freezesOf(environment).length === 0 ? "never frozen: shares may rise at any time" : "no share rises within its freezes; lowering, killing and completing go on"}</span>
        </div>
        {mayNot === null ? (
          <WindowsEditor
            windows={freezes}
            what="freeze"
            errors={errorsOf(problem, "/freezes")}
            onChange={(next) => {
              setFreezes(next);
              if (problem?.field) save.reset();
            }}
          />
        ) : (
          <>
            {freezesOf(environment).map((freeze) => (
              <p key={canonical(freeze)} className={styles.text}>
                {windowWords(freeze)}
              </p>
            ))}
            <p className={styles.facts}>{mayNot}.</p>
          </>
        )}
        {theirs && problem?.code === "stale" ? <Overtaken {...theirs} /> : save.error ? <ProblemAlert error={save.error} /> : null}
        {changed ? (
          <>
            <OptionalReason value={reason} onChange={setReason} />
            <Group justify="flex-end">
              <Guarded refusal={null} variant="default" onClick={() => setFreezes(freezesOf(base))}>
                Undo
              </Guarded>
              <Guarded refusal={mayNot} type="submit" loading={save.isPending}>
                Save freezes of {environment.name}
              </Guarded>
            </Group>
          </>
        ) : null}
      </Stack>
    </form>
  );
}

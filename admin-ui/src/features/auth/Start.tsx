/** The first run, step by step. Where it stands is read from what there is, so that it can be left and taken up again. */

import { Button, Group, Stack, Switch, Text, TextInput } from "@mantine/core";
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Navigate, useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useState, type FormEvent, type ReactNode } from "react";

import { api } from "../../api/client";
import { isProblem } from "../../api/problem";
import { queries } from "../../api/queries";
import type { Environment } from "../../api/types";
import { EnvironmentName } from "../../components/EnvironmentName";
import { CheckIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { ProblemAlert } from "../../components/ProblemAlert";
import { Splash } from "../../components/Splash";
import { refusal } from "../../lib/access";
import { KEY, KEY_RULE, keyFrom } from "../../lib/keys";
import { remember, remembered } from "../../lib/storage";
import { Connect } from "../environments/Connect";
import { FIRST_ENVIRONMENTS } from "../environments/NewProject";
import { Gate } from "./Gate";
import styles from "./Gate.module.css";

const STEPS = ["Project", "Environments", "First flag", "Application"] as const;

const MONO = { input: { fontFamily: "var(--mantine-font-family-monospace)" } };

export function Start() {
  const search = useSearch({ from: "/start" });
  const navigate = useNavigate();
  const me = useQuery(queries.me());
  const projects = useQuery({ ...queries.projects(), enabled: me.isSuccess });
  const wanted = search.project ?? remembered("start");
  const project = projects.data?.find(({ key }) => key === wanted)?.key;
  const environments = useQuery({ ...queries.environments(project ?? ""), enabled: project !== undefined });
  const flags = useInfiniteQuery({ ...queries.allFlags(project ?? ""), enabled: project !== undefined });
  useEffect(() => {
    if (project !== undefined) remember("start", project);
  }, [project]);

  if (isProblem(me.error, "unauthenticated")) return <Navigate to="/sign-in" search={{ next: "/start" }} replace />;
  const failed = [me, projects, environments, flags].find((query) => query.error && !query.data);
  if (failed) return <Splash error={failed.error} onRetry={() => void failed.refetch()} home />;
  if (!me.data || !projects.data) return <Splash />;
  if (project === undefined) {
    if (!me.data.instanceAdmin) return <Navigate to="/" replace />;
    return (
      <Step at={0} title="Your first project" lead="A project holds flags; each flag behaves on its own in every environment.">
        <ProjectStep onDone={(key) => void navigate({ to: "/start", search: { project: key }, replace: true })} />
        {projects.data.length > 0 ? <Foot /> : null}
      </Step>
    );
  }
  if (refusal(me.data, project, "administer") !== null) return <Navigate to="/projects/$project" params={{ project }} replace />;
  if (!environments.data || !flags.data) return <Splash />;
  const first = environments.data.find(({ production }) => !production) ?? environments.data[0];
  if (!first) {
    return (
      <Step at={1} title="Where flags are evaluated" lead="Each environment has its own settings of every flag. Production asks before each change.">
        <EnvironmentsStep project={project} />
        <Foot project={project} />
      </Step>
    );
  }
  const flag = flags.data.pages[0]?.items[0];
  if (!flag) {
    return (
      <Step at={2} title="Your first flag" lead="It is on or off, and your application asks for it by its key.">
        <FlagStep project={project} environment={first} />
        <Foot project={project} />
      </Step>
    );
  }
  return (
    <Step at={3} title="Connect an application" lead={`A server key for ${first.name}, and the lines that use it. It turns green when the first SDK is there.`}>
      <ConnectStep project={project} environment={first} flag={flag.key} />
    </Step>
  );
}

function Step({ at, title, lead, children }: { at: number; title: string; lead: string; children: ReactNode }) {
  return (
    <Gate title={title} lead={lead} wide>
      <ol className={styles.steps} aria-label="Set-up">
        {STEPS.map((name, index) => (
          <li key={name} data-done={index < at || undefined} aria-current={index === at ? "step" : undefined}>
            <span aria-hidden="true">{index < at ? <CheckIcon size={13} /> : index + 1}</span>
            <span>
              {name}
              {index < at ? <span className="visually-hidden">, done</span> : null}
            </span>
          </li>
        ))}
      </ol>
      {children}
    </Gate>
  );
}

/** Out of it: for now, to be taken up from the overview, or for good. */
function Foot({ project }: { project?: string }) {
  const navigate = useNavigate();
  const leave = (forGood: boolean) => {
    if (forGood) remember("start", null);
    void navigate(project === undefined ? { to: "/" } : { to: "/projects/$project", params: { project } });
  };
  return (
    <div className={styles.foot}>
      <Button variant="subtle" onClick={() => leave(false)}>
        Later
      </Button>
      {project === undefined ? null : (
        <Button variant="subtle" onClick={() => leave(true)}>
          Skip the set-up
        </Button>
      )}
    </div>
  );
}

function ProjectStep({ onDone }: { onDone(key: string): void }) {
  const [name, setName] = useState("");
  const [typedKey, setTypedKey] = useState<string | null>(null);
  const key = typedKey ?? keyFrom(name);
  const queryClient = useQueryClient();
  const create = useMutation({
    mutationFn: () => api.createProject({ key, name: name.trim() }),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: queries.projects().queryKey });
      onDone(key);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        {create.error ? <ProblemAlert error={create.error} /> : null}
        <TextInput label="Name" description="Like the product, or the team." required autoFocus value={name} onChange={(event) => setName(event.currentTarget.value)} />
        <TextInput label="Key" required value={key} onChange={(event) => setTypedKey(event.currentTarget.value)} error={key !== "" && !KEY.test(key) ? KEY_RULE : null} styles={MONO} />
        <Group justify="flex-end">
          <Button type="submit" loading={create.isPending} disabled={!KEY.test(key) || name.trim() === ""}>
            Create the project
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

const DOTS: Record<string, string> = { development: "#2f9e6e", staging: "#7a6ff0", production: "#e08a1e" };

function EnvironmentsStep({ project }: { project: string }) {
  const [chosen, setChosen] = useState(() => new Set(FIRST_ENVIRONMENTS.map(({ key }) => key)));
  const queryClient = useQueryClient();
  const create = useMutation({
    mutationFn: async () => {
      for (const environment of FIRST_ENVIRONMENTS.filter(({ key }) => chosen.has(key))) {
        const color = DOTS[environment.key];
        // oxlint-disable-next-line no-await-in-loop -- their order in every list is the order of their making
        await api.createEnvironment(project, { ...environment, ...(color ? { color } : {}) });
      }
    },
    // What was made before something failed is there: the next step shows it.
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["project", project] }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        {create.error ? <ProblemAlert error={create.error} /> : null}
        {FIRST_ENVIRONMENTS.map((environment) => (
          <Switch
            key={environment.key}
            label={<EnvironmentName environment={{ ...environment, color: DOTS[environment.key] ?? null }} />}
            checked={chosen.has(environment.key)}
            color="var(--tg-switch)"
            onChange={() =>
              setChosen((all) => {
                const next = new Set(all);
                if (!next.delete(environment.key)) next.add(environment.key);
                return next;
              })
            }
          />
        ))}
        <Text size="sm" c="dimmed">
          More can be added later, under Environments.
        </Text>
        <Group justify="flex-end">
          <Button type="submit" loading={create.isPending} disabled={chosen.size === 0}>
            {chosen.size === 1 ? "Create 1 environment" : `Create ${chosen.size} environments`}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function FlagStep({ project, environment }: { project: string; environment: Environment }) {
  const [name, setName] = useState("New checkout");
  const [typedKey, setTypedKey] = useState<string | null>(null);
  const [on, setOn] = useState(true);
  const key = typedKey ?? keyFrom(name);
  const queryClient = useQueryClient();
  const create = useMutation({
    mutationFn: async () => {
      await api.createFlag(project, {
        key,
        name: name.trim(),
        kind: "boolean",
        variants: [
          { key: "on", value: true },
          { key: "off", value: false },
        ],
        defaultVariant: "on",
        offVariant: "off",
      });
      if (!on) return;
      const { version } = await api.config(project, key, environment.key);
      await api.patchConfig(project, key, environment.key, version, { enabled: true }, "The first flag");
    },
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["project", project] }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        {create.error ? <ProblemAlert error={create.error} /> : null}
        <TextInput label="Name" required autoFocus value={name} onChange={(event) => setName(event.currentTarget.value)} />
        <TextInput
          label="Key"
          description="What the application asks for."
          required
          value={key}
          onChange={(event) => setTypedKey(event.currentTarget.value)}
          error={key !== "" && !KEY.test(key) ? KEY_RULE : null}
          styles={MONO}
        />
        <Switch label={`Turn it on in ${environment.name}`} description="Elsewhere it starts off." checked={on} onChange={(event) => setOn(event.currentTarget.checked)} color="var(--tg-switch)" />
        <Group justify="flex-end">
          <Button type="submit" loading={create.isPending} disabled={!KEY.test(key) || name.trim() === ""}>
            Create the flag
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function ConnectStep({ project, environment, flag }: { project: string; environment: Environment; flag: string }) {
  const [connected, setConnected] = useState(false);
  const navigate = useNavigate();
  const create = useMutation({ mutationFn: () => api.createKey(project, environment.key, { name: "first application", kind: "server" }) });
  const finish = () => {
    remember("start", null);
    void navigate({ to: "/projects/$project/flags", params: { project } });
  };
  if (!create.data) {
    return (
      <>
        {create.error ? <ProblemAlert error={create.error} /> : null}
        <Text size="sm" mb="md">
          The key is shown once. Whoever takes this up again later makes another.
        </Text>
        <Group justify="flex-end">
          {create.isPending ? <Loading size="sm" what="Making the key" /> : null}
          <Button onClick={() => create.mutate()} disabled={create.isPending}>
            Make a key for {environment.name}
          </Button>
        </Group>
        <Foot project={project} />
      </>
    );
  }
  return (
    <>
      <Connect project={project} environment={environment} sdkKey={create.data.key} kind="server" flag={flag} onConnected={() => setConnected(true)} />
      {connected ? (
        <Group justify="space-between" mt="lg">
          <Text size="sm">That is all. Toggle {flag} and see the application follow within milliseconds.</Text>
          <Button onClick={finish}>To the flags</Button>
        </Group>
      ) : (
        <Foot project={project} />
      )}
    </>
  );
}

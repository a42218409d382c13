import { Checkbox, Group, Select, Stack, Text, Textarea } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMemo, useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { deliveryQueries } from "../../api/delivery";
import { isProblem } from "../../api/problem";
import { queries } from "../../api/queries";
import type { Environment, Flag, FlagConfig, RolloutSpec, RolloutTemplate } from "../../api/types";
import { EnvironmentName } from "../../components/EnvironmentName";
import { Guarded } from "../../components/Guarded";
import { CheckIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Card, Empty, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { canonical } from "../../lib/json";
import { useFlagActions } from "../flags/FlagActions";
import { wholeVariant } from "../flags/reach";
import { PreviewPanel, type Traffic } from "./PreviewPanel";
import { isQuery, refusalWords } from "./rolloutWords";
import above from "./RolloutPage.module.css";
import { SaveTemplate } from "./SaveTemplate";
import styles from "./Spec.module.css";
import { cleaned, DEFAULT, EMPTY, errorsOf } from "./specDraft";
import { SpecEditor } from "./SpecEditor";
import { startRefusal } from "./StartRollout";
import { usePreview } from "./usePreview";

export function StartPage() {
  const { project, flag: key } = useParams({ from: "/projects/$project/flags/$flag/rollouts/new" });
  const { environment: asked } = useSearch({ from: "/projects/$project/flags/$flag/rollouts/new" });
  const environments = useQuery(queries.environments(project)).data ?? [];
  const environment = environments.find((each) => each.key === asked) ?? environments.find((each) => each.production) ?? environments[0];
  const flag = useQuery(queries.flag(project, key));
  const config = useQuery({ ...queries.config(project, key, environment?.key ?? ""), enabled: environment !== undefined });
  const templates = useQuery(deliveryQueries.templates(project));
  const failed = [flag, config, templates].find(({ error, data }) => error && !data);
  const back = (
    <nav className={above.above} aria-label="Where this belongs">
      <Link to="/projects/$project/flags/$flag" params={{ project, flag: key }} search={{ ...(environment ? { environment: environment.key } : {}), tab: "rollout" }}>
        ← {key}
      </Link>
    </nav>
  );
  if (!environment || !flag.data || !config.data || !templates.data) {
    return (
      <Page title={`Roll out ${key}`} above={back}>
        {failed ? <ProblemAlert error={failed.error} onRetry={() => void failed.refetch()} /> : <Loading what="Loading the flag" />}
      </Page>
    );
  }
  const refused = startRefusal(flag.data, config.data);
  const served = wholeVariant(config.data.default);
  return (
    <Page
      title={`Roll out ${key}`}
      lead={
        <span className={above.lead}>
          <EnvironmentName environment={environment} />
          {served === null ? null : (
            <span>
              everyone has <strong>{served}</strong> now
            </span>
          )}
        </span>
      }
      above={back}
    >
      {refused ? (
        <Card>
          <Empty title="No rollout can start here">
            <p>{refused}</p>
          </Empty>
        </Card>
      ) : (
        <Start key={environment.key} project={project} environment={environment} flag={flag.data} config={config.data} templates={templates.data} />
      )}
    </Page>
  );
}

interface StartProps {
  project: string;
  environment: Environment;
  flag: Flag;
  config: FlagConfig;
  templates: RolloutTemplate[];
}

const NONE: string[] = [];

function Start({ project, environment, flag, config, templates }: StartProps) {
  const baseline = wholeVariant(config.default) ?? "";
  const others = flag.variants.map(({ key }) => key).filter((key) => key !== baseline);
  const [variant, setVariant] = useState(others[0] ?? "");
  const [chosen, setChosen] = useState(DEFAULT);
  const [saving, setSaving] = useState(false);
  const [spec, setSpec] = useState<RolloutSpec>(() => templates.find(({ key }) => key === DEFAULT)?.spec ?? EMPTY);
  const [traffic, setTraffic] = useState<Traffic>({ unitsPerMinute: undefined, baselines: {} });
  const [freshCohort, setFreshCohort] = useState(false);
  const [allowNoData, setAllowNoData] = useState(false);
  const [reason, setReason] = useState("");
  const segments = useQuery(deliveryQueries.segmentKeys(project, environment.key)).data ?? NONE;
  const preview = usePreview(project, environment.key, flag.key, spec, traffic);
  const refusal = useFlagActions().refusal("edit");
  const mayNot = refusalWords(refusal, "Starting a rollout");
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const start = useMutation({
    mutationFn: () =>
      api.startRollout(project, environment.key, {
        flag: flag.key,
        variant,
        spec: cleaned(spec),
        ...(freshCohort ? { freshCohort } : {}),
        ...(allowNoData ? { allowNoData } : {}),
        reason: reason.trim(),
      }),
    onSuccess: async (started) => {
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
      notifications.show({ color: "tide", autoClose: 5_000, message: `${flag.key} goes out in ${environment.name}: the first step begins within seconds, or when its time comes` });
      await navigate({ to: "/projects/$project/flags/$flag/rollouts/$rollout", params: { project, flag: flag.key, rollout: started.id }, search: { environment: environment.key } });
    },
  });
  const change = (next: RolloutSpec) => {
    setSpec(next);
    // What was refused was another spec.
    start.reset();
  };
  const take = (template: RolloutTemplate) => {
    // The gates of somebody who has written some are not thrown away for a template that has none.
    const gates = template.spec.gates?.length ? template.spec.gates : (spec.gates ?? []);
    setChosen(template.key);
    change({ ...template.spec, gates });
  };
  const refused = start.error ?? preview.error;
  const errors = useMemo(() => errorsOf(isProblem(refused) ? refused : null), [refused]);
  const queried = (spec.gates ?? []).some(isQuery);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (mayNot === null) start.mutate();
  };
  return (
    <>
      <form onSubmit={submit} className={styles.layout}>
        <Stack gap={18} miw={0}>
          <Card className={styles.card ?? ""}>
            <h2>From a template</h2>
            <div className={styles.templates} role="group" aria-label="Templates">
              {templates.map((template) => (
                <TemplateButton key={template.key} template={template} pressed={template.key === chosen && isAsIn(template, spec)} onTake={() => take(template)} />
              ))}
            </div>
            {others.length > 1 ? <Select mt="md" maw={320} label="New variant" data={others} value={variant} onChange={(value) => setVariant(value ?? variant)} allowDeselect={false} /> : null}
          </Card>
          <Card className={styles.card ?? ""}>
            <h2>What it does</h2>
            <SpecEditor project={project} spec={spec} segments={segments} errors={errors} onChange={change} />
            <Guarded refusal={refusalWords(refusal, "Changing templates")} variant="default" size="compact-sm" mt="md" onClick={() => setSaving(true)}>
              Save as template…
            </Guarded>
          </Card>
          <Card className={styles.card ?? ""}>
            <h2>Start it</h2>
            <Stack gap="md">
              <Checkbox label="Begin with other units than the attempt before" description="Else the same units have it first again." checked={freshCohort} onChange={(event) => setFreshCohort(event.currentTarget.checked)} />
              {queried ? (
                <Checkbox
                  label="Start although a query has no number yet"
                  description="For a metric that only begins with the release. It holds at its first step until there is a number."
                  checked={allowNoData}
                  onChange={(event) => setAllowNoData(event.currentTarget.checked)}
                />
              ) : null}
              <Textarea label="Reason" description="Kept in the audit log." autosize minRows={2} maxRows={5} maxLength={1000} value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
              {start.error ? <ProblemAlert error={start.error} /> : null}
              <Group justify="space-between">
                <Text size="sm" c="dimmed">
                  {variant} goes out; where harm is found, {baseline} comes back by itself.
                </Text>
                <Guarded refusal={mayNot} type="submit" loading={start.isPending}>
                  Start in {environment.name}
                </Guarded>
              </Group>
            </Stack>
          </Card>
        </Stack>
        <PreviewPanel spec={spec} preview={preview.data} pending={preview.pending} error={preview.pending ? null : preview.error} traffic={traffic} onTraffic={setTraffic} />
      </form>
      {saving ? <SaveTemplate project={project} spec={spec} onClose={() => setSaving(false)} onSaved={take} /> : null}
    </>
  );
}

/** Whether the spec says what the template says; one without gates leaves them open. */
function isAsIn(template: RolloutTemplate, spec: RolloutSpec): boolean {
  const gates = template.spec.gates?.length ? spec.gates : [];
  return canonical(cleaned(template.spec)) === canonical(cleaned({ ...spec, gates: gates ?? [] }));
}

function TemplateButton({ template, pressed, onTake }: { template: RolloutTemplate; pressed: boolean; onTake(): void }) {
  return (
    <button type="button" className={styles.template} aria-pressed={pressed} onClick={onTake}>
      <strong>
        {template.name}
        {pressed ? <CheckIcon size={15} /> : null}
      </strong>
      <span>{template.description}</span>
    </button>
  );
}

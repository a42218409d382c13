import { Group, Stack } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMemo, useState, type FormEvent } from "react";

import { deliveryApi, deliveryQueries } from "../../api/delivery";
import { isProblem } from "../../api/problem";
import type { RolloutSpec, RolloutTemplate } from "../../api/types";
import { Guarded } from "../../components/Guarded";
import { Loading } from "../../components/Loading";
import { Card, Empty, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { OptionalReason } from "../../components/ReasonField";
import spec from "../rollouts/Spec.module.css";
import { cleaned, DEFAULT, EMPTY, errorsOf } from "../rollouts/specDraft";
import { SpecEditor } from "../rollouts/SpecEditor";
import { namesOf, TemplateFields, type TemplateNames } from "../rollouts/TemplateFields";
import styles from "./Delivery.module.css";
import { Overtaken, useRefusal } from "./parts";

const NEW = "new";
const NONE: string[] = [];

export function TemplatePage() {
  const { project, template: key } = useParams({ from: "/projects/$project/delivery/templates/$template" });
  const { from } = useSearch({ from: "/projects/$project/delivery/templates/$template" });
  const templates = useQuery(deliveryQueries.templates(project));
  const back = (
    <Link to="/projects/$project/delivery/templates" params={{ project }} className={styles.back}>
      ← All templates
    </Link>
  );
  const keyed = (wanted: string | undefined) => templates.data?.find((each) => each.key === wanted);
  const found = keyed(key === NEW ? from : key);
  const title = key === NEW ? "New template" : (found?.name ?? key);
  if (!templates.data) {
    return (
      <Page title={title} above={back}>
        {templates.error ? <ProblemAlert error={templates.error} onRetry={() => void templates.refetch()} /> : <Loading what="Loading the template" />}
      </Page>
    );
  }
  return (
    <Page title={title} above={back}>
      {key !== NEW && (!found || found.version === 0) ? (
        <Card>
          <Empty title={found ? "This one is always there" : "There is no such template"}>
            <p>{found ? "It is the same in every project. Copy it to change it." : "It may have been archived."}</p>
          </Empty>
        </Card>
      ) : (
        <TemplateForm key={key} project={project} template={key === NEW ? null : (found ?? null)} from={found ?? null} standard={keyed(DEFAULT)?.spec ?? EMPTY} />
      )}
    </Page>
  );
}

const told = ({ name, description, spec: of }: RolloutTemplate) => ({ name, description, spec: of });

interface TemplateFormProps {
  project: string;
  /** Null for one to make. */
  template: RolloutTemplate | null;
  /** What it begins as a copy of. */
  from: RolloutTemplate | null;
  /** What it begins with else. */
  standard: RolloutSpec;
}

function TemplateForm({ project, template, from, standard }: TemplateFormProps) {
  // What was read first: a newer one, read meanwhile, is somebody else's, and must not be overwritten unseen.
  const [base, setBase] = useState(template);
  const [theirs, setTheirs] = useState<{ before: unknown; after: unknown } | null>(null);
  const [names, setNames] = useState<TemplateNames>({ name: template?.name ?? (from ? `${from.name} copy` : ""), key: null, description: (template ?? from)?.description ?? "" });
  const [draft, setDraft] = useState((template ?? from)?.spec ?? standard);
  const [reason, setReason] = useState("");
  const mayNot = useRefusal("edit", "Changing templates");
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const save = useMutation({
    mutationFn: () => {
      const { key, ...called } = namesOf(names);
      const body = { ...called, spec: cleaned(draft), reason: reason.trim() };
      return base ? deliveryApi.updateTemplate(project, base.key, base.version, body) : deliveryApi.createTemplate(project, { ...body, key });
    },
    onSuccess: async (saved) => {
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
      notifications.show({ color: "tide", autoClose: 4_000, message: `${saved.name} is saved` });
      await navigate({ to: "/projects/$project/delivery/templates", params: { project } });
    },
    onError: async (error) => {
      if (!isProblem(error, "stale") || !base) return;
      const all = await queryClient.fetchQuery({ ...deliveryQueries.templates(project), staleTime: 0 });
      const now = all.find((each) => each.key === base.key);
      if (!now) return;
      setTheirs({ before: told(base), after: told(now) });
      setBase(now);
    },
  });
  const problem = isProblem(save.error) ? save.error : null;
  const errors = useMemo(() => errorsOf(problem), [problem]);
  const stale = theirs !== null && problem?.code === "stale";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack gap={18}>
        <Card className={styles.card ?? ""}>
          <TemplateFields names={names} keyed={template === null} problem={problem} onChange={setNames} />
        </Card>
        <Card className={spec.card ?? ""}>
          <h2>What a rollout of it does</h2>
          <SpecEditor
            project={project}
            spec={draft}
            segments={NONE}
            errors={errors}
            onChange={(next) => {
              setDraft(next);
              if (problem?.field?.startsWith("/spec")) save.reset();
            }}
          />
        </Card>
        <Card className={styles.card ?? ""}>
          <Stack gap="md">
            {stale && theirs ? <Overtaken {...theirs} /> : save.error ? <ProblemAlert error={save.error} /> : null}
            <OptionalReason value={reason} onChange={setReason} />
            <Group justify="flex-end">
              <Guarded refusal={mayNot} type="submit" loading={save.isPending}>
                {stale ? "Save mine" : template ? "Save template" : "Create template"}
              </Guarded>
            </Group>
          </Stack>
        </Card>
      </Stack>
    </form>
  );
}

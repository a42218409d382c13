import { Alert, Button, Checkbox, CloseButton, NativeSelect, TextInput } from "@mantine/core";
import { useClipboard, useDebouncedCallback } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useDeferredValue, useMemo, useState } from "react";

import { queries } from "../../api/queries";
import type { Environment, Explained } from "../../api/types";
import { Ago } from "../../components/Ago";
import { EnvironmentName } from "../../components/EnvironmentName";
import { CheckIcon, CopyIcon, SearchIcon, WarningIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Card, Empty, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { TextLink } from "../../components/TextLink";
import { given } from "../../lib/given";
import { brief, canonical } from "../../lib/json";
import { Answers, type AnswerRow } from "./Answers";
import { attributesAskedFor, formOf } from "./context";
import { ContextFields, readDraft, type ContextDraft } from "./ContextCard";
import { NoEvaluator, type EvaluationContext } from "./evaluator";
import styles from "./Playground.module.css";
import { SOMEBODY } from "./sample";
import { Sentence } from "./Sentence";
import { Trace } from "./Trace";
import { sameAnswer, whyWords } from "./traceWords";
import { useEnvironment, type LoadedEnvironment } from "./useEnvironment";

function draftOf(context: EvaluationContext): ContextDraft {
  const form = formOf(context);
  return form ? { form } : { text: JSON.stringify(context, null, 2) };
}

/** A context in, every flag’s answer out, and how it came about. Everything that is asked is in the URL. */
export function Playground() {
  const { project } = useParams({ from: "/projects/$project/playground" });
  const search = useSearch({ from: "/projects/$project/playground" });
  const navigate = useNavigate({ from: "/projects/$project/playground" });
  const environments = useQuery(queries.environments(project)).data ?? [];
  const environment = environments.find(({ key }) => key === search.environment) ?? environments.find(({ production }) => production) ?? environments[0];
  const other = environments.find(({ key }) => key === search.compare && key !== environment?.key);

  const first = useEnvironment(project, environment?.key ?? null);
  const second = useEnvironment(project, other?.key ?? null);

  const asked = search.context ?? SOMEBODY;
  const [draft, setDraft] = useState<ContextDraft>(() => draftOf(asked));
  const [context, setContext] = useState(asked);
  // What the URL said last, be it that we wrote it: another context there comes from a link, and replaces what is typed.
  const [seen, setSeen] = useState(() => canonical(asked));
  if (canonical(asked) !== seen) {
    setSeen(canonical(asked));
    if (canonical(asked) !== canonical(context)) {
      setContext(asked);
      setDraft(draftOf(asked));
    }
  }
  const go = (patch: Partial<typeof search>) => navigate({ search: (previous) => given({ ...previous, ...patch }), replace: true, resetScroll: false });
  const write = useDebouncedCallback((next: EvaluationContext) => void go({ context: next }), 250);
  const change = (next: ContextDraft) => {
    setDraft(next);
    const read = readDraft(next);
    if (read === null) return;
    setContext(read);
    write(read);
  };

  const fixed = search.at === undefined ? null : Date.parse(search.at);
  const clipboard = useClipboard();
  const [openedAt] = useState(() => Date.now());
  const nowMs = fixed !== null && Number.isFinite(fixed) ? fixed : Math.max(openedAt, first.loaded?.readAt ?? 0);

  const shown = [environment, other].filter((each) => each !== undefined);
  const [here, there] = [first.loaded, second.loaded];
  const comparing = other !== undefined;
  // A thousand flags take longer than a keystroke may.
  const answered = useDeferredValue(context);
  const said = useMemo(() => {
    if (!here || (comparing && !there)) return null;
    return answersOf(comparing && there ? [here, there] : [here], answered, nowMs);
  }, [here, there, comparing, answered, nowMs]);
  const error = first.error ?? second.error;

  const rows = said !== null && "rows" in said ? said.rows : [];
  const wanted = (search.search ?? "").toLowerCase();
  const filtered = rows.filter((row) => row.flag.toLowerCase().includes(wanted) && (search.differences !== true || row.differs));
  const differing = rows.filter((row) => row.differs).length;
  const flag = search.flag ?? undefined;

  return (
    <Page
      title="Playground"
      lead="What does this user get, and why? The server’s own evaluator answers, here in your browser."
      actions={
        <Button
          variant="default"
          leftSection={clipboard.copied ? <CheckIcon /> : <CopyIcon />}
          onClick={() => clipboard.copy(linkTo({ ...search, context, environment: environment?.key }))}
        >
          {clipboard.copied ? "Copied" : "Copy a link to this"}
        </Button>
      }
    >
      <div className={styles.layout}>
        <div className={styles.side}>
          <Card className={styles.card ?? ""}>
            <div className={styles.where}>
              <NativeSelect
                label="Environment"
                value={environment?.key ?? ""}
                data={environments.map(option)}
                onChange={(event) => void go({ environment: event.currentTarget.value, ...(event.currentTarget.value === other?.key ? { compare: undefined } : {}) })}
              />
              <NativeSelect
                label="Compare with"
                value={other?.key ?? ""}
                data={[{ value: "", label: "Nothing" }, ...environments.filter(({ key }) => key !== environment?.key).map(option)]}
                onChange={(event) => void go({ compare: event.currentTarget.value || undefined, differences: undefined })}
              />
            </div>
            <ContextFields draft={draft} onChange={change} asked={first.loaded ? attributesAskedFor(first.loaded.file) : []} />
            <TextInput
              mt="md"
              label="Time"
              description="For conditions on $now. Empty: now."
              placeholder="2026-12-24T18:00:00Z"
              spellCheck={false}
              defaultValue={search.at ?? ""}
              key={search.at ?? ""}
              error={fixed !== null && !Number.isFinite(fixed) ? "Not a time: write 2026-12-24T18:00:00Z" : undefined}
              onBlur={(event) => void go({ at: event.currentTarget.value.trim() || undefined })}
              onKeyDown={(event) => {
                if (event.key === "Enter") void go({ at: event.currentTarget.value.trim() || undefined });
              }}
            />
          </Card>
        </div>
        <div className={styles.main}>
          {error instanceof NoEvaluator ? (
            <Alert color="yellow" icon={<WarningIcon />} title="This build has no evaluator for the browser">
              It was built without Rust’s target wasm32-unknown-unknown. <code>tidegate explain</code> and the API’s <code>explain</code> say the same as this page would.
            </Alert>
          ) : error ? (
            <ProblemAlert error={error} onRetry={() => (first.error ? first : second).retry()} />
          ) : null}
          {said === null && !error ? <Loading what="Loading the evaluator" /> : null}
          {said !== null && "refused" in said ? (
            <Alert color="yellow" icon={<WarningIcon />} title="This context cannot be used" role="alert">
              <Sentence text={said.refused} />
            </Alert>
          ) : null}
          {said !== null && "rows" in said && environment ? (
            <>
              <Card>
                <div className={styles.filters}>
                  <TextInput
                    aria-label="Only flags whose key contains"
                    placeholder="Find a flag"
                    leftSection={<SearchIcon />}
                    value={search.search ?? ""}
                    onChange={(event) => void go({ search: event.currentTarget.value || undefined })}
                    rightSection={search.search ? <CloseButton size="sm" aria-label="Clear the search" onClick={() => void go({ search: undefined })} /> : null}
                  />
                  {other ? <Checkbox label="Only what differs" checked={search.differences === true} onChange={(event) => void go({ differences: event.currentTarget.checked || undefined })} /> : null}
                  <span role="status">
                    {other ? (differing === 0 ? `The same ${rows.length} answers in both` : `${differing} of ${rows.length} ${differing === 1 ? "differs" : "differ"}`) : `${filtered.length} ${filtered.length === 1 ? "flag" : "flags"}`}
                  </span>
                </div>
                {filtered.length === 0 ? (
                  <Empty title={rows.length === 0 ? "No flags yet" : search.differences && differing === 0 ? "Nothing differs" : "No flag matches"} />
                ) : (
                  <Answers project={project} environments={shown} rows={filtered} selected={flag} />
                )}
                {first.loaded ? (
                  <p className={styles.asOf}>
                    {environment.name} as it was read <Ago at={new Date(first.loaded.readAt).toISOString()} />. Answers need no server.
                  </p>
                ) : null}
              </Card>
              {flag === undefined ? (
                <p className={styles.hint}>Choose a flag above to see how its answer comes about.</p>
              ) : (
                <div className={styles.traces}>
                  {shown.map((each, at) => {
                    const inside = at === 0 ? here : there;
                    return inside ? <Explanation key={each.key} project={project} environment={each} loaded={inside} flag={flag} context={answered} nowMs={nowMs} /> : null;
                  })}
                </div>
              )}
            </>
          ) : null}
        </div>
      </div>
    </Page>
  );
}

const option = ({ key, name, production }: Environment) => ({ value: key, label: production && !/production/i.test(name) ? `${name} (production)` : name || key });

/** The address of a question, with all that it needs. */
function linkTo(search: Record<string, unknown>): string {
  const url = new URL(window.location.href);
  url.search = "";
  for (const [name, value] of Object.entries(given(search))) url.searchParams.set(name, typeof value === "string" ? value : JSON.stringify(value));
  return url.href;
}

function answersOf(environments: LoadedEnvironment[], context: EvaluationContext, nowMs: number): { rows: AnswerRow[] } | { refused: string } {
  try {
    const answers = environments.map(({ compiled, file }) => ({
      answers: new Map(compiled.evaluateAll(context, nowMs).map((answer) => [answer.flag, answer])),
      flags: new Map((file.flags ?? []).map((flag) => [flag.key, flag])),
    }));
    const keys = [...new Set(answers.flatMap((each) => [...each.answers.keys()]))].toSorted();
    return {
      rows: keys.map((flag) => {
        const cells = answers.map((each) => ({ answer: each.answers.get(flag), flag: each.flags.get(flag) }));
        return { flag, cells, differs: cells.length === 2 && !sameAnswer(cells[0]?.answer, cells[1]?.answer) };
      }),
    };
  } catch (error) {
    // What the evaluator throws is a sentence.
    return { refused: String(error) };
  }
}

interface ExplanationProps {
  project: string;
  environment: Environment;
  loaded: LoadedEnvironment;
  flag: string;
  context: EvaluationContext;
  nowMs: number;
}

function Explanation({ project, environment, loaded: { file, compiled }, flag: key, context, nowMs }: ExplanationProps) {
  const explained = useMemo((): Explained | null => {
    try {
      return compiled.explain(key, context, nowMs);
    } catch {
      return null;
    }
  }, [compiled, key, context, nowMs]);
  const flag = file.flags?.find((each) => each.key === key);
  return (
    <Card className={styles.card ?? ""}>
      <section aria-label={`${key} in ${environment.name}`}>
        <div className={styles.cardHead}>
          <h2>
            <TextLink to="/projects/$project/flags/$flag" params={{ project, flag: key }} search={{ environment: environment.key }}>
              {key}
            </TextLink>
          </h2>
          <EnvironmentName environment={environment} />
        </div>
        {explained && flag ? (
          <>
            <p className={styles.why}>{whyWords(explained, flag)}</p>
            {explained.value !== null && typeof explained.value === "object" ? <pre className={styles.json}>{brief(explained.value, 2_000)}</pre> : null}
            <Trace explained={explained} flag={flag} file={file} context={context} compiled={compiled} nowMs={nowMs} />
          </>
        ) : (
          <p className={styles.why}>{explained ? whyWords(explained, flag) : "This context cannot be used."}</p>
        )}
      </section>
    </Card>
  );
}

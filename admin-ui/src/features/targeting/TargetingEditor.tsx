import { Alert, Button, SegmentedControl, Textarea, TextInput } from "@mantine/core";
import { useDeferredValue, useEffect, useId, useMemo, useState, type ReactNode } from "react";

import type { Environment, Flag, FlagConfig, Rollout } from "../../api/types";
import { RolloutIcon, WarningIcon } from "../../components/icons";
import { canonical } from "../../lib/json";
import { WHOLE } from "../../lib/words";
import { useFlagActions, useIsChanging } from "../flags/FlagActions";
import { useEnvironment } from "../playground/useEnvironment";
import { SurroundingsContext, surroundingsOf } from "./context";
import { FIELDS, inFile, parseTargeting, patchOf, same, sumOf, targetingOf, type Targeting } from "./draft";
import type { Draft } from "./drafts";
import { MergeDialog } from "./MergeDialog";
import { RestartDialog } from "./RestartDialog";
import { Rules } from "./Rules";
import { ServeFields } from "./ServeFields";
import { Issues } from "./Issues";
import styles from "./Targeting.module.css";
import { judge } from "./verdict";
import { Prerequisites, Targets } from "./Targets";
import { TryDraft } from "./TryDraft";

interface EditorProps {
  project: string;
  flag: Flag;
  environment: Environment;
  /** As it is stored now; the draft may have begun before. */
  config: FlagConfig;
  /** The one that moves the flag, if there is one: a change begins it anew. */
  rollout: Rollout | undefined;
  draft: Draft;
  onEdit(draft: Targeting): void;
  /** Goes on from what is stored now. */
  onRebase(base: Targeting, version: number, merged: Targeting): void;
  onEnd(): void;
}

const NAMES: Record<(typeof FIELDS)[number], string> = { prerequisites: "prerequisites", targets: "units by name", rules: "rules", default: "everyone else" };

/** Edits who gets what: the same draft as a form and as JSON, compiled with every keystroke, saved when it is right. */
export function TargetingEditor({ project, flag, environment, config, rollout, draft: { base, version, draft }, onEdit, onRebase, onEnd }: EditorProps) {
  const actions = useFlagActions();
  const isChanging = useIsChanging(flag.key, environment.key);
  const { loaded, error } = useEnvironment(project, environment.key);
  const [text, setText] = useState<string | null>(null);
  const [reason, setReason] = useState("");
  const [asking, setAsking] = useState<"merge" | "restart" | null>(null);
  const deferred = useDeferredValue(draft);
  const verdict = useMemo(() => (loaded ? judge(loaded.compiled, loaded.compiled.withFlag(inFile(flag, config, deferred)), "flags", flag.key) : null), [loaded, flag, config, deferred]);
  const surroundings = useMemo(() => surroundingsOf({ project, environment: environment.key, flag }, loaded?.file ?? null, verdict?.issues ?? []), [project, environment, flag, loaded, verdict]);

  const overtaken = config.version !== version;
  const stored = targetingOf(config, rollout);
  // Switched, killed, restored or moved by a rollout: that has nothing to do with the draft, which goes on from there.
  const elsewhere = overtaken && same(stored, base);
  const conflict = overtaken && !elsewhere;
  useEffect(() => {
    if (elsewhere) onRebase(base, config.version, draft);
  }, [elsewhere, onRebase, base, config.version, draft]);
  const patch = patchOf(base, draft);
  const changed = FIELDS.filter((field) => field in patch);
  const unread = text === null ? null : parseTargeting(text);
  const unbalanced = [draft.default, ...draft.rules.map((rule) => rule.serve)].some((serve) => "distribution" in serve && "weights" in serve.distribution && sumOf(serve.distribution.weights) !== WHOLE);
  const toFix = (verdict?.stopping.length ?? 0) + (verdict === null && unbalanced ? 1 : 0);
  const mayNot = actions.refusal("edit");
  const ready = changed.length > 0 && toFix === 0 && typeof unread !== "string" && mayNot === null;

  const save = () => {
    setAsking(overtaken ? "merge" : rollout ? "restart" : null);
    if (overtaken || rollout) return;
    void actions.change(
      {
        flag,
        environment,
        patch,
        verb: "Change",
        done: `${flag.key}: ${changed.map((field) => NAMES[field]).join(", ")} changed in ${environment.name}`,
        reason: reason.trim(),
        draft: { version, onSaved: onEnd, onOvertaken: () => setAsking("merge") },
      },
      version,
    );
  };

  return (
    <SurroundingsContext value={surroundings}>
      <div className={styles.editor}>
        <div className={styles.bar}>
          <SegmentedControl
            size="xs"
            aria-label="Edit as"
            value={text === null ? "form" : "json"}
            onChange={(view) => setText(view === "json" ? canonical(draft) : null)}
            data={[
              { value: "form", label: "Form", disabled: typeof unread === "string" },
              { value: "json", label: "JSON" },
            ]}
          />
          <span className={styles.dim}>A draft: nobody gets it before it is saved.</span>
        </div>
        {rollout ? <Restarts rollout={rollout} /> : null}
        {asking === "merge" && !overtaken ? (
          <Alert color="yellow" icon={<WarningIcon />} title="Not saved yet" role="alert">
            The flag was switched, killed, restored or moved by a rollout meanwhile; who gets what is as it was, and so is your draft. Save once more.
          </Alert>
        ) : null}
        {conflict ? (
          <Alert color="yellow" icon={<WarningIcon />} title="Somebody else changed this flag meanwhile" role="status">
            <p className={styles.para}>
              You began with version {version}, and version {config.version} is stored now. Nothing of yours is lost.
            </p>
            <Button size="xs" variant="default" onClick={() => setAsking("merge")}>
              Look at both changes…
            </Button>
          </Alert>
        ) : null}
        {text === null ? (
          <Form draft={draft} rollout={rollout} onEdit={onEdit} />
        ) : (
          <Textarea
            label="Targeting as JSON"
            description="prerequisites, targets, rules, default: as the API has them."
            autosize
            minRows={12}
            maxRows={32}
            spellCheck={false}
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 12.5 } }}
            value={text}
            error={typeof unread === "string" ? unread : undefined}
            onChange={(event) => {
              const typed = event.currentTarget.value;
              setText(typed);
              const read = parseTargeting(typed);
              if (typeof read !== "string") onEdit(read);
            }}
          />
        )}
        {error ? <p className={styles.dim}>Without the evaluator, the server says what is wrong when you save.</p> : null}
        <Issues verdict={verdict} />
        {loaded ? <TryDraft stored={loaded} flag={flag} config={config} draft={deferred} /> : null}
        <div className={styles.saveBar}>
          {environment.production || rollout || changed.length === 0 ? null : (
            <TextInput className={styles.reason} label="Reason" placeholder="Optional; kept in the audit log" maxLength={1000} value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
          )}
          <span role="status" className={styles.status}>
            {mayNot ?? (changed.length === 0 ? "Nothing changed yet" : toFix > 0 ? `${toFix} ${toFix === 1 ? "thing" : "things"} to fix first` : `Changed: ${changed.map((field) => NAMES[field]).join(", ")}`)}
          </span>
          <Button variant="default" onClick={onEnd}>
            {changed.length === 0 ? "Close" : "Discard"}
          </Button>
          <Button disabled={!ready} loading={isChanging} onClick={save}>
            {rollout ? "Save and restart the rollout…" : environment.production ? "Review…" : "Save"}
          </Button>
        </div>
        {asking === "restart" && rollout && !conflict ? (
          <RestartDialog project={project} flag={flag} environment={environment} config={config} rollout={rollout} version={version} patch={patch} onClose={() => setAsking(null)} onSaved={onEnd} />
        ) : null}
        {asking !== null && conflict ? (
          <MergeDialog
            base={base}
            theirs={stored}
            version={config.version}
            mine={draft}
            onClose={() => setAsking(null)}
            onMerged={(merged) => {
              setAsking(null);
              setText(text === null ? null : canonical(merged));
              onRebase(stored, config.version, merged);
            }}
          />
        ) : null}
      </div>
    </SurroundingsContext>
  );
}

/** What saving does to the rollout that moves the flag. */
function Restarts({ rollout: { variant, baseline } }: { rollout: Rollout }) {
  return (
    <Alert color="yellow" icon={<RolloutIcon />} title="A rollout moves this flag">
      Saving ends it: everyone gets “{baseline}” again by default, and it begins anew with the changed flag, from its first step to “{variant}”. Here is the flag as it is without it.
    </Alert>
  );
}

function Form({ draft, rollout, onEdit }: { draft: Targeting; rollout: Rollout | undefined; onEdit(draft: Targeting): void }) {
  const set = (more: Partial<Targeting>) => onEdit({ ...draft, ...more });
  // What a simple flag has none of is one click away, and stays open once it was there.
  const [before, setBefore] = useState(draft.prerequisites.length + draft.targets.length > 0);
  return (
    <>
      {before ? (
        <>
          <Part title="Only if" lead="Another flag has to serve one of these; else everyone gets the off variant.">
            <Prerequisites prerequisites={draft.prerequisites} onChange={(prerequisites) => set({ prerequisites })} />
          </Part>
          <Part title="Units by name" lead="Before any rule: these targeting keys always get this.">
            <Targets targets={draft.targets} onChange={(targets) => set({ targets })} />
          </Part>
        </>
      ) : (
        <Button variant="subtle" size="compact-sm" className={styles.disclose} onClick={() => setBefore(true)}>
          Add prerequisites or units by name
        </Button>
      )}
      <Part title="Rules" lead={draft.rules.length > 1 ? "The first that matches decides." : undefined}>
        <Rules rules={draft.rules} onChange={(rules) => set({ rules })} />
      </Part>
      <Part
        title={draft.rules.length + draft.targets.length + draft.prerequisites.length === 0 ? "Everyone gets" : "Everyone else gets"}
        lead={rollout ? `One variant other than “${rollout.variant}”, for the rollout to begin from.` : undefined}
      >
        <ServeFields serve={draft.default} onChange={(serve) => set({ default: serve })} at="/default" of="the default" />
      </Part>
    </>
  );
}

function Part({ title, lead, children }: { title: string; lead?: string | undefined; children: ReactNode }) {
  const id = useId();
  return (
    <section className={styles.part} aria-labelledby={id}>
      <h3 id={id}>{title}</h3>
      {lead ? <p className={styles.lead}>{lead}</p> : null}
      {children}
    </section>
  );
}

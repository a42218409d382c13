import { Alert, Group, SegmentedControl } from "@mantine/core";
import { useState, type ReactNode } from "react";

import type { Environment, FlagHead, FlagConfig, Serve } from "../../api/types";
import { WarningIcon } from "../../components/icons";
import { brief, canonical } from "../../lib/json";
import { conditionWords, serveWords, shares } from "../../lib/words";
import { somebodyFor } from "../playground/sample";
import { TryLink } from "../playground/TryLink";
import styles from "./FlagPage.module.css";
import { Matched } from "./Matched";
import { shareOf, ShareEditor } from "./ShareEditor";

interface ConfigProps {
  project: string;
  flag: FlagHead;
  environment: Environment;
  config: FlagConfig;
}

/** How an evaluation goes, step by step, or the same as it is stored. */
export function ConfigView({ project, flag, environment, config, actions }: ConfigProps & { actions?: ReactNode }) {
  const [view, setView] = useState("steps");
  return (
    <section aria-labelledby="serving">
      <div className={styles.state}>
        <h2 id="serving">How it is evaluated</h2>
        <Group gap="xs">
          <SegmentedControl
            size="xs"
            aria-label="Show as"
            value={view}
            onChange={setView}
            data={[
              { value: "steps", label: "Steps" },
              { value: "json", label: "JSON" },
            ]}
          />
          {actions}
        </Group>
      </div>
      {config.issues.length > 0 ? (
        <Alert color="yellow" icon={<WarningIcon />} title="Parts of it never match" mb="md">
          {config.issues.map((issue) => (
            <div key={`${issue.path} ${issue.message}`}>
              {issue.path ? <code>{issue.path}</code> : null} {issue.message}
            </div>
          ))}
        </Alert>
      ) : null}
      {view === "json" ? (
        <pre className={styles.json} tabIndex={0} aria-label="The stored configuration">
          {canonical(config)}
        </pre>
      ) : (
        <Steps project={project} flag={flag} environment={environment} config={config} />
      )}
    </section>
  );
}

function Steps({ project, flag, environment, config }: ConfigProps) {
  const idle = config.killed || !config.enabled;
  const { prerequisites, targets, rules } = config;
  return (
    <ol className={styles.steps} data-idle={idle || undefined}>
      {prerequisites.length > 0 ? (
        <Step title="Only if">
          <ul className={styles.clauses}>
            {prerequisites.map((prerequisite) => (
              <li key={prerequisite.flag}>
                <code>{prerequisite.flag}</code> serves {prerequisite.variants.join(" or ")}
              </li>
            ))}
          </ul>
        </Step>
      ) : null}
      {targets.map((target) => (
        <Step key={target.variant} title={target.values.length === 1 ? "One unit by name" : `${target.values.length} units by name`}>
          <div>
            targetingKey is {target.values.slice(0, 6).map((value) => brief(value, 40)).join(" or ")}
            {target.values.length > 6 ? ` or ${target.values.length - 6} more` : ""}
          </div>
          <ServeLine serve={{ variant: target.variant }} flag={flag} />
        </Step>
      ))}
      {rules.map((rule, at) => (
        <Step key={rule.id ?? at} title={`Rule ${at + 1}${rule.id ? ` · ${rule.id}` : ""}`}>
          <ul className={styles.clauses}>
            {(rule.conditions ?? []).map((condition) => (
              <li key={canonical(condition)}>{conditionWords(condition)}</li>
            ))}
            {(rule.conditions ?? []).length === 0 ? <li>everybody</li> : null}
          </ul>
          <ServeLine serve={rule.serve} flag={flag} />
          <Matched project={project} flag={flag.key} environment={environment.key} rule={rule.id} />
          <TryLink project={project} environment={environment.key} flag={flag.key} context={somebodyFor(rule.conditions ?? [])} of={`rule ${at + 1}`} size="xs" />
        </Step>
      ))}
      <Step title={prerequisites.length + targets.length + rules.length === 0 ? "Everyone gets" : "Everyone else gets"}>
        <ServeLine serve={config.default} flag={flag} />
        {config.rollout || shareOf(flag, config) === null ? null : <ShareEditor key={config.version} flag={flag} environment={environment} config={config} />}
      </Step>
    </ol>
  );
}

function Step({ title, children }: { title: string; children: ReactNode }) {
  return (
    <li className={styles.step}>
      <h3>{title}</h3>
      {children}
    </li>
  );
}

const SHADES = ["tide-5", "tide-3", "tide-8", "tide-2", "tide-6", "gray-5"];

function ServeLine({ serve, flag }: { serve: Serve; flag: FlagHead }) {
  const parts = "distribution" in serve ? shares(serve.distribution) : [];
  return (
    <>
      <div className={styles.serve}>→ {serveWords(serve)}</div>
      {parts.length > 1 ? (
        <div className={styles.shares} aria-hidden="true">
          {parts.map(({ variant, weight }) => {
            const at = flag.variants.findIndex(({ key }) => key === variant);
            return <span key={variant} style={{ flexGrow: weight, background: `var(--mantine-color-${SHADES[at % SHADES.length] ?? "gray-5"})` }} />;
          })}
        </div>
      ) : null}
    </>
  );
}

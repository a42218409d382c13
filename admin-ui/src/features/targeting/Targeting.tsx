import { Alert, Button, Group, Tooltip } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense } from "react";

import { queries } from "../../api/queries";
import type { Environment, Flag, FlagConfig } from "../../api/types";
import { RolloutIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { TextLink } from "../../components/TextLink";
import { ConfigView } from "../flags/ConfigView";
import { useFlagActions } from "../flags/FlagActions";
import { CopyFrom } from "./CopyFrom";
import { same, targetingOf, type Targeting as WhoGetsWhat } from "./draft";
import { useDraft } from "./drafts";
import styles from "./Targeting.module.css";

const TargetingEditor = lazy(() => import("./TargetingEditor").then((module) => ({ default: module.TargetingEditor })));

interface TargetingProps {
  project: string;
  flag: Flag;
  environment: Environment;
  config: FlagConfig;
}

/** Who gets what, to read and to edit. */
export function Targeting({ project, flag, environment, config }: TargetingProps) {
  const actions = useFlagActions();
  const { draft, begin, edit, end } = useDraft(project, flag.key, environment.key);
  const read = useQuery({ ...queries.rollout(project, environment.key, config.rollout ?? ""), enabled: Boolean(config.rollout) });
  const rollout = config.rollout ? read.data : undefined;
  // Without the rollout nobody knows what the flag is without it.
  const unread = config.rollout && !rollout ? (read.error ? "Its rollout cannot be read" : "Its rollout is being read") : null;
  const mayNot = actions.refusal("edit") ?? unread;
  const copy = (targeting: WhoGetsWhat, from: Environment) => {
    const base = targetingOf(config, rollout);
    if (same(base, targeting)) notifications.show({ color: "tide", autoClose: 4_000, message: `${environment.name} has the targeting of ${from.name} already` });
    else begin(base, config.version, targeting);
  };
  if (draft && unread === null) {
    return (
      <section aria-labelledby="targeting">
        <h2 id="targeting">Edit the targeting</h2>
        <Suspense fallback={<Loading what="Loading the editor" />}>
          <TargetingEditor project={project} flag={flag} environment={environment} config={config} rollout={rollout} draft={draft} onEdit={edit} onRebase={begin} onEnd={end} />
        </Suspense>
      </section>
    );
  }
  return (
    <>
      {config.rollout ? (
        <Alert color="gray" variant="outline" icon={<RolloutIcon />} title="A rollout moves this flag" mb="md" className={styles.moved ?? ""}>
          What it has measured would mean nothing after a change. So a change of the targeting ends it, and begins it anew. Else{" "}
          <TextLink to="." search={(search) => ({ ...search, tab: "rollout" })} replace resetScroll={false} size="sm" underline="always">
            let it complete, or roll it back
          </TextLink>{" "}
          first. Switching the flag off and killing it are possible at any time.
        </Alert>
      ) : null}
      <ConfigView
        project={project}
        flag={flag}
        environment={environment}
        config={config}
        actions={
          <Group gap="xs">
            {mayNot === null ? <CopyFrom project={project} flag={flag.key} environment={environment} onCopy={copy} /> : null}
            <Tooltip label={mayNot} disabled={mayNot === null}>
              <Button
                variant="default"
                size="xs"
                aria-label={`Edit the targeting${mayNot === null ? "" : `. ${mayNot}`}`}
                aria-disabled={mayNot !== null || undefined}
                data-disabled={mayNot !== null || undefined}
                onClick={() => {
                  if (mayNot === null) begin(targetingOf(config, rollout), config.version);
                }}
              >
                Edit
              </Button>
            </Tooltip>
          </Group>
        }
      />
    </>
  );
}

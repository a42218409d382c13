import { Alert, Button, Loader, Tooltip } from "@mantine/core";
import { lazy, Suspense } from "react";

import type { Environment, Flag, FlagConfig } from "../../api/types";
import { LockIcon } from "../../components/icons";
import { ConfigView } from "../flags/ConfigView";
import { useFlagActions } from "../flags/FlagActions";
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
  const { draft, begin, edit, rebase, end } = useDraft(project, flag.key, environment.key);
  const locked = typeof config.rollout === "string" && config.rollout !== "";
  const mayNot = actions.refusal("edit") ?? (locked ? "A rollout moves this flag: it is locked until that ends" : null);
  if (draft && !locked) {
    return (
      <section aria-labelledby="targeting">
        <h2 id="targeting">Edit the targeting</h2>
        <Suspense fallback={<Loader type="dots" aria-label="Loading the editor" />}>
          <TargetingEditor project={project} flag={flag} environment={environment} config={config} draft={draft} onEdit={edit} onRebase={rebase} onEnd={end} />
        </Suspense>
      </section>
    );
  }
  return (
    <>
      {locked ? (
        <Alert color="gray" variant="outline" icon={<LockIcon />} title="Locked while its rollout runs" mb="md" className={styles.locked ?? ""}>
          What the rollout measures would mean nothing after a change. Let it complete, or roll it back above; then the targeting can be edited again. Switching the flag off and killing it are possible at any time.
          {draft ? " Your draft waits until then." : ""}
        </Alert>
      ) : null}
      <ConfigView
        flag={flag}
        environment={environment}
        config={config}
        actions={
          <Tooltip label={mayNot} disabled={mayNot === null}>
            <Button
              variant="default"
              size="xs"
              aria-label={`Edit the targeting${mayNot === null ? "" : `. ${mayNot}`}`}
              aria-disabled={mayNot !== null || undefined}
              data-disabled={mayNot !== null || undefined}
              onClick={() => {
                if (mayNot === null) begin(config);
              }}
            >
              Edit
            </Button>
          </Tooltip>
        }
      />
    </>
  );
}

import { Text } from "@mantine/core";

import { problemOf } from "../../api/problem";
import type { GateBaseline, RolloutPreview, RolloutSpec } from "../../api/types";
import { Loading } from "../../components/Loading";
import { Card } from "../../components/Page";
import { Said } from "../../components/Said";
import { NumberField, PercentField } from "./fields";
import { detectWords } from "./previewWords";
import { isAA, isQuery, numberWords, stepWords, testOf, timeWords } from "./rolloutWords";
import styles from "./Spec.module.css";
import { isUnfinished } from "./specDraft";

/** What somebody says of the traffic, where they know better than the server. */
export interface Traffic {
  unitsPerMinute: number | undefined;
  /** By the gate's key. */
  baselines: Record<string, Partial<GateBaseline>>;
}

interface PreviewProps {
  spec: RolloutSpec;
  preview: RolloutPreview | undefined;
  pending: boolean;
  error: unknown;
  traffic: Traffic;
  onTraffic(traffic: Traffic): void;
}

/** What the rollout would be able to see, and whom it would expose, before anybody starts it. */
export function PreviewPanel({ spec, preview, pending, error, traffic, onTraffic }: PreviewProps) {
  const unfinished = isUnfinished(spec);
  const events = (spec.gates ?? []).filter((gate) => !isQuery(gate) && gate.key !== "");
  return (
    <Card className={styles.preview ?? ""}>
      <h2>
        What to expect
        {pending && preview ? <span className={styles.asking}>asking anew…</span> : null}
      </h2>
      <div aria-live="polite" aria-busy={pending}>
        {unfinished ? (
          <Text size="sm" c="dimmed">
            Say what each gate watches: then this tells what it will be able to see.
          </Text>
        ) : error ? (
          <Text size="sm" c="var(--mantine-color-error)">
            Nothing to tell yet: <Said>{problemOf(error).message}</Said>
          </Text>
        ) : null}
        {preview && !error && !unfinished ? (
          <div>
            <Text size="sm">
              <Total preview={preview} />
            </Text>
            <ol aria-label="What to expect of each step">
              {preview.steps.map((step, index) => (
                // oxlint-disable-next-line react/no-array-index-key -- a step's place is its name
                <li key={index}>
                  <strong>{stepWords(preview.spec.steps[index] ?? { share: step.share, bakeMs: 0 })}</strong>
                  {typeof step.durationMs === "number" ? `: ${timeWords(step.durationMs)}` : ": does not end, as there is no traffic"}
                  {isAA(preview.spec, index) ? ", nobody has the new variant" : `, ${numberWords(Math.round(step.units))} more units get it`}
                  {step.gates.length > 0 ? (
                    <ul>
                      {step.gates.map((gate) => {
                        const asked = preview.spec.gates?.find(({ key }) => key === gate.gate);
                        return asked ? <li key={gate.gate}>{detectWords(gate, asked)}</li> : null;
                      })}
                    </ul>
                  ) : null}
                </li>
              ))}
            </ol>
            {preview.notes.length > 0 ? (
              <ul className={styles.notes}>
                {preview.notes.map((note) => (
                  <li key={note}>{note.replaceAll("`", "")}</li>
                ))}
              </ul>
            ) : null}
          </div>
        ) : null}
        {pending && !preview && !error && !unfinished ? <Loading size="sm" what="Asking what to expect" /> : null}
      </div>
      <details open={preview !== undefined && preview.unitsPerMinute === 0}>
        <summary>Assume other traffic</summary>
        <div className={styles.gates} style={{ marginTop: 10 }}>
          <NumberField
            label="New units a minute"
            placeholder={preview && preview.unitsPerMinute > 0 ? `${numberWords(preview.unitsPerMinute)}, as lately` : "Nothing was heard lately"}
            value={traffic.unitsPerMinute}
            onChange={(unitsPerMinute) => onTraffic({ ...traffic, unitsPerMinute })}
          />
          {events.map((gate) => {
            const said = traffic.baselines[gate.key] ?? {};
            const heard = preview?.baselines[gate.key];
            const set = (next: Partial<GateBaseline>) => onTraffic({ ...traffic, baselines: { ...traffic.baselines, [gate.key]: next } });
            return (
              <div key={gate.key}>
                <PercentField
                  label={testOf(gate) === "happened" ? `Units that ${gate.metric || gate.key} happens to now` : `Units with a value of ${gate.metric || gate.key}`}
                  placeholder={heard ? `${Number((heard.rate * 100).toPrecision(3))} %, as lately` : "Not known"}
                  value={said.rate}
                  onChange={(rate) => {
                    const { rate: _, ...rest } = said;
                    set(rate === undefined ? rest : { ...rest, rate });
                  }}
                />
                {testOf(gate) === "happened" ? null : (
                  <NumberField
                    label="How far its values are apart"
                    description="Standard deviation of the logarithm: 0.5 for response times, 1 for money."
                    placeholder="0.5"
                    value={said.spread}
                    onChange={(spread) => {
                      const { spread: _, ...rest } = said;
                      set(spread === undefined ? rest : { ...rest, spread });
                    }}
                  />
                )}
              </div>
            );
          })}
        </div>
      </details>
    </Card>
  );
}

function Total({ preview }: { preview: RolloutPreview }) {
  const traffic = preview.unitsPerMinute > 0 ? `With ${numberWords(preview.unitsPerMinute)} new units a minute` : "Without traffic";
  if (typeof preview.durationMs !== "number") return <>{traffic}, it does not end by itself.</>;
  return (
    <>
      {traffic}, it takes <strong>{timeWords(preview.durationMs)}</strong>, where no gate is against it; approvals and windows come on top.
    </>
  );
}

import { Autocomplete, Button, Checkbox, NativeSelect, NumberInput } from "@mantine/core";
import { useState } from "react";

import type { Distribution, Serve } from "../../api/types";
import { brief } from "../../lib/json";
import { percent, WHOLE } from "../../lib/words";
import { useIssue, useSurroundings } from "./context";
import { evenly, replaced, splitOf, sumOf, weightsOf, withWeights } from "./draft";
import styles from "./Targeting.module.css";

const SPLIT = "\u0000split";
const PERCENT = WHOLE / 100;

interface ServeProps {
  serve: Serve;
  onChange(serve: Serve): void;
  /** The JSON Pointer of the serve. */
  at: string;
  /** Whose it is, like “rule 2”. */
  of: string;
}

/** One variant, or a split by percentages. */
export function ServeFields({ serve, onChange, at, of }: ServeProps) {
  const { flag } = useSurroundings();
  const issue = useIssue(at);
  const split = "distribution" in serve ? serve.distribution : null;
  const known = flag.variants.map(({ key, value }) => ({ value: key, label: `${key} · ${brief(value, 32)}` }));
  const odd = "variant" in serve && !flag.variants.some(({ key }) => key === serve.variant) ? [{ value: serve.variant, label: `${serve.variant} (no such variant)` }] : [];
  return (
    <div className={styles.serve}>
      <NativeSelect
        label="Serve"
        aria-label={`What ${of} serves`}
        data={[...known, ...odd, { value: SPLIT, label: "A split by percentage" }]}
        value={split ? SPLIT : "variant" in serve ? serve.variant : ""}
        error={split ? undefined : issue}
        onChange={(event) => {
          const { value } = event.currentTarget;
          if (value !== SPLIT) onChange({ variant: value });
          else if ("variant" in serve) onChange({ distribution: splitOf(serve.variant, flag.variants) });
        }}
      />
      {split ? <SplitFields distribution={split} onChange={(distribution) => onChange({ distribution })} issue={issue} of={of} /> : null}
    </div>
  );
}

function SplitFields({ distribution, onChange, issue, of }: { distribution: Distribution; onChange(distribution: Distribution): void; issue: string | undefined; of: string }) {
  const { flag, attributes } = useSurroundings();
  const weights = weightsOf(distribution, flag.variants);
  const sum = sumOf(weights);
  const { bucketBy, rollout } = distribution;
  const set = (more: Partial<Distribution>) => onChange({ ...distribution, ...more } as Distribution);
  return (
    <fieldset className={styles.split}>
      <legend className="visually-hidden">How {of} is split</legend>
      <div className={styles.weights}>
        {weights.map((each, place) => (
          <WeightInput key={each.variant} label={each.variant} weight={each.weight} onChange={(weight) => onChange(withWeights(distribution, replaced(weights, place, { ...each, weight })))} />
        ))}
      </div>
      <p className={styles.sum} data-wrong={sum !== WHOLE || undefined} role={sum === WHOLE ? undefined : "alert"}>
        {sum === WHOLE ? `Adds up to ${percent(WHOLE)}` : sum < WHOLE ? `Adds up to ${percent(sum)}: ${percent(WHOLE - sum)} left` : `Adds up to ${percent(sum)}: ${percent(sum - WHOLE)} too much`}
        <Button variant="subtle" size="compact-xs" onClick={() => onChange(withWeights(distribution, evenly(flag.variants)))}>
          Split evenly
        </Button>
      </p>
      {issue && sum === WHOLE ? <p className={styles.issue}>{issue}</p> : null}
      <details className={styles.more} open={Boolean(bucketBy) || Boolean(rollout)}>
        <summary>By what, and for how many</summary>
        <Autocomplete
          label="Drawn by"
          description="Who has the same value here gets the same variant. Empty: the targeting key."
          placeholder="targetingKey"
          data={attributes}
          value={bucketBy ?? ""}
          onChange={(value) => set({ bucketBy: value === "" || value === "targetingKey" ? undefined : value })}
        />
        <Checkbox
          mt="sm"
          label="Only for a share of units; all others go on"
          checked={Boolean(rollout)}
          onChange={(event) => set({ rollout: event.currentTarget.checked ? { share: WHOLE } : undefined })}
        />
        {rollout ? (
          <WeightInput label="Share of units" weight={rollout.share} onChange={(share) => set({ rollout: { ...rollout, share } })} />
        ) : null}
      </details>
    </fieldset>
  );
}

/** A weight as a percentage. While it is empty, it is nothing, and stays empty to be typed into. */
function WeightInput({ label, weight, onChange }: { label: string; weight: number; onChange(weight: number): void }) {
  const [empty, setEmpty] = useState(false);
  return (
    <NumberInput
      label={label}
      suffix=" %"
      min={0}
      max={100}
      decimalScale={3}
      clampBehavior="strict"
      value={empty && weight === 0 ? "" : weight / PERCENT}
      onChange={(value) => {
        setEmpty(value === "");
        onChange(typeof value === "number" ? Math.round(value * PERCENT) : 0);
      }}
      onBlur={() => setEmpty(false)}
    />
  );
}

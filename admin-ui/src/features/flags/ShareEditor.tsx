import { Button, NumberInput, Slider } from "@mantine/core";
import { useState } from "react";

import type { Distribution, Environment, FlagConfig, FlagHead, Serve } from "../../api/types";
import { given } from "../../lib/given";
import { percent, shares, WHOLE } from "../../lib/words";
import { useFlagActions, useIsChanging } from "./FlagActions";
import styles from "./FlagPage.module.css";

interface OnAndOff {
  on: string;
  off: string;
}

function onAndOff(flag: FlagHead): OnAndOff | null {
  const on = flag.variants.find(({ value }) => value === true);
  const off = flag.variants.find(({ value }) => value === false);
  return flag.kind === "boolean" && flag.variants.length === 2 && on && off ? { on: on.key, off: off.key } : null;
}

/** The weight that a boolean flag's default gives to true; null where a slider would not say it all. */
export function shareOf(flag: FlagHead, config: Pick<FlagConfig, "default">): number | null {
  const variants = onAndOff(flag);
  if (!variants) return null;
  const { default: serve } = config;
  if ("variant" in serve) return serve.variant === variants.on ? WHOLE : 0;
  if (serve.distribution.rollout) return null;
  return shares(serve.distribution).find(({ variant }) => variant === variants.on)?.weight ?? 0;
}

/** The default that serves true to `weight`; the rest of an existing distribution stays, so that no unit is drawn anew. */
export function withShare(flag: FlagHead, config: Pick<FlagConfig, "default">, weight: number): Serve {
  const variants = onAndOff(flag);
  if (!variants) return config.default;
  // The split is replaced; what the units are drawn by stays.
  const { bucketBy, algorithm, salt }: Partial<Distribution> = "distribution" in config.default ? config.default.distribution : {};
  return {
    distribution: {
      ...given({ bucketBy: bucketBy ?? undefined, algorithm, salt: salt ?? undefined }),
      weights: [
        { variant: variants.on, weight },
        { variant: variants.off, weight: WHOLE - weight },
      ],
    },
  };
}

const PERCENT = WHOLE / 100;

/** The share of units that a boolean flag is true for by default. */
export function ShareEditor({ flag, environment, config }: { flag: FlagHead; environment: Environment; config: FlagConfig }) {
  const actions = useFlagActions();
  const isChanging = useIsChanging(flag.key, environment.key);
  const stored = shareOf(flag, config) ?? 0;
  const [weight, setWeight] = useState(stored);
  const mayNot = actions.refusal("edit");
  const name = onAndOff(flag)?.on ?? "true";
  const save = () =>
    actions.change(
      {
        flag,
        environment,
        patch: { default: withShare(flag, config, weight) },
        verb: `Serve ${name} to ${percent(weight)} of`,
        done: `${flag.key} serves ${name} to ${percent(weight)} by default in ${environment.name}`,
      },
      config.version,
    );
  return (
    <div className={styles.share}>
      <div className={styles.slider}>
        <Slider
          thumbLabel={`Share that gets ${name}`}
          label={(value) => `${value} %`}
          min={0}
          max={100}
          step={1}
          disabled={mayNot !== null}
          value={weight / PERCENT}
          onChange={(value) => setWeight(Math.round(value * PERCENT))}
        />
      </div>
      <NumberInput
        aria-label={`Percentage that gets ${name}`}
        w={104}
        suffix=" %"
        min={0}
        max={100}
        decimalScale={3}
        clampBehavior="strict"
        disabled={mayNot !== null}
        value={weight / PERCENT}
        onChange={(value) => {
          if (typeof value === "number") setWeight(Math.round(value * PERCENT));
        }}
      />
      <Button
        variant={weight === stored ? "default" : "filled"}
        disabled={weight === stored || mayNot !== null}
        loading={isChanging}
        onClick={() => void save()}
      >
        {environment.production ? "Review…" : "Save"}
      </Button>
    </div>
  );
}

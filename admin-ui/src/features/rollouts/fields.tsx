/** Fields that specs are written with. */

import { Group, NativeSelect, NumberInput } from "@mantine/core";
import { useState } from "react";

import { DAY_MS, HOUR_MS, MINUTE_MS } from "./rolloutWords";

/** What explains a field comes below it, so that fields side by side stand in one line. */
export const ORDER: ("label" | "input" | "description" | "error")[] = ["label", "input", "description", "error"];

const UNITS = [
  { value: String(DAY_MS), label: "days" },
  { value: String(HOUR_MS), label: "hours" },
  { value: String(MINUTE_MS), label: "minutes" },
  { value: "1000", label: "seconds" },
];

function unitOf(ms: number | null | undefined, least: number): number {
  if (typeof ms !== "number" || ms <= 0 || Number.isNaN(ms)) return least;
  return [DAY_MS, HOUR_MS, MINUTE_MS].find((unit) => ms % unit === 0 && ms >= unit) ?? 1_000;
}

interface DurationProps {
  label: string;
  description?: string;
  value: number | null | undefined;
  onChange(ms: number | undefined): void;
  error?: string | undefined;
  placeholder?: string;
  /** The label is for those who do not see the table's head. */
  hiddenLabel?: boolean;
}

/** A length of time: a number, and what it counts. */
export function DurationField({ label, description, value, onChange, error, placeholder, hiddenLabel = false }: DurationProps) {
  const [unit, setUnit] = useState(() => unitOf(value, MINUTE_MS));
  // What comes from elsewhere (a template, the JSON) may be of another unit.
  const given = typeof value === "number" && !Number.isNaN(value);
  const shownUnit = given && value % unit !== 0 && value / unit < 1 ? unitOf(value, MINUTE_MS) : unit;
  return (
    <Group gap={6} wrap="nowrap" align="flex-start">
      <NumberInput
        {...(hiddenLabel ? { "aria-label": label } : { label })}
        labelProps={{ style: { whiteSpace: "nowrap" } }}
        inputWrapperOrder={ORDER}
        description={description}
        error={error}
        placeholder={placeholder}
        min={0}
        hideControls
        value={given ? Number((value / shownUnit).toFixed(3)) : ""}
        onChange={(count) => onChange(typeof count === "number" ? Math.round(count * shownUnit) : undefined)}
        style={{ flex: "1 1 64px", minWidth: 64 }}
      />
      <NativeSelect
        aria-label={`${label}, unit`}
        value={String(shownUnit)}
        onChange={(event) => {
          const next = Number(event.currentTarget.value);
          setUnit(next);
          if (given) onChange(Math.round((value / shownUnit) * next));
        }}
        data={UNITS}
        // As high as the label beside it; its own is the one above.
        {...(hiddenLabel ? {} : { label: "\u00a0" })}
        style={{ flex: "0 0 104px" }}
      />
    </Group>
  );
}

interface PercentProps {
  label: string;
  description?: string;
  /** 0 to 1. */
  value: number | null | undefined;
  onChange(part: number | undefined): void;
  error?: string | undefined;
  placeholder?: string;
  hiddenLabel?: boolean;
}

/** A part of a whole, written in percent. */
export function PercentField({ label, value, onChange, hiddenLabel = false, ...rest }: PercentProps) {
  return (
    <NumberInput
      {...rest}
      {...(hiddenLabel ? { "aria-label": label } : { label })}
      inputWrapperOrder={ORDER}
      suffix=" %"
      hideControls
      min={0}
      decimalScale={4}
      value={typeof value === "number" && !Number.isNaN(value) ? Number((value * 100).toFixed(4)) : ""}
      onChange={(percent) => onChange(typeof percent === "number" ? Number((percent / 100).toFixed(6)) : undefined)}
    />
  );
}

interface NumberProps {
  label: string;
  description?: string;
  value: number | null | undefined;
  onChange(value: number | undefined): void;
  error?: string | undefined;
  placeholder?: string;
  hiddenLabel?: boolean;
}

export function NumberField({ label, value, onChange, hiddenLabel = false, ...rest }: NumberProps) {
  return (
    <NumberInput
      {...rest}
      {...(hiddenLabel ? { "aria-label": label } : { label })}
      inputWrapperOrder={ORDER}
      hideControls
      value={typeof value === "number" && !Number.isNaN(value) ? value : ""}
      onChange={(number) => onChange(typeof number === "number" ? number : undefined)}
    />
  );
}

import { ActionIcon, Button, Chip, Group, NativeSelect, Select, TextInput } from "@mantine/core";
import { useMemo, useState } from "react";

import type { RolloutWindow } from "../../api/types";
import { CloseIcon, PlusIcon } from "../../components/icons";
import { DurationField, ORDER } from "./fields";
import { DAY_MS, windowWords } from "./rolloutWords";
import styles from "./Spec.module.css";
import { daysOf, localText, ownZone, replaced, weeklyWindow, WEEKDAYS, windowKind, without, workingHours, type FieldErrors, type Weekday, type WindowKind } from "./specDraft";

interface WindowsProps {
  windows: RolloutWindow[];
  /** What one is called: “window” or “freeze”. */
  what: "window" | "freeze";
  errors: FieldErrors;
  onChange(windows: RolloutWindow[]): void;
}

const NAMES: Record<Weekday, string> = { MO: "Mon", TU: "Tue", WE: "Wed", TH: "Thu", FR: "Fri", SA: "Sat", SU: "Sun" };

const KINDS: { value: WindowKind; label: string }[] = [
  { value: "weekly", label: "On days of the week" },
  { value: "once", label: "Once" },
  { value: "rule", label: "By a rule (RFC 5545)" },
];

/** Times in which shares may rise, or in which none may. */
export function WindowsEditor({ windows, what, errors, onChange }: WindowsProps) {
  const zone = ownZone();
  const add = (window: RolloutWindow) => onChange([...windows, window]);
  const once = () => ({ start: localText(new Date().toISOString()), zone, durationMs: DAY_MS });
  return (
    <div className={styles.windows}>
      {windows.map((window, index) => (
        // Windows have no names, and every field holds what is given to it.
        // oxlint-disable-next-line react/no-array-index-key
        <Window key={index} window={window} name={`${what} ${index + 1}`} error={(name) => errors(`/${index}${name}`)} onChange={(next) => onChange(replaced(windows, index, next))} onRemove={() => onChange(without(windows, index))} />
      ))}
      <Group gap="xs">
        <Button size="compact-sm" variant="default" leftSection={<PlusIcon size={15} />} onClick={() => add(workingHours(zone, new Date()))}>
          Weekdays 9–17
        </Button>
        <Button size="compact-sm" variant="default" leftSection={<PlusIcon size={15} />} onClick={() => add(what === "freeze" ? weeklyWindow(["SA"], "00:00", 2 * DAY_MS, zone, new Date()) : once())}>
          {what === "freeze" ? "Weekends" : "Once"}
        </Button>
        {what === "freeze" ? (
          <Button size="compact-sm" variant="default" leftSection={<PlusIcon size={15} />} onClick={() => add(once())}>
            Once
          </Button>
        ) : null}
      </Group>
    </div>
  );
}

interface WindowProps {
  window: RolloutWindow;
  name: string;
  error(name: string): string | undefined;
  onChange(window: RolloutWindow): void;
  onRemove(): void;
}

function Window({ window, name, error, onChange, onRemove }: WindowProps) {
  // A plain weekly rule can be written as a rule, too.
  const [asRule, setAsRule] = useState(false);
  const kind = asRule && typeof window.rrule === "string" ? "rule" : windowKind(window);
  const days = daysOf(window.rrule);
  const zones = useMemo(() => [...new Set([window.zone, "UTC", ...Intl.supportedValuesOf("timeZone")])].filter((zone) => zone !== ""), [window.zone]);
  const time = window.start.slice(11, 16) || "09:00";
  const to = (next: WindowKind) => {
    const { rrule: _, ...rest } = window;
    setAsRule(next === "rule");
    if (next === "once") onChange(rest);
    else if (next === "weekly") onChange(weeklyWindow(["MO", "TU", "WE", "TH", "FR"], time, window.durationMs, window.zone, new Date()));
    else onChange({ ...rest, rrule: window.rrule ?? "FREQ=DAILY" });
  };
  return (
    <fieldset className={styles.window}>
      <legend>{windowWords({ ...window, durationMs: Number.isFinite(window.durationMs) ? window.durationMs : 0 })}</legend>
      <div className={styles.windowFields}>
        <NativeSelect label="When" value={kind} onChange={(event) => to(event.currentTarget.value as WindowKind)} data={KINDS} />
        {kind === "weekly" ? (
          <>
            <TextInput label="From" type="time" value={time} onChange={(event) => onChange({ ...window, start: `${window.start.slice(0, 10)}T${event.currentTarget.value}` })} error={error("/start")} />
            <div className={styles.days}>
              <span className={styles.label}>Days</span>
              <Chip.Group multiple value={days ?? []} onChange={(value) => value.length > 0 && onChange(weeklyWindow(value as Weekday[], time, window.durationMs, window.zone, new Date()))}>
                <Group gap={4}>
                  {WEEKDAYS.map((day) => (
                    <Chip key={day} value={day} size="xs" variant="outline">
                      {NAMES[day]}
                    </Chip>
                  ))}
                </Group>
              </Chip.Group>
            </div>
          </>
        ) : (
          <TextInput label={kind === "once" ? "From" : "From, for the first time"} type="datetime-local" value={window.start.slice(0, 16)} onChange={(event) => onChange({ ...window, start: event.currentTarget.value })} error={error("/start")} />
        )}
        {kind === "rule" ? (
          <TextInput label="Rule" inputWrapperOrder={ORDER} description="FREQ=DAILY at the most." value={window.rrule ?? ""} onChange={(event) => onChange({ ...window, rrule: event.currentTarget.value })} error={error("/rrule")} />
        ) : null}
        <DurationField label="Lasts" value={window.durationMs} onChange={(ms) => onChange({ ...window, durationMs: ms ?? Number.NaN })} error={error("/durationMs")} />
        <Select label="By the clocks of" searchable data={zones} value={window.zone} onChange={(zone) => zone && onChange({ ...window, zone })} error={error("/zone") ?? (kind === "weekly" ? error("/rrule") : undefined)} limit={60} />
      </div>
      <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`Remove ${name}`} onClick={onRemove}>
        <CloseIcon size={16} />
      </ActionIcon>
    </fieldset>
  );
}

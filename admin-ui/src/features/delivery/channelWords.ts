import type { DeliveryView, NotificationChannel, NotificationSeverity, NotificationTarget } from "../../api/types";

import type { TagTone } from "../rollouts/Tag";

export const KINDS: Record<NotificationTarget["kind"], string> = { webhook: "Webhook", slack: "Slack", pagerDuty: "PagerDuty", email: "Mail" };

export const SEVERITIES: { value: NotificationSeverity; label: string }[] = [
  { value: "info", label: "Everything" },
  { value: "warning", label: "Warnings and worse" },
  { value: "critical", label: "Critical only" },
];

export const SEVERITY_TONES: Record<NotificationSeverity, TagTone> = { info: "plain", warning: "warn", critical: "bad" };

export const PROGRESS: Record<DeliveryView["state"], [string, TagTone]> = {
  waiting: ["waits", "warn"],
  delivered: ["delivered", "good"],
  dead: ["given up", "bad"],
};

/** Where its messages go, on one line. */
export function targetWords(target: NotificationTarget): string {
  switch (target.kind) {
    case "webhook":
      return target.credential ? `${target.url}, with credential ${target.credential}` : target.url;
    case "slack":
    case "pagerDuty":
      return `credential ${target.credential}${target.url ? ` at ${target.url}` : ""}`;
    case "email":
      return target.to.join(", ");
  }
}

/** What it hears of. */
export function hearsWords({ minSeverity, environments, target }: NotificationChannel): string {
  const what = target.kind === "pagerDuty" ? "Incidents" : (SEVERITIES.find(({ value }) => value === minSeverity)?.label ?? minSeverity);
  return `${what}, of ${environments.length === 0 ? "all environments" : environments.join(", ")}`;
}

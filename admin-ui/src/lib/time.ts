/** Times for people. `now` is a parameter: nothing here reads a clock. */

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 365 * 86_400],
  ["month", 30 * 86_400],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const absolute = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayName = new Intl.DateTimeFormat("en", { weekday: "long", day: "numeric", month: "long", year: "numeric" });

/** Like “3 minutes ago”. */
export function ago(at: string | number, now: number): string {
  const seconds = Math.round((new Date(at).getTime() - now) / 1000);
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return "just now";
}

/** Like “Nov 21, 2026, 9:30:12 AM”. */
export function exactly(at: string | number): string {
  return absolute.format(new Date(at));
}

/** Like “09:30”. */
export function clockTime(at: string | number): string {
  return clock.format(new Date(at));
}

/** Like “Today”, “Yesterday”, “Friday, November 20, 2026”. */
export function day(at: string, now: number): string {
  const that = dayName.format(new Date(at));
  if (that === dayName.format(now)) return "Today";
  if (that === dayName.format(now - 86_400_000)) return "Yesterday";
  return that;
}

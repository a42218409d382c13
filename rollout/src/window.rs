//! Times in which a share may rise, and in which it may not.

use std::fmt;

use rrule::{RRule, RRuleSet, Tz, Unvalidated};
use serde::{Deserialize, Serialize};
use tidegate_core::Timestamp;

use crate::spec::SpecError;

/// A stretch of time, once or again and again: `DTSTART`, `DURATION` and `RRULE` of RFC 5545, in a time zone of the IANA database. Where
/// the zone's clocks are turned, it begins by the clock on the wall and lasts as long as ever.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "WindowText", into = "WindowText")]
pub struct Window {
    text: WindowText,
    occurrences: Box<RRuleSet>,
}

/// A stretch of time, once or again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RolloutWindow))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WindowText {
    /// When it begins for the first time, by the clocks of the zone: `2026-11-02T09:00`.
    pub start: String,
    /// A time zone of the IANA database: `Europe/Berlin`.
    pub zone: String,
    /// How it recurs, as in RFC 5545: `FREQ=WEEKLY;BYDAY=MO,TU,WE,TH`; daily at the most. Absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrule: Option<String>,
    /// How long it lasts, in milliseconds: a minute to 366 days.
    pub duration_ms: u64,
}

/// The most windows of a rollout, and freezes of an environment.
pub const MAX_WINDOWS: usize = 50;

const MINUTE_MS: u64 = 60_000;
const MAX_DURATION_MS: u64 = 366 * 24 * 60 * MINUTE_MS;
const MAX_RRULE_BYTES: usize = 256;

/// How many occurrences are looked at: 30 years of days.
const MAX_OCCURRENCES: usize = 11_000;

impl Window {
    /// The window that the text describes.
    ///
    /// # Errors
    /// [`SpecError`] names the field.
    pub fn new(text: WindowText) -> Result<Self, SpecError> {
        let zone: chrono_tz::Tz = text
            .zone
            .parse()
            .map_err(|_| SpecError::at("/zone", "a time zone of the IANA database, like `Europe/Berlin` or `UTC`"))?;
        let start = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
            .into_iter()
            .find_map(|format| chrono::NaiveDateTime::parse_from_str(&text.start, format).ok())
            .filter(|start| (2000..2200).contains(&chrono::Datelike::year(start)))
            .ok_or_else(|| SpecError::at("/start", "a time by the clocks of the zone, like `2026-11-02T09:00`"))?;
        let first = start.and_local_timezone(Tz::Tz(zone)).earliest().ok_or_else(|| {
            SpecError::at("/start", "the zone's clocks skip this time on that day; begin an hour later")
        })?;
        if !(MINUTE_MS..=MAX_DURATION_MS).contains(&text.duration_ms) {
            return Err(SpecError::at("/durationMs", "it lasts a minute (60000) to 366 days"));
        }
        let occurrences = match &text.rrule {
            None => RRuleSet::new(first).rdate(first),
            Some(rule) => RRuleSet::new(first).rrule(recurrence(rule, first)?),
        };
        Ok(Self { text, occurrences: Box::new(occurrences.limit()) })
    }

    /// What it was made from.
    pub fn text(&self) -> &WindowText {
        &self.text
    }

    /// Until when it is open, where it is open `at` that time.
    pub fn open_until(&self, at: Timestamp) -> Option<Timestamp> {
        let ends = self.starts().take_while(|start| start.0 <= at.0).map(|start| self.end_of(start));
        ends.filter(|end| end.0 > at.0).max()
    }

    /// When it opens next after `at`; `None`: never again.
    pub fn opens_after(&self, at: Timestamp) -> Option<Timestamp> {
        self.starts().find(|start| start.0 > at.0)
    }

    fn starts(&self) -> impl Iterator<Item = Timestamp> {
        self.occurrences.into_iter().take(MAX_OCCURRENCES).map(|start| Timestamp(start.timestamp_millis()))
    }

    fn end_of(&self, start: Timestamp) -> Timestamp {
        Timestamp(start.0.saturating_add(i64::try_from(self.text.duration_ms).unwrap_or(i64::MAX)))
    }
}

/// Until when one of the windows is open, where one is open `at` that time.
pub fn open_until(windows: &[Window], at: Timestamp) -> Option<Timestamp> {
    windows.iter().filter_map(|window| window.open_until(at)).max()
}

/// When the first of the windows opens after `at`; `None`: none ever does.
pub fn opens_after(windows: &[Window], at: Timestamp) -> Option<Timestamp> {
    windows.iter().filter_map(|window| window.opens_after(at)).min()
}

fn recurrence(rule: &str, first: chrono::DateTime<Tz>) -> Result<RRule, SpecError> {
    let wrong = |message: String| SpecError::at("/rrule", message);
    if rule.len() > MAX_RRULE_BYTES {
        return Err(wrong(format!("a rule has at most {MAX_RRULE_BYTES} bytes")));
    }
    let example = "a rule of RFC 5545, like `FREQ=WEEKLY;BYDAY=MO,TU,WE,TH`";
    let rule: RRule<Unvalidated> = rule.parse().map_err(|error| wrong(format!("{example}: {error}")))?;
    if rule.get_freq() > rrule::Frequency::Daily {
        return Err(wrong("it recurs daily at the most: `FREQ=DAILY`".to_owned()));
    }
    if rule.get_interval() == 0 {
        return Err(wrong("an interval of 0 never comes to an end".to_owned()));
    }
    if [rule.get_by_hour().len(), rule.get_by_minute().len(), rule.get_by_second().len()].iter().any(|n| *n > 1) {
        return Err(wrong("it begins once a day at the most: make it two windows".to_owned()));
    }
    rule.validate(first).map_err(|error| wrong(format!("{example}: {error}")))
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Window {}

impl TryFrom<WindowText> for Window {
    type Error = SpecError;

    fn try_from(text: WindowText) -> Result<Self, SpecError> {
        Self::new(text)
    }
}

impl From<Window> for WindowText {
    fn from(window: Window) -> Self {
        window.text
    }
}

/// For people: `2026-11-02T09:00, FREQ=DAILY (Europe/Berlin)`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WindowText { start, zone, rrule, .. } = &self.text;
        match rrule {
            Some(rule) => write!(f, "{start}, {rule} ({zone})"),
            None => write!(f, "{start} ({zone})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: &str, zone: &str, rrule: Option<&str>, hours: u64) -> Result<Window, SpecError> {
        let text = WindowText {
            start: start.to_owned(),
            zone: zone.to_owned(),
            rrule: rrule.map(str::to_owned),
            duration_ms: hours * 60 * MINUTE_MS,
        };
        Window::new(text)
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis())
    }

    #[test]
    fn office_hours_follow_the_clock_on_the_wall() {
        let rule = Some("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR");
        let office = window("2026-03-02T09:00", "Europe/Berlin", rule, 8).unwrap();
        // Winter: 9 o'clock is 8 in UTC; summer, from 29 March on: 7.
        assert_eq!(office.open_until(at("2026-03-27T07:59:00Z")), None);
        assert_eq!(office.open_until(at("2026-03-27T08:00:00Z")), Some(at("2026-03-27T16:00:00Z")));
        assert_eq!(office.opens_after(at("2026-03-27T16:00:00Z")), Some(at("2026-03-30T07:00:00Z")));
        assert_eq!(office.open_until(at("2026-03-30T07:00:00Z")), Some(at("2026-03-30T15:00:00Z")));
        assert_eq!(office.open_until(at("2026-03-28T10:00:00Z")), None, "Saturday");
    }

    #[test]
    fn once_is_once() {
        let freeze = window("2026-12-20T00:00:00", "UTC", None, 14 * 24).unwrap();
        assert_eq!(freeze.open_until(at("2026-12-19T23:59:59Z")), None);
        assert_eq!(freeze.open_until(at("2026-12-25T00:00:00Z")), Some(at("2027-01-03T00:00:00Z")));
        assert_eq!(freeze.opens_after(at("2026-12-25T00:00:00Z")), None);
        assert_eq!(freeze.opens_after(at("2026-01-01T00:00:00Z")), Some(at("2026-12-20T00:00:00Z")));
    }

    #[test]
    fn overlapping_ones_end_with_the_last() {
        let windows = [
            window("2026-01-01T00:00", "UTC", Some("FREQ=DAILY"), 30).unwrap(),
            window("2026-01-05T00:00", "America/New_York", None, 1).unwrap(),
        ];
        assert_eq!(open_until(&windows, at("2026-01-03T01:00:00Z")), Some(at("2026-01-04T06:00:00Z")));
        assert_eq!(opens_after(&windows, at("2026-01-05T04:00:00Z")), Some(at("2026-01-05T05:00:00Z")));
    }

    #[test]
    fn far_ahead_is_found_too() {
        let daily = window("2020-01-01T09:00", "Europe/Berlin", Some("FREQ=DAILY"), 1).unwrap();
        assert_eq!(daily.opens_after(at("2045-01-01T09:00:00Z")), Some(at("2045-01-02T08:00:00Z")));
    }

    #[track_caller]
    fn check(start: &str, zone: &str, rrule: Option<&str>, hours: u64, wrong: &str) {
        assert_eq!(window(start, zone, rrule, hours).unwrap_err().field, wrong);
    }

    #[test]
    fn what_is_no_window_is_named() {
        check("2026-01-01", "UTC", None, 1, "/start");
        check("9 o'clock", "UTC", None, 1, "/start");
        check("2026-03-29T02:30", "Europe/Berlin", None, 1, "/start");
        check("2026-01-01T09:00", "Europe/Atlantis", None, 1, "/zone");
        check("2026-01-01T09:00", "UTC", Some("every day"), 1, "/rrule");
        check("2026-01-01T09:00", "UTC", Some("FREQ=HOURLY"), 1, "/rrule");
        check("2026-01-01T09:00", "UTC", Some("FREQ=DAILY;BYHOUR=9,10"), 1, "/rrule");
        check("2026-01-01T09:00", "UTC", Some("FREQ=DAILY;INTERVAL=0"), 1, "/rrule");
        check("2026-01-01T09:00", "UTC", None, 0, "/durationMs");
        check("2026-01-01T09:00", "UTC", None, 367 * 24, "/durationMs");
    }
}

//! As much of PromQL as it takes to find the series that a query is about. What is no PromQL at all, Prometheus refuses.

/// The query that answers when the newest of the series that `query` names was measured, in seconds; `None`: it names none.
pub(super) fn measured_at(query: &str) -> Option<String> {
    let mut selectors = Reader { rest: query }.selectors()?;
    selectors.sort_unstable();
    selectors.dedup();
    if selectors.is_empty() || selectors.len() > MAX_SELECTORS {
        return None;
    }
    let times: Vec<_> = selectors.into_iter().map(|selector| format!("timestamp({selector})")).collect();
    Some(format!("max({})", times.join(" or ")))
}

/// Of a query with more, it is not asked when they were measured.
const MAX_SELECTORS: usize = 20;

/// Stand before a list of labels in parentheses.
const GROUPINGS: [&str; 6] = ["by", "group_left", "group_right", "ignoring", "on", "without"];

/// Are no series where they stand alone.
const WORDS: [&str; 8] = ["and", "atan2", "bool", "inf", "nan", "offset", "or", "unless"];

/// Stand before `by` or `without`; else they are series, as nothing forbids to call them so.
const AGGREGATIONS: [&str; 14] = [
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "limit_ratio",
    "limitk",
    "max",
    "min",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
];

struct Reader<'q> {
    rest: &'q str,
}

impl<'q> Reader<'q> {
    /// The selectors of series, without ranges and offsets; `None`: something does not end.
    fn selectors(mut self) -> Option<Vec<&'q str>> {
        let mut found = Vec::new();
        while let Some(first) = self.rest.chars().next() {
            match first {
                '"' | '\'' | '`' => drop(self.text(first)?),
                '#' => self.skip(self.rest.find('\n').unwrap_or(self.rest.len())),
                '[' => drop(self.group('[', ']')?),
                '{' => found.push(self.group('{', '}')?),
                '0'..='9' | '.' => self.number(),
                c if is_name(c) => self.name(&mut found)?,
                c => self.skip(c.len_utf8()),
            }
        }
        Some(found)
    }

    /// A name; put to the others where it begins a selector.
    fn name(&mut self, found: &mut Vec<&'q str>) -> Option<()> {
        let whole = self.rest;
        let length = whole.find(|c| !is_name(c)).unwrap_or(whole.len());
        let name = whole.get(..length)?;
        self.skip(length);
        let word = name.to_ascii_lowercase();
        let is_one_of = |words: &[&str]| words.contains(&word.as_str());
        let gap = self.rest.len() - self.rest.trim_start().len();
        let next = self.rest.trim_start();
        if next.starts_with('(') {
            if is_one_of(&GROUPINGS) {
                self.skip(gap);
                self.group('(', ')')?;
            }
        } else if next.starts_with('{') {
            self.skip(gap);
            let matchers = self.group('{', '}')?;
            found.extend(whole.get(..length + gap + matchers.len()));
        } else {
            let is_grouped = || ["by", "without"].contains(&Reader { rest: next }.word());
            let is_operator = is_one_of(&WORDS) || is_one_of(&GROUPINGS) || is_one_of(&AGGREGATIONS) && is_grouped();
            found.extend(Some(name).filter(|_| !is_operator));
        }
        Some(())
    }

    fn word(&self) -> &'q str {
        let length = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        self.rest.get(..length).unwrap_or_default()
    }

    /// A number or a time: `1.5e-3`, `0x1f`, `5m30s`.
    fn number(&mut self) {
        let mut before = ' ';
        let end = self.rest.find(|c: char| {
            let goes_on = c.is_ascii_alphanumeric() || "._".contains(c) || ("+-".contains(c) && "eE".contains(before));
            before = c;
            !goes_on
        });
        self.skip(end.unwrap_or(self.rest.len()));
    }

    /// A text with its quotes.
    fn text(&mut self, quote: char) -> Option<&'q str> {
        let mut is_escaped = false;
        let end = self.rest.char_indices().skip(1).find_map(|(at, c)| {
            let ends = c == quote && !is_escaped;
            is_escaped = quote != '`' && c == '\\' && !is_escaped;
            ends.then_some(at + 1)
        })?;
        let text = self.rest.get(..end);
        self.skip(end);
        text
    }

    /// What stands in brackets, with them; texts within may hold brackets, too.
    fn group(&mut self, open: char, close: char) -> Option<&'q str> {
        let whole = self.rest;
        let mut depth = 0_usize;
        while let Some(c) = self.rest.chars().next() {
            if "\"'`".contains(c) {
                self.text(c)?;
                continue;
            }
            self.skip(c.len_utf8());
            depth = depth + usize::from(c == open) - usize::from(c == close);
            if depth == 0 {
                return whole.get(..whole.len() - self.rest.len());
            }
        }
        None
    }

    fn skip(&mut self, length: usize) {
        self.rest = self.rest.get(length..).unwrap_or_default();
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: &[&str]) {
        assert_eq!(Reader { rest: query }.selectors().as_deref(), Some(expected), "{query}");
    }

    #[test]
    fn the_series_of_a_query_are_found() {
        check("up", &["up"]);
        check(
            "sum(rate(errors_total{job=\"shop\"}[5m])) / sum(rate(requests_total[5m]))",
            &["errors_total{job=\"shop\"}", "requests_total"],
        );
        check(
            "histogram_quantile(0.95, sum by (le) (rate(latency_bucket{route=~\"/a|/b\"}[5m])))",
            &["latency_bucket{route=~\"/a|/b\"}"],
        );
        check("sum without(instance) (x) > bool 1e-3 and on(job) y offset 5m unless z", &["x", "y", "z"]);
        check("job:errors:rate5m{a='}'} or vector(0)", &["job:errors:rate5m{a='}'}"]);
        check("{__name__=\"a\", b=`c\\`}", &["{__name__=\"a\", b=`c\\`}"]);
        check("max_over_time(rate(x[1m])[5m:30s])", &["x"]);
        check("sum by (job) (x) * on (job) group_left (team) y", &["x", "y"]);
        check("sum(x) by (le, job)", &["x"]);
        check("count", &["count"]);
        check("count by (a) (b)", &["b"]);
        check("x @ 1700000000.5 + y @ start()", &["x", "y"]);
        check("# up\nx {a = \"b\"} [5m]", &["x {a = \"b\"}"]);
        check("label_replace(x, \"to\", \"$1\", \"from\", \"(.*)\\\"\")", &["x"]);
        check("1 + 2 * Inf - NaN + 0x1F + 5m", &[]);
        check("vector(1)", &[]);
    }

    #[test]
    fn what_does_not_end_has_none() {
        for query in ["x{a=\"", "x{a=\"b\"", "x[5m", "sum by (a", "'"] {
            assert_eq!(Reader { rest: query }.selectors(), None, "{query}");
        }
    }

    #[test]
    fn the_time_of_the_newest_series_is_asked_for() {
        let query = "sum(rate(b[5m])) / sum(rate(a{x=\"y\"}[5m])) + sum(rate(b[1m]))";
        assert_eq!(measured_at(query).as_deref(), Some("max(timestamp(a{x=\"y\"}) or timestamp(b))"));
        assert_eq!(measured_at("vector(1)"), None);
    }
}

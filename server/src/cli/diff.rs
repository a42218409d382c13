//! What a flag file changes, as people read it.

use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::app::flag_file::FileChange;

/// The change as lines: the resource, then every value that differs, with its JSON Pointer.
pub fn render(change: &FileChange) -> String {
    let mut text = format!("{} {}\n", change.action, change.resource);
    compare("", &change.before, &change.after, &mut text);
    text
}

fn compare(pointer: &str, before: &Json, after: &Json, text: &mut String) {
    match (before, after) {
        (before, after) if before == after => {}
        (Json::Object(before_fields), Json::Object(after_fields)) => {
            let added = after_fields.keys().filter(|name| !before_fields.contains_key(*name));
            for name in before_fields.keys().chain(added) {
                let value = |fields: &serde_json::Map<String, Json>| fields.get(name).cloned().unwrap_or_default();
                let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                compare(&pointer, &value(before_fields), &value(after_fields), text);
            }
        }
        // What is new or gone is told whole.
        (Json::Null, after) => line('+', pointer, after, text),
        (before, Json::Null) => line('-', pointer, before, text),
        (before, after) => {
            line('-', pointer, before, text);
            line('+', pointer, after, text);
        }
    }
}

fn line(sign: char, pointer: &str, value: &Json, text: &mut String) {
    let pointer = if pointer.is_empty() { "/" } else { pointer };
    // Writing into a String does not fail.
    let _ = writeln!(text, "  {sign} {pointer} = {value}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(before: Json, after: Json, expected: &[&str]) {
        let change =
            FileChange { resource: "flag/price".to_owned(), action: "flag.configure".to_owned(), before, after };
        let lines: Vec<String> = render(&change).lines().map(str::to_owned).collect();
        assert_eq!(
            lines.split_first().unwrap(),
            (
                &"flag.configure flag/price".to_owned(),
                &expected.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()[..]
            )
        );
    }

    #[test]
    fn only_what_differs_is_told() {
        check(
            json!({"enabled": false, "salt": "s"}),
            json!({"enabled": true, "salt": "s"}),
            &["  - /enabled = false", "  + /enabled = true"],
        );
        check(
            json!({"a": {"b/c": 1, "d": [1]}}),
            json!({"a": {"d": [2], "e": {}}}),
            &["  - /a/b~1c = 1", "  - /a/d = [1]", "  + /a/d = [2]", "  + /a/e = {}"],
        );
        check(Json::Null, json!({"key": 1}), &["  + / = {\"key\":1}"]);
    }
}

//! The engine against `regex-lite`, the crate whose syntax and meaning it has.

use proptest::prelude::*;
use regex_lite::RegexBuilder;

use super::Pattern;
use crate::text::Case;

fn regex_lite(pattern: &str, case: Case) -> Result<regex_lite::Regex, String> {
    let built = RegexBuilder::new(pattern).case_insensitive(case == Case::Ignored).size_limit(1 << 20).build();
    built.map_err(|error| error.to_string())
}

fn is_match(pattern: &str, text: &str) -> bool {
    Pattern::new(pattern, Case::Sensitive).unwrap().is_match(text)
}

fn refusal(pattern: &str) -> String {
    match Pattern::new(pattern, Case::Sensitive) {
        Ok(_) => format!("{pattern:?} is accepted"),
        Err(refusal) => refusal.to_string(),
    }
}

/// What patterns are made of; put together at random, half of it is understood.
const PIECES: [&str; 96] = [
    "a",
    "b",
    "B",
    "ab",
    "é",
    "Ü",
    "1",
    "_",
    "-",
    " ",
    "\n",
    "\r",
    "#",
    ",",
    ":",
    "=",
    "!",
    "<",
    ">",
    "x",
    "i",
    "&",
    "&&",
    "~~",
    "--",
    "\t",
    ".",
    "^",
    "$",
    "|",
    "(",
    ")",
    "(",
    ")",
    "(?:",
    "(?i)",
    "(?i:",
    "(?-i)",
    "(?s)",
    "(?m)",
    "(?R)",
    "(?mR)",
    "(?x)",
    "(?x-s:",
    "(?U)",
    "(?u)",
    "(?P<n>",
    "(?<m>",
    "(?<",
    "(?=",
    "(?",
    "?",
    "*",
    "+",
    "??",
    "{2}",
    "{0}",
    "{1,}",
    "{0,2}",
    "{ 2 , 3 }",
    "{",
    "}",
    "{2,1}",
    "{a}",
    "[",
    "]",
    "[^",
    "[a-c",
    "[b-",
    "[é-ü",
    "[]",
    "[^]",
    "[[:alpha:]",
    "[[:^word:]]",
    "[[:nope:]]",
    "[\\d",
    "[\\W\\-",
    "\\d",
    "\\D",
    "\\s",
    "\\S",
    "\\w",
    "\\W",
    "\\b",
    "\\B",
    "\\b{start}",
    "\\b{end-half}",
    "\\b{2}",
    "\\<",
    "\\>",
    "\\A",
    "\\z",
    "\\.",
    "\\x61",
    "\\u{e9}",
    "\\q",
];

fn text() -> impl Strategy<Value = String> {
    let characters =
        vec!["a", "b", "B", "A", "c", "é", "ü", "Ü", "1", "_", "-", " ", "\n", "\r", "\r\n", "#", "x", "ß", "漢"];
    prop::collection::vec(prop::sample::select(characters), 0..10).prop_map(|pieces| pieces.concat())
}

/// A pattern that is understood.
fn pattern() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a",
        "b",
        "é",
        "1",
        "_",
        " ",
        "ab",
        "aB",
        ".",
        "^",
        "$",
        "\\A",
        "\\z",
        "\\b",
        "\\B",
        "\\<",
        "\\>",
        "\\b{start-half}",
        "\\b{end-half}",
        "\\d",
        "\\D",
        "\\w",
        "\\W",
        "\\s",
        "\\S",
        "[ab]",
        "[^a]",
        "[a-cé-ü]",
        "[^é-ü\\d]",
        "[[:upper:]_]",
        "[^[:^lower:]]",
        "[]-]",
        "\\n",
        "\\r",
        "",
    ]);
    let leaf = leaf.prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 4, |inner| {
        let repetition =
            prop::sample::select(vec!["?", "*", "+", "*?", "{2}", "{0,2}", "{1,}", "{0}", "{2,3}", "{,}?"]);
        let group = prop::sample::select(vec!["(", "(?:", "(?i:", "(?s:", "(?m:", "(?mR:", "(?R:", "(?x:", "(?i-s:"]);
        prop_oneof![
            (inner.clone(), repetition).prop_map(|(item, times)| format!("(?:{item}){}", times.replace("{,}?", "??"))),
            (group, inner.clone()).prop_map(|(open, inside)| format!("{open}{inside})")),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|items| items.concat()),
            prop::collection::vec(inner, 2..4).prop_map(|items| format!("(?:{})", items.join("|"))),
        ]
    })
}

fn case() -> impl Strategy<Value = Case> {
    prop::sample::select(vec![Case::Sensitive, Case::Ignored])
}

#[test]
fn refusals_say_what_and_where() {
    for (pattern, message) in [
        ("a)", "a `)` closes nothing (up to character 1)"),
        ("a(b", "a `(` is not closed (up to character 3)"),
        ("é*[a-", "a `[` is not closed (up to character 5)"),
        ("|*", "there is nothing to repeat before a repetition (up to character 1)"),
        ("a{2,1}", "a counted repetition is `{3}`, `{3,}` or `{3,5}` (up to character 6)"),
        ("a(?!b)", "look-around is not supported (up to character 2)"),
        (r"(a)\1", "back-references are not supported (up to character 5)"),
        ("[z-a]", "a range is from one character to the same or a later one (up to character 4)"),
        ("(?<n>a)(?<n>b)", "two groups have the same name (up to character 10)"),
        (r"\y", "nothing is known by this name after a `\\` (up to character 2)"),
        ("(?ii)a", &format!("{} (up to character 4)", super::parse::UNKNOWN_FLAG)),
    ] {
        assert_eq!(refusal(pattern), format!("this regular expression cannot be used: {message}"));
    }
    assert!(refusal(r"\p{L}").contains("write the characters or ranges out"));
}

#[test]
fn what_is_too_large_is_refused_at_once() {
    for pattern in
        ["(?:a{1000}){1000}", "a{4000000000}", "a{99999999999999999999}", "[a-z]{0,2000}", "(?:(?:é|[ß-ü]){40}){40}"]
    {
        assert!(refusal(pattern).contains("its repetitions make it too large"), "{pattern}");
    }
    for pattern in ["a{2000}", "(?:){4000000000}", "^[a-zA-Z0-9._%+-]{1,64}@[a-zA-Z0-9.-]{1,253}\\.[a-z]{2,24}$"] {
        Pattern::new(pattern, Case::Sensitive).unwrap();
    }
    let nested = |depth: usize| "(".repeat(depth) + "a" + &")".repeat(depth);
    assert!(is_match(&nested(50), "a"));
    assert!(refusal(&nested(51)).contains("its groups nest too deep"));
}

#[test]
fn no_pattern_is_hopeless() {
    // 2^30 ways for an engine that tries one after the other.
    assert!(is_match(&("a?".repeat(30) + &"a".repeat(30)), &"a".repeat(30)));
    assert!(!is_match("^(?:a+)+$", &("a".repeat(8_000) + "b")));
}

#[test]
fn both_cases_of_a_range_across_them_are_found() {
    // `regex-lite` looks at one end of such a range.
    let pattern = Pattern::new("[Z-b]", Case::Ignored).unwrap();
    assert!(["Z", "z", "a", "A", "B", "_"].iter().all(|text| pattern.is_match(text)));
    assert!(!pattern.is_match("c") && !pattern.is_match("y"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn it_finds_what_regex_lite_finds(pattern in pattern(), case in case(), texts in prop::collection::vec(text(), 8)) {
        let expected = regex_lite(&pattern, case).unwrap();
        let found = Pattern::new(&pattern, case).unwrap();
        for text in texts {
            prop_assert_eq!(found.is_match(&text), expected.is_match(&text), "{:?} in {:?}", pattern, text);
        }
    }

    #[test]
    fn it_understands_what_regex_lite_understands(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..8),
        case in case(),
        texts in prop::collection::vec(text(), 4),
    ) {
        let pattern = pieces.concat();
        let found = Pattern::new(&pattern, case);
        match regex_lite(&pattern, case) {
            Ok(expected) => {
                let found = found.map_err(|refusal| TestCaseError::fail(format!("{pattern:?}: {refusal}")))?;
                for text in texts {
                    prop_assert_eq!(found.is_match(&text), expected.is_match(&text), "{:?} in {:?}", pattern, text);
                }
            }
            // In `(?i)[\x61-c]`, an escaped letter is two there, and cannot begin a range.
            Err(error) if error.contains("ranges must start and end with a single character") => {}
            Err(error) => prop_assert!(found.is_err(), "{:?}: {}", pattern, error),
        }
    }
}

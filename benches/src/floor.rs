//! The floors: what each workload costs when it is all there is.

use hashbrown::{HashMap, HashSet};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::workload::{COUNTRIES, OTHER_COUNTRIES, PLANS, User, members};

/// The flags of one snapshot, by key, and in a row for the bulk.
pub struct Snapshot {
    by_key: HashMap<String, usize>,
    flags: Vec<Flag>,
    members: HashSet<String>,
}

enum Flag {
    On,
    Rollout { seed: u64, share: u32 },
    Rules(Box<Rules>),
    Segment,
}

struct Rules {
    seed: u64,
    other_countries: Vec<String>,
    countries: Vec<String>,
    plans: Vec<String>,
    version: (u64, u64, u64),
    suffixes: [String; 2],
    ranges: [(u32, &'static str); 3],
}

/// The answer: a boolean, or a variant's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of a boolean flag.
    Bool(bool),
    /// Of a string flag.
    Text(&'static str),
}

impl Snapshot {
    /// The same flags as [`workload::flag_file`](crate::workload::flag_file).
    pub fn new() -> Self {
        let mut snapshot = Self { by_key: HashMap::new(), flags: Vec::new(), members: members().into_iter().collect() };
        for number in 0..100 {
            let key = format!("bulk-flag-{number:03}");
            let flag = match number % 5 {
                0 | 1 => Flag::On,
                2 | 3 => rollout(&key),
                _ => rules(&key),
            };
            snapshot.push(key, flag);
        }
        snapshot.push("w1-on-for-all".to_owned(), Flag::On);
        snapshot.push("w2-25-percent".to_owned(), rollout("w2-25-percent"));
        snapshot.push("w3-five-rules".to_owned(), rules("w3-five-rules"));
        snapshot.push("w5-segment".to_owned(), Flag::Segment);
        snapshot
    }

    fn push(&mut self, key: String, flag: Flag) {
        self.by_key.insert(key, self.flags.len());
        self.flags.push(flag);
    }

    /// One flag for one user.
    #[inline]
    pub fn evaluate(&self, key: &str, user: &User) -> Option<Answer> {
        let index = *self.by_key.get(key)?;
        Some(self.flags.get(index)?.evaluate(user, &self.members))
    }

    /// All of the 100 bulk flags for one user.
    #[inline]
    pub fn evaluate_all(&self, user: &User) -> impl Iterator<Item = Answer> {
        self.flags.iter().take(100).map(move |flag| flag.evaluate(user, &self.members))
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Self::new()
    }
}

fn rollout(key: &str) -> Flag {
    Flag::Rollout { seed: xxh3_64(format!("salt-{key}").as_bytes()), share: 25_000 }
}

fn rules(key: &str) -> Flag {
    let owned = |list: [&str; 10]| list.map(str::to_owned).to_vec();
    Flag::Rules(Box::new(Rules {
        seed: xxh3_64(format!("salt-{key}").as_bytes()),
        other_countries: owned(OTHER_COUNTRIES),
        countries: owned(COUNTRIES),
        plans: owned(PLANS),
        version: (4, 0, 0),
        suffixes: ["@other.example".to_owned(), "@example.com".to_owned()],
        ranges: [(33_000, "a"), (66_000, "b"), (100_000, "c")],
    }))
}

impl Flag {
    #[inline]
    fn evaluate(&self, user: &User, members: &HashSet<String>) -> Answer {
        match self {
            Self::On => Answer::Bool(true),
            Self::Rollout { seed, share } => Answer::Bool(bucket(&user.key, *seed) < *share),
            Self::Rules(rules) => Answer::Text(rules.evaluate(user)),
            Self::Segment => Answer::Bool(members.contains(user.key.as_str())),
        }
    }
}

impl Rules {
    fn evaluate(&self, user: &User) -> &'static str {
        let [other, own] = &self.suffixes;
        if user.age > 18.0 && contains(&self.other_countries, user.country) {
            return "a";
        }
        if version(user.app_version) > Some(self.version) && user.email.ends_with(other.as_str()) {
            return "a";
        }
        if contains(&self.countries, user.country) && user.age > 65.0 {
            return "a";
        }
        if user.email.ends_with(own.as_str()) && version(user.app_version).is_some_and(|version| version < self.version)
        {
            return "a";
        }
        if contains(&self.plans, user.plan) && user.age > 21.0 {
            let bucket = bucket(&user.key, self.seed);
            return self.ranges.iter().find(|(end, _)| bucket < *end).map_or("off", |(_, variant)| variant);
        }
        "off"
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "hash < 2^64, so the quotient is below 100,000")]
fn bucket(unit: &str, seed: u64) -> u32 {
    ((u128::from(xxh3_64_with_seed(unit.as_bytes(), seed)) * 100_000) >> 64) as u32
}

fn contains(list: &[String], value: &str) -> bool {
    list.iter().any(|item| item == value)
}

/// Of three numbers, and trusting that they are.
fn version(text: &str) -> Option<(u64, u64, u64)> {
    let number = |part: &str| part.bytes().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    let mut parts = text.split('.').map(number);
    Some((parts.next()?, parts.next()?, parts.next()?))
}

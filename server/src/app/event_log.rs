//! Entries of the event log: what of SDKs' events concerns rollouts, and when their steps begin. Pure.
//!
//! An entry is written once and read once or twice, at a hundred thousand events a second: some ten bytes each. Texts stand in it once.

use std::{collections::HashMap, str};

use tidegate_rollout::Exposed;

/// The form of an entry. One in another form, which another version of the server wrote, is not read.
const VERSION: u8 = 1;

const STEP: u8 = 0;
const BATCH: u8 = 1;

/// What an entry tells, in the order in which it happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'e> {
    /// A step begins: what follows is counted at it.
    Step(Step<'e>),
    /// What one client sent at once.
    Batch(Batch<'e>),
}

/// A step of a rollout begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<'e> {
    /// The environment's scope.
    pub environment: &'e str,
    /// The rollout's id.
    pub rollout: &'e str,
    /// The step, from 0.
    pub step: u64,
    /// How many units are kept at most, from the first step on.
    pub capacity: u64,
}

/// What of a batch of events concerns rollouts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch<'e> {
    /// The environment's scope.
    pub environment: &'e str,
    /// Stands for the key and the batch's id: a batch that comes again counts no more.
    pub id: u64,
    /// How many events the client had no room for.
    pub dropped: u64,
    /// By rollout. They come before the measurements, so that what is measured of the same units finds them.
    pub exposures: Vec<Exposures<'e>>,
    /// By metric.
    pub measurements: Vec<Measurements<'e>>,
}

/// Who was served a flag under rollout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposures<'e> {
    /// The rollout's id.
    pub rollout: &'e str,
    /// How many evaluations there were, also of units that are not among those below.
    pub told: u64,
    /// The units.
    pub exposed: Vec<Exposed>,
}

/// What was measured of whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurements<'e> {
    /// The metric.
    pub metric: &'e str,
    /// Units, and how much; absent: it happened.
    pub measured: Vec<(u64, Option<f64>)>,
}

/// Writes an entry.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    /// The numbers of the texts that stand in the entry already, from 1.
    texts: HashMap<String, u64>,
}

impl Default for Writer {
    fn default() -> Self {
        Self { bytes: vec![VERSION], texts: HashMap::new() }
    }
}

impl Writer {
    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == 1
    }

    /// How long the entry is, in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// A step begins.
    pub fn step(&mut self, Step { environment, rollout, step, capacity }: &Step<'_>) {
        self.bytes.push(STEP);
        self.text(environment);
        self.text(rollout);
        self.number(*step);
        self.number(*capacity);
    }

    /// A batch came.
    pub fn batch(&mut self, Batch { environment, id, dropped, exposures, measurements }: &Batch<'_>) {
        self.bytes.push(BATCH);
        self.text(environment);
        self.hash(*id);
        self.number(*dropped);
        self.number(exposures.len() as u64);
        for Exposures { rollout, told, exposed } in exposures {
            self.text(rollout);
            self.number(*told);
            self.number(exposed.len() as u64);
            for Exposed { unit, bucket, treated } in exposed {
                self.hash(*unit);
                self.number(bucket.map_or(0, |bucket| u64::from(bucket) + 1) << 1 | u64::from(*treated));
            }
        }
        self.number(measurements.len() as u64);
        for Measurements { metric, measured } in measurements {
            self.text(metric);
            self.number(measured.len() as u64);
            for (unit, value) in measured {
                self.hash(*unit);
                self.bytes.push(u8::from(value.is_some()));
                if let Some(value) = value {
                    self.bytes.extend(value.to_le_bytes());
                }
            }
        }
    }

    /// The entry.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn text(&mut self, text: &str) {
        if let Some(number) = self.texts.get(text) {
            return self.number(*number);
        }
        self.texts.insert(text.to_owned(), self.texts.len() as u64 + 1);
        self.number(0);
        self.number(text.len() as u64);
        self.bytes.extend(text.as_bytes());
    }

    fn hash(&mut self, hash: u64) {
        self.bytes.extend(hash.to_le_bytes());
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                return self.bytes.push(low & 0x7f);
            }
            self.bytes.push(low | 0x80);
        }
    }
}

/// The entry was not written by this version of the server, or is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an entry of the event log cannot be read")]
pub struct Unreadable;

/// What an entry tells. After what cannot be read nothing comes any more.
pub fn read(entry: &[u8]) -> impl Iterator<Item = Result<Item<'_>, Unreadable>> {
    let mut reader = match entry {
        [VERSION, items @ ..] => Ok(Reader { left: items, texts: Vec::new() }),
        _ => Err(Some(Unreadable)),
    };
    std::iter::from_fn(move || {
        let open = match &mut reader {
            Ok(open) if open.left.is_empty() => return None,
            Ok(open) => open,
            Err(unreadable) => return unreadable.take().map(Err),
        };
        let item = open.item();
        if item.is_none() {
            reader = Err(None);
        }
        Some(item.ok_or(Unreadable))
    })
}

struct Reader<'e> {
    left: &'e [u8],
    texts: Vec<&'e str>,
}

impl<'e> Reader<'e> {
    fn item(&mut self) -> Option<Item<'e>> {
        match self.take(1)? {
            [STEP] => Some(Item::Step(Step {
                environment: self.text()?,
                rollout: self.text()?,
                step: self.number()?,
                capacity: self.number()?,
            })),
            [BATCH] => Some(Item::Batch(Batch {
                environment: self.text()?,
                id: self.hash()?,
                dropped: self.number()?,
                exposures: self.several(Self::exposures)?,
                measurements: self.several(Self::measurements)?,
            })),
            _ => None,
        }
    }

    fn exposures(&mut self) -> Option<Exposures<'e>> {
        Some(Exposures { rollout: self.text()?, told: self.number()?, exposed: self.several(Self::exposed)? })
    }

    fn exposed(&mut self) -> Option<Exposed> {
        let (unit, served) = (self.hash()?, self.number()?);
        let bucket = (served >> 1).checked_sub(1).map(u32::try_from).transpose().ok()?;
        Some(Exposed { unit, bucket, treated: served & 1 == 1 })
    }

    fn measurements(&mut self) -> Option<Measurements<'e>> {
        Some(Measurements { metric: self.text()?, measured: self.several(Self::measured)? })
    }

    fn measured(&mut self) -> Option<(u64, Option<f64>)> {
        let unit = self.hash()?;
        let value = match self.take(1)? {
            [0] => None,
            [1] => Some(f64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            _ => return None,
        };
        Some((unit, value))
    }

    fn several<T>(&mut self, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let n = usize::try_from(self.number()?).ok()?;
        // Each takes a byte or more: a damaged number asks for no more room than the entry has.
        let mut several = Vec::with_capacity(n.min(self.left.len()));
        for _ in 0..n {
            several.push(one(self)?);
        }
        Some(several)
    }

    fn text(&mut self) -> Option<&'e str> {
        match usize::try_from(self.number()?).ok()? {
            0 => {
                let n = usize::try_from(self.number()?).ok()?;
                let text = str::from_utf8(self.take(n)?).ok()?;
                self.texts.push(text);
                Some(text)
            }
            number => self.texts.get(number - 1).copied(),
        }
    }

    fn hash(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take(1)? else { return None };
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, n: usize) -> Option<&'e [u8]> {
        let (taken, left) = self.left.split_at_checked(n)?;
        self.left = left;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> [Item<'static>; 3] {
        let step = Step { environment: "shop/test", rollout: "r1", step: 3, capacity: 1_000_000 };
        let exposed = |unit, bucket, treated| Exposed { unit, bucket, treated };
        let exposures = vec![
            exposed(0, Some(0), false),
            exposed(u64::MAX, Some(99_999), true),
            exposed(0x0123_4567_89ab_cdef, None, true),
        ];
        let batch = Batch {
            environment: "shop/test",
            id: 0xfedc_ba98_7654_3210,
            dropped: 300,
            exposures: vec![
                Exposures { rollout: "r1", told: u64::MAX, exposed: exposures },
                Exposures { rollout: "r2", told: 0, exposed: Vec::new() },
            ],
            measurements: vec![Measurements {
                metric: "höher",
                measured: vec![(7, None), (8, Some(-0.0)), (9, Some(f64::MIN_POSITIVE))],
            }],
        };
        [Item::Step(step), Item::Batch(batch), Item::Batch(Batch { environment: "shop/test", ..Batch::default() })]
    }

    fn entry() -> Vec<u8> {
        let mut writer = Writer::default();
        assert!(writer.is_empty());
        for item in items() {
            match item {
                Item::Step(step) => writer.step(&step),
                Item::Batch(batch) => writer.batch(&batch),
            }
        }
        writer.finish()
    }

    #[test]
    fn entries_read_back_as_they_were_written() {
        let read: Vec<_> = read(&entry()).map(Result::unwrap).map(|item| format!("{item:?}")).collect();
        assert_eq!(read, items().map(|item| format!("{item:?}")));
    }

    #[test]
    fn damaged_entries_end_with_an_error() {
        let whole = entry();
        for end in 0..whole.len() {
            let n_read = read(&whole[..end]).flatten().count();
            assert!(n_read < 3, "{end}");
            for byte in [0, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[end] = byte;
                assert!(read(&damaged).take(1_000).count() < 1_000);
            }
        }
        assert_eq!(read(&[]).collect::<Vec<_>>(), [Err(Unreadable)]);
        assert_eq!(read(&[VERSION]).count(), 0);
        assert_eq!(read(&[VERSION + 1, 0]).collect::<Vec<_>>(), [Err(Unreadable)]);
    }

    #[test]
    fn an_exposure_takes_eleven_bytes() {
        let exposed = vec![Exposed { unit: 1, bucket: Some(50_000), treated: true }; 1_000];
        let mut writer = Writer::default();
        let exposures = vec![Exposures { rollout: "r", told: 1_000, exposed }];
        writer.batch(&Batch { environment: "e", exposures, ..Batch::default() });
        assert!(writer.len() < 11_100, "{}", writer.len());
    }
}

//! Checks that the audit log is what was written: no row changed, missing, added or moved.
//!
//! A chain cannot tell that its newest rows were cut off, or that somebody wrote all of it anew: for that, compare
//! [`Verified`] with one noted elsewhere.

use super::{AuditRow, GENESIS, LEAF_VERSION, leaf_hash};
use crate::ports::{Store, store::StoreError};

/// What a whole log comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many rows there are.
    pub rows: u64,
    /// The `hash` of the newest row; [`GENESIS`] where there is none.
    pub head: String,
}

/// The first thing wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// A row is missing, or there twice.
    #[error("row {expected} is missing: row {found} stands in its place")]
    Sequence {
        /// The sequence number due.
        expected: u64,
        /// The one found.
        found: u64,
    },
    /// The row does not follow the one before.
    #[error("row {sequence} does not follow the row before it")]
    Link {
        /// The row.
        sequence: u64,
    },
    /// The row is not what was written.
    #[error("row {sequence} was changed after it was written")]
    Hash {
        /// The row.
        sequence: u64,
    },
    /// A newer version of Tidegate wrote the row, or somebody changed it.
    #[error("row {sequence} has the leaf version {leaf_version}, which this program does not know")]
    LeafVersion {
        /// The row.
        sequence: u64,
        /// Its version.
        leaf_version: u32,
    },
}

/// Walks along the chain, row by row.
#[derive(Clone, Debug)]
pub struct Verifier(Verified);

impl Default for Verifier {
    fn default() -> Self {
        Self(Verified { rows: 0, head: GENESIS.to_owned() })
    }
}

impl Verifier {
    /// Takes the next row.
    ///
    /// # Errors
    /// [`Broken`] says what is wrong with it.
    pub fn check(&mut self, row: &AuditRow) -> Result<(), Broken> {
        let Verified { rows, head } = &mut self.0;
        let AuditRow { sequence, leaf_version, .. } = *row;
        if sequence != *rows + 1 {
            return Err(Broken::Sequence { expected: *rows + 1, found: sequence });
        }
        if leaf_version != LEAF_VERSION {
            return Err(Broken::LeafVersion { sequence, leaf_version });
        }
        if row.previous_hash != *head {
            return Err(Broken::Link { sequence });
        }
        if row.hash != leaf_hash(row) {
            return Err(Broken::Hash { sequence });
        }
        *rows = sequence;
        head.clone_from(&row.hash);
        Ok(())
    }

    /// What the rows taken so far come to.
    pub fn finish(self) -> Verified {
        self.0
    }
}

/// Why a log could not be called whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It is not.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// It could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Verifies the log of `store`, reading page by page. Rows committed meanwhile may be in or not.
///
/// # Errors
/// [`VerifyError::Broken`] with the first thing wrong; else the store's own error.
pub async fn verify(store: &dyn Store) -> Result<Verified, VerifyError> {
    const PAGE: u32 = 1_000;
    let mut verifier = Verifier::default();
    loop {
        let page = store.audit_chain(verifier.0.rows, PAGE).await?;
        if page.is_empty() {
            return Ok(verifier.finish());
        }
        for row in &page {
            verifier.check(row)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_core::Timestamp;

    use super::*;
    use crate::audit::{AuditEntry, chain};

    fn log(n_rows: u64) -> Vec<AuditRow> {
        let mut head = GENESIS.to_owned();
        (1..=n_rows)
            .map(|sequence| {
                let entry = AuditEntry {
                    at: Timestamp(1_000),
                    actor: "system".to_owned(),
                    actor_name: "System".to_owned(),
                    action: "flag.update".to_owned(),
                    project: None,
                    environment: None,
                    resource: format!("flag/f{sequence}"),
                    before: json!({"share": 0.1}),
                    after: json!({"share": sequence}),
                    reason: String::new(),
                    request_id: String::new(),
                };
                let row = chain(entry, sequence, &head);
                head.clone_from(&row.hash);
                row
            })
            .collect()
    }

    #[track_caller]
    fn check(tamper: impl FnOnce(&mut Vec<AuditRow>), expected: impl Into<Option<Broken>>) {
        let mut rows = log(5);
        tamper(&mut rows);
        let mut verifier = Verifier::default();
        let outcome = rows.iter().try_for_each(|row| verifier.check(row));
        assert_eq!(outcome.err(), expected.into());
    }

    #[test]
    fn tampering_is_found() {
        check(|_| {}, None);
        check(|rows| rows[2].entry.reason.push('x'), Broken::Hash { sequence: 3 });
        check(|rows| rows[2].entry.after = json!(4), Broken::Hash { sequence: 3 });
        check(|rows| rows[2].leaf_version = 2, Broken::LeafVersion { sequence: 3, leaf_version: 2 });
        check(|rows| rows[2] = chain(rows[2].entry.clone(), 3, GENESIS), Broken::Link { sequence: 3 });
        check(
            |rows| {
                rows[2].entry.reason.push('x');
                rows[2] = chain(rows[2].entry.clone(), 3, &rows[1].hash.clone());
            },
            Broken::Link { sequence: 4 },
        );
        check(|rows| drop(rows.remove(2)), Broken::Sequence { expected: 3, found: 4 });
        check(|rows| rows.swap(2, 3), Broken::Sequence { expected: 3, found: 4 });
        check(|rows| drop(rows.remove(0)), Broken::Sequence { expected: 1, found: 2 });
    }

    /// Known and documented: only a head noted elsewhere shows it.
    #[test]
    fn a_cut_tail_shows_only_in_the_head() {
        check(|rows| rows.truncate(4), None);
        assert_ne!(log(4).last().unwrap().hash, log(5).last().unwrap().hash);
    }
}

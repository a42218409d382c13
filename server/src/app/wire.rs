//! From documents to what is compiled, evaluated and sent: pure.
//!
//! A document that cannot be read becomes a broken flag or segment, never a failure of the whole.

use tidegate_core::{Change, FlagConfig, FlagKey, SegmentConfig, SegmentKey, config::Variant};

use super::{
    documents::{self, BrokenDocument},
    model::{Flag, FlagEnvironment, Segment},
};
use crate::ports::store::{Document, EnvironmentId, EnvironmentSnapshot, Touched, TouchedKind};

/// A flag as one environment evaluates it. `version` is the [`wire_version`].
pub fn wire_flag(key: &FlagKey, flag: &Flag, configuration: &FlagEnvironment, version: u64) -> FlagConfig {
    FlagConfig {
        key: key.clone(),
        kind: flag.kind,
        version,
        enabled: configuration.enabled,
        killed: configuration.kill.is_some(),
        variants: flag
            .variants
            .iter()
            .map(|variant| Variant { key: variant.key.clone(), value: variant.value.clone() })
            .collect(),
        off_variant: configuration.off_variant.clone(),
        salt: configuration.salt.clone(),
        prerequisites: configuration.prerequisites.clone(),
        targets: configuration.targets.clone(),
        rules: configuration.rules.clone(),
        default: configuration.default.clone(),
        availability: configuration.availability,
    }
}

/// A segment as it is evaluated.
pub fn wire_segment(key: &SegmentKey, segment: &Segment, version: u64) -> SegmentConfig {
    SegmentConfig {
        key: key.clone(),
        version,
        included: segment.included.clone(),
        excluded: segment.excluded.clone(),
        rules: segment.rules.clone(),
    }
}

/// A flag's version in one environment: grows with every change of the flag or of its configuration there.
///
/// It is the sum of the two documents' versions (0 for a configuration that was never stored).
pub fn wire_version(flag: u64, configuration: u64) -> u64 {
    flag + configuration
}

/// A flag's documents as one environment evaluates them.
///
/// # Errors
/// [`BrokenDocument`] names the one that cannot be read.
pub fn flag_config(
    environment: &EnvironmentId,
    flag: &Document,
    configuration: Option<&Document>,
) -> Result<FlagConfig, BrokenDocument> {
    let key = FlagKey::new(&flag.id.key).map_err(|error| broken(flag, error.to_string()))?;
    let flag = documents::read::<Flag>(flag)?;
    let (configuration, version) = match configuration {
        Some(document) => {
            let stored = documents::read::<FlagEnvironment>(document)?;
            (stored.body, stored.version)
        }
        None => (flag.body.initial_configuration(&environment.environment), 0),
    };
    Ok(wire_flag(&key, &flag.body, &configuration, wire_version(flag.version, version)))
}

/// A segment's document as it is evaluated.
///
/// # Errors
/// [`BrokenDocument`] where it cannot be read.
pub fn segment_config(segment: &Document) -> Result<SegmentConfig, BrokenDocument> {
    let key = SegmentKey::new(&segment.id.key).map_err(|error| broken(segment, error.to_string()))?;
    let segment = documents::read::<Segment>(segment)?;
    Ok(wire_segment(&key, &segment.body, segment.version))
}

/// Everything of a snapshot as changes of an empty ruleset.
pub fn snapshot_changes(environment: &EnvironmentId, snapshot: &EnvironmentSnapshot) -> Vec<Change> {
    let segments = snapshot.segments.iter().filter_map(put_segment);
    let flags =
        snapshot.flags.iter().filter_map(|(flag, configuration)| put_flag(environment, flag, configuration.as_ref()));
    segments.chain(flags).collect()
}

/// One object of a delta as a change; `None` where its key could never have been in a ruleset.
pub fn delta_change(
    environment: &EnvironmentId,
    touched: &Touched,
    documents: Option<&(Document, Option<Document>)>,
) -> Option<Change> {
    match (touched.kind, documents) {
        (TouchedKind::Flag, Some((flag, configuration))) => put_flag(environment, flag, configuration.as_ref()),
        (TouchedKind::Flag, None) => FlagKey::new(&touched.key).ok().map(Change::DeleteFlag),
        (TouchedKind::Segment, Some((segment, _))) => put_segment(segment),
        (TouchedKind::Segment, None) => SegmentKey::new(&touched.key).ok().map(Change::DeleteSegment),
    }
}

fn put_flag(environment: &EnvironmentId, flag: &Document, configuration: Option<&Document>) -> Option<Change> {
    match flag_config(environment, flag, configuration) {
        Ok(config) => Some(Change::PutFlag(config)),
        Err(broken) => {
            FlagKey::new(&flag.id.key).ok().map(|key| Change::BrokenFlag { key, message: broken.to_string() })
        }
    }
}

fn put_segment(segment: &Document) -> Option<Change> {
    match segment_config(segment) {
        Ok(config) => Some(Change::PutSegment(config)),
        Err(broken) => {
            SegmentKey::new(&segment.id.key).ok().map(|key| Change::BrokenSegment { key, message: broken.to_string() })
        }
    }
}

fn broken(document: &Document, message: String) -> BrokenDocument {
    BrokenDocument { id: document.id.clone(), version: document.version, message }
}

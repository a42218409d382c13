//! The last-known-good file: what an SDK keeps on disk to start without a server.
//!
//! A line of JSON that says what this is, one that says of what, then one per object:
//!
//! ```text
//! {"format":"tidegate-snapshot","version":1,"checksum":"…"}
//! {"scope":"…","savedAt":…,"position":{…},"objects":2}
//! {"kind":"segment","key":"beta","body":{…}}
//! {"kind":"flag","key":"checkout","body":{…}}
//! ```
//!
//! The checksum is xxh3-128 over all that follows the first line break. A file that is torn, foreign or of another
//! version is refused as a whole: an SDK then starts as if there were none.

use tidegate_core::tree::{self, Members, Read, ReadError, Tree, Write, text};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    digest::Digest,
    message::{Position, WireObject},
};

const FORMAT: &str = "tidegate-snapshot";
const VERSION: u32 = 1;

/// An environment's objects at a position.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Where it stands; its digest is that of `objects`.
    pub position: Position,
    /// Every object, in any order; no two of the same kind and key.
    pub objects: Vec<WireObject>,
}

/// Why a file is no snapshot to be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The file is no snapshot, or of a version that is not known here.
    #[error("this is no snapshot of version {VERSION}")]
    Format,
    /// The file is for another server or SDK key.
    #[error("the snapshot belongs to another server or key")]
    Scope,
    /// The file is torn or was changed.
    #[error("the snapshot is damaged: its {what} does not match")]
    Damaged {
        /// What was compared.
        what: &'static str,
    },
}

struct Header {
    format: String,
    version: u32,
    checksum: Digest,
}

struct About {
    scope: String,
    saved_at: i64,
    position: Position,
    objects: u64,
}

impl Write for Header {
    fn write(&self, out: &mut String) {
        let Self { format, version, checksum } = self;
        Members::of(out).with("format", format).with("version", version).with("checksum", checksum).end();
    }
}

impl Write for About {
    fn write(&self, out: &mut String) {
        Members::of(out)
            .with("scope", &self.scope)
            .with("savedAt", &self.saved_at)
            .with("position", &self.position)
            .with("objects", &self.objects)
            .end();
    }
}

impl Read for Header {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self {
            format: fields.required("format")?,
            version: fields.required("version")?,
            checksum: fields.required("checksum")?,
        })
    }
}

impl Read for About {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self {
            scope: fields.required("scope")?,
            saved_at: fields.required("savedAt")?,
            position: fields.required("position")?,
            objects: fields.required("objects")?,
        })
    }
}

impl Snapshot {
    /// Writes the file. `scope` names what the snapshot is of (it is compared when the file is read), `saved_at` is
    /// the time of writing in milliseconds since 1970, for whoever reads the file. O(bytes).
    pub fn encode(&self, scope: &str, saved_at: i64) -> String {
        let objects = self.objects.len() as u64;
        let about = About { scope: scope.to_owned(), saved_at, position: self.position.clone(), objects };
        let mut body = text(&about) + "\n";
        for object in &self.objects {
            object.write(&mut body);
            body.push('\n');
        }
        let checksum = Digest(xxh3_128(body.as_bytes()));
        text(&Header { format: FORMAT.to_owned(), version: VERSION, checksum }) + "\n" + &body
    }

    /// Reads a file that [`encode`](Self::encode) wrote for the same `scope`. O(bytes).
    ///
    /// # Errors
    /// [`SnapshotError`]; whatever `bytes` are, it never panics.
    pub fn decode(bytes: &[u8], scope: &str) -> Result<Self, SnapshotError> {
        let text = std::str::from_utf8(bytes).map_err(|_| SnapshotError::Format)?;
        let (header, body) = text.split_once('\n').ok_or(SnapshotError::Format)?;
        let header: Header = tree::parse(header).map_err(|_| SnapshotError::Format)?;
        if header.format != FORMAT || header.version != VERSION {
            return Err(SnapshotError::Format);
        }
        if header.checksum != Digest(xxh3_128(body.as_bytes())) {
            return Err(SnapshotError::Damaged { what: "checksum" });
        }
        let form = |_| SnapshotError::Damaged { what: "form" };
        let mut lines = body.lines();
        let about: About = tree::parse(lines.next().unwrap_or_default()).map_err(form)?;
        if about.scope != scope {
            return Err(SnapshotError::Scope);
        }
        let mut objects = Vec::new();
        for line in lines {
            objects.push(WireObject::parse(line).map_err(form)?);
        }
        if about.objects != objects.len() as u64 || about.position.digest != objects.iter().map(Digest::from).sum() {
            return Err(SnapshotError::Damaged { what: "digest" });
        }
        Ok(Self { position: about.position, objects })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::ObjectKind;

    fn snapshot() -> Snapshot {
        let objects = vec![
            WireObject::new(ObjectKind::Segment, "beta", &serde_json::json!({ "key": "beta" })).unwrap(),
            WireObject::new(ObjectKind::Flag, "checkout", &serde_json::json!({ "key": "checkout" })).unwrap(),
        ];
        let digest = objects.iter().map(Digest::from).sum();
        Snapshot { position: Position { epoch: "e".into(), revision: 3, digest }, objects }
    }

    #[test]
    fn what_is_written_is_read() {
        let file = snapshot().encode("scope", 1);
        assert_eq!(Snapshot::decode(file.as_bytes(), "scope").unwrap(), snapshot());
    }

    #[test]
    fn another_scope_is_refused() {
        let file = snapshot().encode("production", 1);
        assert!(matches!(Snapshot::decode(file.as_bytes(), "staging"), Err(SnapshotError::Scope)));
    }

    #[test]
    fn a_torn_file_is_refused_wherever_it_is_torn() {
        let file = snapshot().encode("scope", 1);
        for end in 0..file.len() {
            assert!(Snapshot::decode(&file.as_bytes()[..end], "scope").is_err(), "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn a_flipped_bit_never_changes_what_is_read(index in any::<prop::sample::Index>(), bit in 0..8) {
            let mut file = snapshot().encode("scope", 1).into_bytes();
            let at = index.index(file.len());
            file[at] ^= 1_u8 << bit;
            // A letter of the checksum may change its case.
            if let Ok(read) = Snapshot::decode(&file, "scope") {
                prop_assert_eq!(read, snapshot());
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Snapshot::decode(&bytes, "scope").is_err());
        }
    }
}

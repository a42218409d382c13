//! The last-known-good file. Blocking: the driver reads it before it starts and writes it beside its own task.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use tidegate_protocol::{Digest, ObjectKind, Snapshot};

/// Where the snapshot is kept, and of what it is.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    path: PathBuf,
    scope: String,
}

/// A larger file is not read, in bytes.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

impl Cache {
    /// A file for the environment that `key` opens at `url`. The file names both by a hash: two environments must not
    /// serve each other's flags, and the key must not be readable there.
    pub fn new(path: PathBuf, url: &str, key: &str) -> Self {
        let scope = Digest::of(&ObjectKind::Other("sdkKey".into()), url, key);
        Self { path, scope: scope.into() }
    }

    /// What is kept, where there is something that can be used. Why not is logged: a broken cache is no failure.
    pub fn read(&self) -> Option<Snapshot> {
        match self.try_read() {
            Ok(snapshot) => Some(snapshot),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "the cache file is not used");
                None
            }
        }
    }

    fn try_read(&self) -> io::Result<Snapshot> {
        if fs::metadata(&self.path)?.len() > MAX_BYTES {
            return Err(io::Error::other("the file is too large"));
        }
        Snapshot::decode(&fs::read(&self.path)?, &self.scope).map_err(io::Error::other)
    }

    /// Replaces the file in one step: whoever reads it finds the old snapshot or the new one.
    pub fn write(&self, snapshot: &Snapshot, saved_at: i64) -> io::Result<()> {
        let temporary = beside(&self.path);
        let mut file = File::create(&temporary)?;
        file.write_all(snapshot.encode(&self.scope, saved_at).as_bytes())?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, &self.path)
    }
}

/// In the same folder, so that a rename is atomic; of this process, so that two do not write into one.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{Position, WireObject};

    use super::*;

    fn snapshot() -> Snapshot {
        let object = WireObject::new(ObjectKind::Flag, "a", &serde_json::json!({ "key": "a" })).unwrap();
        let position = Position { epoch: "e".into(), revision: 1, digest: Digest::from(&object) };
        Snapshot { position, objects: vec![object] }
    }

    #[test]
    fn what_is_written_is_read_by_the_same_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags");
        let cache = Cache::new(path.clone(), "http://a", "tgs_1");
        assert!(cache.read().is_none());
        cache.write(&snapshot(), 0).unwrap();
        assert_eq!(cache.read(), Some(snapshot()));
        assert!(Cache::new(path.clone(), "http://a", "tgs_2").read().is_none());
        assert!(Cache::new(path.clone(), "http://b", "tgs_1").read().is_none());
        assert!(!fs::read_to_string(path).unwrap().contains("tgs_1"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left");
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags");
        let cache = Cache::new(path.clone(), "http://a", "tgs_1");
        cache.write(&snapshot(), 0).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(cache.read().is_none());
        fs::write(&path, b"\xff\xfe").unwrap();
        assert!(cache.read().is_none());
    }
}

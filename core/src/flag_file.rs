//! Flag files, read object by object.

use crate::{
    Change, FlagFile,
    tree::{Fields, Read, ReadError, Tree},
};

/// The objects that could be read, and those whose key could be, with what is wrong.
struct Objects<T, K> {
    read: Vec<T>,
    broken: Vec<(K, String)>,
}

impl<T: Read, K: Read> Objects<T, K> {
    fn read(file: Fields<'_>, name: &str) -> Result<Self, ReadError> {
        let mut objects = Self { read: Vec::new(), broken: Vec::new() };
        let list = match file.get(name)? {
            None => &[][..],
            Some(Tree::List(list)) => list,
            Some(_) => return Err(ReadError::new("must be a list").within(name)),
        };
        for tree in list {
            match (T::read(tree), tree.fields().and_then(|fields| fields.required("key"))) {
                (Ok(object), _) => objects.read.push(object),
                (Err(error), Ok(key)) => objects.broken.push((key, error.to_string())),
                (Err(_), Err(_)) => {}
            }
        }
        Ok(objects)
    }
}

/// What of the file can be compiled, and the changes that add the rest as broken: what cannot be read of a flag or segment is that
/// one's problem.
///
/// # Errors
/// Where the text is no flag file at all.
pub fn read(text: &str) -> Result<(FlagFile, Vec<Change>), ReadError> {
    let file = Tree::parse(text)?;
    let fields = file.fields()?;
    let flags = Objects::read(fields, "flags")?;
    let segments = Objects::read(fields, "segments")?;
    let broken_flags = flags.broken.into_iter().map(|(key, message)| Change::BrokenFlag { key, message });
    let broken_segments = segments.broken.into_iter().map(|(key, message)| Change::BrokenSegment { key, message });
    let broken = broken_flags.chain(broken_segments).collect();
    Ok((FlagFile { flags: flags.read, segments: segments.read }, broken))
}

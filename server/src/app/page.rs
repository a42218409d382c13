//! Pages of lists, in the order of the keys.

use serde::Serialize;
use utoipa::ToSchema;

/// Which page is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Only what comes after this cursor: the `next` of the page before.
    pub after: Option<String>,
    /// At most this many: 1 to [`PageRequest::MAX_LIMIT`].
    pub limit: u32,
}

impl PageRequest {
    /// The longest page.
    pub const MAX_LIMIT: u32 = 200;
    /// The length of a page where none is asked for.
    pub const DEFAULT_LIMIT: u32 = 50;
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// Where the next page begins: send it as `cursor`. Absent: this is the last page.
    #[serde(rename = "nextCursor", skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page out of `items`, of which one more than `limit` were asked for to learn whether any follow. `cursor`
    /// names an item.
    pub fn cut(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        Self { items, next }
    }

    /// The same page of other things.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_names_its_successor_only_where_there_is_one() {
        let cut = |n: u32| Page::cut((0..n).collect(), 2, ToString::to_string);
        assert_eq!(cut(0), Page { items: vec![], next: None });
        assert_eq!(cut(2), Page { items: vec![0, 1], next: None });
        assert_eq!(cut(3), Page { items: vec![0, 1], next: Some("1".to_owned()) });
    }
}

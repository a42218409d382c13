//! Lists that show only part of what is stored.

use super::{
    App, AppError, Page, PageRequest,
    documents::{self, Body, Stored},
};
use crate::ports::store::DocumentQuery;

impl App {
    /// A page of those live documents with a body of type `T` of which `keep` makes something, in the order of their
    /// keys. A damaged document is left out, and logged.
    ///
    /// Costs a read of everything before the page's end: for people, tokens and keys, of which there are hundreds.
    pub(super) async fn scan<T: Body, U>(
        &self,
        page: &PageRequest,
        mut keep: impl FnMut(Stored<T>) -> Option<U>,
    ) -> Result<Page<U>, AppError> {
        let wanted = usize::try_from(page.limit).unwrap_or(usize::MAX).saturating_add(1);
        let mut kept: Vec<(String, U)> = Vec::new();
        let mut query = DocumentQuery {
            kind: T::KIND,
            scope: String::new(),
            after: page.after.clone(),
            limit: PageRequest::MAX_LIMIT,
            include_archived: false,
        };
        while kept.len() < wanted {
            let documents = self.store.documents(&query).await?;
            let Some(last) = documents.last() else { break };
            query.after = Some(last.id.key.clone());
            for document in &documents {
                match documents::read(document) {
                    Ok(stored) => kept.extend(keep(stored).map(|item| (document.id.key.clone(), item))),
                    Err(broken) => tracing::warn!("{broken}"),
                }
            }
        }
        Ok(Page::cut(kept, page.limit, |(key, _)| key.clone()).map(|(_, item)| item))
    }
}

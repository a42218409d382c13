//! A commit in the making: each document goes in with its precondition and its audit entry, so none can be forgotten.

use serde::Serialize;
use serde_json::Value as Json;
use tidegate_core::Timestamp;

use super::{
    App, Request,
    documents::{self, Body, Stored},
};
use crate::audit::AuditEntry;
use crate::ports::store::{
    Commit, Document, DocumentId, DocumentKind, EnvironmentId, Expected, Touched, TouchedKind, Write,
};

/// A commit in the making.
pub struct Draft<'r> {
    request: &'r Request,
    commit: Commit,
}

impl<'r> Draft<'r> {
    /// Nothing yet.
    pub fn new(app: &App, request: &'r Request) -> Self {
        Self { request, commit: Commit { at: app.clock.now(), ..Commit::default() } }
    }

    /// The time of the commit.
    pub fn at(&self) -> Timestamp {
        self.commit.at
    }

    /// What the audit log would say.
    pub fn entries(&self) -> &[AuditEntry] {
        &self.commit.audit
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.commit.writes.is_empty()
    }

    /// A new document. Returns what it will be once committed.
    pub fn create<T: Body>(&mut self, id: DocumentId, body: T, action: &str) -> Stored<T> {
        let write = Write { id: id.clone(), body: documents::write(&body), archived: false };
        self.write(Expected::Absent, write, action, T::audit(None, Some(&body)));
        Stored { id, version: 1, archived: false, created_at: self.at(), updated_at: self.at(), body }
    }

    /// The document `before` with another body. Returns what it will be once committed.
    pub fn update<T: Body>(&mut self, before: &Stored<T>, body: T, action: &str) -> Stored<T> {
        let write = Write { id: before.id.clone(), body: documents::write(&body), archived: before.archived };
        self.write(Expected::Version(before.version), write, action, T::audit(Some(&before.body), Some(&body)));
        Stored {
            id: before.id.clone(),
            version: before.version + 1,
            archived: before.archived,
            created_at: before.created_at,
            updated_at: self.at(),
            body,
        }
    }

    /// The document `before` with another body, whether its own can be read or not.
    pub fn replace<T: Body>(&mut self, before: &Document, body: &T, action: &str) {
        let write = Write { id: before.id.clone(), body: documents::write(body), archived: before.archived };
        let audit = match documents::read::<T>(before) {
            Ok(stored) => T::audit(Some(&stored.body), Some(body)),
            Err(_) => (documents::audit_document(before), documents::value(body)),
        };
        self.write(Expected::Version(before.version), write, action, audit);
    }

    /// The document `before`, archived.
    pub fn archive<T: Body>(&mut self, before: &Stored<T>, action: &str) {
        let write = Write { id: before.id.clone(), body: documents::write(&before.body), archived: true };
        self.write(Expected::Version(before.version), write, action, T::audit(Some(&before.body), None));
    }

    /// The document `before`, archived, whether its body can be read or not.
    pub fn archive_document(&mut self, before: &Document, action: &str) {
        self.archive_as(before, (before.body.clone(), documents::audit_document(before)), action);
    }

    /// The document `before`, archived: this stays of its body, and that is for the audit log.
    pub fn archive_as(&mut self, before: &Document, (body, shown): (String, Json), action: &str) {
        let write = Write { id: before.id.clone(), body, archived: true };
        self.write(Expected::Version(before.version), write, action, (shown, Json::Null));
    }

    /// A document with a body, whatever was there before; `before` is for the audit log.
    pub fn put<T: Body>(&mut self, id: DocumentId, expected: Expected, body: &T, action: &str, before: Json) {
        let write = Write { id, body: documents::write(body), archived: false };
        self.write(expected, write, action, (before, documents::value(body)));
    }

    /// What somebody did with a document without changing it; it must still be there, and not be archived, when the commit goes
    /// through. `done` is for the audit log.
    pub fn note(&mut self, id: DocumentId, action: &str, done: Json) {
        self.audit(&id, action, (Json::Null, done));
        self.require(id, Expected::Live);
    }

    /// What is written under that id is archived.
    pub fn archive_written(&mut self, id: &DocumentId) {
        for write in self.commit.writes.iter_mut().filter(|write| write.id == *id) {
            write.archived = true;
        }
    }

    /// The document must still be there, and not be archived, when the commit goes through.
    pub fn require(&mut self, id: DocumentId, expected: Expected) {
        self.commit.expected.push((id, expected));
    }

    /// What was judged by the environment at that revision must be judged again where it has changed since: what is referred to may be
    /// gone, or refer back by now.
    pub fn judged_at(&mut self, environment: &EnvironmentId, revision: u64) {
        self.commit.judged.push((environment.clone(), revision));
    }

    /// The flag or segment changes in the environment's snapshot.
    pub fn touch(&mut self, environment: &EnvironmentId, kind: TouchedKind, key: &str) {
        let touched = Touched { kind, key: key.to_owned() };
        match self.commit.touched.iter_mut().find(|(id, _)| id == environment) {
            Some((_, objects)) if objects.contains(&touched) => {}
            Some((_, objects)) => objects.push(touched),
            None => self.commit.touched.push((environment.clone(), vec![touched])),
        }
    }

    /// The environment begins, at revision 1.
    pub fn begin_environment(&mut self, environment: EnvironmentId) {
        self.commit.touched.push((environment, Vec::new()));
    }

    /// The commit of a creation: keeps the answer for a repetition of the request.
    pub fn into_creation(mut self, answer: &impl Serialize) -> Commit {
        self.commit.idempotency = self.request.answer(201, answer);
        self.commit
    }

    /// The commit.
    pub fn into_commit(self) -> Commit {
        self.commit
    }

    fn write(&mut self, expected: Expected, write: Write, action: &str, shown: (Json, Json)) {
        self.audit(&write.id, action, shown);
        self.commit.expected.push((write.id.clone(), expected));
        self.commit.writes.push(write);
    }

    fn audit(&mut self, id: &DocumentId, action: &str, (before, after): (Json, Json)) {
        let Place { project, environment, resource } = Place::of(id);
        let mut entry = self.request.audit(self.commit.at, action, resource);
        entry.project = project;
        entry.environment = environment;
        entry.before = before;
        entry.after = after;
        self.commit.audit.push(entry);
    }
}

/// Where a document is, in the words of the audit log.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    project: Option<String>,
    environment: Option<String>,
    resource: String,
}

impl Place {
    fn of(id: &DocumentId) -> Self {
        let DocumentId { kind, scope, key } = id;
        let (project, environment) = match scope.split_once('/') {
            Some((project, environment)) => (Some(project.to_owned()), Some(environment.to_owned())),
            None => (Some(scope.clone()).filter(|scope| !scope.is_empty()), None),
        };
        match kind {
            DocumentKind::Project => {
                Self { project: Some(key.clone()), environment: None, resource: format!("project/{key}") }
            }
            DocumentKind::Environment => {
                Self { project, environment: Some(key.clone()), resource: format!("environment/{key}") }
            }
            DocumentKind::Flag | DocumentKind::FlagEnvironment => {
                Self { project, environment, resource: format!("flag/{key}") }
            }
            kind => Self { project, environment, resource: format!("{}/{key}", kind.as_str()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: DocumentKind, scope: &str, project: &str, environment: Option<&str>, resource: &str) {
        let place = Place::of(&DocumentId { kind, scope: scope.to_owned(), key: "k".to_owned() });
        let expected = Place {
            project: Some(project.to_owned()),
            environment: environment.map(str::to_owned),
            resource: resource.to_owned(),
        };
        assert_eq!(place, expected);
    }

    #[test]
    fn every_document_has_its_place_in_the_audit_log() {
        check(DocumentKind::Project, "", "k", None, "project/k");
        check(DocumentKind::Environment, "p", "p", Some("k"), "environment/k");
        check(DocumentKind::Flag, "p", "p", None, "flag/k");
        check(DocumentKind::FlagEnvironment, "p/e", "p", Some("e"), "flag/k");
        check(DocumentKind::Segment, "p/e", "p", Some("e"), "segment/k");
    }
}

//! Notices: that something changed, without what. For clients that ask over HTTP and want to know when.

use std::sync::Arc;

use futures_util::{Stream, stream::unfold};
use tidegate_core::Timestamp;

use super::{Admission, Credential, Hub, Streams, lane::Seat, revocation::Watch, streams::Open};
use crate::app::{SdkKeyKind, SdkPrincipal};

/// The environment is at a newer revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The database's timeline.
    pub epoch: Arc<str>,
    /// The revision.
    pub revision: u64,
    /// When it was accepted.
    pub changed_at: Timestamp,
}

struct Follower {
    hub: Arc<Hub>,
    changes: Seat,
    kind: SdkKeyKind,
    /// What the client has heard of.
    seen: u64,
    watch: Watch,
    _open: Open,
    _admission: Admission,
}

impl Streams {
    /// Notices of what happens in the hub's environment after the revision `seen`, each of the newest state only; to a client key,
    /// of what it may notice. Ends when the key is revoked or the server stops.
    pub fn notices(
        &self,
        hub: &Arc<Hub>,
        key: &Arc<SdkPrincipal>,
        seen: u64,
        admission: Admission,
    ) -> impl Stream<Item = Notice> + use<> {
        let follower = Follower {
            hub: Arc::clone(hub),
            changes: hub.changes.take_seat(&Arc::default()),
            kind: key.kind,
            seen,
            watch: self.watch(Credential::Key(Arc::clone(key))),
            _open: self.opened(&hub.environment),
            _admission: admission,
        };
        unfold(follower, async |mut follower| {
            let notice = follower.next().await?;
            Some((notice, follower))
        })
    }
}

impl Follower {
    async fn next(&mut self) -> Option<Notice> {
        loop {
            let state = self.hub.state();
            let newest = match self.kind {
                SdkKeyKind::Server => state.position.revision,
                SdkKeyKind::Client => state.public_revision,
            };
            // A restored database counts from an earlier revision.
            let rewound = self.seen > state.position.revision;
            if newest > self.seen || rewound {
                self.seen = state.position.revision;
                let epoch = Arc::clone(&state.position.epoch);
                return Some(Notice { epoch, revision: state.position.revision, changed_at: state.changed_at });
            }
            tokio::select! {
                biased;
                () = self.watch.over.cancelled() => return None,
                () = self.changes.turn() => {}
            }
        }
    }
}

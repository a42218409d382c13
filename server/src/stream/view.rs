//! What a client key sees of an environment, for one context: pure.
//!
//! A server key gets the same change sets as all others. A client key gets its own: flags whose rules it may see as
//! rules, others as the value that they have for its context, and nothing of the rest.

use std::{collections::BTreeMap, sync::Arc};

use tidegate_core::{Context, Evaluation, FlagKey, Timestamp, VariantKey, config::ResolvedFlag, evaluate};
use tidegate_protocol::{
    Digest, ObjectKind, ObjectRef, Position, ServerMessage, Transfer, frame,
    message::{Commit, Intent},
};

use super::state::{Public, Shown, State, shown};
use crate::app::rulesets::Compiled;

/// An environment as it is sent, with what it is evaluated with. The ruleset is that of the state, or newer.
#[derive(Debug)]
pub struct Front {
    /// What is sent.
    pub state: Arc<State>,
    /// What is evaluated with.
    pub compiled: Arc<Compiled>,
}

/// What a client key sees.
#[derive(Debug)]
struct View {
    position: Position,
    objects: BTreeMap<ObjectRef, Shown>,
}

/// A client key's client: whom it evaluates for, and what it was sent.
#[derive(Debug)]
pub struct Personal {
    ctx: Context,
    /// Absent: unknown, so that only its position says what it has.
    sent: Option<BTreeMap<ObjectRef, Digest>>,
}

impl Front {
    fn view(&self, ctx: &Context, now: Timestamp) -> View {
        let resolve = |key: &Arc<str>| {
            let resolved = resolved(key, &evaluate(&self.compiled.ruleset, key, ctx, now))?;
            Some(shown(ObjectKind::Value, key, &resolved))
        };
        let shown = self.state.public().filter_map(|(key, public)| match public {
            Public::Rules(shown) => Some(shown.clone()),
            Public::Value => resolve(key),
            Public::Hidden => None,
        });
        let objects: BTreeMap<_, _> = shown.map(|shown| (shown.wire.reference(), shown)).collect();
        let digest = objects.values().map(|shown| shown.digest).sum();
        View { position: Position { digest, ..self.state.position.clone() }, objects }
    }
}

fn resolved(key: &str, said: &Evaluation<'_>) -> Option<ResolvedFlag> {
    Some(ResolvedFlag {
        key: FlagKey::new(key).ok()?,
        version: said.flag_version,
        variant: said.variant.and_then(|variant| VariantKey::new(variant).ok()),
        value: said.value.and_then(|value| serde_json::to_value(value).ok()),
        reason: said.reason,
        error_code: said.error,
    })
}

impl Personal {
    /// A client that evaluates for `ctx`.
    pub fn new(ctx: Context) -> Self {
        Self { ctx, sent: None }
    }

    /// Whom the client evaluates for, where that is known.
    pub fn targeting_key(&self) -> Option<&str> {
        self.ctx.targeting_key()
    }

    /// The frames that bring the client, which stands at `at`, to what it sees now, and where it stands then. Nothing
    /// where it sees the same, or was brought further by another server.
    pub fn advance(&mut self, front: &Front, at: Option<&Position>, now: Timestamp) -> Option<(Vec<String>, Position)> {
        let View { position: to, objects } = front.view(&self.ctx, now);
        let same_timeline = at.filter(|at| at.epoch == to.epoch);
        if same_timeline.is_some_and(|at| at.revision > to.revision) || at == Some(&to) {
            return None;
        }
        let digests = objects.iter().map(|(at, shown)| (at.clone(), shown.digest)).collect();
        let sent = self.sent.replace(digests);
        let (transfer, from, put, gone) = match (same_timeline, sent) {
            (Some(at), _) if at.digest == to.digest => (Transfer::Changes, Some(at.revision), Vec::new(), Vec::new()),
            (Some(at), Some(sent)) if at.revision < to.revision => {
                let gone = sent.keys().filter(|at| !objects.contains_key(at)).cloned().collect();
                let changed = objects.into_iter().filter(|(at, shown)| sent.get(at) != Some(&shown.digest));
                (Transfer::Changes, Some(at.revision), changed.map(|(_, shown)| shown.wire).collect(), gone)
            }
            // Another moment may show something else at the same revision: that is a transfer of its own.
            _ => (Transfer::Full, None, objects.into_values().map(|shown| shown.wire).collect(), Vec::new()),
        };
        let intent = Intent { transfer, from, to: to.clone() };
        let commit = Commit { to: to.clone(), changed_at: Some(front.state.changed_at.0) };
        Some((frame::change_set(intent, put, gone, commit), to))
    }
}

/// Says that the client has what there is.
pub fn up_to_date(to: &Position) -> String {
    frame::encode([&ServerMessage::Intent(Intent { transfer: Transfer::None, from: None, to: to.clone() })])
}

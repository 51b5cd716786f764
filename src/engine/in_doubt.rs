//! In-doubt writes: sent to the store, and the reply lost. Whether such a write was done is not known here.
//!
//! The operation keeps the store operation that was sent, with its sequence number. It stays the first of its queue, nothing
//! is merged into it, and [`Engine::start`](super::Engine) sends it again unchanged, before anything else of the session,
//! until the store says what became of it. So every change is taken from data that the store has confirmed.

use super::operation::{Action, Operation};
use crate::error::Error;
use crate::store::StoreOp;

/// After `error` the operation keeps `sent`, if that may have been done: now, or in an earlier attempt (`repeated`).
pub fn keep(operation: &mut Operation, sent: Box<StoreOp>, error: &Error, repeated: bool) {
    let may_be_done = error.in_doubt || repeated;
    if error.will_pass() && may_be_done && !matches!(operation.action, Action::Load { .. }) {
        operation.in_doubt = Some(sent);
    }
}

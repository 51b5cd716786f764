//! In-doubt writes: sent to the store, and the reply lost. Whether such a write was done is not known here.
//!
//! The operation keeps the store operation that was sent, with its sequence number. It stays the first of its queue, nothing
//! is merged into it, and it is sent again unchanged, before anything else of the session, until the store says what became
//! of it. So every change is taken from data that the store has confirmed.

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

/// The store operation that an in-doubt write is repeated with, unchanged: none if the write is not in doubt.
pub fn repeat(operation: &mut Operation) -> Option<StoreOp> {
    operation.in_doubt.take().map(|sent| *sent)
}

/// An in-doubt write could not be repeated now: it stays in doubt.
pub fn postpone(operation: &mut Operation, sent: StoreOp) {
    operation.in_doubt = Some(Box::new(sent));
}

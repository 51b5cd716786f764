//! What the store's answer to an operation means for the record of its session, and for the callers.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::operation::{Action, Operation, Value};
use crate::error::{Error, Kind, Result};
use crate::session::{Record, Saved, State, Stored, Write};
use crate::store::Reply;

/// What an operation has written.
pub struct Written<'a> {
    /// The write.
    pub write: Option<&'a Write>,
    /// When it was sent; absent if an earlier attempt may have been done.
    pub since: Option<Instant>,
    /// The time of the reply.
    pub now: Instant,
}

/// Says when the renewal of a loaded session will fall due. `now` is the time of the reply.
pub fn date(reply: &mut Result<Reply>, now: Instant) {
    if let Ok(Reply::Loaded(Some(stored)) | Reply::Conflict(stored)) = reply {
        let after = stored.renewal_due_in.map(Duration::from_millis);
        stored.renewal_due_at = after.and_then(|after| now.checked_add(after));
    }
}

/// Brings the record up to date, and gives the result for the callers: for a save `Current(true)` if the store has renamed
/// keys. `has_callers` tells whether a caller still waits.
pub fn apply(
    operation: &Operation,
    written: &Written<'_>,
    reply: Result<Reply>,
    has_callers: bool,
) -> Result<Value> {
    let Some(shared) = &operation.record else {
        return reply.map(Value::from);
    };
    let mut record = shared.borrow_mut();
    let write = written.write;
    // A store without versions says nothing of the TTL either.
    if let (Ok(Reply::Saved(Saved { version: 1.., .. })), Some(write)) = (&reply, write) {
        record.renewed(write.ttl, written.since, written.now);
    }
    match reply {
        Ok(Reply::Saved(saved)) if matches!(operation.action, Action::CompareAndSet { .. }) => {
            match write {
                Some(write) if has_callers => record.compared_and_set(write, saved),
                Some(write) => record.compared_and_set_unheard(write, saved),
                None => {}
            }
            Ok(Value::Current(false))
        }
        Ok(Reply::Conflict(newer)) => {
            record.absorb(*newer);
            Err(Error::conflict(&record.uuid))
        }
        Ok(Reply::Saved(saved)) => {
            if let Some(write) = write {
                record.saved(write, saved);
            }
            if has_callers && std::mem::take(&mut record.has_new_names) {
                return Ok(Value::Current(true));
            }
            Ok(Value::Nothing)
        }
        Ok(Reply::Removed { left, version }) => {
            if let Action::RemoveKey { name, .. } = &operation.action {
                record.drop_key(name);
            }
            if left == 0 {
                record.end();
            } else {
                if let Some(write) = write {
                    record.confirm(&write.change, version);
                }
                record.counted(version);
            }
            Ok(Value::Count(left))
        }
        Ok(Reply::Loaded(found)) => Ok(loaded(&mut record, &operation.action, found)),
        Ok(other) => Ok(other.into()),
        Err(error) => {
            if error.kind == Kind::Gone {
                record.state = State::Removed;
            }
            // A JavaScript store may fail half way through.
            if error.in_doubt {
                record.mark_uncertain();
            }
            Err(error)
        }
    }
}

/// What a load means for a session that this process has.
fn loaded(record: &mut Record, action: &Action, found: Option<Box<Stored>>) -> Value {
    match found {
        Some(stored) if *stored.uuid == *record.uuid => Value::Current(!record.absorb(*stored)),
        Some(other) => Value::Session(Rc::new(RefCell::new(Record::loaded(*other)))),
        None => {
            // The store does not have this key. The session may have other keys, also some that this process does not know
            // of; the next write finds out whether it has ended.
            if let Action::Load {
                name,
                keeps_key: false,
            } = action
            {
                record.keys.retain(|key| key.name != *name || !key.stored);
            }
            Value::Nothing
        }
    }
}

impl From<Reply> for Value {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Loaded(Some(stored)) => {
                Self::Session(Rc::new(RefCell::new(Record::loaded(*stored))))
            }
            Reply::Text(Some(text)) => Self::Text(text),
            Reply::Texts(texts) => Self::Texts(texts),
            Reply::Count(count) => Self::Count(count),
            Reply::Removed { left, .. } => Self::Count(left),
            Reply::Loaded(None)
            | Reply::Text(None)
            | Reply::Saved(_)
            | Reply::Conflict(_)
            | Reply::Done => Self::Nothing,
        }
    }
}

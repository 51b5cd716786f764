//! What the store's answer to an operation means for the record of its session, and for the callers.

use std::cell::RefCell;
use std::rc::Rc;

use super::operation::{Action, Operation, Value};
use crate::error::{Error, Kind, Result};
use crate::session::{Record, State, Stored, Write};
use crate::store::Reply;

/// Brings the record up to date, and gives the result for the callers. `write` is what was written; `has_callers` tells
/// whether a caller still waits.
pub fn apply(
    operation: &Operation,
    write: Option<&Write>,
    reply: Result<Reply>,
    has_callers: bool,
) -> Result<Value> {
    let Some(shared) = &operation.record else {
        return reply.map(Value::from);
    };
    let mut record = shared.borrow_mut();
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

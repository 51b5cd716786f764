//! Functions on one session as this process knows it; JavaScript holds it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use napi_derive::napi;
use uuid::Uuid;

use super::conversions::{Name, Text};
use super::{HeldRecord, Result, held, name_of, patch_of, thrown};
use crate::error::Error;
use crate::rules::{self, Placeholder, Plan};
use crate::session::{FirstSave, Record, State};

/// A session that nobody has seen yet.
#[napi(catch_unwind)]
#[must_use]
pub fn new_record() -> HeldRecord {
    held(Rc::new(RefCell::new(Record::new(Uuid::new_v4()))))
}

/// One of a session that has ended: it has no keys, and never will.
#[napi(catch_unwind)]
#[must_use]
pub fn ended_record() -> HeldRecord {
    held(Rc::new(RefCell::new(Record {
        state: State::Removed,
        ..Record::new(Uuid::new_v4())
    })))
}

/// What stands in for a session with the key `id` that a message with `plan` needs, when the load has `failed` or
/// found nothing (`rules::Placeholder`): it has that key. Nothing where it has ended ([`ended_record`]).
#[napi(catch_unwind)]
pub fn placeholder_record(plan: u32, failed: bool, id: Name) -> Result<Option<HeldRecord>> {
    let name = name_of(id)?;
    let placeholder = rules::placeholder(Plan::from_bits_truncate(plan), failed);
    let first = if placeholder == Placeholder::Joining {
        FirstSave::Joins
    } else {
        FirstSave::Takes
    };
    let mut record = match placeholder {
        Placeholder::New | Placeholder::Joining => Record {
            first,
            ..Record::new(Uuid::new_v4())
        },
        Placeholder::Ended => return Ok(None),
        Placeholder::Unknown => Record::unknown(Uuid::new_v4()),
    };
    record.add_key(&name, None);
    Ok(Some(held(Rc::new(RefCell::new(record)))))
}

/// Who it is.
#[napi(catch_unwind)]
#[must_use]
pub fn record_uuid(record: HeldRecord) -> String {
    record.borrow().uuid.to_string()
}

/// The text when all that was asked for is done, for a data object to be made of it.
#[napi(catch_unwind)]
#[must_use]
pub fn record_snapshot(record: HeldRecord) -> String {
    record.borrow().projected.text().to_string()
}

/// The text last stored or loaded.
#[napi(catch_unwind)]
#[must_use]
pub fn record_text(record: HeldRecord) -> String {
    record.borrow().stored_document.text().to_string()
}

/// The names of its keys.
#[napi(catch_unwind)]
#[must_use]
pub fn record_keys(record: HeldRecord) -> Vec<String> {
    record
        .borrow()
        .keys
        .iter()
        .map(|key| key.name.to_string())
        .collect()
}

/// The JSON text of what is kept with a key, given by its name.
#[napi(catch_unwind)]
#[must_use]
pub fn record_resource(record: HeldRecord, name: String) -> Option<String> {
    record
        .borrow()
        .keys
        .iter()
        .find(|key| *key.name == *name)
        .and_then(|key| key.resource.clone())
}

/// Adds a key, or gives the one there is another resource; it is stored with the next save.
#[napi(catch_unwind)]
pub fn record_add_key(record: HeldRecord, id: Name, resource: Option<String>) -> Result<()> {
    let name = name_of(id)?;
    let mut record = record.borrow_mut();
    if record.state == State::Removed {
        return Err(thrown(Error::gone(&record.uuid)));
    }
    record.add_key(&name, resource);
    Ok(())
}

/// Whether a save would write anything even if the data object has not changed.
#[napi(catch_unwind)]
#[must_use]
pub fn record_is_dirty(record: HeldRecord) -> bool {
    record.borrow().is_dirty()
}

/// How long the text of its data is, about, in bytes.
#[napi(catch_unwind)]
#[must_use]
pub fn record_length(record: HeldRecord) -> u32 {
    u32::try_from(record.borrow().projected.len()).unwrap_or(u32::MAX)
}

/// Whether a save of the text that JavaScript has given or got last would write nothing.
#[napi(catch_unwind)]
#[must_use]
pub fn record_is_clean(record: HeldRecord) -> bool {
    record.borrow().is_clean()
}

/// Whether it is certain that the store has nothing else, so that a load by one of its keys would bring nothing.
#[napi(catch_unwind)]
#[must_use]
pub fn record_is_current(record: HeldRecord) -> bool {
    record.borrow().is_current(Instant::now())
}

/// Whether it is in the store, as far as this process knows.
#[napi(catch_unwind)]
#[must_use]
pub fn record_is_stored(record: HeldRecord) -> bool {
    record.borrow().state == State::Stored
}

/// Whether it was removed or has expired.
#[napi(catch_unwind)]
#[must_use]
pub fn record_is_removed(record: HeldRecord) -> bool {
    record.borrow().state == State::Removed
}

/// Takes over what a load brought for a session that is here already: `null` if it is another session, otherwise
/// whether there is something to merge.
#[napi(catch_unwind)]
#[must_use]
pub fn record_absorb(record: HeldRecord, fresh: HeldRecord) -> Option<bool> {
    if Rc::ptr_eq(&record, &fresh) {
        return Some(false);
    }
    let (mut record, fresh) = (record.borrow_mut(), fresh.borrow());
    (record.uuid == fresh.uuid && record.state == State::Stored)
        // What is pending is not stored yet.
        .then(|| !fresh.is_projection && record.absorb(fresh.stored()))
}

/// Whether others have written what is not known here.
#[napi(catch_unwind)]
#[must_use]
pub fn record_is_behind(record: HeldRecord) -> bool {
    record.borrow().is_behind()
}

/// Merges what a load has brought into a data object that has changed, since it gave its last patch, by `set` and `removed`
/// ([`engine_save`](super::engine::engine_save)). Gives what is to be changed in the object, as the text of
/// `{"set":{...},"removed":[...]}`, or `null`.
#[napi(catch_unwind)]
pub fn record_merge(
    record: HeldRecord,
    set: Option<Text>,
    removed: Option<Text>,
) -> Result<Option<String>> {
    let mine = patch_of(set, removed)?;
    let mut record = record.borrow_mut();
    match record.merge(&mine) {
        Ok(patch) => Ok((!patch.is_empty()).then(|| patch.to_json())),
        Err(why) => Err(thrown(Error::corrupt(&record.primary, why))),
    }
}

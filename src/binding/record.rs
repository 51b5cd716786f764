//! The functions on a record: one session as this process knows it. JavaScript passes the handle of the record.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use napi_derive::napi;
use uuid::Uuid;

use super::node_api::{Name, Result, Text};
use super::values::{RecordHandle, handle_of, name_of, patch_of, thrown};
use crate::error::{Error, Kind};
use crate::rules::{self, Placeholder, Plan};
use crate::session::leg::{self, Leg};
use crate::session::{FirstSave, Record, State};

/// The record of a new session, without keys.
#[napi(catch_unwind)]
#[must_use]
pub fn new_record() -> RecordHandle {
    handle_of(Rc::new(RefCell::new(Record::new(Uuid::new_v4()))))
}

/// The record of a session that has ended. It has no keys, and none can be added.
#[napi(catch_unwind)]
#[must_use]
pub fn ended_record() -> RecordHandle {
    handle_of(Rc::new(RefCell::new(Record {
        state: State::Removed,
        ..Record::new(Uuid::new_v4())
    })))
}

/// The placeholder for the session with the key `id` that a message with `plan` needs, when the load has `failed` or found
/// nothing (`rules::Placeholder`): a record with that key, or `null` if the session has ended ([`ended_record`]). `leg`: the
/// leg descriptor of the dialog that the message begins, which claims the key ([`record_add_key`]).
#[napi(catch_unwind)]
pub fn placeholder_record(
    plan: u32,
    failed: bool,
    id: Name,
    leg: Option<Text>,
) -> Result<Option<RecordHandle>> {
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
    let leg = leg_of(leg.as_ref())?;
    record.add_leg(&name, None, leg, Some(leg.is_some()));
    Ok(Some(handle_of(Rc::new(RefCell::new(record)))))
}

/// Its uuid: `mks:session:` and a version 4 UUID.
#[napi(catch_unwind)]
#[must_use]
pub fn record_uuid(record: RecordHandle) -> String {
    record.borrow().uuid.to_string()
}

/// The JSON text of its projected data, once all queued and pending saves are done: for a new data object.
#[napi(catch_unwind)]
#[must_use]
pub fn record_projected(record: RecordHandle) -> String {
    record.borrow().projected.text().to_string()
}

/// The JSON text of the data last stored or loaded.
#[napi(catch_unwind)]
#[must_use]
pub fn record_stored(record: RecordHandle) -> String {
    record.borrow().stored_document.text().to_string()
}

/// The names of its keys.
#[napi(catch_unwind)]
#[must_use]
pub fn record_keys(record: RecordHandle) -> Vec<String> {
    record
        .borrow()
        .keys
        .iter()
        .map(|key| key.name.to_string())
        .collect()
}

/// The JSON text of the resource of the key `name`; `null` if there is none.
#[napi(catch_unwind)]
#[must_use]
pub fn record_resource(record: RecordHandle, name: String) -> Option<String> {
    let record = record.borrow();
    record.key(&name).and_then(|key| key.resource.clone())
}

/// A leg descriptor; an empty one is none.
fn leg_of(leg: Option<&Text>) -> Result<Option<&str>> {
    let Some(leg) = leg.map(|leg| leg.0.as_str()) else {
        return Ok(None);
    };
    if leg.is_empty() || Leg::parse(leg).is_some() {
        return Ok(Some(leg));
    }
    let message = format!(
        "{leg:?} is no leg descriptor: it must be '<' or '>', a tag, and flags of one character after a space each; or '?'"
    );
    Err(thrown(Error::new(Kind::Argument, message)))
}

/// Adds a key, or replaces the resource, leg descriptor and claim of an existing one; the next save stores it, also where
/// only the resource or the leg is another one. An absent `leg` stays as it is, an empty one is removed. `claims` says that
/// the key begins a dialog and must not take its name from another dialog: the save then stores it under another name. It
/// stays as it is where it is absent (false for a new key), and means nothing without a tag in the leg. Throws
/// `ERR_SESSION_GONE` if the session was removed, `ERR_SESSION_ARGUMENT` for a leg that is none.
#[napi(catch_unwind)]
pub fn record_add_key(
    record: RecordHandle,
    id: Name,
    resource: Option<Text>,
    leg: Option<Text>,
    claims: Option<bool>,
) -> Result<()> {
    let name = name_of(id)?;
    let leg = leg_of(leg.as_ref())?;
    let mut record = record.borrow_mut();
    if record.state == State::Removed {
        return Err(thrown(Error::gone(&record.uuid)));
    }
    record.add_leg(&name, resource.map(|text| text.0), leg, claims);
    Ok(())
}

/// The leg descriptor of the key with this id; `null` if the key has none, or the session has no such key.
#[napi(catch_unwind)]
pub fn record_leg(record: RecordHandle, id: Name) -> Result<Option<String>> {
    let name = name_of(id)?;
    let record = record.borrow();
    let leg = record.key(&name).and_then(|key| key.leg.as_deref());
    Ok(leg.map(str::to_owned))
}

/// The id of the key that is the one of a dialog, by its Call-ID and tags; `null` for a tag that is not known yet. Gives
/// `null` if no key is. A key that is named by the Call-ID and has no tag fits any dialog, if no other key does.
#[napi(catch_unwind)]
#[must_use]
pub fn record_key_of(
    record: RecordHandle,
    call_id: Text,
    remote_tag: Option<Text>,
    local_tag: Option<Text>,
) -> Option<String> {
    let record = record.borrow();
    let (remote, local) = (text_of(remote_tag.as_ref()), text_of(local_tag.as_ref()));
    record.key_of(&call_id.0, remote, local).map(str::to_owned)
}

/// The ids by which a dialog is looked up, in order: its Call-ID, that with the remote tag, that with the local tag. A tag
/// that is not known is `null`.
#[napi(catch_unwind)]
#[must_use]
pub fn dialog_ids(call_id: Text, remote_tag: Option<Text>, local_tag: Option<Text>) -> Vec<String> {
    let (remote, local) = (text_of(remote_tag.as_ref()), text_of(local_tag.as_ref()));
    leg::dialog_ids(&call_id.0, remote, local)
}

/// Whether the key with this id is that of a challenged request that waits for its retry (the flag `?` of its leg).
#[napi(catch_unwind)]
pub fn record_awaits_retry(record: RecordHandle, id: Name) -> Result<bool> {
    let name = name_of(id)?;
    Ok(record.borrow().awaits_retry(&name))
}

/// How long it is until half of the TTL has passed since it was last known to start, ms: 0 when it has. Then the next save
/// writes even if nothing has changed, and starts the TTL of the session and of its keys anew. `null` without a TTL, where the
/// session is not stored, and in JavaScript stores.
#[napi(catch_unwind)]
#[must_use]
pub fn record_renewal_in(record: RecordHandle) -> Option<f64> {
    let left = record.borrow_mut().renewal_in(Instant::now());
    left.map(|left| (left.as_secs_f64() * 1000.0).ceil())
}

/// A tag; an empty one is none.
fn text_of(text: Option<&Text>) -> Option<&str> {
    text.map(|text| text.0.as_str())
        .filter(|text| !text.is_empty())
}

/// Whether a save would write anything even if the data object has not changed.
#[napi(catch_unwind)]
#[must_use]
pub fn record_is_dirty(record: RecordHandle) -> bool {
    record.borrow().is_dirty()
}

/// The approximate length of the JSON text of its data, bytes.
#[napi(catch_unwind)]
#[must_use]
pub fn record_length(record: RecordHandle) -> u32 {
    u32::try_from(record.borrow().projected.len()).unwrap_or(u32::MAX)
}

/// Whether a save of an unchanged data object would write nothing, and no other save is queued or in flight.
#[napi(catch_unwind)]
#[must_use]
pub fn record_is_clean(record: RecordHandle) -> bool {
    record.borrow().is_clean()
}

/// Whether the store has it, as far as this process knows.
#[napi(catch_unwind)]
#[must_use]
pub fn record_is_stored(record: RecordHandle) -> bool {
    record.borrow().state == State::Stored
}

/// Whether it was removed or has expired.
#[napi(catch_unwind)]
#[must_use]
pub fn record_is_removed(record: RecordHandle) -> bool {
    record.borrow().state == State::Removed
}

/// Takes over `fresh`, the record of a load, for a live session: `null` if `fresh` is another session, otherwise whether
/// there is something to merge.
#[napi(catch_unwind)]
#[must_use]
pub fn record_absorb(record: RecordHandle, fresh: RecordHandle) -> Option<bool> {
    if Rc::ptr_eq(&record, &fresh) {
        return Some(false);
    }
    let (mut record, fresh) = (record.borrow_mut(), fresh.borrow());
    (record.uuid == fresh.uuid && record.state == State::Stored)
        // A projected session is not stored yet.
        .then(|| !fresh.is_projection && record.absorb(fresh.stored()))
}

/// Whether another process has written a version that this one has not loaded.
#[napi(catch_unwind)]
#[must_use]
pub fn record_is_behind(record: RecordHandle) -> bool {
    record.borrow().is_behind()
}

/// Merges the document of a load. `set` and `removed` are the changes of the data object since its last patch, as for
/// [`engine_save`](super::engine::engine_save). Gives the patch for the data object, as the JSON text of
/// `{"set":{...},"removed":[...]}`, or `null` if there is none. Throws `ERR_SESSION_CORRUPT` if the document is no object.
#[napi(catch_unwind)]
pub fn record_merge(
    record: RecordHandle,
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

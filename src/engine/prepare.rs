//! The store operation of an [`Operation`], for the record as it is when its turn comes.

use std::rc::Rc;

use super::operation::{Action, Operation, SaveMode, Value};
use crate::error::{Error, Kind, Result};
use crate::rules::RETRY_SECONDS;
use crate::session::{Change, Destroy, Record, RemoveKey, State, Write};
use crate::store::StoreOp;

/// What an operation comes to.
pub enum Prepared {
    /// The store need not be asked.
    Done(Value),
    /// The store is sent this.
    Send(StoreOp),
}

/// What an operation means for its record as it is now; `default_ttl` in ms, `sequence` is the number of the write.
pub fn prepare(operation: &Operation, default_ttl: Option<u64>, sequence: u64) -> Result<Prepared> {
    if let Action::Load { name, .. } = &operation.action {
        let name = Rc::clone(name);
        return Ok(Prepared::Send(StoreOp::Load { name }));
    }
    let Some(shared) = &operation.record else {
        return Ok(Prepared::Done(Value::Nothing));
    };
    let mut record = shared.borrow_mut();
    let record = &mut *record;
    record.follow_origin();
    let ttl = |ttl: &Option<u64>| ttl.or(default_ttl);
    match &operation.action {
        Action::Save {
            change,
            mode,
            ttl: asked,
            if_unchanged,
        } => {
            let mut save = prepare_save(record, change, *mode, ttl(asked), sequence);
            if let Ok(Prepared::Send(StoreOp::Update(update))) = &mut save
                && *if_unchanged
            {
                update.expected = Some(Box::new(record.expected(false)));
            }
            save
        }
        Action::CompareAndSet {
            change,
            ttl: asked,
            reserve,
        } => prepare_compare_and_set(record, change, ttl(asked), *reserve, sequence),
        Action::RemoveKey {
            name,
            change,
            ttl: asked,
        } => Ok(prepare_removal(record, name, change, ttl(asked), sequence)),
        Action::Destroy if record.may_be_stored() => {
            let destroy = Destroy {
                uuid: Rc::clone(&record.uuid),
                primary: Rc::clone(&record.primary),
                known: record.keys.iter().map(|key| Rc::clone(&key.name)).collect(),
            };
            Ok(Prepared::Send(StoreOp::Destroy(destroy)))
        }
        Action::Destroy => {
            record.state = State::Removed;
            Ok(Prepared::Done(Value::Nothing))
        }
        Action::Load { .. } => Ok(Prepared::Done(Value::Nothing)),
    }
}

/// Why a session can't be saved, whatever the store says.
pub fn unwritable(record: &Record) -> Option<Error> {
    match record.state {
        State::Removed => Some(Error::gone(&record.uuid)),
        State::Unknown => Some(Error::new(
            Kind::Unavailable,
            "this session could not be loaded, so what was put into it can't be saved; see the earlier error",
        )),
        State::New | State::Uncertain | State::Stored => None,
    }
}

fn prepare_save(
    record: &mut Record,
    change: &Change,
    mode: SaveMode,
    ttl: Option<u64>,
    sequence: u64,
) -> Result<Prepared> {
    let ttl = match mode {
        SaveMode::ForRetry => {
            let short = u64::from(RETRY_SECONDS) * 1000;
            Some(ttl.map_or(short, |ttl| ttl.min(short)))
        }
        SaveMode::Changes | SaveMode::Always => ttl,
    };
    let always = mode == SaveMode::Always;
    if let Some(error) = unwritable(record) {
        return if change.patch.is_empty() && !always {
            Ok(Prepared::Done(Value::Nothing))
        } else {
            Err(error)
        };
    }
    if record.state == State::Stored {
        if change.patch.is_empty() && !record.is_dirty() && !always {
            return Ok(Prepared::Done(Value::Nothing));
        }
        let write = record.write(change.clone(), ttl, false);
        return Ok(Prepared::Send(StoreOp::Update(
            record.update(write, sequence),
        )));
    }
    let has_resource = record.keys.iter().any(|key| key.resource.is_some());
    if !always && !has_resource && change.result.is_empty() {
        return Ok(Prepared::Done(Value::Nothing));
    }
    if record.keys.is_empty() {
        return Err(Error::new(
            Kind::Argument,
            "a session without keys can't be found again: add one with set(id)",
        ));
    }
    let write = record.write(change.clone(), ttl, true);
    Ok(Prepared::Send(StoreOp::Create(
        record.create(write, sequence),
    )))
}

fn prepare_compare_and_set(
    record: &Record,
    change: &Change,
    ttl: Option<u64>,
    reserve: bool,
    sequence: u64,
) -> Result<Prepared> {
    match record.state {
        State::Removed => return Err(Error::gone(&record.uuid)),
        State::New | State::Uncertain | State::Unknown => {
            return Err(Error::new(
                Kind::Unavailable,
                "this session is not in the store: see the earlier error",
            ));
        }
        // Saved or loaded since.
        State::Stored if record.stored_document != change.base || record.incoming.is_some() => {
            return Err(Error::conflict(&record.uuid));
        }
        State::Stored => {}
    }
    let mut update = record.update(record.write(change.clone(), ttl, false), sequence);
    update.expected = Some(Box::new(record.expected(reserve)));
    Ok(Prepared::Send(StoreOp::Update(update)))
}

fn prepare_removal(
    record: &mut Record,
    name: &Rc<str>,
    change: &Change,
    ttl: Option<u64>,
    sequence: u64,
) -> Prepared {
    let is_stored = record.may_be_stored();
    match record.state {
        State::Removed => return Prepared::Done(Value::Count(0)),
        State::New => {
            record.drop_key(name);
            if record.keys.is_empty() {
                record.state = State::Removed;
            }
            return Prepared::Done(Value::Count(record.keys.len() as u64));
        }
        State::Uncertain | State::Stored | State::Unknown => {}
    }
    let remove = RemoveKey {
        of: is_stored.then(|| (Rc::clone(&record.uuid), Rc::clone(&record.primary))),
        name: Rc::clone(name),
        write: (is_stored && !change.patch.is_empty()).then(|| removal_write(change, ttl)),
        ttl,
        sequence: if is_stored { sequence } else { 0 },
    };
    Prepared::Send(StoreOp::RemoveKey(remove))
}

fn removal_write(change: &Change, ttl: Option<u64>) -> Rc<Write> {
    Rc::new(Write {
        change: change.clone(),
        keys: Vec::new(),
        ttl,
    })
}

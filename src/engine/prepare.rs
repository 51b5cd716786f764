//! A [`Action`] becomes an operation of the store, for the record as it is when its turn comes.

use std::rc::Rc;

use super::operation::{Action, Operation, SaveMode, Value};
use crate::error::{Error, Kind, Result};
use crate::rules::RETRY_SECONDS;
use crate::session::fields;
use crate::session::{Destroy, RemoveKey};
use crate::session::{Record, State, Written};
use crate::store::Op;

/// What a operation comes to.
pub enum Prepared {
    /// There is nothing to ask the store for.
    Done(Value),
    /// This is to be asked, and that is what a save is writing.
    Send(Op, Option<Box<Written>>),
}

/// What a operation means for its record as it is now; `default_ttl` in ms, `sequence` is that of the operation.
pub fn prepare(operation: &Operation, default_ttl: Option<u64>, sequence: u64) -> Result<Prepared> {
    let Some(shared) = &operation.record else {
        return Ok(match &operation.action {
            Action::Load { name, .. } => Prepared::Send(
                Op::Load {
                    name: Rc::clone(name),
                },
                None,
            ),
            _ => Prepared::Done(Value::Nothing),
        });
    };
    let mut record = shared.borrow_mut();
    match &operation.action {
        Action::Load { name, .. } => Ok(Prepared::Send(
            Op::Load {
                name: Rc::clone(name),
            },
            None,
        )),
        Action::Save {
            base,
            text,
            mode,
            ttl,
            if_unchanged,
        } => {
            let ttl = ttl.or(default_ttl);
            let mut save = prepare_save(&mut record, (base, text), *mode, ttl, sequence);
            if let Ok(Prepared::Send(Op::Update(update), _)) = &mut save
                && *if_unchanged
            {
                update.basis = Some(Box::new(record.basis(false)));
            }
            save
        }
        Action::CompareAndSet {
            base,
            text,
            ttl,
            reserve,
        } => prepare_compare_and_set(
            &record,
            (base, text),
            ttl.or(default_ttl),
            *reserve,
            sequence,
        ),
        Action::RemoveKey { name, data, ttl } => Ok(prepare_removal(
            &mut record,
            name,
            data,
            ttl.or(default_ttl),
            sequence,
        )),
        Action::Destroy if record.may_be_stored() => {
            let destroy = Destroy {
                uuid: Rc::clone(&record.uuid),
                primary: Rc::clone(&record.primary),
                known: record.keys.iter().map(|key| Rc::clone(&key.name)).collect(),
            };
            Ok(Prepared::Send(Op::Destroy(destroy), None))
        }
        Action::Destroy => {
            record.state = State::Removed;
            Ok(Prepared::Done(Value::Nothing))
        }
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
    (base, text): (&Rc<str>, &Rc<str>),
    mode: SaveMode,
    ttl: Option<u64>,
    sequence: u64,
) -> Result<Prepared> {
    let dirty = base != text || record.is_dirty(None);
    let ttl = match mode {
        SaveMode::ForRetry => {
            let short = u64::from(RETRY_SECONDS) * 1000;
            Some(ttl.map_or(short, |ttl| ttl.min(short)))
        }
        SaveMode::Changes | SaveMode::Always => ttl,
    };
    let written = |keys| {
        Box::new(Written {
            base: Rc::clone(base),
            text: Rc::clone(text),
            keys,
            ttl,
        })
    };
    let always = mode == SaveMode::Always;
    let untouched = !always && base == text;
    let empty = **text == *fields::EMPTY && record.keys.iter().all(|key| key.resource.is_none());
    if let Some(error) = unwritable(record) {
        return if untouched {
            Ok(Prepared::Done(Value::Nothing))
        } else {
            Err(error)
        };
    }
    match record.state {
        State::New | State::Uncertain if empty && !always => Ok(Prepared::Done(Value::Nothing)),
        State::New | State::Uncertain if record.keys.is_empty() => Err(Error::new(
            Kind::Argument,
            "a session without keys can't be found again: add one with set(id)",
        )),
        State::New | State::Uncertain => {
            let create = record.create(text, ttl, sequence);
            let written = written(create.keys.clone());
            Ok(Prepared::Send(Op::Create(create), Some(written)))
        }
        _ if !dirty && !always => Ok(Prepared::Done(Value::Nothing)),
        _ => {
            let update = record.update(base, text, ttl, sequence);
            let written = written(update.added.clone());
            Ok(Prepared::Send(Op::Update(update), Some(written)))
        }
    }
}

fn prepare_compare_and_set(
    record: &Record,
    (base, text): (&Rc<str>, &Rc<str>),
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
        State::Stored if record.text != *base || record.incoming.is_some() => {
            return Err(Error::conflict(&record.uuid));
        }
        State::Stored => {}
    }
    let mut update = record.update(base, text, ttl, sequence);
    update.basis = Some(Box::new(record.basis(reserve)));
    let written = Box::new(Written {
        base: Rc::clone(base),
        text: Rc::clone(text),
        keys: update.added.clone(),
        ttl,
    });
    Ok(Prepared::Send(Op::Update(update), Some(written)))
}

fn prepare_removal(
    record: &mut Record,
    name: &Rc<str>,
    (base, text): &(Rc<str>, Rc<str>),
    ttl: Option<u64>,
    sequence: u64,
) -> Prepared {
    let stored = record.may_be_stored();
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
    let changed = stored && base != text;
    let remove = RemoveKey {
        of: stored.then(|| (Rc::clone(&record.uuid), Rc::clone(&record.primary))),
        name: Rc::clone(name),
        data: changed.then(|| (Rc::clone(base), Rc::clone(text))),
        ttl,
        sequence: if stored { sequence } else { 0 },
    };
    let written = changed.then(|| {
        Box::new(Written {
            base: Rc::clone(base),
            text: Rc::clone(text),
            keys: Vec::new(),
            ttl,
        })
    });
    Prepared::Send(Op::RemoveKey(remove), written)
}

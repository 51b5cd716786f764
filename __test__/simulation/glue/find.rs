//! Finding sessions by their keys: `lib/session/find.js`.

use std::collections::BTreeMap;
use std::rc::Rc;

use drachtio_session::engine::{Shared, Value};
use drachtio_session::error::Result;
use drachtio_session::session::{KEY_PREFIX, State, leg, short_uuid};

use super::data::{same_fields, sorted};
use super::process::Process;
use super::session::Session;
use crate::server::{Text, joined};

impl Process {
    /// `Session.loadFromStorage({store}, id)`.
    pub async fn load(self: &Rc<Self>, name: &Text) -> Result<Option<Rc<Session>>> {
        let live = self.live_or_ended(name);
        self.find(name, live).await
    }

    /// The session of a dialog, by its Call-ID and the remote tag.
    pub async fn find_dialog(
        self: &Rc<Self>,
        call_id: &str,
        tag: &str,
    ) -> Result<Option<Rc<Session>>> {
        for id in leg::dialog_ids(call_id, Some(tag), None) {
            let found = self.load(&joined(KEY_PREFIX, &id)).await?;
            let fits = |found: &Rc<Session>| {
                let record = found.record.borrow();
                record.key_of(call_id, Some(tag), None).is_some()
            };
            if let Some(found) = found.filter(fits) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    pub(super) async fn find(
        self: &Rc<Self>,
        name: &Text,
        live: Option<Rc<Session>>,
    ) -> Result<Option<Rc<Session>>> {
        let floors = self.network.borrow().hosts[self.number].floor.clone();
        let failures = self.failures.get();
        let mut live = live;
        if let Some(live) = &live {
            live.retain();
        }
        loop {
            let is_current = live.as_ref().is_some_and(|live| {
                live.has(name) && self.engine.borrow_mut().is_current(&live.record.borrow())
            });
            let value = if is_current {
                Ok(Value::Current(true))
            } else {
                let record = live.as_ref().map(|live| Rc::clone(&live.record));
                self.run(|engine, op| engine.load(op, name, record.as_ref(), false))
                    .await
            };
            let value = match value {
                Ok(value) => value,
                Err(error) => {
                    release(live);
                    return Err(error);
                }
            };
            let other = match &value {
                Value::Session(record) => self.known(record),
                _ => None,
            };
            if let Some(other) = &other
                && other.record.borrow().is_behind()
            {
                other.retain();
                release(live.replace(Rc::clone(other)));
                continue;
            }
            let found = match value {
                Value::Session(record) => {
                    let session = other.unwrap_or_else(|| Session::loaded(self, &record));
                    session.found(Some(&record), false);
                    Some(session)
                }
                Value::Current(is_current) => {
                    if let Some(live) = &live {
                        live.found(None, is_current);
                    }
                    live.clone()
                }
                _ => {
                    if let Some(live) = &live {
                        live.refresh_keys();
                    }
                    None
                }
            };
            if let Some(found) = &found {
                // One that has writes pending knows better than the store.
                let knows = self.failures.get() == failures;
                let knows = knows && !self.engine.borrow().has_background_work();
                self.check(found, knows.then_some(&floors));
            }
            release(live);
            return Ok(found);
        }
    }

    /// The session that another load has brought primary while this one was under way.
    pub(super) fn known(&self, record: &Shared) -> Option<Rc<Session>> {
        let names: Vec<Text> = record
            .borrow()
            .keys
            .iter()
            .map(|key| Rc::clone(&key.name))
            .collect();
        names.iter().find_map(|name| {
            let session = self.find_live(name)?;
            absorb(&session.record, record).map(|_| session)
        })
    }

    /// What a process knows of a session with a version is what the server had with it, and is not older than the last
    /// invalidation.
    pub(super) fn check(&self, session: &Session, floors: Option<&BTreeMap<Text, u64>>) {
        let record = session.record.borrow();
        if record.state != State::Stored || record.is_projection {
            return;
        }
        if record.version > 0 && record.version == record.newest && record.incoming.is_none() {
            let text = record.stored_document.text();
            let known = sorted(&text);
            let net = self.network.borrow();
            let there = net
                .server
                .versions
                .get(&(short_uuid(&record.uuid).into(), record.version));
            if let Some(there) = there
                && !same_fields(there, &known)
            {
                let what = format!(
                    "{} with version {} is {text}, the server had {there:?}",
                    record.uuid, record.version
                );
                self.fails("10", &what);
            }
        }
        let floor = floors.and_then(|floors| floors.get(short_uuid(&record.uuid)));
        let floor = floor.copied().unwrap_or(0);
        if record.newest < floor {
            let what = format!(
                "{} is of version {}, but the process had got the invalidation of {floor} before the load",
                record.uuid, record.newest
            );
            self.fails("11", &what);
        }
    }
}

/// Takes over what a load brought for a session that is here already.
pub(super) fn absorb(record: &Shared, fresh: &Shared) -> Option<bool> {
    if Rc::ptr_eq(record, fresh) {
        return Some(false);
    }
    let (mut record, fresh) = (record.borrow_mut(), fresh.borrow());
    (record.uuid == fresh.uuid && record.state == State::Stored)
        .then(|| !fresh.is_projection && record.absorb(fresh.stored()))
}

fn release(live: Option<Rc<Session>>) {
    if let Some(live) = live {
        live.release();
    }
}

//! A session with its data object: `lib/session/stored-session.js` and `lib/session/data.js`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use drachtio_session::engine::{SaveMode, Shared, Value};
use drachtio_session::error::{Error, Kind, Result};
use drachtio_session::session::{Patch, Record, State};

use super::data::{Changes, joined, parsed, put};
use super::process::Process;
use super::request::Leaving;
use crate::server::{Pairs, Text};
use crate::tasks::Answer;

/// A key that is being removed, and who waits for that.
type Removal = (Text, Vec<Answer<Result<()>>>);

/// `Session` of `lib/`, with its data object.
pub struct Session {
    pub(super) process: std::rc::Weak<Process>,
    pub record: Shared,
    /// Whether nothing is in the record.
    pub(super) is_new: Cell<bool>,
    pub(super) data: RefCell<Option<Pairs>>,
    /// The data when the record got or gave it last.
    pub(super) snapshot: RefCell<Pairs>,
    pub(super) names: RefCell<Option<Vec<Text>>>,
    pub(super) retained: Cell<u32>,
    pub(super) saves: Cell<u32>,
    pub(super) is_stored: Cell<bool>,
    pub(super) is_recent: Cell<bool>,
    pub(super) removals: RefCell<Vec<Removal>>,
    pub degraded: Cell<bool>,
    pub(super) pending: RefCell<Option<Text>>,
    pub(super) me: std::rc::Weak<Session>,
}

impl Session {
    pub(super) fn new(process: &Rc<Process>, record: Shared, is_new: bool) -> Rc<Self> {
        Rc::new_cyclic(|me| Self {
            process: Rc::downgrade(process),
            record,
            is_new: Cell::new(is_new),
            data: RefCell::default(),
            snapshot: RefCell::default(),
            names: RefCell::default(),
            retained: Cell::default(),
            saves: Cell::default(),
            is_stored: Cell::default(),
            is_recent: Cell::default(),
            removals: RefCell::default(),
            degraded: Cell::default(),
            pending: RefCell::default(),
            me: std::rc::Weak::clone(me),
        })
    }

    /// `new Session({store})`.
    pub fn create(process: &Rc<Process>) -> Rc<Self> {
        let record = Record::new(process.uuid());
        Self::new(process, Rc::new(RefCell::new(record)), true)
    }

    pub(super) fn loaded(process: &Rc<Process>, record: &Shared) -> Rc<Self> {
        Self::new(process, Rc::clone(record), false)
    }

    /// A session lives no longer than its process.
    pub(super) fn process(&self) -> Rc<Process> {
        self.process.upgrade().expect("its process")
    }

    pub(super) fn me(&self) -> Rc<Self> {
        self.me.upgrade().expect("itself")
    }

    pub fn uuid(&self) -> Text {
        Rc::clone(&self.record.borrow().uuid)
    }

    pub(super) fn is_removed(&self) -> bool {
        self.record.borrow().state == State::Removed
    }

    pub fn keys(&self) -> Vec<Text> {
        let mut names = self.names.borrow_mut();
        let names = names.get_or_insert_with(|| {
            let record = self.record.borrow();
            record.keys.iter().map(|key| Rc::clone(&key.name)).collect()
        });
        names.clone()
    }

    pub(super) fn has(&self, name: &Text) -> bool {
        self.keys().contains(name)
    }

    /// `mks.set(id)`.
    pub fn add_key(&self, name: &Text) -> Result<()> {
        {
            let mut record = self.record.borrow_mut();
            if record.state == State::Removed {
                return Err(Error::gone(&record.uuid));
            }
            record.add_key(name, None);
        }
        if let Some(names) = &mut *self.names.borrow_mut()
            && !names.contains(name)
        {
            names.push(Rc::clone(name));
        }
        if self.is_live() {
            self.process().list(name, &self.me());
        }
        Ok(())
    }

    /// Adds the key of a dialog that begins: `recordAddKey` with a leg and a claim.
    pub fn add_dialog(&self, name: &Text, leg: &str) -> Result<()> {
        let is_new = !self.has(name);
        self.add_key(name)?;
        let mut record = self.record.borrow_mut();
        record.add_leg(name, None, Some(leg), is_new.then_some(true));
        Ok(())
    }

    // The data object.

    pub fn data(&self) -> Pairs {
        let mut data = self.data.borrow_mut();
        data.get_or_insert_with(|| {
            let given = if self.is_new.get() {
                Pairs::new()
            } else {
                parsed(&self.record.borrow().projected.text())
            };
            (*self.snapshot.borrow_mut()).clone_from(&given);
            given
        })
        .clone()
    }

    /// What the application does to the data object.
    pub fn change(&self, changes: &Changes) {
        if changes.is_empty() {
            return;
        }
        self.data();
        if let Some(data) = &mut *self.data.borrow_mut() {
            for (name, value) in changes {
                put(data, name, value.as_ref());
            }
        }
    }

    /// What has changed since the record got or gave the data.
    pub(super) fn patch(&self) -> Patch {
        let data = self.data.borrow();
        let patch = data.as_ref().map(|data| {
            let before = joined(&self.snapshot.borrow());
            Patch::between(&before, &joined(data)).expect("JSON")
        });
        patch.unwrap_or_default()
    }

    /// The record has got all that has changed.
    pub(super) fn recorded(&self) {
        if let Some(data) = &*self.data.borrow() {
            (*self.snapshot.borrow_mut()).clone_from(data);
        }
    }

    pub(super) fn is_untouched(&self) -> bool {
        let data = self.data.borrow();
        data.as_ref()
            .is_none_or(|data| *data == *self.snapshot.borrow())
    }

    /// Brings what a load has found, and the record has not merged yet, into the data object.
    pub(super) fn merge(&self) {
        self.is_new.set(false);
        let mine = self.patch();
        let theirs = self.record.borrow_mut().merge(&mine).expect("JSON");
        let changes = theirs.changes().expect("JSON");
        if let Some(data) = &mut *self.data.borrow_mut() {
            for data in [data, &mut *self.snapshot.borrow_mut()] {
                for name in &changes.removed {
                    put(data, name, None);
                }
                for (name, value) in &changes.set {
                    put(data, name, Some(&(*value).into()));
                }
            }
        }
    }

    /// The store was asked again: nothing has come if it `is_current`.
    pub(super) fn merge_unless(&self, is_current: bool) {
        if !is_current {
            self.refresh_keys();
            self.merge();
        }
    }

    /// A load has found it: it is its record, or it is current, or has to be merged.
    pub(super) fn found(&self, record: Option<&Shared>, is_current: bool) {
        let is_own = record.is_some_and(|record| Rc::ptr_eq(record, &self.record));
        if !is_own {
            self.merge_unless(is_current);
        }
        if record.is_some() || !is_current {
            self.is_stored.set(true);
        }
        if self.is_stored.get() {
            self.degraded.set(false);
        }
    }

    /// The record may have changed: it is no more found by keys that it has lost.
    pub(super) fn refresh_keys(&self) {
        let before = self.keys();
        *self.names.borrow_mut() = None;
        let now = self.keys();
        let lost: Vec<Text> = before
            .into_iter()
            .filter(|name| !now.contains(name))
            .collect();
        self.process().unlist(&lost, &self.me());
    }

    // Retaining it.

    pub(super) fn is_live(&self) -> bool {
        self.retained.get() > 0 || self.is_recent.get()
    }

    pub fn retain(&self) {
        if self.retained.replace(self.retained.get() + 1) > 0 {
            return;
        }
        let process = self.process();
        if self.is_recent.get() {
            process.remove_recent(&self.me());
        } else {
            for name in self.keys() {
                process.list(&name, &self.me());
            }
        }
    }

    pub fn release(&self) {
        if self.retained.get() == 0 {
            return;
        }
        self.retained.set(self.retained.get() - 1);
        if self.retained.get() > 0 {
            return;
        }
        if self.is_stored.get() {
            self.process().add_recent(&self.me());
        } else {
            self.process().unlist(&self.keys(), &self.me());
        }
    }

    // Operations.

    /// `mks.save()`, and what the middleware writes.
    pub async fn write(&self, mode: SaveMode, if_unchanged: bool) -> Result<()> {
        let patch = self.patch();
        if mode == SaveMode::Changes && patch.is_empty() && self.record.borrow().is_clean() {
            return Ok(());
        }
        self.recorded();
        self.saves.set(self.saves.get() + 1);
        let process = self.process();
        let result = process
            .run(|engine, op| engine.save(op, &self.record, &patch, mode, None, if_unchanged))
            .await;
        self.saves.set(self.saves.get() - 1);
        if result.is_ok() && !self.is_stored.get() {
            let is_stored = mode == SaveMode::Always || self.record.borrow().state == State::Stored;
            self.is_stored.set(is_stored);
        }
        if let Ok(Value::Current(true)) = &result {
            // A dialog has the name of a key: it is stored under another one.
            self.refresh_keys();
            if self.is_live() {
                for name in self.keys() {
                    process.list(&name, &self.me());
                }
            }
        }
        if let Err(error) = &result
            && error.kind == Kind::Conflict
        {
            self.merge_unless(false);
        }
        result.map(|_| ())
    }

    /// `mks.del(id)`; the response to a BYE may leave when the removal is written.
    pub(super) async fn remove_key(&self, name: &Text, sent: Option<Rc<Leaving>>) -> Result<()> {
        let process = self.process();
        let running = {
            let mut removals = self.removals.borrow_mut();
            removals
                .iter_mut()
                .find(|(other, _)| other == name)
                .map(|(_, waiting)| {
                    let (answer, coming) = process.tasks.ask();
                    waiting.push(answer);
                    coming
                })
        };
        if let Some(running) = running {
            return running.await;
        }
        let is_last = self.keys().len() <= 1;
        // With its last key the session goes, and so do its changes.
        let patch = if is_last {
            Patch::default()
        } else {
            let patch = self.patch();
            self.recorded();
            patch
        };
        self.removals
            .borrow_mut()
            .push((Rc::clone(name), Vec::new()));
        let may_leave = is_last && self.saves.get() == 0 && self.is_untouched();
        let result = process
            .run(|engine, op| {
                let answer = engine.remove_key(op, &self.record, name, &patch, None);
                if let Some(leaving) = sent.filter(|_| may_leave && answer.is_none()) {
                    process.written.borrow_mut().push(leaving);
                }
                answer
            })
            .await;
        let waiting = {
            let mut removals = self.removals.borrow_mut();
            let at = removals.iter().position(|(other, _)| other == name);
            at.map_or_else(Vec::new, |at| removals.remove(at).1)
        };
        if result.is_ok() {
            if let Some(names) = &mut *self.names.borrow_mut() {
                names.retain(|other| other != name);
            }
        } else {
            *self.names.borrow_mut() = None;
        }
        process.unlist(std::slice::from_ref(name), &self.me());
        let left = match &result {
            Ok(Value::Count(left)) => Some(*left),
            _ => None,
        };
        if left == Some(0) {
            self.is_stored.set(false);
        }
        let result = if is_last && left.is_some_and(|left| left > 0) {
            // Another process has added a key.
            self.write(SaveMode::Changes, false).await
        } else {
            result.map(|_| ())
        };
        for answer in waiting {
            answer.give(result.clone());
        }
        result
    }

    pub async fn delete_key(&self, name: &Text) -> Result<()> {
        self.remove_key(name, None).await
    }

    /// `mks.destroy()`.
    pub async fn destroy(&self) -> Result<()> {
        let names = self.keys();
        self.refresh_keys();
        let process = self.process();
        let result = process
            .run(|engine, op| engine.destroy(op, &self.record))
            .await;
        process.unlist(&names, &self.me());
        result.map(|_| ())
    }

    /// Asks the store again, by the first key.
    pub(super) async fn reload(&self) -> Result<()> {
        let Some(name) = self.keys().first().cloned() else {
            return Ok(());
        };
        let process = self.process();
        let value = process
            .run(|engine, op| engine.load(op, &name, Some(&self.record), true))
            .await?;
        if let Value::Current(is_current) = value {
            self.merge_unless(is_current);
        }
        Ok(())
    }
}

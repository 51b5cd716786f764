//! The steps that are operations of a process.

use std::rc::Rc;

use drachtio_session::engine::SaveMode;
use drachtio_session::error::Error;

use super::log::{Entry, Handle, Outcome, described};
use super::plan::{JOINED, JOINED_SESSION, What};
use super::play::History;
use crate::glue::{self, Changes, Process, Session};
use crate::network::{MS, Time};
use crate::server::Text;

impl History {
    pub(super) fn new_key(&mut self, slot: usize, session: usize) -> Text {
        self.last_key += 1;
        let key: Text = format!("mks:k{}", self.last_key).into();
        self.log.borrow_mut().knows[slot].push((session, Rc::clone(&key)));
        key
    }

    pub(super) fn entry(&mut self, what: What, session: usize, actor: usize) -> Entry {
        let mut log = self.log.borrow_mut();
        log.moment += 1;
        Entry {
            what,
            session,
            actor,
            handle: 0,
            property: None,
            value: None,
            key: None,
            keys: Vec::new(),
            status: 200,
            token: None,
            start: log.moment,
            end: u64::MAX,
            started: self.network.borrow().now(),
            ended: 0,
            outcome: Outcome::default(),
        }
    }

    /// Has a process do something, and notes what comes of it.
    pub(super) fn operate<F: Future<Output = Outcome> + 'static>(
        &mut self,
        entry: Entry,
        task: impl FnOnce(Rc<Process>) -> F,
    ) -> usize {
        let actor = entry.actor;
        let number = self.log.borrow().entries.len();
        self.network
            .borrow_mut()
            .say(|| format!("p{actor} begins {}", described(&entry)));
        self.log.borrow_mut().entries.push(entry);
        let process = Rc::clone(&self.processes[actor]);
        let (log, network) = (Rc::clone(&self.log), Rc::clone(&self.network));
        let task = task(Rc::clone(&process));
        process.start(async move {
            let outcome = task.await;
            let mut log = log.borrow_mut();
            log.moment += 1;
            let moment = log.moment;
            let entry = &mut log.entries[number];
            if entry.end < u64::MAX {
                return;
            }
            entry.end = moment;
            let mut net = network.borrow_mut();
            entry.ended = net.now();
            let uuid = entry.outcome.uuid.take();
            entry.outcome = outcome;
            if entry.outcome.uuid.is_none() {
                entry.outcome.uuid = uuid;
            }
            net.say(|| format!("p{actor} has ended {}", described(entry)));
        });
        number
    }

    pub(super) fn invite(&mut self, first: usize, second: usize, session: usize) -> usize {
        let slot = first % self.slots.len();
        let key = self.new_key(slot, session);
        let mut entry = self.entry(What::Invite, session, self.slots[slot]);
        entry.key = Some(Rc::clone(&key));
        entry.keys = vec![Rc::clone(&key)];
        entry.status = if second.is_multiple_of(8) { 486 } else { 200 };
        let request = glue::Request {
            method: "INVITE",
            key,
            to_tag: false,
            status: entry.status,
            changes: Changes::new(),
            thinks: thinks(second),
        };
        let seen = self.seen();
        self.operate(entry, |process| requested(process, request, seen))
    }

    /// What notes the session that the next operation, a request, has: before its handler answers.
    pub(super) fn seen(&self) -> impl FnOnce(&Text) + 'static {
        let log = Rc::clone(&self.log);
        let number = log.borrow().entries.len();
        move |uuid| log.borrow_mut().entries[number].outcome.uuid = Some(Rc::clone(uuid))
    }

    pub(super) fn create(&mut self, first: usize, second: usize, session: usize) -> usize {
        let slot = first % self.slots.len();
        let mut keys = vec![self.new_key(slot, session)];
        if second.is_multiple_of(2) {
            keys.push(self.new_key(slot, session));
        }
        let actor = self.slots[slot];
        let mut entry = self.entry(What::Create, session, actor);
        let object = Session::create(&self.processes[actor]);
        entry.keys.clone_from(&keys);
        entry.outcome.uuid = Some(object.uuid());
        entry.handle = self.add_handle(actor, session, &object);
        self.operate(entry, |_| async move {
            for key in &keys {
                if let Err(error) = object.add_key(key) {
                    return failed(error);
                }
            }
            ended(object.write(SaveMode::Always, false).await)
        })
    }

    pub(super) fn add_handle(
        &mut self,
        actor: usize,
        session: usize,
        object: &Rc<Session>,
    ) -> usize {
        self.last_handle += 1;
        let name: Text = format!("d{}", self.last_handle).into();
        self.log.borrow_mut().handles.push(Handle {
            actor,
            session,
            name,
            written: 0,
            object: Rc::clone(object),
        });
        self.last_handle
    }

    /// A second session begins with a key that the first one has for certain.
    pub(super) fn take_over(&mut self, first: usize, second: usize) -> Option<usize> {
        let slot = first % self.slots.len();
        let key = {
            let log = self.log.borrow();
            if log.entries.iter().any(|entry| entry.what == What::TakeOver) {
                return None;
            }
            let added = |entry: &Entry| {
                let is_done = entry.end < u64::MAX
                    && entry.outcome.error.is_none()
                    && !entry.outcome.lost
                    && entry.session == 0;
                match entry.what {
                    What::Create if is_done => entry.keys.clone(),
                    What::AddKey if is_done => entry.key.iter().cloned().collect(),
                    _ => Vec::new(),
                }
            };
            let keys: Vec<Text> = log.entries.iter().flat_map(added).collect();
            let key = keys.get(second % keys.len().max(1))?;
            let removes = |entry: &Entry| {
                matches!(entry.what, What::DeleteKey | What::Bye) && entry.key.as_ref() == Some(key)
            };
            if log.entries.iter().any(removes) {
                return None;
            }
            Rc::clone(key)
        };
        let actor = self.slots[slot];
        let mut entry = self.entry(What::TakeOver, 1, actor);
        let object = Session::create(&self.processes[actor]);
        entry.key = Some(Rc::clone(&key));
        entry.keys = vec![Rc::clone(&key)];
        entry.outcome.uuid = Some(object.uuid());
        entry.handle = self.add_handle(actor, 1, &object);
        self.log.borrow_mut().knows[slot].push((1, Rc::clone(&key)));
        Some(self.operate(entry, |_| async move {
            if let Err(error) = object.add_key(&key) {
                return failed(error);
            }
            ended(object.write(SaveMode::Always, false).await)
        }))
    }

    /// Whether two sessions want a key.
    pub(super) fn is_contested(&self, key: &Text) -> bool {
        let log = self.log.borrow();
        let takes = |entry: &Entry| entry.what == What::TakeOver && entry.key.as_ref() == Some(key);
        log.entries.iter().any(takes)
    }

    pub(super) fn message(&mut self, first: usize, second: usize) -> usize {
        let slot = first % self.slots.len();
        let key: Text = JOINED.into();
        let mut entry = self.entry(What::Message, JOINED_SESSION, self.slots[slot]);
        self.last_handle += 1;
        let property: Text = format!("m{}", self.last_handle).into();
        entry.key = Some(Rc::clone(&key));
        entry.property = Some(Rc::clone(&property));
        entry.value = Some(1);
        let request = glue::Request {
            method: "MESSAGE",
            key,
            to_tag: false,
            status: 200,
            changes: vec![(property, Some("1".into()))],
            thinks: thinks(second),
        };
        let seen = self.seen();
        self.operate(entry, |process| requested(process, request, seen))
    }

    pub(super) fn load(&mut self, first: usize, second: usize) -> Option<usize> {
        let slot = first % self.slots.len();
        let (session, key) = {
            let log = self.log.borrow();
            let mut all: Vec<&(usize, Text)> = log.knows.iter().flatten().collect();
            all.sort();
            all.dedup();
            let (session, key) = all.get(second % all.len().max(1))?;
            (*session, Rc::clone(key))
        };
        let actor = self.slots[slot];
        let mut entry = self.entry(What::Load, session, actor);
        entry.key = Some(Rc::clone(&key));
        self.last_handle += 1;
        entry.handle = self.last_handle;
        let name: Text = format!("d{}", self.last_handle).into();
        let log = Rc::clone(&self.log);
        let number = log.borrow().entries.len();
        Some(self.operate(entry, |process| async move {
            let found = match process.load(&key).await {
                Ok(found) => found,
                Err(error) => return failed(error),
            };
            let Some(object) = found else {
                return Outcome::default();
            };
            let outcome = Outcome {
                found: true,
                uuid: Some(object.uuid()),
                data: object.data(),
                ..Outcome::default()
            };
            let mut log = log.borrow_mut();
            // A key that another session has taken leads there.
            let begun =
                |entry: &&Entry| !entry.keys.is_empty() && entry.outcome.uuid == outcome.uuid;
            let session = log
                .entries
                .iter()
                .find(begun)
                .map_or(session, |entry| entry.session);
            log.entries[number].session = session;
            for key in object.keys() {
                if !log.knows[slot].iter().any(|(_, known)| *known == key) {
                    log.knows[slot].push((session, key));
                }
            }
            log.handles.push(Handle {
                actor,
                session,
                name,
                written: 0,
                object,
            });
            outcome
        }))
    }

    pub(super) fn request(
        &mut self,
        what: What,
        first: usize,
        second: usize,
        third: usize,
    ) -> Option<usize> {
        let slot = first % self.slots.len();
        let (session, key) = {
            let knows = &self.log.borrow().knows[slot];
            let (session, key) = knows.get(second % knows.len().max(1))?;
            (*session, Rc::clone(key))
        };
        if self.is_contested(&key) {
            return None;
        }
        let mut entry = self.entry(what, session, self.slots[slot]);
        entry.key = Some(Rc::clone(&key));
        let mut changes = Changes::new();
        if what == What::Info && !third.is_multiple_of(4) {
            self.last_handle += 1;
            let property: Text = format!("r{}", self.last_handle).into();
            changes.push((Rc::clone(&property), Some("1".into())));
            entry.property = Some(property);
            entry.value = Some(1);
        }
        let method = match what {
            What::Info => "INFO",
            What::Ack => "ACK",
            _ => "BYE",
        };
        let request = glue::Request {
            method,
            key,
            to_tag: true,
            status: 200,
            changes,
            thinks: thinks(third),
        };
        let seen = self.seen();
        Some(self.operate(entry, |process| requested(process, request, seen)))
    }

    pub(super) fn on_handle(
        &mut self,
        what: What,
        first: usize,
        second: usize,
        third: usize,
    ) -> Option<usize> {
        let (actor, session, name, object, written) = {
            let mut log = self.log.borrow_mut();
            let count = log.handles.len();
            if count == 0 {
                return None;
            }
            let handle = &mut log.handles[first % count];
            let removes = second.is_multiple_of(6);
            if !removes {
                handle.written += 1;
            }
            (
                handle.actor,
                handle.session,
                Rc::clone(&handle.name),
                Rc::clone(&handle.object),
                (!removes).then_some(handle.written),
            )
        };
        let slot = self.slots.iter().position(|number| *number == actor)?;
        let mut entry = self.entry(what, session, actor);
        let changes: Changes = vec![(
            Rc::clone(&name),
            written.map(|value| value.to_string().into()),
        )];
        if !matches!(what, What::DeleteKey | What::Destroy) {
            entry.property = Some(Rc::clone(&name));
            entry.value = written;
        }
        match what {
            What::Update => {
                let token: Text = format!("{name}:{}", entry.start).into();
                entry.token = Some(Rc::clone(&token));
                Some(self.operate(entry, |process| async move {
                    object.change(&changes);
                    match process.update(&object, &token).await {
                        Ok(_) => Outcome::default(),
                        Err(error) => failed(error),
                    }
                }))
            }
            What::AddKey => {
                let key = self.new_key(slot, session);
                entry.key = Some(Rc::clone(&key));
                Some(self.operate(entry, |_| async move {
                    object.change(&changes);
                    if let Err(error) = object.add_key(&key) {
                        return failed(error);
                    }
                    ended(object.write(SaveMode::Always, false).await)
                }))
            }
            What::DeleteKey => {
                let key = {
                    let log = self.log.borrow();
                    let mut mine = log.knows[slot].iter().filter(|(of, _)| *of == session);
                    let count = mine.clone().count();
                    Rc::clone(&mine.nth(third % count.max(1))?.1)
                };
                entry.key = Some(Rc::clone(&key));
                Some(self.operate(
                    entry,
                    |_| async move { ended(object.delete_key(&key).await) },
                ))
            }
            What::Destroy => {
                Some(self.operate(entry, |_| async move { ended(object.destroy().await) }))
            }
            _ => {
                let if_unchanged = what == What::SaveUnchanged;
                Some(self.operate(entry, |_| async move {
                    object.change(&changes);
                    ended(object.write(SaveMode::Always, if_unchanged).await)
                }))
            }
        }
    }
}

/// How long a handler takes: mostly no time at all.
fn thinks(dice: usize) -> Time {
    let dice = dice as u64;
    if dice % 5 == 1 {
        dice / 5 % (20 * MS)
    } else {
        0
    }
}

pub(super) fn failed(error: Error) -> Outcome {
    Outcome {
        error: Some(error),
        ..Outcome::default()
    }
}

pub(super) fn ended(result: Result<(), Error>) -> Outcome {
    Outcome {
        error: result.err(),
        ..Outcome::default()
    }
}

async fn requested(
    process: Rc<Process>,
    request: glue::Request,
    note: impl FnOnce(&Text),
) -> Outcome {
    let mut outcome = Outcome::default();
    process
        .request(&request, |seen| {
            note(&seen.uuid);
            outcome.uuid = Some(seen.uuid);
            outcome.degraded = seen.degraded;
            outcome.data = seen.data;
        })
        .await;
    outcome
}

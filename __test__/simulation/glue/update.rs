//! `update()`: `lib/session/update.js`.

use std::rc::Rc;

use drachtio_session::engine::SaveMode;
use drachtio_session::error::{Error, Kind, Result};
use drachtio_session::session::{Patch, State};

use super::data::{get, joined, parsed, put};
use super::find::absorb;
use super::process::Process;
use super::session::Session;
use crate::network::{MS, Time};
use crate::server::{Pairs, Text};
use crate::tasks::{Answer, all};

/// Attempts after which a writer asks for the write reservation, and pauses before it tries again.
const FREE_ATTEMPTS: u32 = 2;

/// One that waits for an `update()` to be done.
pub(super) struct Updating {
    session: Rc<Session>,
    token: Text,
    answer: Answer<Result<u64>>,
    deadline: Time,
}

impl Process {
    /// All objects of a session in this process share one queue.
    pub async fn update(self: &Rc<Self>, session: &Rc<Session>, token: &Text) -> Result<u64> {
        let uuid = session.uuid();
        let (answer, coming) = self.tasks.ask();
        let item = Updating {
            session: Rc::clone(session),
            token: Rc::clone(token),
            answer,
            deadline: self.now() + self.timeout,
        };
        let is_first = {
            let mut updates = self.updates.borrow_mut();
            let is_first = !updates.contains_key(&uuid);
            updates.entry(Rc::clone(&uuid)).or_default().push_back(item);
            is_first
        };
        if is_first {
            let process = Rc::clone(self);
            self.tasks
                .start(async move { process.run_updates(&uuid).await });
        }
        coming.await
    }

    pub(super) async fn run_updates(self: &Rc<Self>, uuid: &Text) {
        loop {
            let batch: Vec<Updating> = {
                let mut updates = self.updates.borrow_mut();
                let Some(waiting) = updates.get_mut(uuid) else {
                    return;
                };
                if waiting.is_empty() {
                    updates.remove(uuid);
                    return;
                }
                waiting.drain(..).collect()
            };
            let batch = self.save_first(batch).await;
            let Some(session) = batch.first().map(|item| Rc::clone(&item.session)) else {
                continue;
            };
            if let Err(error) = session.reload().await {
                for item in batch {
                    item.answer.give(Err(error.clone()));
                }
                continue;
            }
            self.store_updates(&session, batch).await;
        }
    }

    /// What this process has changed goes first.
    pub(super) async fn save_first(&self, batch: Vec<Updating>) -> Vec<Updating> {
        let mut sessions: Vec<Rc<Session>> = Vec::new();
        for item in &batch {
            if !sessions
                .iter()
                .any(|other| Rc::ptr_eq(other, &item.session))
            {
                sessions.push(Rc::clone(&item.session));
            }
        }
        let writes = sessions.iter().map(|session| {
            let session = Rc::clone(session);
            async move {
                let is_stored = session.record.borrow().state == State::Stored;
                let mode = if is_stored {
                    SaveMode::Changes
                } else {
                    SaveMode::Always
                };
                session.write(mode, false).await
            }
        });
        let results = all(writes.collect()).await;
        let mut left = Vec::new();
        for item in batch {
            let at = sessions
                .iter()
                .position(|session| Rc::ptr_eq(session, &item.session));
            match &results[at.unwrap_or(0)] {
                Ok(()) => left.push(item),
                Err(error) => item.answer.give(Err(error.clone())),
            }
        }
        left
    }

    pub(super) async fn store_updates(&self, session: &Rc<Session>, mut batch: Vec<Updating>) {
        let mut attempt = 0;
        while !batch.is_empty() {
            let before = session.record.borrow().stored_document.text();
            let mut data = parsed(&before);
            let made: Vec<u64> = batch
                .iter()
                .map(|item| count(&mut data, &item.token))
                .collect();
            let patch = Patch::between(&before, &joined(&data)).expect("JSON");
            let record = Rc::clone(&session.record);
            let reserves = attempt >= FREE_ATTEMPTS;
            let result = self
                .run(|engine, op| engine.compare_and_set(op, &record, &patch, None, reserves))
                .await;
            if let Err(error) = &result
                && error.kind != Kind::Conflict
            {
                for item in batch {
                    item.answer.give(Err(error.clone()));
                }
                return;
            }
            session.merge_unless(false);
            if result.is_ok() {
                for item in &batch {
                    if !Rc::ptr_eq(&item.session, session)
                        && let Some(differs) = absorb(&item.session.record, &session.record)
                    {
                        item.session.merge_unless(!differs);
                    }
                }
                for (item, value) in batch.into_iter().zip(made) {
                    item.answer.give(Ok(value));
                }
                return;
            }
            let now = self.now();
            let (late, left): (Vec<_>, Vec<_>) =
                batch.into_iter().partition(|item| item.deadline <= now);
            for item in late {
                item.answer.give(Err(Error::conflict(&session.uuid())));
            }
            batch = left;
            if attempt > FREE_ATTEMPTS {
                let pause = self.random.borrow_mut().below(MS);
                self.sleep(pause).await;
            }
            attempt += 1;
        }
    }
}

/// What `update()` does here: it counts, and leaves its token.
fn count(data: &mut Pairs, token: &str) -> u64 {
    let count = get(data, "count").map_or(0, |text| text.parse().unwrap_or(0)) + 1;
    let tokens = match get(data, "tokens") {
        Some(text) if text.len() > 2 => format!("{},\"{token}\"]", &text[..text.len() - 1]),
        _ => format!("[\"{token}\"]"),
    };
    put(data, "count", Some(&count.to_string().into()));
    put(data, "tokens", Some(&tokens.into()));
    count
}

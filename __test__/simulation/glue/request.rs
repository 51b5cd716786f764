//! Requests on their way through the middleware: `lib/transaction`.

use std::cell::RefCell;
use std::rc::Rc;

use drachtio_session::engine::SaveMode;
use drachtio_session::rules::{self, Facts, Finish, Placeholder, Plan};
use drachtio_session::session::{FirstSave, Record, State};

use super::data::Changes;
use super::process::Process;
use super::session::Session;
use crate::network::Time;
use crate::server::{Pairs, Text};
use crate::tasks::Answer;

pub struct Request {
    pub method: &'static str,
    pub key: Text,
    pub to_tag: bool,
    pub status: u16,
    pub changes: Changes,
    /// How long the handler takes to answer.
    pub thinks: Time,
}

/// What a handler sees of its session.
pub struct Seen {
    pub uuid: Text,
    pub degraded: bool,
    pub data: Pairs,
}

/// A response that leaves once.
pub(super) struct Leaving(RefCell<Option<Answer<()>>>);

impl Leaving {
    pub(super) fn leave(&self) {
        if let Some(answer) = self.0.take() {
            answer.give(());
        }
    }
}

impl Process {
    /// A request on its way through the middleware, whose handler tells `seen`, makes changes, and answers with `status`
    /// after a while. It is over when the response has left.
    pub async fn request(self: &Rc<Self>, request: &Request, seen: impl FnOnce(Seen)) {
        let id = &request.key;
        let mut facts = Facts::NETWORK;
        facts.set(Facts::TO_TAG, request.to_tag);
        let live = self.live_or_ended(id);
        let is_pending = live
            .as_ref()
            .is_some_and(|live| live.pending.borrow().as_ref() == Some(id));
        facts.set(Facts::PENDING, is_pending);
        let plan = rules::plan(request.method, facts, 0);
        let session = if plan.contains(Plan::CREATE) {
            let session = self.placeholder(plan, false, id);
            session.degraded.set(self.is_down.get());
            session
        } else {
            match self.find(id, live).await {
                Ok(Some(found)) => found,
                Ok(None) => self.placeholder(plan, false, id),
                Err(_) => {
                    let known = self.find_live(id);
                    let session = known.unwrap_or_else(|| self.placeholder(plan, true, id));
                    session.degraded.set(true);
                    session
                }
            }
        };
        session.retain();
        if plan.contains(Plan::FORMS_DIALOG) {
            *session.pending.borrow_mut() = Some(Rc::clone(id));
        }
        seen(Seen {
            uuid: session.uuid(),
            degraded: session.degraded.get(),
            data: session.data(),
        });
        session.change(&request.changes);
        if request.thinks > 0 {
            self.sleep(request.thinks).await;
        }
        let end = rules::finish(plan, facts, request.status);
        let (answer, left) = self.tasks.ask();
        let leaving = Rc::new(Leaving(RefCell::new(Some(answer))));
        let task = {
            let (session, leaving, id) = (Rc::clone(&session), Rc::clone(&leaving), Rc::clone(id));
            async move {
                let _ = match end {
                    Finish::Remove => {
                        let early = plan.contains(Plan::ENDS_DIALOG);
                        let early = early.then(|| Rc::clone(&leaving));
                        session.remove_key(&id, early).await
                    }
                    Finish::SaveChanges => session.write(SaveMode::Changes, false).await,
                    Finish::SaveDialog => session.write(SaveMode::Always, false).await,
                    Finish::SaveForRetry => session.write(SaveMode::ForRetry, false).await,
                    Finish::Nothing => Ok(()),
                };
                let decides = plan.intersects(Plan::FORMS_DIALOG | Plan::ENDS_DIALOG);
                if decides && session.pending.borrow().as_ref() == Some(&id) {
                    *session.pending.borrow_mut() = None;
                }
                session.release();
                leaving.leave();
            }
        };
        self.tasks.start(task);
        left.await;
    }

    pub(super) fn placeholder(
        self: &Rc<Self>,
        plan: Plan,
        failed: bool,
        name: &Text,
    ) -> Rc<Session> {
        let id = self.uuid();
        let mut record = match rules::placeholder(plan, failed) {
            Placeholder::New => Record::new(id),
            Placeholder::Joining => Record {
                first: FirstSave::Joins,
                ..Record::new(id)
            },
            Placeholder::Unknown => Record::unknown(id),
            Placeholder::Ended => {
                let record = Record {
                    state: State::Removed,
                    ..Record::new(id)
                };
                return Session::new(self, Rc::new(RefCell::new(record)), true);
            }
        };
        record.add_key(name, None);
        Session::new(self, Rc::new(RefCell::new(record)), true)
    }
}

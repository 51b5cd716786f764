//! The thread that drives the connections. Operations come in by one buffer, answers go out by another; either
//! side is woken only when the buffer it waits for was empty.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use uuid::Uuid;

use super::config::Config;
use super::link::{Counts, Link, Standing};
use super::perform::perform;
use crate::error::{Error, Kind};
use crate::store::{Answers, Event, Failed, Op, Reply};

/// What the two threads share.
pub struct Desk {
    inbox: Mutex<Inbox>,
    arrived: Notify,
    outbox: Mutex<Answers>,
    report: Mutex<Report>,
    wake: Box<dyn Fn() + Send + Sync>,
}

/// What the thread has done, for statistics.
#[derive(Debug, Default, Clone, Copy)]
pub struct Report {
    /// Connections that are up.
    pub up: usize,
    /// Connections made since the start.
    pub connects: u64,
    /// Pipelines sent.
    pub batches: u64,
    /// Commands in them.
    pub commands: u64,
    /// The most commands in one.
    pub largest: u64,
}

#[derive(Default)]
struct Inbox {
    ops: Vec<(u32, Op)>,
    stopped: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere must not take the others down with it; the buffers are valid at any moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// Empty buffers; `wake` is called when answers wait to be taken.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            inbox: Mutex::default(),
            arrived: Notify::new(),
            outbox: Mutex::new(Answers {
                replies: Vec::new(),
                events: Vec::new(),
            }),
            report: Mutex::default(),
            wake: Box::new(wake),
        }
    }

    /// What the thread has done.
    pub fn report(&self) -> Report {
        *lock(&self.report)
    }

    /// Hands operations over.
    pub fn submit(&self, ops: &mut Vec<(u32, Op)>) {
        let was_empty = {
            let mut inbox = lock(&self.inbox);
            let was_empty = inbox.ops.is_empty();
            inbox.ops.append(ops);
            was_empty
        };
        // After the lock is free: the other thread is about to take it.
        if was_empty {
            self.arrived.notify_one();
        }
    }

    /// Takes what was answered.
    pub fn take(&self) -> Answers {
        let mut outbox = lock(&self.outbox);
        Answers {
            replies: std::mem::take(&mut outbox.replies),
            events: std::mem::take(&mut outbox.events),
        }
    }

    /// Ends the thread, whatever it is at.
    pub fn stop(&self) {
        lock(&self.inbox).stopped = true;
        self.arrived.notify_one();
    }

    fn post(
        &self,
        replies: impl IntoIterator<Item = (u32, Result<Reply, Failed>)>,
        events: impl IntoIterator<Item = Event>,
    ) {
        let mut outbox = lock(&self.outbox);
        let was_empty = outbox.replies.is_empty() && outbox.events.is_empty();
        outbox.replies.extend(replies);
        outbox.events.extend(events);
        let wake = was_empty && !(outbox.replies.is_empty() && outbox.events.is_empty());
        drop(outbox);
        if wake {
            (self.wake)();
        }
    }
}

/// The connections, and which of them a place in Redis belongs to.
pub struct Links {
    /// Settings.
    pub config: Rc<Config>,
    /// All of them.
    pub all: Vec<Rc<Link>>,
    /// What this process's writes are known by: the field of a session that has the number of the last one.
    pub writer: String,
}

impl Links {
    fn report(&self, to: &Mutex<Report>, counts: &Counts) {
        let is_up = |link: &&Rc<Link>| link.standing() == Standing::Up;
        *lock(to) = Report {
            up: self.all.iter().filter(is_up).count(),
            connects: counts.connects.get(),
            batches: counts.batches.get(),
            commands: counts.commands.get(),
            largest: counts.largest.get(),
        };
    }

    /// The link for a place: always the same one.
    pub fn of(&self, place: &str) -> &Link {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        place.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % self.all.len() as u64).unwrap_or(0);
        &self.all[index]
    }
}

/// Runs until the store is closed or dropped.
pub fn run(desk: &Arc<Desk>, config: Config) {
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            tokio::task::LocalSet::new().block_on(&runtime, work(desk, config));
            // A name that is still being looked up must not hold the end of the process up.
            runtime.shutdown_timeout(Duration::from_millis(200));
        }
        Err(why) => {
            let error = Error::new(
                Kind::Unavailable,
                format!("no runtime for the connections to Redis: {why}"),
            );
            desk.post([], [Event::Error(error)]);
        }
    }
}

async fn work(desk: &Arc<Desk>, config: Config) {
    let config = Rc::new(config);
    let changed = Rc::new(Notify::new());
    let counts = Rc::new(Counts::default());
    let make = |_| {
        Rc::new(Link::new(
            Rc::clone(&config),
            Rc::clone(&changed),
            Rc::clone(&counts),
        ))
    };
    let links = Rc::new(Links {
        all: (0..config.pool_size).map(make).collect(),
        config,
        writer: format!("~{}", &Uuid::new_v4().simple().to_string()[..12]),
    });
    let mut drivers = FuturesUnordered::new();
    for link in &links.all {
        let link = Rc::clone(link);
        drivers.push(tokio::task::spawn_local(async move { link.drive().await }));
    }
    let mut told = Told::default();
    let mut running = FuturesUnordered::new();
    loop {
        let mut close = None;
        tokio::select! {
            biased;
            Some(answered) = running.next() => {
                let mut replies = vec![answered];
                while let Some(Some(more)) = running.next().now_or_never() {
                    replies.push(more);
                }
                desk.post(replies, []);
            }
            () = desk.arrived.notified() => {
                let mut inbox = lock(&desk.inbox);
                if inbox.stopped {
                    return;
                }
                for (ticket, op) in inbox.ops.drain(..) {
                    if matches!(op, Op::Close) {
                        close = Some(ticket);
                    } else {
                        let links = Rc::clone(&links);
                        running.push(async move {
                            let mut op = op;
                            let reply = perform(&links, &mut op).await;
                            (ticket, reply.map_err(|error| Failed { error, op: Box::new(op) }))
                        });
                    }
                }
            }
            () = changed.notified() => desk.post([], told.news(&links)),
        }
        links.report(&desk.report, &counts);
        if let Some(ticket) = close {
            // The engine closes when nothing else is under way.
            links.all.iter().for_each(|link| link.stop());
            // At its deadline the engine closes whatever is under way: that is not waited for.
            let ended = async { while drivers.next().await.is_some() {} };
            let _ = tokio::time::timeout(Duration::from_millis(200), ended).await;
            desk.post([(ticket, Ok(Reply::Done))], []);
            return;
        }
    }
}

/// What the application has been told of the connections, so that each change is told once.
#[derive(Default)]
struct Told {
    up: bool,
    tracking: bool,
    errors: HashSet<&'static str>,
}

impl Told {
    /// What others have changed, and whether the server tells of it.
    fn changes(&mut self, links: &Links) -> Vec<Event> {
        let mut news = Vec::new();
        let places: Vec<Option<String>> = links.all.iter().flat_map(|link| link.news()).collect();
        if places.iter().any(Option::is_none) {
            news.push(Event::Changed(Vec::new()));
        } else if !places.is_empty() {
            let names = places.iter().flatten();
            let names = names.map(|place| links.name(place).to_owned());
            news.push(Event::Changed(names.collect()));
        }
        let tracking = links.all.iter().all(|link| link.is_tracking());
        if tracking != self.tracking {
            self.tracking = tracking;
            news.push(Event::Tracking(tracking));
        }
        news
    }

    fn news(&mut self, links: &Links) -> Vec<Event> {
        let standings: Vec<Standing> = links.all.iter().map(|link| link.standing()).collect();
        let up = standings.iter().all(|standing| *standing == Standing::Up);
        let mut news = self.changes(links);
        if self.up && !up {
            let why = Error::new(
                Kind::Unavailable,
                "the connection to Redis was lost; it is being made anew",
            );
            news.push(Event::Disconnect(why));
        }
        for standing in standings {
            if let Standing::Down(error) = standing
                && self.errors.insert(error.kind.code())
            {
                news.push(Event::Error(error));
            }
        }
        if up && !self.up {
            self.errors.clear();
            news.push(Event::Connect);
        }
        self.up = up;
        news
    }
}

//! The thread that drives the connections. Operations come in by one buffer, answers go out by another; either
//! side is woken only when the buffer it waits for was empty.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
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
    /// What the thread has done, for statistics.
    pub counts: Arc<Counts>,
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Inbox {
    ops: Vec<(u32, Op)>,
    stopped: bool,
}

/// What a mutex protects.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
            counts: Arc::default(),
            wake: Box::new(wake),
        }
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
    pub config: Arc<Config>,
    /// All of them.
    pub all: Vec<Arc<Link>>,
    /// What this process's writes are known by: the field of a session that has the number of the last one.
    pub writer: String,
}

impl Links {
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
            // As a task: what wakes it on this thread costs no system call then.
            let _ = runtime.block_on(runtime.spawn(work(Arc::clone(desk), config)));
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

async fn work(desk: Arc<Desk>, config: Config) {
    let config = Arc::new(config);
    let changed = Arc::new(Notify::new());
    let make = |_| {
        Arc::new(Link::new(
            Arc::clone(&config),
            Arc::clone(&changed),
            Arc::clone(&desk.counts),
        ))
    };
    let links = Arc::new(Links {
        all: (0..config.pool_size).map(make).collect(),
        config,
        writer: format!("~{}", &Uuid::new_v4().simple().to_string()[..12]),
    });
    let mut drivers = FuturesUnordered::new();
    for link in &links.all {
        let link = Arc::clone(link);
        drivers.push(tokio::spawn(async move { link.drive().await }));
    }
    let mut told = Told::default();
    let mut running = FuturesUnordered::new();
    loop {
        let mut close = None;
        tokio::select! {
            biased;
            // First, so that what is asked for after an answer finds that the server tells of changes.
            () = changed.notified() => desk.post([], told.news(&links)),
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
                        let links = Arc::clone(&links);
                        running.push(async move {
                            let mut op = op;
                            let reply = perform(&links, &mut op).await;
                            (ticket, reply.map_err(|error| Failed { error, op: Box::new(op) }))
                        });
                    }
                }
            }
        }
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
        let ups = standings
            .iter()
            .filter(|standing| **standing == Standing::Up);
        let ups = ups.count();
        let up = ups == standings.len();
        links.all[0].counts.up.store(ups as u64, Relaxed);
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

//! The floor: sends the commands of a call one after the other, as the module does, for many calls at once, over one
//! multiplexed connection of redis-rs on one thread.
//!
//! `floor <port> <calls at once> <ms> <commands>`: `commands` is JSON text, an array of arrays of words, in which U+0001
//! stands for the Call-ID and U+0002 for the number of the uuid. Prints one line of JSON.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

type Commands = Vec<Vec<String>>;
type Failure = Box<dyn Error>;

/// The state that the calls of a run share.
struct Run {
    commands: Commands,
    begun: Instant,
    length: Duration,
    next: Cell<u64>,
    /// duration of each call, in ms
    latencies: RefCell<Vec<f64>>,
}

/// CPU time of this thread so far, in µs.
fn cpu() -> Result<f64, Failure> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos: f64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanos / 1000.0)
}

async fn calls(run: Rc<Run>, mut connection: MultiplexedConnection) -> redis::RedisResult<()> {
    while run.begun.elapsed() < run.length {
        let number = run.next.replace(run.next.get() + 1);
        let id = format!("floor-{number:012}@a.example");
        let uuid = format!("{number:012x}");
        let started = Instant::now();
        for words in &run.commands {
            let mut command = redis::Cmd::new();
            for word in words {
                command.arg(word.replace('\u{1}', &id).replace('\u{2}', &uuid));
            }
            let _: redis::Value = command.query_async(&mut connection).await?;
        }
        run.latencies
            .borrow_mut()
            .push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(())
}

async fn measure(port: &str, at_once: usize, length: Duration, text: &str) -> Result<(), Failure> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
    let connection = client.get_multiplexed_async_connection().await?;
    let before = cpu()?;
    let run = Rc::new(Run {
        commands: serde_json::from_str(text)?,
        begun: Instant::now(),
        length,
        next: Cell::new(0),
        latencies: RefCell::default(),
    });
    let tasks: Vec<_> = (0..at_once)
        .map(|_| tokio::task::spawn_local(calls(Rc::clone(&run), connection.clone())))
        .collect();
    for task in tasks {
        task.await??;
    }
    let seconds = run.begun.elapsed().as_secs_f64();
    let micros = cpu()? - before;
    let mut latencies = run.latencies.take();
    latencies.sort_by(f64::total_cmp);
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100];
    let result = serde_json::json!({
        "calls": latencies.len(),
        "seconds": seconds,
        "cpu": micros,
        "p50": at(50),
        "p99": at(99),
    });
    println!("{result}");
    Ok(())
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [port, at_once, ms, commands] = words.as_slice() else {
        return Err("floor <port> <calls at once> <ms> <commands>".into());
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let length = Duration::from_millis(ms.parse()?);
    LocalSet::new().block_on(&runtime, measure(port, at_once.parse()?, length, commands))
}

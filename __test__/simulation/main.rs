//! Deterministic simulation of the engine: several processes over one simulated Redis and network, in one thread and with
//! a time of their own. README.md says what it shows and how to read a failure.

mod agreement;
mod client;
mod glue;
mod history;
mod model;
mod network;
mod random;
mod server;
mod shrink;
mod tasks;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use history::{Plan, play};

fn number(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} must be a whole number, not {value}"))
    })
}

/// `HISTORIES` histories from the seed `SEED` on, by `THREADS` threads, until `FAILURES` of them are against the guarantees.
/// The first one of those is printed in its shortest form.
#[test]
fn histories() {
    let (first, count) = (number("SEED", 1), number("HISTORIES", 20_000));
    let enough = usize::try_from(number("FAILURES", 1)).unwrap_or(1);
    let next = AtomicU64::new(0);
    let stops = AtomicBool::new(false);
    let failed = Mutex::new(Vec::new());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..number("THREADS", 2) {
            scope.spawn(|| {
                while !stops.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let plan = Plan::new(first + number);
                    let wrong = std::panic::catch_unwind(|| play(&plan, false).wrong);
                    let wrong = wrong.unwrap_or_else(|_| vec!["panic".to_owned()]);
                    if !wrong.is_empty() {
                        let mut failed = failed.lock().expect("no panic");
                        failed.push((number, plan, wrong));
                        stops.fetch_or(failed.len() >= enough, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let played = next.into_inner().min(count);
    #[allow(clippy::cast_precision_loss)] // for people to read
    let speed = played as f64 / seconds;
    println!("{played} histories in {seconds:.1} s, {speed:.0} a second");
    let mut failed = failed.into_inner().expect("no panic");
    failed.sort_by_key(|(number, ..)| *number);
    for (number, plan, wrong) in &failed {
        let wrong = wrong.join("\n");
        println!(
            "found after {} histories, SEED={}: {wrong}",
            number + 1,
            plan.seed
        );
    }
    if let Some((_, plan, _)) = failed.first() {
        panic!("{}", shrink::report(plan));
    }
}

/// One seed decides everything.
#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 1..=300 {
        let plan = Plan::new(seed);
        assert_eq!(
            play(&plan, false).digest,
            play(&plan, false).digest,
            "SEED={seed}"
        );
    }
}

/// `AGREEMENTS` sequences of 40 operations.
#[test]
fn the_simulated_server_and_a_real_redis_agree() {
    agreement::check(number("SEED", 1), number("AGREEMENTS", 200));
}

//! Makes a history that fails shorter, as long as it still breaks the same rule: steps are left out, then what else makes
//! it hard to read.

use std::fmt::Write as _;

use crate::history::{Pause, Plan, described, play};
use crate::network::MS;

/// How often a history is played at most.
const MOST: usize = 4000;

/// The number of the first rule that a history breaks.
pub fn rule(wrong: &[String]) -> Option<String> {
    let first = wrong.first()?;
    Some(first.split_whitespace().next().unwrap_or("").to_owned())
}

struct Shrinking {
    rule: Option<String>,
    left: usize,
}

impl Shrinking {
    fn fails(&mut self, plan: &Plan) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let plan = plan.clone();
        let broken = std::panic::catch_unwind(|| rule(&play(&plan, false).wrong))
            .unwrap_or_else(|_| Some("panic".to_owned()));
        broken.is_some() && broken == self.rule
    }

    /// Leaves out as many steps as it can, in ever smaller pieces.
    fn steps(&mut self, plan: &mut Plan) {
        let mut size = plan.steps.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            let mut has_shrunk = false;
            while at < plan.steps.len() {
                let mut shorter = plan.clone();
                let end = (at + size).min(shorter.steps.len());
                shorter.steps.drain(at..end);
                if self.fails(&shorter) {
                    *plan = shorter;
                    has_shrunk = true;
                } else {
                    at += size;
                }
            }
            if size > 1 {
                size /= 2;
            } else if !has_shrunk {
                return;
            }
        }
    }

    fn simplify(&mut self, plan: &mut Plan, change: impl FnOnce(&mut Plan)) {
        let mut simpler = plan.clone();
        change(&mut simpler);
        if self.fails(&simpler) {
            *plan = simpler;
        }
    }
}

/// A shorter plan that breaks the same rule.
pub fn shrink(plan: &Plan, broken: Option<String>) -> Plan {
    let mut shrinking = Shrinking {
        rule: broken,
        left: MOST,
    };
    let mut plan = plan.clone();
    shrinking.steps(&mut plan);
    shrinking.simplify(&mut plan, |plan| plan.setup.skew = false);
    shrinking.simplify(&mut plan, |plan| plan.setup.connections = 1);
    shrinking.simplify(&mut plan, |plan| plan.setup.cache = false);
    shrinking.simplify(&mut plan, |plan| plan.setup.most_recent = 4096);
    for at in 0..plan.steps.len() {
        for pause in [Pause::UntilDone, Pause::None, Pause::For(5 * MS)] {
            if plan.steps[at].pause == pause {
                break;
            }
            shrinking.simplify(&mut plan, |plan| plan.steps[at].pause = pause);
        }
    }
    shrinking.steps(&mut plan);
    plan
}

/// A failing history for people to read.
pub fn report(plan: &Plan) -> String {
    let played = play(plan, false);
    let shorter = shrink(plan, rule(&played.wrong));
    let played = play(&shorter, true);
    let mut text = format!(
        "SEED={} HISTORIES=1 cargo test --profile simulation --test simulation histories\n{:?}\n",
        plan.seed, shorter.setup
    );
    for line in &played.trace {
        let _ = writeln!(text, "  {line}");
    }
    let _ = writeln!(text, "operations:");
    for entry in &played.entries {
        let (start, end) = (entry.start, entry.end);
        let _ = writeln!(
            text,
            "  {start}-{end} p{} {}",
            entry.actor,
            described(entry)
        );
    }
    for fault in &played.faults {
        let _ = writeln!(text, "  fault {fault}");
    }
    let _ = writeln!(text, "in the end: {:?}", played.end);
    for wrong in &played.wrong {
        let _ = writeln!(text, "against the guarantees: {wrong}");
    }
    text
}

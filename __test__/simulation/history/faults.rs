//! The steps that are faults.

use std::rc::Rc;

use super::play::History;
use crate::network::{Event, MS, Mood, Network, to_ms};

impl History {
    #[allow(clippy::too_many_lines)] // one fault after the other
    pub(super) fn fault(&mut self, dice: [u32; 4]) {
        let [which, slot, how, lasts] = dice.map(u64::from);
        let slot = usize::try_from(slot).unwrap_or(0) % self.slots.len();
        let host = self.slots[slot];
        let mut lasts = (10 + lasts % 300) * MS;
        let network = Rc::clone(&self.network);
        let mut net = network.borrow_mut();
        let number = usize::try_from(how).unwrap_or(0) % 8;
        let until = |net: &mut Network, lasts| {
            let at = net.now() + lasts;
            net.add(at, Event::Mend(host));
        };
        let crashes = if self.setup.crashes { 3 } else { 0 };
        let said = match which % (20 + crashes) {
            0 | 1 => {
                net.reset(host);
                format!("the connections of p{host} are reset")
            }
            2..=4 => {
                net.cut_after(host, number, how % 5, true);
                until(&mut net, lasts);
                format!("a connection of p{host} is cut after {} replies", how % 5)
            }
            5 | 6 => {
                net.cut_after(host, number, how % 5, false);
                until(&mut net, lasts);
                format!("a connection of p{host} is cut after {} requests", how % 5)
            }
            7 | 8 => {
                net.hosts[host].faults.stall_in = true;
                until(&mut net, lasts);
                format!("what is sent to p{host} is stalled")
            }
            9 => {
                net.hosts[host].faults.stall_out = true;
                until(&mut net, lasts);
                format!("what p{host} sends is stalled")
            }
            10 => {
                net.hosts[host].faults.stall_out = true;
                net.hosts[host].faults.stall_in = true;
                until(&mut net, lasts);
                format!("the network of p{host} is stalled")
            }
            11 | 12 => {
                net.hosts[host].faults.delay = how % (15 * MS);
                until(&mut net, lasts);
                format!("the network of p{host} is slow")
            }
            13 => {
                if how % 4 == 0 {
                    lasts *= 10;
                }
                net.hosts[host].faults.reject = true;
                net.reset(host);
                until(&mut net, lasts);
                format!("p{host} can't connect")
            }
            14 => {
                if how % 2 == 0 {
                    lasts *= 8;
                }
                for host in self.slots.clone() {
                    net.hosts[host].faults.reject = true;
                    net.reset(host);
                    let at = net.now() + lasts;
                    net.add(at, Event::Mend(host));
                }
                "the server is away".to_owned()
            }
            15 => {
                net.knows_scripts = false;
                "the scripts are save_first".to_owned()
            }
            16 => {
                net.mood = Some(Mood::Loading);
                let at = net.now() + lasts;
                net.add(at, Event::Calm);
                "the server is loading".to_owned()
            }
            17 | 18 => {
                let mood = if how % 2 == 0 {
                    Mood::ReadOnly
                } else {
                    Mood::OutOfMemory
                };
                net.mood = Some(mood);
                let at = net.now() + lasts;
                net.add(at, Event::Calm);
                format!("the server takes no writes: {mood:?}")
            }
            19 => {
                // Shorter than a reply may take.
                let busy = how % (30 * MS);
                net.hosts[host].busy_until = net.now() + busy;
                lasts = busy;
                format!("p{host} is busy")
            }
            _ => {
                drop(net);
                self.crash(slot);
                net = network.borrow_mut();
                format!("p{host} crashes")
            }
        };
        let at = to_ms(net.now());
        net.say(|| format!("fault: {said} for {} ms", to_ms(lasts)));
        let moment = self.log.borrow().moment;
        self.faults.push(format!(
            "{moment}: {said}, at {at} ms for {} ms",
            to_ms(lasts)
        ));
    }

    pub(super) fn crash(&mut self, slot: usize) {
        let number = self.slots[slot];
        self.processes[number].crash();
        {
            let mut log = self.log.borrow_mut();
            log.moment += 1;
            let moment = log.moment;
            let now = self.now();
            for entry in &mut log.entries {
                if entry.actor == number && entry.end == u64::MAX {
                    entry.end = moment;
                    entry.ended = now;
                    entry.outcome.lost = true;
                }
            }
            log.handles.retain(|handle| handle.actor != number);
        }
        self.slots[slot] = self.begin_process();
    }
}

//! Plans: how a history is set up, and its steps.

use drachtio_session::engine::Limits;

use crate::network::{MS, SECOND, Time};
use crate::random::Random;

pub(super) const DAY: u64 = 86_400_000;

/// The key of requests outside of a dialog, and the number that their session has in a history.
pub const JOINED: &str = "mks:joined";
pub const JOINED_SESSION: usize = 9;

/// The Call-ID of all dialogs whose names collide, and the number that their sessions have in a history.
pub const CALL_ID: &str = "colliding";
pub const DIALOGS: usize = 8;

/// How a history is set up.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // each is decided for itself
pub struct Setup {
    pub memory: bool,
    pub processes: usize,
    pub sessions: usize,
    /// Whether the second session takes a key from the first one.
    pub takes_over: bool,
    /// A fault comes before one in so many steps; never where it is 0.
    pub faultiness: u64,
    pub crashes: bool,
    pub cache: bool,
    pub connections: usize,
    /// ms.
    pub ttl: u64,
    pub limits: Limits,
    pub most_recent: usize,
    pub timeout: Time,
    pub command_timeout: Time,
    pub skew: bool,
    pub latency: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Invite,
    Create,
    /// A session begins with a key that another one has.
    TakeOver,
    /// A request outside of a dialog, whose session joins the one that has its key by then.
    Message,
    Load,
    Save,
    SaveUnchanged,
    Update,
    AddKey,
    DeleteKey,
    Destroy,
    Info,
    Ack,
    Bye,
    /// A dialog begins, whose Call-ID others have too.
    Dialog,
    FindDialog,
    HangUp,
    Fault,
    Idle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    None,
    UntilDone,
    For(Time),
}

/// One thing that is done; `dice` decide which of what there is by then.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub what: What,
    pub dice: [u32; 4],
    pub pause: Pause,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub setup: Setup,
    pub steps: Vec<Step>,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let setup = Setup::new(&mut random);
        let mut steps = Vec::new();
        let takes_over = setup.sessions > 1 && setup.takes_over;
        for session in 0..setup.sessions - usize::from(takes_over) {
            let what = if random.one_in(3) {
                What::Invite
            } else {
                What::Create
            };
            let mut step = Step::new(what, &mut random);
            step.dice[3] = u32::try_from(session).unwrap_or(0);
            step.pause = if random.one_in(4) {
                Pause::None
            } else {
                Pause::UntilDone
            };
            steps.push(step);
        }
        for _ in 0..8 + random.below(30) {
            if setup.faultiness > 0 && random.one_in(setup.faultiness) {
                let mut fault = Step::new(What::Fault, &mut random);
                fault.pause = Pause::None;
                steps.push(fault);
            }
            let what = match Self::what(&mut random) {
                What::Save if takes_over && random.one_in(3) => What::TakeOver,
                what => what,
            };
            let mut step = Step::new(what, &mut random);
            if what == What::Idle {
                let most = if setup.ttl < DAY { setup.ttl } else { 1500 };
                step.pause = Pause::For(random.below(most) * MS);
            }
            steps.push(step);
        }
        Self::add_dialogs(seed, &mut steps);
        Self { seed, setup, steps }
    }

    /// Dialogs with one Call-ID, in every fourth history. Their dice are not those of the other steps.
    fn add_dialogs(seed: u64, steps: &mut Vec<Step>) {
        let mut random = Random::new(seed ^ 0xd1a1_0600);
        if !random.one_in(4) {
            return;
        }
        for _ in 0..3 + random.below(12) {
            let what = match random.below(8) {
                0..4 => What::Dialog,
                4..7 => What::FindDialog,
                _ => What::HangUp,
            };
            let step = Step::new(what, &mut random);
            let at = random.below(steps.len() as u64 + 1);
            steps.insert(usize::try_from(at).unwrap_or(0), step);
        }
    }

    fn what(random: &mut Random) -> What {
        if random.one_in(5) {
            return What::Load;
        }
        match random.below(20) {
            0..3 => What::Update,
            3..5 => What::SaveUnchanged,
            5..7 => What::AddKey,
            7 => What::DeleteKey,
            8 if random.one_in(4) => What::Destroy,
            9..12 => What::Info,
            12 if random.one_in(3) => What::Bye,
            13 if random.one_in(3) => What::Idle,
            14 if random.one_in(2) => What::Ack,
            15 if random.one_in(3) => What::Message,
            _ => What::Save,
        }
    }
}

impl Step {
    fn new(what: What, random: &mut Random) -> Self {
        let dice = random.next();
        let more = random.next();
        let pause = match random.below(9) {
            0..3 => Pause::UntilDone,
            3..5 => Pause::For(random.below(8 * MS)),
            _ => Pause::None,
        };
        #[allow(clippy::cast_possible_truncation)] // they are dice
        let dice = [
            dice as u32,
            (dice >> 32) as u32,
            more as u32,
            (more >> 32) as u32,
        ];
        Self { what, dice, pause }
    }
}

impl Setup {
    fn new(random: &mut Random) -> Self {
        let memory = random.one_in(16);
        let faultiness = *random.pick(&[0, 0, 8, 8, 3]);
        let is_tight = random.one_in(12);
        let faultless = faultiness == 0 && !is_tight;
        let limits = if is_tight {
            Limits {
                count: 1 + usize::try_from(random.below(4)).unwrap_or(0),
                bytes: 64 << 20,
            }
        } else {
            Limits::default()
        };
        let timeout = if faultless { 10 * SECOND } else { 400 * MS };
        Self {
            memory,
            processes: if memory { 1 } else { 3 },
            sessions: 1 + usize::from(random.one_in(4)),
            takes_over: random.one_in(3),
            faultiness: if memory { 0 } else { faultiness },
            crashes: !memory && faultiness > 0 && random.one_in(4),
            cache: random.one_in(2),
            connections: 1 + usize::from(random.one_in(3)),
            ttl: if !memory && random.one_in(6) {
                500 + random.below(3000)
            } else {
                DAY
            },
            limits: if memory { Limits::default() } else { limits },
            most_recent: *random.pick(&[4096, 4096, 2, 0]),
            timeout,
            command_timeout: if faultless { timeout } else { 200 * MS },
            skew: random.one_in(3),
            latency: *random.pick(&[20, 200, 1000]),
        }
    }

    /// Whether something may fail.
    pub fn is_faulty(&self) -> bool {
        self.faultiness > 0 || self.limits.count < 1000
    }

    pub fn expires(&self) -> bool {
        self.ttl < DAY
    }
}

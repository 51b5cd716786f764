//! Which SIP message creates, loads, saves or removes what. Facts in, a plan out; nothing here touches anything.
//!
//! Three questions are asked: [`plan`] when a message reaches the application, [`finish`] when it sends a final response
//! or an ACK, and [`on_event`] when something else becomes of a dialog. `docs/rules.md` has them as tables; dialogs are
//! RFC 3261, section 12.

use bitflags::bitflags;

bitflags! {
    /// What is known of a message.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Facts: u32 {
        /// It is a request that reached the application; otherwise a response to one that the application sent.
        const NETWORK = 1;
        /// The request has a To tag: it belongs to a dialog (RFC 3261, 12.2).
        const TO_TAG = 1 << 1;
        /// It carries `Authorization` or `Proxy-Authorization`: the answer to a challenge (RFC 3261, 22.2).
        const AUTHORIZED = 1 << 2;
        /// The request was canceled (RFC 3261, section 9).
        const CANCELED = 1 << 3;
        /// An INVITE or SUBSCRIBE with this key waits for its final response in this process.
        const PENDING = 1 << 4;
        /// The request has a session already.
        const ATTACHED = 1 << 5;
        /// That session has other keys besides this message's.
        const SHARED = 1 << 6;
        /// The server made the request itself, such as the BYE after a missing ACK: no response to it goes anywhere.
        const MADE_BY_SERVER = 1 << 7;
        /// It ends a subscription that its dialog was made for: a SUBSCRIBE with `Expires: 0`, or a NOTIFY that tells
        /// `terminated` (RFC 6665, 4.1.2.3 and 4.1.3).
        const UNSUBSCRIBES = 1 << 8;
        /// The host has an object for the dialog, which holds the session in this process while it lives.
        const HELD = 1 << 9;
    }
}

bitflags! {
    /// What to do with a message.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Plan: u32 {
        /// Make a new session, in this process only.
        const CREATE = 1;
        /// Look the session up by its key; an empty one if there is none.
        const LOAD = 1 << 1;
        /// Ask [`finish`] when the application sends a final response.
        const ON_FINAL = 1 << 2;
        /// Ask [`finish`] when the application acknowledges the response.
        const ON_ACK = 1 << 3;
        /// Save when the handlers have returned: no response will follow.
        const AFTER_HANDLER = 1 << 4;
        /// Remove the key before the application hears of the message.
        const REMOVE_FIRST = 1 << 5;
        /// The request forms a dialog if it is accepted.
        const FORMS_DIALOG = 1 << 6;
        /// The request ends its dialog.
        const ENDS_DIALOG = 1 << 7;
        /// The request belongs to a dialog: a session that is not there has ended, and does not begin anew.
        const IN_DIALOG = 1 << 8;
    }
}

/// What a final response means for the session. The numbers are those of the JavaScript side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Finish {
    /// Save what has changed; a new session only if there is something in it.
    SaveChanges = 0,
    /// Save even an empty session, and start its time to live anew: the dialog exists now.
    SaveDialog = 1,
    /// Save what has changed, for a short time: the request will come again with credentials.
    SaveForRetry = 2,
    /// Save what has changed and remove the key; with the last key the session goes.
    Remove = 3,
    /// Leave everything as it is.
    Nothing = 4,
}

/// What becomes of a dialog without a message that the application handles. The numbers are those of the JavaScript side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Event {
    /// The INVITE was canceled.
    Canceled = 0,
    /// The server did not take the final response: the transaction was over already.
    NotSent = 1,
    /// The request of the application that begins a dialog got its final response.
    Answered = 2,
    /// The dialog is over.
    Ended = 3,
}

impl TryFrom<u32> for Event {
    type Error = u32;

    fn try_from(number: u32) -> Result<Self, u32> {
        [Self::Canceled, Self::NotSent, Self::Answered, Self::Ended]
            .into_iter()
            .find(|event| *event as u32 == number)
            .ok_or(number)
    }
}

/// Seconds that the session of a challenged request waits for the retry: longer than a transaction lives
/// (RFC 3261, Timer B, 32 s).
pub const RETRY_SECONDS: u32 = 60;

/// The plan for a request (`status` 0), or for the response with `status` to a request that the application sent.
#[must_use]
pub fn plan(method: &str, facts: Facts, status: u16) -> Plan {
    if facts.contains(Facts::NETWORK) {
        if facts.contains(Facts::ATTACHED) {
            Plan::empty()
        } else {
            plan_request(method, facts)
        }
    } else {
        plan_response(method, facts, status)
    }
}

fn plan_request(method: &str, facts: Facts) -> Plan {
    let in_dialog = in_dialog(facts);
    match method {
        "INVITE" | "SUBSCRIBE" if in_dialog.is_empty() => {
            let origin = if facts.contains(Facts::AUTHORIZED) {
                Plan::LOAD
            } else {
                Plan::CREATE
            };
            origin | Plan::ON_FINAL | Plan::FORMS_DIALOG
        }
        "ACK" => Plan::LOAD | Plan::AFTER_HANDLER | Plan::IN_DIALOG,
        "BYE" if facts.contains(Facts::MADE_BY_SERVER) => {
            Plan::LOAD | Plan::AFTER_HANDLER | Plan::ENDS_DIALOG | Plan::IN_DIALOG
        }
        _ if facts.contains(Facts::UNSUBSCRIBES) => {
            Plan::LOAD | Plan::ON_FINAL | Plan::ENDS_DIALOG | Plan::IN_DIALOG
        }
        "BYE" => Plan::LOAD | Plan::ON_FINAL | Plan::ENDS_DIALOG | Plan::IN_DIALOG,
        // Once the final response is sent a CANCEL has no effect (RFC 3261, 9.2): the session stays.
        "CANCEL" if facts.contains(Facts::PENDING) => {
            Plan::LOAD | Plan::ON_FINAL | Plan::ENDS_DIALOG
        }
        "CANCEL" => Plan::LOAD | Plan::ON_FINAL | Plan::IN_DIALOG,
        _ => Plan::LOAD | Plan::ON_FINAL | in_dialog,
    }
}

fn in_dialog(facts: Facts) -> Plan {
    if facts.contains(Facts::TO_TAG) {
        Plan::IN_DIALOG
    } else {
        Plan::empty()
    }
}

fn plan_response(method: &str, facts: Facts, status: u16) -> Plan {
    let load = if facts.contains(Facts::ATTACHED) {
        Plan::empty()
    } else {
        Plan::LOAD | in_dialog(facts)
    };
    match (method, status) {
        ("INVITE", 200..300) if facts.contains(Facts::TO_TAG) => load | Plan::ON_ACK,
        ("INVITE", 200..300) => load | Plan::ON_ACK | Plan::FORMS_DIALOG,
        // A challenged INVITE may come again, or not. Its key waits for that only where nothing else holds the session.
        ("INVITE", 401 | 407) if !facts.contains(Facts::SHARED) => load,
        // The far end refused: that leg never became a dialog.
        ("INVITE", 300..) if !facts.contains(Facts::TO_TAG) => load | Plan::REMOVE_FIRST,
        // A challenged BYE is sent again; any other answer ends the dialog (RFC 3261, 15.1.1).
        ("BYE", 401 | 407) => load | Plan::AFTER_HANDLER,
        ("BYE", 200..) => load | Plan::REMOVE_FIRST,
        (_, 200..) => load | Plan::AFTER_HANDLER,
        _ => load,
    }
}

/// Whether a message may be answered 503 when the store has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Refusal {
    /// It always goes through: it ends something, or no answer to it exists.
    Never = 0,
    /// It belongs to a dialog: only where the application's function says so.
    OnRequest = 1,
    /// It begins something: it can come again later (RFC 3261, 21.5.4).
    ByPolicy = 2,
}

/// Whether a message with `plan` may be rejected when the store has failed.
#[must_use]
pub fn may_reject(method: &str, plan: Plan) -> Refusal {
    match method {
        "BYE" | "CANCEL" | "ACK" | "PRACK" => Refusal::Never,
        _ if !plan.contains(Plan::ON_FINAL) => Refusal::Never,
        _ if plan.contains(Plan::IN_DIALOG) => Refusal::OnRequest,
        _ => Refusal::ByPolicy,
    }
}

/// What stands in for a session that a message needs and that could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// A new one: a dialog begins.
    New,
    /// A new one that, when it is stored, joins the one that has its key by then.
    Adopting,
    /// An empty one that is never stored: the dialog's session has ended.
    Ended,
    /// An empty one that is never stored, whose key can be removed: the session may exist.
    Unknown,
}

/// What stands in when a load has `failed`, or has found nothing.
#[must_use]
pub fn placeholder(plan: Plan, failed: bool) -> Placeholder {
    let forms = plan.contains(Plan::FORMS_DIALOG);
    if failed {
        return if forms {
            Placeholder::Adopting
        } else {
            Placeholder::Unknown
        };
    }
    if forms {
        Placeholder::New
    } else if plan.contains(Plan::IN_DIALOG) {
        Placeholder::Ended
    } else {
        Placeholder::Adopting
    }
}

/// What the final response with `status` means for a request that had `plan`.
#[must_use]
pub fn finish(plan: Plan, facts: Facts, status: u16) -> Finish {
    let challenged = matches!(status, 401 | 407);
    if plan.contains(Plan::FORMS_DIALOG) {
        return match status {
            _ if facts.contains(Facts::CANCELED) => Finish::Remove,
            200..300 => Finish::SaveDialog,
            401 | 407 => Finish::SaveForRetry,
            _ => Finish::Remove,
        };
    }
    if plan.contains(Plan::ENDS_DIALOG) && !challenged {
        return Finish::Remove;
    }
    Finish::SaveChanges
}

/// What an event means for the session of a dialog. `status` is that of the final response the event is about, 0 if there
/// was none, as when a request could not be sent.
#[must_use]
pub fn on_event(event: Event, facts: Facts, status: u16) -> Finish {
    match event {
        // A final response that is on its way already decides (RFC 3261, 9.2), and asks `finish` once it is saved.
        Event::Canceled if facts.contains(Facts::PENDING) => Finish::Remove,
        // Only a 2xx can have begun a dialog: everything else has left nothing behind.
        Event::NotSent if (200..300).contains(&status) => Finish::Remove,
        Event::Canceled | Event::NotSent => Finish::Nothing,
        // The 2xx to the INVITE that shares this session will save both keys at once.
        Event::Answered if (200..300).contains(&status) && facts.contains(Facts::PENDING) => {
            Finish::Nothing
        }
        Event::Answered if (200..300).contains(&status) && facts.contains(Facts::HELD) => {
            Finish::SaveChanges
        }
        Event::Answered if (200..300).contains(&status) => Finish::SaveDialog,
        Event::Answered if (100..200).contains(&status) => Finish::Nothing,
        Event::Answered | Event::Ended => Finish::Remove,
    }
}

#[cfg(test)]
mod tests;

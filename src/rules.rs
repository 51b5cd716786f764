//! The rules: which SIP message creates, loads, saves or removes a session. Pure functions that turn facts into a plan.
//!
//! [`plan`] answers when a message reaches the application, [`finish`] when the application sends a final response or an
//! ACK, [`on_event`] when a dialog changes without a message that the application handles. `docs/rules.md` has them as
//! tables; RFC 3261, section 12 defines dialogs.
//!
//! The binding exports the bits and numbers of this module to JavaScript by their names (`binding::constants`).

use bitflags::bitflags;

/// Declares an enum that crosses to JavaScript by number, with `ALL`: its variants in the order of their numbers.
macro_rules! numbered {
    ($(#[$on_enum:meta])* pub enum $name:ident { $($(#[$on_variant:meta])* $variant:ident,)+ }) => {
        $(#[$on_enum])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $name {
            $($(#[$on_variant])* $variant,)+
        }

        impl $name {
            /// All variants, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
        }
    };
}

bitflags! {
    /// What the host knows about a message.
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
        /// In this process an INVITE or SUBSCRIBE with this key has had no final response yet.
        const PENDING = 1 << 4;
        /// The request has a session already.
        const ATTACHED = 1 << 5;
        /// That session has other keys besides this message's.
        const SHARED = 1 << 6;
        /// The server made the request itself, such as the BYE after a missing ACK: it sends no response to it.
        const MADE_BY_SERVER = 1 << 7;
        /// It ends a subscription in its dialog: a SUBSCRIBE with `Expires: 0`, or a NOTIFY with the state
        /// `terminated` (RFC 6665, 4.1.2.3 and 4.1.3).
        const UNSUBSCRIBES = 1 << 8;
        /// The host has an object for the dialog, which retains the session in this process while it lives.
        const RETAINED = 1 << 9;
        /// A SUBSCRIBE has formed the dialog: known when the session is loaded.
        const SUBSCRIPTION = 1 << 10;
        /// It is a SUBSCRIBE without To tag with `Expires: 0`: it fetches the state once, and no subscription stays
        /// (RFC 6665, 4.4.3).
        const FETCHES = 1 << 11;
    }
}

bitflags! {
    /// What to do with a message.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Plan: u32 {
        /// Create a session, in this process only.
        const CREATE = 1;
        /// Load the session by its key; a placeholder if there is none.
        const LOAD = 1 << 1;
        /// Ask [`finish`] when the application sends a final response.
        const ON_FINAL = 1 << 2;
        /// Ask [`finish`] when the application acknowledges the response.
        const ON_ACK = 1 << 3;
        /// Save when the handlers have returned: no response will follow.
        const AFTER_HANDLER = 1 << 4;
        /// Remove the key before the application gets the message.
        const REMOVE_FIRST = 1 << 5;
        /// The request forms a dialog if it is accepted.
        const FORMS_DIALOG = 1 << 6;
        /// The request ends its dialog.
        const ENDS_DIALOG = 1 << 7;
        /// The request belongs to a dialog: a session that does not exist has ended, and is not created again.
        const IN_DIALOG = 1 << 8;
    }
}

numbered! {
    /// What a final response means for the session.
    pub enum Finish {
        /// Save what has changed; a new session only if it has data.
        SaveChanges,
        /// Save even an empty session, and renew its TTL: the dialog exists now.
        SaveDialog,
        /// Save what has changed, with a short TTL: the client repeats the request with credentials.
        SaveForRetry,
        /// Save what has changed and remove the key; removing the last key removes the session.
        Remove,
        /// Do nothing.
        Nothing,
    }
}

numbered! {
    /// What happens to a dialog without a message that the application handles.
    pub enum Event {
        /// A CANCEL ended the INVITE.
        Canceled,
        /// The server refused the final response: the transaction had ended.
        NotSent,
        /// A request that the application sent to begin a dialog got its final response.
        Answered,
        /// The dialog has ended.
        Ended,
        /// The application has proxied the request: the dialog begins elsewhere.
        Proxied,
    }
}

impl TryFrom<u32> for Event {
    type Error = u32;

    fn try_from(number: u32) -> Result<Self, u32> {
        let mut all = Self::ALL.iter().copied();
        all.find(|event| *event as u32 == number).ok_or(number)
    }
}

/// The TTL of the session of a challenged request, seconds: longer than a transaction lasts (RFC 3261, Timer B, 32 s),
/// so that the session exists when the client repeats the request.
pub const RETRY_SECONDS: u32 = 60;

/// The `Retry-After` of a 503 that answers a message when the store has failed, seconds (RFC 3261, 20.33).
pub const RETRY_AFTER_SECONDS: u32 = 5;

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
        "BYE" => Plan::LOAD | Plan::ON_FINAL | Plan::ENDS_DIALOG | Plan::IN_DIALOG,
        // After the final response a CANCEL has no effect (RFC 3261, 9.2): the session stays.
        "CANCEL" if facts.contains(Facts::PENDING) => {
            Plan::LOAD | Plan::ON_FINAL | Plan::ENDS_DIALOG
        }
        "CANCEL" => Plan::LOAD | Plan::ON_FINAL | Plan::IN_DIALOG,
        // Whether a SUBSCRIBE has formed the dialog is known after the load.
        _ if facts.contains(Facts::UNSUBSCRIBES) => Plan::LOAD | Plan::ON_FINAL | Plan::IN_DIALOG,
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
        // The application may or may not repeat a challenged INVITE. The key stays only if the session has no other.
        ("INVITE", 401 | 407) if !facts.contains(Facts::SHARED) => load,
        // The remote side refused: no dialog began on that leg.
        ("INVITE", 300..) if !facts.contains(Facts::TO_TAG) => load | Plan::REMOVE_FIRST,
        // The application repeats a challenged BYE; any other final response ends the dialog (RFC 3261, 15.1.1).
        ("BYE", 401 | 407) => load | Plan::AFTER_HANDLER,
        ("BYE", 200..) => load | Plan::REMOVE_FIRST,
        (_, 200..) => load | Plan::AFTER_HANDLER,
        _ => load,
    }
}

numbered! {
    /// Whether a message may be answered 503 when the store has failed.
    pub enum Refusal {
        /// Never: the message ends a dialog or transaction, or has no response.
        Never,
        /// Only if the application's function says so: the message belongs to a dialog.
        OnRequest,
        /// If `onStoreFailure` says so: the client can repeat the message later (RFC 3261, 21.5.4).
        ByPolicy,
    }
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

/// The placeholder for a session that could not be loaded or does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// A new session: a dialog begins.
    New,
    /// A new session whose first save joins the session that has its key by then.
    Joining,
    /// An empty session that is never stored: the dialog's session has ended.
    Ended,
    /// An empty session that is never stored, whose key can be removed: the session may exist.
    Unknown,
}

/// The placeholder after a load that has `failed`, or has found nothing.
#[must_use]
pub fn placeholder(plan: Plan, failed: bool) -> Placeholder {
    let forms = plan.contains(Plan::FORMS_DIALOG);
    if failed {
        return if forms {
            Placeholder::Joining
        } else {
            Placeholder::Unknown
        };
    }
    if forms {
        Placeholder::New
    } else if plan.contains(Plan::IN_DIALOG) {
        Placeholder::Ended
    } else {
        Placeholder::Joining
    }
}

/// What the final response with `status` means for a request that had `plan`.
#[must_use]
pub fn finish(plan: Plan, facts: Facts, status: u16) -> Finish {
    let challenged = matches!(status, 401 | 407);
    if plan.contains(Plan::FORMS_DIALOG) {
        return match status {
            _ if facts.contains(Facts::CANCELED) => Finish::Remove,
            200..300 if facts.contains(Facts::FETCHES) => Finish::Remove,
            200..300 => Finish::SaveDialog,
            401 | 407 => Finish::SaveForRetry,
            _ => Finish::Remove,
        };
    }
    // A usage that ends in a dialog which an INVITE has formed does not end the dialog (RFC 5057).
    let ends_subscription = facts.contains(Facts::UNSUBSCRIBES | Facts::SUBSCRIPTION);
    if (plan.contains(Plan::ENDS_DIALOG) || ends_subscription) && !challenged {
        return Finish::Remove;
    }
    Finish::SaveChanges
}

/// What an event means for the session of a dialog. `status` is that of the final response of the event; 0 without one,
/// as when a request could not be sent.
#[must_use]
pub fn on_event(event: Event, facts: Facts, status: u16) -> Finish {
    match event {
        // Without PENDING the application has given a final response, which decides (RFC 3261, 9.2): the caller asks
        // `finish` again when the session is saved.
        Event::Canceled if facts.contains(Facts::PENDING) => Finish::Remove,
        // Only a 2xx would have begun a dialog; the key of any other is removed already.
        Event::NotSent if (200..300).contains(&status) => Finish::Remove,
        Event::Canceled | Event::NotSent => Finish::Nothing,
        // The 2xx to the INVITE that shares this session will save both keys at once.
        Event::Answered if (200..300).contains(&status) && facts.contains(Facts::PENDING) => {
            Finish::Nothing
        }
        // A leg alone stores nothing until the application has put something into its session.
        Event::Answered
            if (200..300).contains(&status)
                && facts.contains(Facts::RETAINED)
                && !facts.contains(Facts::SHARED) =>
        {
            Finish::SaveChanges
        }
        Event::Answered if (200..300).contains(&status) => Finish::SaveDialog,
        Event::Answered if (100..200).contains(&status) => Finish::Nothing,
        Event::Answered | Event::Ended | Event::Proxied => Finish::Remove,
    }
}

#[cfg(test)]
mod tests;

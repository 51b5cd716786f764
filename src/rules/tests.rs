use super::*;

const NETWORK: Facts = Facts::NETWORK;
const DIALOG: Facts = Facts::NETWORK.union(Facts::TO_TAG);

#[test]
fn a_new_invite_or_subscribe_creates() {
    for method in ["INVITE", "SUBSCRIBE"] {
        let it = plan(method, NETWORK, 0);
        assert_eq!(it, Plan::CREATE | Plan::ON_FINAL | Plan::FORMS_DIALOG);
        assert_eq!(finish(it, NETWORK, 200), Finish::SaveDialog);
        assert_eq!(finish(it, NETWORK, 202), Finish::SaveDialog);
        for refused in [300, 302, 404, 486, 487, 503, 603] {
            assert_eq!(finish(it, NETWORK, refused), Finish::Remove, "{refused}");
        }
        for challenge in [401, 407] {
            assert_eq!(finish(it, NETWORK, challenge), Finish::SaveForRetry);
        }
        assert_eq!(finish(it, NETWORK | Facts::CANCELED, 200), Finish::Remove);
        assert_eq!(finish(it, NETWORK | Facts::CANCELED, 401), Finish::Remove);
    }
}

#[test]
fn the_answer_to_a_challenge_goes_on_with_its_session() {
    let it = plan("INVITE", NETWORK | Facts::AUTHORIZED, 0);
    assert_eq!(it, Plan::LOAD | Plan::ON_FINAL | Plan::FORMS_DIALOG);
    assert_eq!(finish(it, NETWORK, 200), Finish::SaveDialog);
    assert_eq!(finish(it, NETWORK, 403), Finish::Remove);
}

#[test]
fn requests_inside_a_dialog_load_and_save() {
    for method in [
        "INVITE",
        "INFO",
        "UPDATE",
        "PRACK",
        "REFER",
        "NOTIFY",
        "MESSAGE",
        "SUBSCRIBE",
    ] {
        let it = plan(method, DIALOG, 0);
        assert_eq!(
            it,
            Plan::LOAD | Plan::ON_FINAL | Plan::IN_DIALOG,
            "{method}"
        );
        for status in [200, 401, 481, 488, 500] {
            assert_eq!(
                finish(it, DIALOG, status),
                Finish::SaveChanges,
                "{method} {status}"
            );
        }
    }
    assert_eq!(
        plan("ACK", DIALOG, 0),
        Plan::LOAD | Plan::AFTER_HANDLER | Plan::IN_DIALOG
    );
}

#[test]
fn requests_outside_a_dialog_load_and_keep_only_what_they_change() {
    for method in ["OPTIONS", "REGISTER", "MESSAGE", "PUBLISH"] {
        let it = plan(method, NETWORK, 0);
        assert_eq!(it, Plan::LOAD | Plan::ON_FINAL);
        assert_eq!(finish(it, NETWORK, 401), Finish::SaveChanges);
    }
}

#[test]
fn a_bye_ends_its_dialog_unless_it_is_challenged() {
    let it = plan("BYE", DIALOG, 0);
    assert_eq!(finish(it, DIALOG, 200), Finish::Remove);
    assert_eq!(finish(it, DIALOG, 481), Finish::Remove);
    assert_eq!(finish(it, DIALOG, 407), Finish::SaveChanges);
}

#[test]
fn a_cancel_removes_only_what_is_still_pending() {
    let before = plan("CANCEL", NETWORK | Facts::PENDING, 0);
    assert_eq!(finish(before, NETWORK, 200), Finish::Remove);
    let after = plan("CANCEL", NETWORK, 0);
    assert_eq!(finish(after, NETWORK, 200), Finish::SaveChanges);
}

#[test]
fn responses_to_the_applications_own_requests() {
    let sent = Facts::empty();
    let found = Plan::LOAD | Plan::IN_DIALOG;
    assert_eq!(plan("INVITE", sent, 180), Plan::LOAD);
    let accepted = plan("INVITE", sent, 200);
    assert_eq!(accepted, Plan::LOAD | Plan::ON_ACK | Plan::FORMS_DIALOG);
    assert_eq!(finish(accepted, sent, 200), Finish::SaveDialog);
    assert_eq!(
        plan("INVITE", sent | Facts::ATTACHED, 200),
        Plan::ON_ACK | Plan::FORMS_DIALOG
    );
    let again = plan("INVITE", sent | Facts::TO_TAG, 200);
    assert_eq!(
        (again, finish(again, sent, 200)),
        (found | Plan::ON_ACK, Finish::SaveChanges)
    );
    assert_eq!(
        plan("INVITE", sent | Facts::ATTACHED, 486),
        Plan::REMOVE_FIRST
    );
    assert_eq!(
        plan("INVITE", sent | Facts::TO_TAG, 488),
        found | Plan::AFTER_HANDLER | Plan::IN_DIALOG
    );
    assert_eq!(
        plan("BYE", sent | Facts::TO_TAG, 200),
        found | Plan::REMOVE_FIRST
    );
    assert_eq!(
        plan("BYE", sent | Facts::TO_TAG, 481),
        found | Plan::REMOVE_FIRST
    );
    assert_eq!(
        plan("BYE", sent | Facts::TO_TAG, 401),
        found | Plan::AFTER_HANDLER | Plan::IN_DIALOG
    );
    assert_eq!(
        plan("INFO", sent | Facts::TO_TAG, 200),
        found | Plan::AFTER_HANDLER | Plan::IN_DIALOG
    );
}

#[test]
fn a_challenged_invite_of_the_application_keeps_the_only_key() {
    let sent = Facts::ATTACHED;
    assert_eq!(plan("INVITE", sent, 407), Plan::empty());
    assert_eq!(
        plan("INVITE", sent | Facts::SHARED, 407),
        Plan::REMOVE_FIRST
    );
}

#[test]
fn a_bye_made_by_the_server_ends_the_dialog_without_a_response() {
    let it = plan("BYE", DIALOG | Facts::MADE_BY_SERVER, 0);
    assert_eq!(
        it,
        Plan::LOAD | Plan::AFTER_HANDLER | Plan::ENDS_DIALOG | Plan::IN_DIALOG
    );
    assert_eq!(finish(it, DIALOG, 0), Finish::Remove);
}

#[test]
fn what_ends_a_subscription_ends_its_dialog() {
    for method in ["SUBSCRIBE", "NOTIFY"] {
        let facts = DIALOG | Facts::UNSUBSCRIBES;
        let it = plan(method, facts, 0);
        assert_eq!(it, Plan::LOAD | Plan::ON_FINAL | Plan::IN_DIALOG);
        let subscription = facts | Facts::SUBSCRIPTION;
        for status in [200, 202, 481, 489] {
            assert_eq!(finish(it, subscription, status), Finish::Remove, "{method}");
            let call = finish(it, facts, status);
            assert_eq!(call, Finish::SaveChanges, "{method} in a call");
        }
        for challenge in [401, 407] {
            let challenged = finish(it, subscription, challenge);
            assert_eq!(challenged, Finish::SaveChanges, "{method}");
        }
    }
    let refresh = plan("SUBSCRIBE", DIALOG, 0);
    let subscription = DIALOG | Facts::SUBSCRIPTION;
    assert_eq!(finish(refresh, subscription, 200), Finish::SaveChanges);
}

#[test]
fn a_subscribe_that_only_fetches_leaves_nothing() {
    let facts = NETWORK | Facts::FETCHES;
    let it = plan("SUBSCRIBE", facts, 0);
    assert_eq!(it, Plan::CREATE | Plan::ON_FINAL | Plan::FORMS_DIALOG);
    for status in [200, 202, 404] {
        assert_eq!(finish(it, facts, status), Finish::Remove, "{status}");
    }
    assert_eq!(finish(it, facts, 401), Finish::SaveForRetry);
}

#[test]
fn a_cancel_counts_until_the_final_response() {
    let waiting = NETWORK | Facts::PENDING;
    assert_eq!(on_event(Event::Canceled, waiting, 0), Finish::Remove);
    assert_eq!(on_event(Event::Canceled, NETWORK, 0), Finish::Nothing);
}

#[test]
fn a_2xx_that_was_not_sent_began_no_dialog() {
    for status in [200, 202] {
        assert_eq!(on_event(Event::NotSent, NETWORK, status), Finish::Remove);
    }
    for status in [183, 302, 401, 486] {
        assert_eq!(on_event(Event::NotSent, NETWORK, status), Finish::Nothing);
    }
}

#[test]
fn a_leg_of_the_application_stays_only_when_it_is_accepted() {
    let sent = Facts::empty();
    assert_eq!(on_event(Event::Answered, sent, 183), Finish::Nothing);
    for status in [200, 202] {
        assert_eq!(on_event(Event::Answered, sent, status), Finish::SaveDialog);
        let retained = sent | Facts::RETAINED;
        assert_eq!(
            on_event(Event::Answered, retained, status),
            Finish::SaveChanges
        );
        let leg_of_a_call = retained | Facts::SHARED;
        assert_eq!(
            on_event(Event::Answered, leg_of_a_call, status),
            Finish::SaveDialog
        );
        let shared = sent | Facts::PENDING;
        assert_eq!(on_event(Event::Answered, shared, status), Finish::Nothing);
    }
    for status in [0, 302, 401, 407, 486, 487, 603] {
        assert_eq!(on_event(Event::Answered, sent, status), Finish::Remove);
        let shared = sent | Facts::PENDING;
        assert_eq!(on_event(Event::Answered, shared, status), Finish::Remove);
    }
}

#[test]
fn the_end_of_a_dialog_removes_its_key() {
    for event in [Event::Ended, Event::Proxied] {
        assert_eq!(on_event(event, Facts::empty(), 0), Finish::Remove);
        assert_eq!(on_event(event, Facts::PENDING, 0), Finish::Remove);
    }
}

#[test]
fn an_event_is_found_by_its_number() {
    for (number, event) in [
        (0, Event::Canceled),
        (1, Event::NotSent),
        (2, Event::Answered),
        (3, Event::Ended),
        (4, Event::Proxied),
    ] {
        assert_eq!(Event::try_from(number), Ok(event));
    }
    assert_eq!(Event::try_from(5), Err(5));
}

#[test]
fn the_placeholder_for_a_session_that_could_not_be_loaded_or_does_not_exist() {
    let begins = plan("INVITE", NETWORK | Facts::AUTHORIZED, 0);
    let inside = plan("INFO", DIALOG, 0);
    let outside = plan("REGISTER", NETWORK, 0);
    let found =
        [begins, inside, outside].map(|plan| (placeholder(plan, false), placeholder(plan, true)));
    assert_eq!(found[0], (Placeholder::New, Placeholder::Joining));
    assert_eq!(found[1], (Placeholder::Ended, Placeholder::Unknown));
    assert_eq!(found[2], (Placeholder::Joining, Placeholder::Unknown));
}

#[test]
fn a_message_that_begins_a_dialog_may_be_rejected_and_one_that_ends_it_never() {
    let refusal = |method, facts| may_reject(method, plan(method, facts, 0));
    for method in ["INVITE", "SUBSCRIBE", "REGISTER", "OPTIONS"] {
        assert_eq!(refusal(method, NETWORK), Refusal::ByPolicy, "{method}");
    }
    assert_eq!(refusal("INVITE", DIALOG), Refusal::OnRequest);
    assert_eq!(refusal("INFO", DIALOG), Refusal::OnRequest);
    for method in ["BYE", "CANCEL", "ACK"] {
        assert_eq!(refusal(method, DIALOG), Refusal::Never, "{method}");
    }
    let response = plan("INVITE", Facts::empty(), 200);
    assert_eq!(may_reject("INVITE", response), Refusal::Never);
}

#[test]
fn a_request_that_has_a_session_needs_no_plan() {
    assert_eq!(plan("INVITE", NETWORK | Facts::ATTACHED, 0), Plan::empty());
    assert_eq!(plan("BYE", DIALOG | Facts::ATTACHED, 0), Plan::empty());
}

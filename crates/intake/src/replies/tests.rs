//! What events do: whose they are, whom they are about, what is kept of the message's id.

use tamis_campaign::{Channel, Identity, InboundKind, RecordReason, Source, Tenant};
use tamis_policy::Policy;
use tamis_subject::{Key, Postal, Region, Subjects};
use tamis_wire::DeadLetterCode;
use tamis_wire::inbound::{InboundEvent, Written};
use tamis_wire::record::{Scope, State};

use super::{BOUNCE_MS, Effect, Made, records};

const NOW_MS: i64 = 1_795_000_000_000;
const PHONE: &str = "+33639981234";

const POLICY: &str = r#"
version = "1"
[[tenant]]
id = "acme"
senders = ["36200", "news@acme.example"]
stop_words = ["basta"]
start_words = ["encore"]
[[tenant]]
id = "brie"
senders = ["36200"]
[[tenant]]
id = "solo"
senders = ["38000"]
"#;

fn reply() -> Written<'static> {
    Written {
        gateway: "sms-paris",
        message_id: "m-1",
        kind: InboundKind::Reply.number(),
        channel: Channel::Sms.number(),
        address: PHONE,
        text: "STOP",
        ..Written::default()
    }
}

fn of(kind: InboundKind, channel: Channel) -> Written<'static> {
    let address = if channel == Channel::Email { "ada@example.org" } else { PHONE };
    Written { kind: kind.number(), channel: channel.number(), address, text: "", ..reply() }
}

fn subjects() -> Subjects {
    let key = Key::generate().unwrap().with_another_step().unwrap();
    Subjects::new(&key, Region::parse("FR").unwrap())
}

fn event(written: &Written<'_>) -> InboundEvent {
    written.check().unwrap()
}

fn effect(written: &Written<'_>) -> Effect {
    effect_of(written, None)
}

fn effect_of(written: &Written<'_>, tenant_of_job: Option<&str>) -> Effect {
    let policy = Policy::parse(POLICY).unwrap();
    records(&event(written), &policy, tenant_of_job, &subjects(), NOW_MS).unwrap()
}

fn scopes(effect: &Effect) -> Vec<Scope> {
    effect.records.iter().map(|made| made.record.scope.clone()).collect()
}

fn tenant(name: &str) -> Scope {
    Scope::Tenant(name.into())
}

/// Guarantees: semantics, section 3, "Whose stop is it?", in its order.
#[test]
fn a_stop_is_the_gateways_tenants_or_the_jobs_or_of_all_who_have_the_sender_or_everybodys() {
    let written = Written { tenant: "told", to: "36200", job_id: "j-1", ..reply() };
    assert_eq!(scopes(&effect_of(&written, Some("of-job"))), [tenant("told")]);
    let written = Written { tenant: "", ..written };
    assert_eq!(scopes(&effect_of(&written, Some("of-job"))), [tenant("of-job")]);
    assert_eq!(scopes(&effect(&written)), [tenant("acme"), tenant("brie")], "it could be for either");
    assert_eq!(scopes(&effect(&Written { to: " 38000 ", ..reply() })), [tenant("solo")]);
    for to in ["", "39999"] {
        assert_eq!(
            scopes(&effect(&Written { to, ..reply() })),
            [Scope::Platform],
            "never dropped for want of an owner"
        );
    }
    let no_policy =
        records(&event(&Written { to: "36200", ..reply() }), &Policy::default(), None, &subjects(), NOW_MS);
    assert_eq!(scopes(&no_policy.unwrap()), [Scope::Platform]);
}

#[test]
fn a_stop_is_a_stop_reply_of_its_channel_for_good_with_the_evidence() {
    for channel in [Channel::Sms, Channel::Voice, Channel::Fax, Channel::Email] {
        let effect = effect(&Written { to: "36200", text: "stop svp", ..of(InboundKind::Reply, channel) });
        assert_eq!((effect.says, effect.records.len()), ("stop", 2));
        for Made { record, .. } in &effect.records {
            assert_eq!(
                (record.reason, record.state, record.source),
                (RecordReason::StopReply, State::InForce, Source::Reply)
            );
            assert_eq!((record.channel, &*record.evidence), (Some(channel), "m-1"));
            assert_eq!((record.effective_at_ms, record.expires_at_ms), (0, 0));
        }
    }
}

#[test]
fn a_start_lifts_the_stop_reply_of_its_scope_and_nothing_else() {
    let effect = effect(&Written { text: "Start", to: "36200", contact: "c-1", ..reply() });
    assert_eq!((effect.says, effect.lifts()), ("start", true));
    assert_eq!(scopes(&effect), [tenant("acme"), tenant("brie")]);
    for Made { record, .. } in &effect.records {
        assert_eq!(
            (record.reason, record.state, record.channel),
            (RecordReason::StopReply, State::Lifted, Some(Channel::Sms))
        );
    }
}

#[test]
fn each_tenant_reads_a_reply_by_its_own_words() {
    let effect_of = |text| effect(&Written { text, to: "36200", ..reply() });
    assert_eq!((effect_of("basta").says, scopes(&effect_of("basta"))), ("stop", vec![tenant("acme")]));
    assert_eq!((effect_of("encore").says, scopes(&effect_of("encore"))), ("start", vec![tenant("acme")]));
    for (text, to) in [("basta", "38000"), ("basta", ""), ("bonjour", "36200"), ("", "36200")] {
        let nothing = effect(&Written { text, to, ..reply() });
        assert_eq!((nothing.says, nothing.records.len()), ("nothing", 0), "{text}");
    }
}

#[test]
fn bounces_complaints_key_presses_and_returned_post_need_no_words() {
    let cases = [
        (
            InboundKind::HardBounce,
            Channel::Sms,
            RecordReason::HardBounce,
            Source::Gateway,
            NOW_MS + BOUNCE_MS,
        ),
        (
            InboundKind::HardBounce,
            Channel::Email,
            RecordReason::HardBounce,
            Source::Gateway,
            NOW_MS + BOUNCE_MS,
        ),
        (InboundKind::Complaint, Channel::Email, RecordReason::Complaint, Source::Gateway, 0),
        (InboundKind::Keypress, Channel::Voice, RecordReason::Objected, Source::Reply, 0),
    ];
    for (kind, channel, reason, source, expires_at_ms) in cases {
        for (to, scope) in [("38000", tenant("solo")), ("", Scope::Platform)] {
            let effect = effect(&Written { to, text: "1", ..of(kind, channel) });
            assert_eq!((effect.says, scopes(&effect)), (kind.as_str(), vec![scope]));
            let record = &effect.records[0].record;
            assert_eq!((record.reason, record.state, record.source), (reason, State::InForce, source));
            assert_eq!((record.channel, record.expires_at_ms), (Some(channel), expires_at_ms));
        }
    }
    assert_eq!(BOUNCE_MS, 180 * 86_400_000);
}

#[test]
fn returned_post_is_a_bounce_of_its_postal_address() {
    let postal = Postal {
        name: "Ada Test",
        street: "1 rue de la Paix",
        postal_code: "75002",
        country: "FR",
        ..Postal::default()
    };
    let written = Written {
        channel: 0,
        address: "",
        postal: Some(postal),
        tenant: "acme",
        contact: "c-1",
        ..of(InboundKind::ReturnedMail, Channel::Mail)
    };
    let (policy, subjects) = (Policy::default(), subjects());
    let effect = records(&event(&written), &policy, None, &subjects, NOW_MS).unwrap();
    let [Made { record, .. }] = &effect.records[..] else { panic!("the contact's other addresses are good") };
    assert_eq!(
        (record.reason, record.channel, record.identity),
        (RecordReason::HardBounce, Some(Channel::Mail), Identity::Postal)
    );
    assert_eq!(
        (record.subject, record.expires_at_ms),
        (subjects.postal(&postal).unwrap(), NOW_MS + BOUNCE_MS)
    );
    let nowhere = Written { postal: Some(Postal { street: "", ..postal }), ..written };
    let wrong = records(&event(&nowhere), &policy, None, &subjects, NOW_MS).unwrap_err();
    assert_eq!((wrong.code, wrong.field), (DeadLetterCode::InvalidAddress, 12));
}

/// Guarantees: what a person says counts for the controller's contact too, but only where one tenant is known.
#[test]
fn the_contact_is_recorded_where_its_tenant_is_certain() {
    let (policy, subjects) = (Policy::parse(POLICY).unwrap(), subjects());
    let people = |written: Written<'_>| {
        let effect = records(&event(&written), &policy, None, &subjects, NOW_MS).unwrap();
        let person = |made: &Made| (made.record.identity, made.record.subject, made.record.scope.clone());
        effect.records.iter().map(person).collect::<Vec<_>>()
    };
    let contact = |of: &str| subjects.contact(Tenant::parse(of).unwrap(), b"c-1");
    let phone = subjects.phone(PHONE).unwrap();
    let one =
        |of: &str| vec![(Identity::Phone, phone, tenant(of)), (Identity::Contact, contact(of), tenant(of))];
    assert_eq!(people(Written { tenant: "acme", contact: "c-1", ..reply() }), one("acme"));
    assert_eq!(people(Written { to: "38000", contact: "c-1", ..reply() }), one("solo"));
    let shared = people(Written { to: "36200", contact: "c-1", ..reply() });
    assert!(shared.len() == 2 && shared.iter().all(|(identity, ..)| *identity == Identity::Phone));
    assert_eq!(people(Written { contact: "c-1", ..reply() }).len(), 1, "a contact has no platform scope");
    assert_eq!(
        people(Written { tenant: "acme", contact: "c-1", ..of(InboundKind::HardBounce, Channel::Sms) }).len(),
        1
    );
    assert_eq!(
        people(Written { tenant: "acme", contact: "c-1", ..of(InboundKind::Complaint, Channel::Sms) }).len(),
        2
    );
}

#[test]
fn records_are_of_the_newest_scheme_in_the_first_ones_partition() {
    let (policy, subjects) = (Policy::default(), subjects());
    let effect = records(&event(&reply()), &policy, None, &subjects, NOW_MS).unwrap();
    let made = &effect.records[0];
    assert_eq!((made.record.scheme, made.record.subject), (2, subjects.phone(PHONE).unwrap()));
    let first = subjects.first().phone(PHONE).unwrap();
    assert_eq!(made.keyed(8).partition, tamis_wire::record::partition_of(&first, 8));
}

/// Guarantees: evidence is the message's id, and never an address or a digest of one.
#[test]
fn evidence_is_never_an_address() {
    let kept = |message_id: &str, address: &str, channel: Channel| {
        let written =
            Written { message_id, address, channel: channel.number(), received_at_ms: 7, ..reply() };
        effect(&written).records[0].record.evidence.to_string()
    };
    let sms = |id: &str| kept(id, "06 39 98 12 34", Channel::Sms);
    assert_eq!(sms("SM0123456789abcdef"), "SM0123456789abcdef");
    for id in ["33639981234-9", "+33 6 39 98 12 34", "0639981234", "reply:06.39.98.12.34"] {
        assert_eq!(sms(id), "received:7", "{id}");
    }
    let mail = |id: &str| kept(id, "Ada@example.org", Channel::Email);
    assert_eq!(mail("ADA@EXAMPLE.ORG"), "received:7");
    assert_eq!(mail("<1.ada@example.org>"), "received:7");
    let digest = mail("<1795.17@mx.example.net>");
    assert!(digest.starts_with("blake3:") && digest.len() == 39, "{digest}");
    assert!(sms(&"x".repeat(300)).starts_with("blake3:"));
}

#[test]
fn an_address_that_is_none_is_told_only_where_it_would_be_recorded() {
    let nobody = Written { address: "INFO", ..reply() };
    let policy = Policy::default();
    let wrong = records(&event(&nobody), &policy, None, &subjects(), NOW_MS).unwrap_err();
    assert_eq!((wrong.code, wrong.field), (DeadLetterCode::InvalidAddress, 5));
    let chat = Written { text: "bonjour", ..nobody };
    assert!(records(&event(&chat), &policy, None, &subjects(), NOW_MS).unwrap().records.is_empty());
}

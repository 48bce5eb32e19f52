//! Channels that need a consent, and what a policy refuses, against the plain sentences.

use super::*;
use tamis_policy::Policy;
use tamis_subject::Subject;

/// What is on record of a person: by address or by contact.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Said {
    /// Consent for this channel, until a moment (0: for good).
    Consent(i64),
    /// Consent for another channel.
    ConsentElsewhere,
    /// Consent that another tenant has.
    ConsentOfAnother,
    Objected,
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        prop::sample::select(vec![0, 500, 1_000, 1_001, 5_000]).prop_map(Said::Consent),
        Just(Said::ConsentElsewhere),
        Just(Said::ConsentOfAnother),
        Just(Said::Objected),
    ]
}

fn record(subject: Subject, contact: bool, said: Said) -> Record {
    let other = said == Said::ConsentOfAnother;
    Record {
        identity: if contact { Identity::Contact } else { Identity::Phone },
        channel: Some(if said == Said::ConsentElsewhere { Channel::Sms } else { Channel::Voice }),
        reason: if said == Said::Objected { RecordReason::Objected } else { RecordReason::Consent },
        expires_at_ms: if let Said::Consent(until) = said { until } else { 0 },
        ..Record::plain(subject, Scope::Tenant(if other { "globex" } else { "acme" }.into()))
    }
}

const POLICY: &str =
    "version = \"1\"\n[[tenant]]\nid = \"acme\"\nconsent_required = [\"voice\"]\nsenders = [\"39\"]\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Guarantees: where a channel needs a consent, whoever has none in force for this tenant and channel, by address or by
    /// contact, is dropped as NO_CONSENT, unless a lower reason drops him anyway; service messages need none.
    /// Fails when: an absent subject passes, an expired consent counts, another tenant's or channel's does, a consent outweighs
    /// an objection, or one who can't be used is dropped besides.
    #[test]
    fn who_has_no_consent_in_force_is_dropped_where_one_is_needed(
        people in prop::collection::vec((prop::option::of(said()), prop::option::of(said()), any::<bool>()), 1..12),
        service: bool,
    ) {
        let subjects = subjects();
        let mut index = Index::new(1);
        let acme = Tenant::parse("acme").unwrap();
        let now_ms = 1_000;
        let mut expected = Vec::new();
        let mut recipients = Vec::new();
        for (n, (by_address, by_contact, has_contact)) in (0u8..).zip(&people) {
            let address = format!("+336123456{n:02}");
            let contact = format!("c{n}");
            let keys = [(subjects.phone(&address).unwrap(), false, by_address), (subjects.contact(acme, contact.as_bytes()), true, by_contact)];
            for (subject, contact, said) in keys {
                if let Some(said) = said {
                    index.apply(0, i64::from(n) * 2 + i64::from(contact), 0, &record(subject, contact, *said)).unwrap();
                }
            }
            let known = [*by_address, by_contact.filter(|_| *has_contact)];
            let consents = known.iter().flatten().any(|s| matches!(s, Said::Consent(until) if *until == 0 || *until > now_ms));
            expected.push(if service {
                None
            } else if known.contains(&Some(Said::Objected)) {
                Some(Reason::Objected)
            } else if consents {
                None
            } else {
                Some(Reason::NoConsent)
            });
            let contact = if *has_contact { contact } else { String::new() };
            recipients.push(proto::Recipient { address, contact, ..Default::default() });
        }
        // Nobody, of whom nothing else is said than that.
        recipients.push(proto::Recipient { address: "nobody".into(), ..Default::default() });
        let value = proto::SendJob {
            job_id: "j".into(), tenant: "acme".into(), channel: 3, purpose: if service { 2 } else { 0 }, recipients, ..Default::default()
        }.encode_to_vec();
        let mut spans = Spans::new();
        let view = JobView::parse(&value, &mut spans).unwrap();
        let mut sieve = Sieve::new(subjects);
        sieve.use_policy(&Arc::new(Policy::parse(POLICY).unwrap()));
        let decision = sieve.decide(&view, &value, &spans, &index, now_ms);
        prop_assert!(decision.books_close());
        for reason in [Reason::Objected, Reason::NoConsent] {
            let at: Vec<u32> = expected.iter().zip(0..).filter(|(r, _)| **r == Some(reason)).map(|(_, at)| at).collect();
            prop_assert_eq!(places(decision.suppressed(), reason), at, "{:?}", reason);
        }
        prop_assert_eq!(decision.rejected().map(|(reason, count, _)| (reason, count)).collect::<Vec<_>>(), [(RejectReason::InvalidAddress, 1)]);
        let kept: Vec<bool> = expected.iter().map(Option::is_none).chain([false]).collect();
        prop_assert_eq!(decision.kept, &kept[..]);
    }
}

/// Guarantees: what the policy forbids is refused, with its rule, before anybody is looked up, said twice or not.
#[test]
fn what_the_policy_forbids_is_refused() {
    let job = |tenant: &str, sender: &str| {
        let recipients = vec![proto::Recipient { address: person(1), ..Default::default() }];
        let (tenant, sender) = (tenant.into(), sender.into());
        proto::SendJob { job_id: "j".into(), tenant, sender, channel: 1, recipients, ..Default::default() }
            .encode_to_vec()
    };
    let mut sieve = Sieve::new(subjects());
    sieve.use_policy(&Arc::new(Policy::parse(POLICY).unwrap()));
    for (tenant, sender, code) in [
        ("acme", "39", None),
        ("acme", "40", Some(RefusalCode::SenderNotAllowed)),
        ("globex", "39", Some(RefusalCode::UnknownTenant)),
    ] {
        let value = job(tenant, sender);
        let mut spans = Spans::new();
        let view = JobView::parse(&value, &mut spans).unwrap();
        let decision = sieve.decide(&view, &value, &spans, &Index::new(1), 0);
        assert_eq!(decision.refusal.as_ref().map(|r| r.code), code);
        assert_eq!(decision.policy_version, if code.is_none() { "1" } else { "" });
        let again = sieve.decide_duplicate(&view, &spans, 0);
        assert_eq!(again.verdict, if code.is_none() { Verdict::Duplicate } else { Verdict::Refused });
    }
}

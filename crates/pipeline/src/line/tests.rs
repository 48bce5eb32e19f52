//! What a batch may become.

use super::*;
use proptest::prelude::*;
use tamis_bus::OutTopic;
use tamis_campaign::{Channel, Purpose};
use tamis_subject::{Key, Region};
use tamis_window::Table;
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1::{Delivery, JobOutcomes, Recipient, SendJob};
use tamis_wire::record::{Record, Scope};

/// The smallest that the settings take.
const MESSAGE_BYTES: usize = 65_536;

/// A job of `content` bytes for everybody and as many telephone numbers as fit into `bytes` with it.
fn job(content: usize, bytes: usize) -> Vec<u8> {
    let mut job = SendJob {
        job_id: "j-1".to_owned(),
        tenant: "acme".to_owned(),
        channel: Channel::Sms.number(),
        purpose: Purpose::Marketing.number(),
        content: vec![b'x'; content],
        ..SendJob::default()
    };
    let one = |at: u32| Recipient { address: format!("+336{at:08}"), ..Recipient::default() };
    let room = bytes.saturating_sub(job.encoded_len()) / (one(0).encoded_len() + 2);
    job.recipients = (0..u32::try_from(room).unwrap()).map(one).collect();
    assert!(!job.recipients.is_empty());
    job.encode_to_vec()
}

/// The line over one record: what goes out.
fn passed(value: &[u8]) -> Outgoing {
    let subjects = Subjects::new(&Key::generate().unwrap(), Region::parse("FR").unwrap());
    passed_by(value, &Arc::default(), &subjects).0
}

/// The same by a policy and a key, which it gives back.
fn passed_by<'s>(value: &[u8], policy: &Arc<Policy>, subjects: &'s Subjects) -> (Outgoing, &'s Subjects) {
    let dedupe_window = std::time::Duration::ZERO;
    let options = Options { max_message_bytes: MESSAGE_BYTES, dedupe_window, ..Options::default() };
    let mut line = Line::new(subjects.clone(), Prints::random(), &options);
    let index = Index::new(2);
    let position = Packed::new(index.position());
    let sight = Sight { index: &index, key: subjects, position: &position, now_ms: 1_000 };
    let record = JobRecord {
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        value: Some(value),
        traceparent: None,
        tracestate: None,
    };
    let mut outgoing = Outgoing::default();
    line.begin(&mut outgoing, policy, sight.now_ms);
    let more = line.pass(&mut [record].into_iter(), sight, &mut outgoing, &mut Tally::default());
    assert_eq!(more, value.len() >= VIEW_BYTES);
    line.end(&mut outgoing);
    (outgoing, subjects)
}

/// The deliveries, and the one outcome's refusal.
fn read(outgoing: &Outgoing) -> (Vec<Delivery>, Option<String>) {
    let (mut deliveries, mut refusal) = (Vec::new(), None);
    for record in &outgoing.records {
        let value = &outgoing.arena[record.value.clone()];
        match record.topic {
            OutTopic::Deliveries(_) => deliveries.push(Delivery::decode(value).unwrap()),
            OutTopic::Outcomes => {
                let outcomes = JobOutcomes::decode(value).unwrap().outcomes;
                assert_eq!(outcomes.len(), 1);
                refusal = outcomes[0].refusal.as_ref().map(|refusal| {
                    assert!(
                        ["topics.max_message_bytes", "tenant.unsubscribe_tokens"].contains(&&*refusal.rule)
                    );
                    refusal.message.clone()
                });
                assert_eq!(outcomes[0].forwarded == 0, refusal.is_some());
            }
            OutTopic::DeadLetters => panic!("it is a job"),
        }
    }
    (deliveries, refusal)
}

/// Guarantees: whatever a job's content leaves its recipients of a message, what goes out for the job is at most eight
/// times the job: one whose parts would be more is refused, in words that say what to do.
/// Fails when: parts are planned without looking at their sum; then a job of 64 KiB leaves as 17 MB, and one of 16 MiB,
/// whose last bytes are recipients alone, as gigabytes.
#[test]
fn a_job_leaves_as_at_most_eight_times_its_bytes() {
    let (mut split, mut refused, mut most) = (0, 0, 0);
    for content in (MESSAGE_BYTES - 8_192..MESSAGE_BYTES - 64).step_by(50) {
        let value = job(content, MESSAGE_BYTES);
        let outgoing = passed(&value);
        let (deliveries, refusal) = read(&outgoing);
        most = most.max(outgoing.arena.len() / value.len());
        split += usize::from(deliveries.len() > 1);
        if let Some(message) = refusal {
            assert!(deliveries.is_empty());
            refused += usize::from(message.contains("parts"));
        }
        let outcome = 1_024;
        assert!(outgoing.arena.len() <= 8 * value.len() + outcome, "{content}: {}", outgoing.arena.len());
    }
    assert!(
        split > 50 && refused > 10 && most >= 6,
        "{split} split, {refused} refused, {most} times at most"
    );
}

/// Guarantees: a job far longer than a message is split, however many parts that takes, as long as its content leaves
/// recipients some room.
/// Fails when: parts are counted instead of bytes.
#[test]
fn a_job_much_longer_than_a_message_is_split() {
    let value = job(16 << 10, 20 * MESSAGE_BYTES);
    let outgoing = passed(&value);
    let (deliveries, refusal) = read(&outgoing);
    assert_eq!(refusal, None);
    assert!(deliveries.len() > 20, "{}", deliveries.len());
    assert!(outgoing.arena.len() < 2 * value.len());
    let sum: usize = deliveries.iter().map(|delivery| delivery.recipients.len()).sum();
    assert_eq!(sum, SendJob::decode(&value[..]).unwrap().recipients.len());
}

/// Guarantees: a batch goes on under a later view after so many bytes, and every outcome names the view that its own job was decided
/// under (G1: the position in an outcome is what the filter knew for it).
/// Fails when: a batch is decided under one view however long it is, or a job is told under another job's view.
#[test]
fn a_long_batch_is_decided_under_several_views() {
    let subjects = Subjects::new(&Key::generate().unwrap(), Region::parse("FR").unwrap());
    let options = Options { dedupe_window: std::time::Duration::ZERO, ..Options::default() };
    let mut line = Line::new(subjects.clone(), Prints::random(), &options);
    let value = job(VIEW_BYTES * 2 / 3, VIEW_BYTES * 2 / 3 + 100);
    let records = (0..5).map(|offset| JobRecord {
        partition: 0,
        offset,
        timestamp_ms: 0,
        value: Some(&value),
        traceparent: None,
        tracestate: None,
    });
    let (mut outgoing, mut tally, mut records) = (Outgoing::default(), Tally::default(), records.into_iter());
    line.begin(&mut outgoing, &Arc::default(), 1_000);
    let mut views = 0;
    loop {
        let mut index = Index::new(2);
        index.advance(0, views);
        let position = Packed::new(index.position());
        views += 1;
        let sight = Sight { index: &index, key: &subjects, position: &position, now_ms: 1_000 };
        if !line.pass(&mut records, sight, &mut outgoing, &mut tally) {
            break;
        }
    }
    line.end(&mut outgoing);
    assert_eq!((views, outgoing.offsets.as_slice()), (3, &[(0, 5)][..]));
    let of =
        |topic: fn(&OutTopic) -> bool| outgoing.records.iter().filter(move |record| topic(&record.topic));
    let values = of(|topic| *topic == OutTopic::Outcomes).map(|record| &outgoing.arena[record.value.clone()]);
    let outcomes = values.flat_map(|value| JobOutcomes::decode(value).unwrap().outcomes);
    let told: Vec<_> = outcomes.map(|outcome| (outcome.source_offset, outcome.filter_position)).collect();
    assert_eq!(told, (0..5).map(|offset| (offset, vec![1 + offset / 2, 0])).collect::<Vec<_>>());
    let deliveries = of(|topic| matches!(topic, OutTopic::Deliveries(_)));
    for (delivery, (_, position)) in deliveries.zip(&told) {
        let delivery = Delivery::decode(&outgoing.arena[delivery.value.clone()]).unwrap();
        assert_eq!(&delivery.stamp.unwrap().filter_position, position);
    }
}

/// Guarantees: where the policy says so, each recipient of an e-mail job that goes on has a token of its own, which opens to that
/// very person, tenant and list, whole or in parts, and everything else is as it came; a recipient that brings one is malformed, a
/// job of another tenant or channel has none.
/// Fails when: a token goes to the next recipient, a part begins with the first part's tokens, a length is off by one.
#[test]
fn each_recipient_of_an_email_job_has_its_own_token_where_the_policy_says_so() {
    let policy = "version = \"p7\"\n[[tenant]]\nid = \"acme\"\nunsubscribe_tokens = true\n[[tenant]]\nid = \"globex\"\n";
    let policy = Arc::new(Policy::parse(policy).unwrap());
    let key = Key::generate().unwrap().with_another_step().unwrap();
    let subjects = Subjects::new(&key, Region::parse("FR").unwrap());
    let address = |n: u32| format!("person.{n}@example.org");
    for (tenant, channel, people, content, tokens) in [
        ("acme", Channel::Email, 3, 10, true),
        ("acme", Channel::Email, 1_500, 30_000, true),
        ("globex", Channel::Email, 3, 10, false),
        ("acme", Channel::Sms, 3, 10, false),
    ] {
        let mut job = SendJob {
            job_id: "j-1".to_owned(),
            tenant: tenant.to_owned(),
            list: "news".to_owned(),
            channel: channel.number(),
            content: vec![b'x'; content],
            ..SendJob::default()
        };
        let who = |n: u32| if channel == Channel::Email { address(n) } else { format!("+3361234567{n}") };
        job.recipients = (0..people)
            .map(|n| Recipient { address: who(n), fields: vec![7; 120], ..Recipient::default() })
            .collect();
        job.recipients[1].unsubscribe_token = "mine".to_owned();
        let (outgoing, subjects) = passed_by(&job.encode_to_vec(), &policy, &subjects);
        let (deliveries, refusal) = read(&outgoing);
        assert_eq!((deliveries.len() > 1, refusal), (people > 100, None));
        let mut left = deliveries.iter().flat_map(|d| d.recipients.clone());
        for n in (0..people).filter(|n| *n != 1 || !tokens) {
            let mut recipient = left.next().expect("nobody is lost");
            let token = std::mem::take(&mut recipient.unsubscribe_token);
            let as_it_came =
                Recipient { unsubscribe_token: String::new(), ..job.recipients[n as usize].clone() };
            assert_eq!(recipient.encode_to_vec(), as_it_came.encode_to_vec());
            if tokens {
                let opened = subjects.open(&token).expect("it is a token of ours");
                assert_eq!(opened.first, subjects.first().email(&address(n)).unwrap());
                assert_eq!(
                    (&*opened.tenant, &*opened.list, opened.channel),
                    ("acme", "news", Channel::Email)
                );
            } else {
                assert_eq!(token, if n == 1 { "mine" } else { "" });
            }
        }
        assert!(left.next().is_none(), "nobody is there twice");
        assert!(deliveries.iter().all(|d| d.stamp.as_ref().unwrap().policy_version == "p7"));
        assert!(outgoing.records.iter().all(|record| record.value.len() <= MESSAGE_BYTES));
    }
}

/// Guarantees: a job whose names fit into no token is refused rather than sent without any.
#[test]
fn a_job_whose_names_fit_into_no_token_is_refused() {
    let policy = "version = \"1\"\n[[tenant]]\nid = \"acme\"\nunsubscribe_tokens = true\n";
    let subjects = Subjects::new(&Key::generate().unwrap(), Region::parse("FR").unwrap());
    let job = SendJob {
        job_id: "j-1".to_owned(),
        tenant: "acme".to_owned(),
        list: "l".repeat(100),
        channel: Channel::Email.number(),
        recipients: vec![Recipient { address: "a@example.org".to_owned(), ..Recipient::default() }],
        ..SendJob::default()
    };
    let policy = Arc::new(Policy::parse(policy).unwrap());
    let (deliveries, refusal) = read(&passed_by(&job.encode_to_vec(), &policy, &subjects).0);
    assert!(deliveries.is_empty() && refusal.is_some_and(|text| text.contains("do not fit into a token")));
}

/// What stands in `send-jobs`.
#[derive(Debug, Clone)]
enum Stands {
    Job { id: u8, channel: i32, recipients: Vec<u8>, content: usize },
    Rubbish,
    Nothing,
}

/// Guarantees (G4): a record that has its outcome is passed over: it leaves nothing, counts nowhere, and its offset is not committed; one
/// at the same place that is another job is decided, and so is one that can't be read.
/// Fails when: it is decided again, or takes the group's offsets back with it.
#[test]
fn g4_a_record_that_has_its_outcome_is_passed_over() {
    let subjects = Subjects::new(&Key::generate().unwrap(), Region::parse("FR").unwrap());
    let options = Options::default();
    let prints = Prints::random();
    let mut line = Line::new(subjects.clone(), prints, &options);
    line.window.recalled(0, Table::new(options.window_s()));
    let mut done = tamis_window::Done::new(1);
    for (offset, job) in [(0, "j-0"), (1, "j-1"), (2, "j-2"), (3, "another"), (4, "unreadable")] {
        done.note(offset, prints.of("acme", job));
    }
    line.window.done(0, done);
    let index = Index::new(2);
    let position = Packed::new(index.position());
    let sight = Sight { index: &index, key: &subjects, position: &position, now_ms: 1_000_000 };
    let values: Vec<_> = (0..4)
        .map(|id| Stands::Job { id, channel: 1, recipients: vec![1], content: 0 })
        .chain([Stands::Rubbish])
        .map(|stands| stands.value())
        .collect();
    let mut pass = |offsets: std::ops::Range<usize>| {
        let (mut outgoing, mut tally) = (Outgoing::default(), Tally::default());
        line.begin(&mut outgoing, &Arc::default(), sight.now_ms);
        let mut records =
            (0..).zip(&values).take(offsets.end).skip(offsets.start).map(|(offset, value)| JobRecord {
                partition: 0,
                offset,
                timestamp_ms: 5,
                value: value.as_deref(),
                traceparent: None,
                tracestate: None,
            });
        while line.pass(&mut records, sight, &mut outgoing, &mut tally) {}
        line.end(&mut outgoing);
        let told: Vec<_> = outgoing.records.iter().map(|record| (record.topic, record.offset)).collect();
        (told, outgoing.offsets, format!("{tally:?}"))
    };
    let (told, offsets, tally) = pass(0..3);
    assert_eq!((told, offsets, tally), (Vec::new(), Vec::new(), format!("{:?}", Tally::default())));
    let (told, offsets, _) = pass(0..5);
    let deliveries = OutTopic::Deliveries(Channel::Sms);
    assert_eq!(told, [(deliveries, 3), (OutTopic::DeadLetters, 4), (OutTopic::Outcomes, 3)]);
    assert_eq!(offsets, [(0, 5)]);
}

fn stands() -> impl Strategy<Value = Stands> {
    let content =
        prop_oneof![6 => 0usize..400, 1 => TOGETHER_BYTES - 200..TOGETHER_BYTES + 200, 1 => Just(VIEW_BYTES)];
    let job = (0u8..12, 1..3, prop::collection::vec(0u8..9, 0..4), content);
    prop_oneof![
        12 => job.prop_map(|(id, channel, recipients, content)| Stands::Job { id, channel, recipients, content }),
        1 => Just(Stands::Rubbish),
        1 => Just(Stands::Nothing),
    ]
}

impl Stands {
    fn value(&self) -> Option<Vec<u8>> {
        let Self::Job { id, channel, recipients, content } = self else {
            return matches!(self, Self::Rubbish).then(|| vec![0xff; 7]);
        };
        // The first of them is nobody's address.
        let address =
            |who: &u8| if *channel == 1 { format!("+3361234567{who}") } else { format!("p{who}@a.example") };
        let one = |who: &u8| Recipient {
            address: if *who == 0 { "?".to_owned() } else { address(who) },
            contact: format!("c{who}"),
            ..Recipient::default()
        };
        let job = SendJob {
            job_id: format!("j-{id}"),
            tenant: "acme".to_owned(),
            channel: *channel,
            content: vec![b'x'; *content],
            recipients: recipients.iter().map(one).collect(),
            ..SendJob::default()
        };
        Some(job.encode_to_vec())
    }
}

proptest! {
    /// Guarantees: jobs that are taken up together, long and short ones, ones that are said twice, ones that can't be read, go out as
    /// each does that is taken up alone: octet for octet, in the same order, with the same books.
    /// Fails when: a job is decided by another's recipients, its repeat is looked for before it is noted, or one is left out.
    #[test]
    fn what_is_taken_up_together_goes_out_as_each_does_alone(stands in prop::collection::vec(stands(), 1..60)) {
        let subjects = Subjects::new(&Key::generate().unwrap(), Region::parse("FR").unwrap());
        let options = Options::default();
        let mut index = Index::new(1);
        for who in [1u8, 4] {
            let subject = subjects.phone(&format!("+3361234567{who}")).unwrap();
            index.apply(0, i64::from(who), 0, &Record::plain(subject, Scope::Tenant("acme".into()))).unwrap();
        }
        let position = Packed::new(index.position());
        let sight = Sight { index: &index, key: &subjects, position: &position, now_ms: 1_000_000 };
        let values: Vec<_> = stands.iter().map(Stands::value).collect();
        let records: Vec<_> = (0..).zip(&values).map(|(offset, value)| JobRecord {
            partition: i32::try_from(offset % 3).unwrap(),
            offset,
            timestamp_ms: 5,
            value: value.as_deref(),
            traceparent: None,
            tracestate: None,
        }).collect();
        let pass = |most: usize| {
            let mut line = Line::new(subjects.clone(), Prints::random(), &options);
            (0..3).for_each(|partition| line.window.recalled(partition, Table::new(options.window_s())));
            let (mut outgoing, mut tally) = (Outgoing::default(), Tally::default());
            line.begin(&mut outgoing, &Arc::default(), sight.now_ms);
            for some in records.chunks(most) {
                let mut some = some.iter().copied();
                while line.pass(&mut some, sight, &mut outgoing, &mut tally) {}
            }
            line.end(&mut outgoing);
            let told: Vec<_> = outgoing.records.iter().map(|record| format!("{record:?}")).collect();
            (outgoing.arena, told, outgoing.offsets, format!("{tally:?}"))
        };
        prop_assert!(pass(records.len()) == pass(1));
    }
}

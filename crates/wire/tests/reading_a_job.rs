//! Reading a job: what is a dead letter, what is refused, what is taken (contract, section 9).

use proptest::prelude::*;
use tamis_wire::proto::campaign::v1 as proto;
use tamis_wire::{DeadLetterCode, JobView, Message, RecipientView, Spans, Unreadable};

fn job() -> proto::SendJob {
    proto::SendJob {
        job_id: "job-1".into(),
        tenant: "acme".into(),
        campaign: "autumn".into(),
        channel: 1,
        purpose: 2,
        list: "news".into(),
        sender: "36200".into(),
        not_before_ms: 5,
        not_after_ms: -1,
        gateway: "g".into(),
        content_type: "text/plain".into(),
        content: vec![0xff; 10],
        recipients: vec![proto::Recipient { address: "+33612345678".into(), ..Default::default() }; 3],
    }
}

fn read(bytes: &[u8]) -> Result<(), Unreadable> {
    JobView::parse(bytes, &mut Spans::new()).map(drop)
}

fn code(bytes: &[u8]) -> Option<DeadLetterCode> {
    read(bytes).err().map(|why| why.code)
}

fn with(extra: &[u8]) -> Vec<u8> {
    let mut bytes = job().encode_to_vec();
    bytes.extend_from_slice(extra);
    bytes
}

/// Why the job itself is refused: the field's number.
fn bad_field(bytes: &[u8]) -> Option<u32> {
    let mut spans = Spans::new();
    JobView::parse(bytes, &mut spans).expect("it is a job").bad_field.map(|bad| bad.field)
}

#[test]
fn a_job_is_read_as_every_protobuf_reader_reads_it() {
    let bytes = job().encode_to_vec();
    let mut spans = Spans::new();
    let view = JobView::parse(&bytes, &mut spans).unwrap();
    assert_eq!((view.job_id.as_str(), view.tenant.as_str(), view.campaign), ("job-1", "acme", "autumn"));
    assert_eq!((view.list, view.sender, view.gateway), ("news", "36200", "g"));
    assert_eq!((view.not_before_ms, view.not_after_ms, view.content_bytes), (5, -1, 10));
    assert_eq!((view.bad_field, spans.len()), (None, 3));
    let body = &bytes[spans[2].body as usize..spans[2].end as usize];
    assert_eq!(RecipientView::parse(body).unwrap().address(), b"+33612345678");
}

#[test]
fn what_is_no_job_says_which_field_at_which_byte() {
    use DeadLetterCode as C;
    let base = job().encode_to_vec().len();
    let at_end = |code, field| Err(Unreadable { code, field, byte: base });
    assert_eq!(code(b""), Some(C::Empty));
    assert_eq!(read(&with(&[0x72, 0x05, 1])), at_end(C::Truncated, 14));
    assert_eq!(read(&with(&[0x80])), at_end(C::Truncated, 0));
    assert_eq!(
        read(&with(&[0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])),
        at_end(C::VarintTooLong, 4)
    );
    assert_eq!(
        read(&with(&[0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2])),
        at_end(C::VarintTooLong, 4)
    );
    assert_eq!(read(&with(&[0x00, 1])), at_end(C::BadTag, 0), "field 0");
    assert_eq!(read(&with(&[0x0e, 1])), at_end(C::BadTag, 1), "wire type 6");
    assert_eq!(read(&with(&[0xa3, 0x01, 0xa4, 0x01])), at_end(C::Group, 20));
    assert_eq!(read(&with(&[0x08, 1])), at_end(C::WrongWireType, 1), "job_id as a number");
    assert_eq!(read(&with(&[0x78, 1])), at_end(C::WrongWireType, 15), "a recipient as a number");
    assert_eq!(read(&with(&[0x3a, 1, 0xff])), at_end(C::InvalidUtf8, 7));
    assert_eq!(read(&with(&[0x6a, 1, 0xff])), at_end(C::InvalidUtf8, 13));
    for (id, expected) in [("", C::MissingJobId), ("a b", C::BadJobId), (&*"x".repeat(129), C::BadJobId)] {
        assert_eq!(code(&proto::SendJob { job_id: id.into(), ..job() }.encode_to_vec()), Some(expected));
    }
    for (tenant, expected) in [("", C::MissingTenant), ("é", C::BadTenant), (&*"x".repeat(65), C::BadTenant)]
    {
        assert_eq!(code(&proto::SendJob { tenant: tenant.into(), ..job() }.encode_to_vec()), Some(expected));
    }
    // A second job_id is refused, but even then nothing unchecked may get into an outcome.
    assert_eq!(code(&with(&[0x0a, 1, b'/'])), Some(C::BadJobId));
}

#[test]
fn what_is_wrong_with_a_job_itself_is_refused_by_field() {
    let refused = |change: fn(&mut proto::SendJob)| {
        let mut changed = job();
        change(&mut changed);
        bad_field(&changed.encode_to_vec())
    };
    assert_eq!(refused(|_| {}), None);
    assert_eq!(refused(|j| j.channel = 0), Some(4));
    assert_eq!(refused(|j| j.channel = 6), Some(4));
    assert_eq!(refused(|j| j.purpose = 3), Some(5));
    assert_eq!(refused(|j| j.purpose = 0), None, "0 is marketing");
    assert_eq!(refused(|j| j.campaign = "a b".into()), Some(3));
    assert_eq!(refused(|j| j.list = "a/b".into()), Some(6));
    assert_eq!(refused(|j| j.gateway = "é".into()), Some(10));
    assert_eq!(refused(|j| j.sender = "x".repeat(129)), Some(7));
    assert_eq!(refused(|j| j.sender = "Élan d'été <hello@example.org>".into()), None, "any text");
    for twice in [[0x0a, 1, b'j'], [0x12, 1, b't'], [0x72, 1, b'c'], [0x6a, 1, b't']] {
        assert_eq!(bad_field(&with(&twice)), Some(u32::from(twice[0] >> 3)));
    }
    assert_eq!(bad_field(&with(&[0x20, 1])), Some(4), "channel twice");
    assert_eq!(bad_field(&with(&[0x82, 0x01, 0])), Some(16), "a forged stamp");
    assert_eq!(bad_field(&with(&[0x80, 0x01, 0])), Some(16), "whatever its wire type");
    assert_eq!(bad_field(&with(&[0xf8, 0x07, 1])), None, "an unknown field passes");
    let mut spans = Spans::new();
    let bytes = proto::SendJob { campaign: "a b".into(), ..job() }.encode_to_vec();
    assert_eq!(JobView::parse(&bytes, &mut spans).unwrap().campaign, "", "what is ill-formed is left empty");
}

#[test]
fn a_damaged_recipient_is_malformed() {
    let postal = |body: &[u8]| {
        let mut bytes = vec![0x2a, u8::try_from(body.len()).unwrap()];
        bytes.extend_from_slice(body);
        bytes
    };
    let bad: [&[u8]; 8] = [
        &[0x0a, 5, b'x'],
        &[0x0a, 1, 0xff],
        &[0x12, 1, 0xff],
        &[0x22, 1, 0xff],
        &[0x0a, 1, b'x', 0x0a, 1, b'y'],
        &[0x08, 1],
        &postal(&[0x0a, 1, 0xff]),
        &postal(&[0x0a, 1, b'x', 0x0a, 1, b'y']),
    ];
    for body in bad {
        assert!(RecipientView::parse(body).is_err(), "{body:?}");
    }
    assert!(RecipientView::parse(&[0x1a, 1, 0xff]).is_ok(), "personalisation is opaque");
    assert!(RecipientView::parse(&[0x38, 1]).is_ok(), "an unknown field passes");
    assert!(RecipientView::parse(&[]).is_ok());
}

proptest! {
    /// Guarantees: no bytes make the view panic, and whatever it takes without complaint prost takes, too, with the same fields.
    #[test]
    fn whatever_is_taken_every_reader_reads_the_same(
        bytes in prop::collection::vec(any::<u8>(), 0..60), rows in prop::collection::vec((0usize..3, 1u32..20), 0..6),
        cut in prop::option::of(0usize..40), damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let _ = read(&bytes);
        // Rows of recipients as long as each other, as most jobs have them.
        let row = |(longer, count): (usize, u32)| (0..count).map(move |n| proto::Recipient {
            address: format!("+336{n:08}"), contact: "c".repeat(longer * 60), ..Default::default()
        });
        let mut damaged = proto::SendJob { recipients: rows.into_iter().flat_map(row).collect(), ..job() }.encode_to_vec();
        damaged.truncate(damaged.len() - cut.unwrap_or(0));
        if let Some((at, with)) = damage { *at.get_mut(&mut damaged) = with; }
        let mut spans = Spans::new();
        let view = JobView::parse(&damaged, &mut spans);
        if let (Ok(_), Ok(decoded)) = (&view, proto::SendJob::decode(&damaged[..])) {
            let each = spans.iter().map(|s| proto::Recipient::decode(&damaged[s.body as usize..s.end as usize]));
            prop_assert_eq!(each.collect::<Result<Vec<_>, _>>().ok(), Some(decoded.recipients));
        }
        if let Ok(view) = view && view.bad_field.is_none()
            && spans.iter().all(|s| RecipientView::parse(&damaged[s.body as usize..s.end as usize]).is_ok()) {
            let decoded = proto::SendJob::decode(&damaged[..]).expect("prost takes it");
            prop_assert_eq!(view.job_id.as_str(), decoded.job_id);
            prop_assert_eq!(view.tenant.as_str(), decoded.tenant);
            prop_assert_eq!(view.channel.map(|c| c.number()), Some(decoded.channel));
            prop_assert_eq!(spans.len(), decoded.recipients.len());
            for (span, recipient) in spans.iter().zip(&decoded.recipients) {
                let view = RecipientView::parse(&damaged[span.body as usize..span.end as usize]).unwrap();
                prop_assert_eq!(view.address(), recipient.address.as_bytes());
                prop_assert_eq!(view.contact(), recipient.contact.as_bytes());
            }
        }
    }
}

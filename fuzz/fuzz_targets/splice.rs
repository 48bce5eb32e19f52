//! Any job, any of its recipients kept, any limit: what the parts hold together is what a plain model of it holds, and no
//! part is longer than the limit.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tamis_wire::proto::campaign::v1::{Delivery, Recipient, SendJob};
use tamis_wire::{
    Added, JobView, Message, Packed, PartTooLarge, Parts, RecipientView, Spans, Stamp, splice,
};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    content: &'a [u8],
    sender: &'a str,
    recipients: Vec<(bool, &'a str, &'a [u8])>,
    /// Fields that tamis does not know, before and after the recipients: pairs of number and bytes.
    unknown: [(u8, &'a [u8]); 2],
    positions: Vec<i64>,
    bytes_max: u16,
}

fuzz_target!(|input: Input<'_>| {
    let model = model(&input);
    let value = bytes(&input, &model);
    let kept: Vec<bool> = input.recipients.iter().map(|one| one.0).collect();
    let mut spans = Spans::new();
    let view = JobView::parse(&value, &mut spans).expect("the model makes jobs");
    assert_eq!(spans.len(), kept.len());
    for (span, one) in spans.iter().zip(&model.recipients) {
        let read =
            RecipientView::parse(&value[span.body as usize..span.end as usize]).expect("and recipients");
        assert_eq!(read.address(), one.address.as_bytes());
    }
    let position = Packed::new(&input.positions);
    let stamp = Stamp {
        decided_at_ms: 1_000,
        filter_position: &position,
        policy_version: "p",
        gateway: "g",
        recipients_in: kept.len() as u32,
    };
    let bytes_max = usize::from(input.bytes_max);
    let mut parts = Parts::default();
    let ranges = match parts.plan(&value, &spans, &kept, &Added::default(), &stamp, bytes_max) {
        Ok(ranges) => ranges.to_vec(),
        Err(PartTooLarge { position }) => {
            // With the stamp's own length left out of it, it may still fit, but never by more than the stamp.
            let all: usize = spans.iter().map(|span| (span.end - span.start) as usize).sum();
            let one = &spans[position as usize];
            let least = value.len() - all + (one.end - one.start) as usize;
            assert!(kept[position as usize] && least + 128 + 10 * input.positions.len() > bytes_max);
            return;
        }
    };
    let mut arrived = Vec::new();
    for (part, range) in (1..).zip(&ranges) {
        let mut out = Vec::new();
        splice(&value, &spans, &kept, range, &stamp, (part, ranges.len() as u32), &mut out);
        let nobody = kept.iter().all(|kept| !kept);
        assert!(out.len() <= bytes_max || nobody, "{} of {bytes_max} bytes", out.len());
        let delivery = Delivery::decode(&out[..]).expect("every reader reads a delivery");
        assert_eq!((&delivery.content[..], &delivery.sender), (input.content, &model.sender));
        assert_eq!(delivery.job_id, view.job_id.as_str());
        let stamp = delivery.stamp.expect("it has a stamp");
        assert_eq!((stamp.part, stamp.parts), (part, ranges.len() as u32));
        assert_eq!(stamp.filter_position, input.positions);
        arrived.extend(delivery.recipients);
    }
    let wanted: Vec<Recipient> =
        model.recipients.into_iter().zip(&kept).filter_map(|(one, kept)| kept.then_some(one)).collect();
    assert_eq!(arrived, wanted, "kept recipients, in order, each once");
});

fn model(input: &Input<'_>) -> SendJob {
    let recipient = |(_, address, fields): &(bool, &str, &[u8])| Recipient {
        address: (*address).to_owned(),
        fields: fields.to_vec(),
        ..Recipient::default()
    };
    SendJob {
        job_id: "j".into(),
        tenant: "t".into(),
        channel: 1,
        sender: input.sender.to_owned(),
        content: input.content.to_vec(),
        recipients: input.recipients.iter().map(recipient).collect(),
        ..SendJob::default()
    }
}

/// The job's bytes: recipients among other fields, with fields between that nobody knows.
fn bytes(input: &Input<'_>, model: &SendJob) -> Vec<u8> {
    let unknown = |(number, bytes): &(u8, &[u8]), out: &mut Vec<u8>| {
        // From 17 on nothing is known.
        let number = u32::from(*number).max(17);
        for byte in [(number << 3 | 2) & 0x7f | 0x80, number >> 4] {
            out.push(byte as u8);
        }
        out.push(bytes.len().min(100) as u8);
        out.extend_from_slice(&bytes[..bytes.len().min(100)]);
    };
    let (first, last) = model.recipients.split_at(model.recipients.len() / 2);
    let head = SendJob { content: Vec::new(), recipients: first.to_vec(), ..model.clone() };
    let tail = SendJob { content: model.content.clone(), recipients: last.to_vec(), ..SendJob::default() };
    let mut out = head.encode_to_vec();
    unknown(&input.unknown[0], &mut out);
    tail.encode(&mut out).expect("a Vec takes every write");
    unknown(&input.unknown[1], &mut out);
    out
}

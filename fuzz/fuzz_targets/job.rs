//! Any bytes as a job: no panic, the books close, and a delivery that is written can be read by every protobuf reader.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tamis_sieve::Sieve;
use tamis_subject::{Key, Region, Subjects};
use tamis_suppression::Index;
use tamis_wire::proto::campaign::v1::{Delivery, SendJob};
use tamis_wire::{Added, JobView, Message, Packed, Parts, Spans, Stamp, splice};

static SUBJECTS: LazyLock<Subjects> = LazyLock::new(|| {
    Subjects::new(&Key::generate().expect("random bytes"), Region::parse("FR").expect("a region"))
});

fuzz_target!(|value: &[u8]| {
    let mut spans = Spans::new();
    let Ok(view) = JobView::parse(value, &mut spans) else { return };
    let index = Index::new(2);
    let mut sieve = Sieve::new(SUBJECTS.clone());
    let decision = sieve.decide(&view, value, &spans, &index, 1_000);
    assert!(decision.books_close());
    if decision.forwarded == 0 {
        return;
    }
    let position = Packed::new(index.position());
    let stamp = Stamp {
        decided_at_ms: 1_000,
        filter_position: &position,
        policy_version: "",
        gateway: decision.gateway,
        recipients_in: decision.recipients_in,
    };
    let mut parts = Parts::default();
    let Ok(ranges) = parts.plan(value, &spans, decision.kept, &Added::default(), &stamp, 1 << 12) else { return };
    let mut forwarded = 0;
    for (part, range) in (1..).zip(ranges) {
        let mut out = Vec::new();
        splice(value, &spans, decision.kept, range, &stamp, (part, ranges.len() as u32), &mut out);
        let mut kept = Spans::new();
        let again = JobView::parse(&out, &mut kept).expect("a delivery is well-formed");
        assert_eq!(again.job_id, view.job_id);
        forwarded += kept.len();
        let delivery = Delivery::decode(&out[..]).expect("every reader reads a delivery");
        assert_eq!(delivery.content.len() as u64, view.content_bytes);
        if decision.forwarded == decision.recipients_in && ranges.len() == 1 {
            assert_eq!(delivery.recipients, SendJob::decode(value).expect("and the job").recipients);
        }
    }
    assert_eq!(forwarded, decision.forwarded as usize);
});

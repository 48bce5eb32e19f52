//! What is read back of outcomes is what prost reads of them.

use proptest::prelude::*;
use tamis_campaign::Verdict;
use tamis_wire::proto::campaign::v1 as proto;
use tamis_wire::{Decided, Message, decided};

fn outcome() -> impl Strategy<Value = proto::JobOutcome> {
    let names = ("[a-z.]{0,128}", "[a-z]{0,64}", 0i32..9, any::<i64>(), any::<i64>());
    (names, prop::collection::vec(any::<u8>(), 0..40), 0u32..9, prop::collection::vec(any::<i64>(), 0..3))
        .prop_map(
            |((job_id, tenant, verdict, decided_at_ms, source_offset), positions, count, filter_position)| {
                let suppressed = vec![proto::Suppressed { reason: 5, count, positions }];
                let refusal = Some(proto::Refusal { code: "BAD_FIELD".into(), ..Default::default() });
                proto::JobOutcome {
                    job_id,
                    tenant,
                    verdict,
                    decided_at_ms,
                    source_offset,
                    suppressed,
                    refusal,
                    filter_position,
                    ..Default::default()
                }
            },
        )
}

fn plain(one: &proto::JobOutcome) -> Decided<'_> {
    Decided {
        tenant: &one.tenant,
        job_id: &one.job_id,
        verdict: Verdict::from_number(one.verdict),
        decided_at_ms: one.decided_at_ms,
        source_offset: one.source_offset,
    }
}

proptest! {
    /// Guarantees: outcomes are read as they were published. Fails when: a field's number is wrong, or one outcome's
    /// field stays for the next.
    #[test]
    fn outcomes_are_read_back_as_they_are_published(outcomes in prop::collection::vec(outcome(), 0..5)) {
        let all = proto::JobOutcomes { outcomes };
        let bytes = all.encode_to_vec();
        let read: Result<Vec<_>, _> = decided(&bytes).collect();
        prop_assert_eq!(read.expect("they are whole"), all.outcomes.iter().map(plain).collect::<Vec<_>>());
    }

    /// Guarantees: damage is an error, never a panic and never a job made up: what prost still reads of damaged bytes is
    /// read the same. Fails when: a length is not checked, a field of another wire type is passed over.
    #[test]
    fn damage_is_told_and_never_read_otherwise_than_prost_reads_it(
        outcomes in prop::collection::vec(outcome(), 1..4), at: prop::sample::Index, with: u8, cut: prop::sample::Index,
    ) {
        let mut bytes = proto::JobOutcomes { outcomes }.encode_to_vec();
        let place = at.index(bytes.len());
        bytes[place] = with;
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            let read: Result<Vec<_>, _> = decided(bytes).collect();
            if let (Ok(all), Ok(read)) = (proto::JobOutcomes::decode(bytes), &read) {
                prop_assert_eq!(read, &all.outcomes.iter().map(plain).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decided(&bytes).count() <= bytes.len());
    }
}

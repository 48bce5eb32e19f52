//! Any bytes as a record of outcomes: no panic, and what prost reads of them too is read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tamis_wire::proto::campaign::v1::JobOutcomes;
use tamis_wire::{Message, decided};

fuzz_target!(|bytes: &[u8]| {
    let read: Result<Vec<_>, _> = decided(bytes).collect();
    if let (Ok(read), Ok(all)) = (read, JobOutcomes::decode(bytes)) {
        assert_eq!(read.len(), all.outcomes.len());
        for (ours, theirs) in read.iter().zip(&all.outcomes) {
            assert_eq!((ours.tenant, ours.job_id), (&theirs.tenant[..], &theirs.job_id[..]));
            assert_eq!(
                (ours.decided_at_ms, ours.source_offset),
                (theirs.decided_at_ms, theirs.source_offset)
            );
        }
    }
});

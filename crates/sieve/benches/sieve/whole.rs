//! One job decided, whole: view, canonical form, PRF, look-up and splice.
//!
//! `benches/filter` takes this file in by path.

use tamis_sieve::Sieve;
use tamis_subject::Subjects;
use tamis_suppression::Index;
use tamis_wire::proto::campaign::v1 as proto;
use tamis_wire::{Added, JobView, Message, Outcomes, Packed, Parts, Spans, Stamp, splice};

/// Person `n`'s French mobile number, of a hundred million.
pub(crate) fn phone(n: u64) -> String {
    // A bijection of eight digits, so that neighbours are far apart.
    format!("+336{:08}", n * 48_271 % 100_000_007 % 100_000_000)
}

/// A job for these people, as it stands in its record; with contacts, or the shortest recipients there are.
pub(crate) fn job(id: u64, people: impl Iterator<Item = u64>, contacts: bool) -> Vec<u8> {
    let recipient = |(at, who)| proto::Recipient {
        address: phone(who),
        contact: if contacts { format!("crm-{at:08}") } else { String::new() },
        ..Default::default()
    };
    proto::SendJob {
        job_id: format!("job-{id:08}"),
        tenant: "acme".into(),
        campaign: "autumn-sale".into(),
        channel: 1,
        content_type: "text/plain".into(),
        content: vec![b'x'; 320],
        recipients: (0u64..).zip(people).map(recipient).collect(),
        ..Default::default()
    }
    .encode_to_vec()
}

/// Decides jobs one after the other, as a worker does.
pub(crate) struct Whole {
    sieve: Sieve,
    spans: Spans,
    parts: Parts,
    outcomes: Outcomes,
    out: Vec<u8>,
    position: Packed,
}

impl Whole {
    pub(crate) fn new(subjects: &Subjects, index: &Index) -> Self {
        Self {
            sieve: Sieve::new(subjects.clone()),
            spans: Spans::new(),
            parts: Parts::default(),
            outcomes: Outcomes::default(),
            out: Vec::new(),
            position: Packed::new(index.position()),
        }
    }

    /// How many recipients are forwarded; `outcome` is whether the job's outcome is written as well.
    pub(crate) fn decide(&mut self, index: &Index, value: &[u8], outcome: bool) -> u32 {
        self.out.clear();
        let view = JobView::parse(value, &mut self.spans).expect("it is a job");
        let decision = self.sieve.decide(&view, value, &self.spans, index, 1);
        if decision.forwarded > 0 {
            let stamp = Stamp {
                decided_at_ms: 1,
                filter_position: &self.position,
                policy_version: "",
                gateway: decision.gateway,
                recipients_in: decision.recipients_in,
            };
            let ranges = self
                .parts
                .plan(value, &self.spans, decision.kept, &Added::default(), &stamp, 16 << 20)
                .expect("it fits");
            splice(value, &self.spans, decision.kept, &ranges[0], &stamp, (1, 1), &mut self.out);
        }
        if outcome {
            self.outcomes.push(tamis_wire::OutcomeView {
                job_id: view.job_id.as_str(),
                tenant: view.tenant.as_str(),
                campaign: view.campaign,
                channel: view.channel,
                verdict: decision.verdict,
                recipients_in: decision.recipients_in,
                forwarded: decision.forwarded,
                suppressed: decision.suppressed(),
                rejected: decision.rejected(),
                deferred: decision.deferred(),
                refusal: None,
                filter_position: &self.position,
                decided_at_ms: 1,
                gateway: decision.gateway,
                content_bytes: view.content_bytes,
                source_partition: 0,
                source_offset: 0,
            });
            self.outcomes.take_full(&mut self.out);
        }
        std::hint::black_box(&self.out);
        decision.forwarded
    }
}

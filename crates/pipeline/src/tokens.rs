//! Unsubscribe tokens, one for each recipient that goes on, where its tenant's policy asks for them: a gateway can set
//! `List-Unsubscribe` without asking anyone.

use tamis_campaign::{Channel, Identity};
use tamis_subject::token::NamesTooLong;
use tamis_wire::{Added, JobView, RecipientView, Span};

use crate::line::Sight;

/// The tokens of one job, as fields to be spliced in; reused from job to job.
#[derive(Default)]
pub(crate) struct Tokens {
    fields: Vec<u8>,
    each: usize,
}

impl Tokens {
    pub(crate) fn clear(&mut self) {
        self.fields.clear();
        self.each = 0;
    }

    /// Makes a token for each kept recipient of an e-mail job.
    pub(crate) fn mint(
        &mut self,
        job: &JobView<'_>,
        value: &[u8],
        spans: &[Span],
        kept: &[bool],
        sight: Sight<'_>,
    ) -> Result<(), NamesTooLong> {
        let first = sight.key.first();
        let mut minter = sight.key.minter(Channel::Email, job.tenant, job.list, sight.now_ms)?;
        for (span, _) in spans.iter().zip(kept).filter(|(_, kept)| **kept) {
            let recipient = RecipientView::parse(&value[span.body as usize..span.end as usize]);
            let address = recipient.expect("the sieve keeps no recipient that it can't read");
            let subject = first.address(Channel::Email, address.address());
            let subject = subject.expect("nor one whose address has no subject");
            Added::put_token(&mut self.fields, minter.mint(subject, Identity::Email).as_str());
            // The same names, so the same length.
            self.each = if self.each == 0 { self.fields.len() } else { self.each };
        }
        Ok(())
    }

    /// What is added to the kept recipients.
    pub(crate) fn added(&self) -> Added<'_> {
        Added::new(self.each, &self.fields)
    }
}

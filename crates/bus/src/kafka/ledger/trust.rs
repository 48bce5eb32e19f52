//! Whether a producer's epoch may have one more transaction.

/// What a producer's transactions were like so far. When an answer may have been lost, a request that ends a transaction
/// may still be under way and would end the next one of the same epoch (KIP-890): then only a new epoch will do.
#[derive(Debug, Default)]
pub(super) struct Trust {
    /// The doubts as of the first transaction. Those of the opening don't count: nothing was under way.
    doubts: Option<u64>,
    lost: bool,
}

impl Trust {
    /// Whether a transaction may begin, at this count of doubts. What came between two transactions counts as well:
    /// librdkafka keeps silent about the same failure within 30 s of the one before (`rd_kafka_broker_set_error`), so
    /// that a client that has failed once would not tell of the next time.
    pub(super) fn begin(&mut self, doubts: u64) -> bool {
        self.look_back(doubts, false);
        self.doubts = Some(doubts);
        !self.lost
    }

    /// Looks back on a call, at this count of doubts; `late`: it took as long as an answer may.
    pub(super) fn look_back(&mut self, doubts: u64, late: bool) {
        self.lost |= late || self.doubts.is_some_and(|before| before != doubts);
    }

    /// An answer is lost for certain.
    pub(super) fn lose(&mut self) {
        self.lost = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees (G4): after a doubt in a transaction, or between two, none begins in that epoch; what the opening met
    /// does not count, or a cluster with a dead broker would never see a first one.
    /// Fails when: the count is taken anew at each begin.
    #[test]
    fn a_doubt_within_or_between_transactions_ends_the_epoch() {
        let mut calm = Trust::default();
        assert!(calm.begin(3), "the opening had doubts");
        calm.look_back(3, false);
        assert!(calm.begin(3));
        assert!(!calm.begin(4), "a doubt between two");
        assert!(!calm.begin(4), "and it stays lost");

        let mut within = Trust::default();
        assert!(within.begin(0));
        within.look_back(1, false);
        assert!(!within.begin(1), "a doubt within one");

        let mut late = Trust::default();
        assert!(late.begin(0));
        late.look_back(0, true);
        assert!(!late.begin(0), "a call that took too long");
    }
}

//! Deliberate breaks in what surrounds the control. The simulator has to catch each of them: that is how it is known
//! to look.

macro_rules! mutants {
    ($($(#[doc = $doc:literal])* $name:ident, $text:literal, $breaks:literal;)*) => {
        /// A break in the threads around the control, or in the model's use of Kafka.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[doc = $doc])* $name,)*
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What is done wrong.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The promise that it breaks.
            #[must_use]
            pub fn breaks(self) -> &'static str {
                match self { $(Self::$name => $breaks,)* }
            }
        }
    };
}

mutants! {
    /// The barrier answers without asking.
    NoBarrier, "the barrier is never asked: it answers zero", "G1";
    /// The answer was had before the batch was read.
    BarrierBeforeRead, "the barrier gives the answer it had before the read", "G1";
    /// The last stable offset instead of the high watermark.
    LastStableAsBarrier, "the last stable offset as the barrier", "G1";
    /// The position is told before the records are applied.
    FilterLags, "the filter tells a position that it has not applied", "G1";
    /// Compaction may act on what was written a moment ago.
    CompactionAtOnce, "the suppression log is compacted without a lag", "G3";
    /// Gaps in the suppression log are passed over in silence.
    GapsIgnored, "the barrier is not asked again when the filter has passed over a gap", "G1";
    /// A snapshot from before what compaction has removed.
    OldSnapshot, "a snapshot older than the tombstones is accepted", "G3";
    /// A rewind that does not seek.
    NoSeek, "a rewind does not put back partitions that are kept", "G4";
    /// Where the consumer stands, instead of what the batch holds.
    OffsetsFromPosition, "offsets from the consumer's position", "G4";
    /// Input read uncommitted.
    ReadUncommitted, "jobs and offsets are read uncommitted", "G4";
    /// Committed offsets are taken although a transaction holds newer ones.
    PendingOffsetsIgnored, "offsets of open transactions are not waited for", "G4";
    /// Offsets without the member's generation.
    NoGeneration, "offsets are sent without the group's generation", "G4";
    /// The next transaction begins in an epoch that may still get an answer.
    BeginInDoubt, "the writer goes on after an ambiguous commit", "G4";
    /// An unknown end is told as an abort.
    UnknownIsAborted, "an unknown end of a commit is taken for an abort", "G4";
    /// The cancel and the freshness are not looked at before the commit.
    CommitUnchecked, "a commit does not look at its freshness", "G2";
    /// Jobs are purged up to where somebody has read.
    PurgeToRead, "jobs are purged up to what was read, not what was committed", "G4";
    /// The group's offsets alone say what is decided.
    OffsetsBelieved, "outcomes past the group's offsets are not looked at", "G4";
    /// Nothing is read back.
    RecallNotRead, "what was decided before is not read back", "G7";
    /// The end of `outcomes` is asked before the offsets are settled.
    RecallEndEarly, "the end of outcomes is asked before the offsets are settled", "G4";
    /// Transactions still open in `outcomes` are not waited for.
    RecallNotWaiting, "transactions open in outcomes are not waited for", "G4";
    /// A job that is decided again is its own duplicate.
    NoOwnOffset, "a job decided again after an abort is taken for its own duplicate", "G7";
    /// No heartbeats on the suppression log.
    NoHeartbeat, "no heartbeats: the log's last offset may never be readable", "liveness";
}

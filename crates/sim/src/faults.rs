//! What can go wrong: the kinds of faults, and how often each strikes where it can.

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident = $odds:literal, $text:literal;)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Fault {
            $($(#[doc = $doc])* $name,)*
        }

        impl Fault {
            /// All of them, in order.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$name,)*];
            /// How many there are.
            pub const COUNT: usize = [$(stringify!($name),)*].len();

            /// Its odds where it can strike, in parts of 1,024, before the schedule's own intensity.
            pub(crate) fn odds(self) -> u16 {
                match self { $(Self::$name => $odds,)* }
            }

            /// In words.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

faults! {
    /// The process dies; a new one takes its name.
    Crash = 200, "process killed";
    /// The process stands still and does not know it.
    Pause = 200, "process stopped for seconds";
    /// The process drains and is started again.
    Drain = 80, "process drained and restarted";
    /// Everything takes long.
    Slow = 160, "clock jumped ahead";
    /// Wall clocks go back and forth.
    WallClock = 200, "wall clock jumped";
    /// The coordinator puts a member out that is alive.
    PutOut = 160, "member put out";
    /// A new leader of a suppression partition without what was not acked.
    LeaderChange = 200, "suppression leader changed";
    /// The filter stands still for a while.
    FilterStalls = 200, "filter stalled";
    /// The writer's requests are under way for long.
    WriterStalls = 200, "writer stalled";
    /// Somebody leaves a transaction open on the suppression log.
    Stranger = 160, "stranger's transaction on suppressions";
    /// The scheduler writes in a transaction, and may abort it.
    JobsInTransaction = 160, "jobs in a transaction";
    /// A broker's restart brings purged jobs back.
    LogStartBack = 160, "log start went back";
    /// The suppression log is compacted.
    Compaction = 240, "suppressions compacted";
    /// A process starts from a snapshot of its filter.
    Snapshot = 400, "filter from a snapshot";
    /// The log's end cannot be had.
    EndUnknown = 60, "barrier not answered";
    /// An opt-out is durable, and its caller is not told.
    AckLost = 100, "opt-out's ack lost";
    /// Nothing was written, and the writer is told so.
    ProduceRefused = 16, "produce refused";
    /// A part was written, and the writer is told that it failed.
    ProduceHalf = 16, "produce failed half-way";
    /// The offsets are not taken.
    OffsetsRefused = 16, "offsets refused";
    /// The commit was carried out; nobody is told.
    CommitAnswerLost = 40, "commit carried out, answer lost";
    /// The commit is under way for long, and its caller gives up.
    CommitLate = 40, "commit delayed past its time-out";
    /// The commit was sent twice; one copy comes later.
    CommitTwice = 40, "commit doubled, one copy late";
    /// The abort was carried out; nobody is told.
    AbortAnswerLost = 60, "abort carried out, answer lost";
    /// The abort is under way for long, and its caller gives up.
    AbortLate = 60, "abort delayed past its time-out";
    /// The abort was sent twice; one copy comes later.
    AbortTwice = 60, "abort doubled, one copy late";
    /// The writer cannot be opened.
    OpenRefused = 100, "writer not opened";
    /// The writer was opened, and its owner is not told.
    OpenAnswerLost = 100, "writer opened, answer lost";
    /// The committed offsets cannot be had.
    RewindRefused = 100, "rewind refused";
    /// Some partitions were put back, then it failed.
    RewindHalf = 100, "rewind failed half-way";
    /// A poll fails.
    PollFailed = 20, "poll failed";
    /// Records come although none were asked for.
    StrayRecords = 120, "records in spite of a pause";
    /// A coordinator that has just moved tells an older offset than was committed.
    OffsetsOld = 100, "group's offset an old one";
    /// Offsets were confirmed and are lost (KAFKA-20634).
    OffsetsLost = 40, "group's offset lost";
    /// Earlier outcomes cannot be read.
    RecallRefused = 120, "recall refused";
}

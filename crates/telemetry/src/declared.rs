//! Every metric of tamis: its name, its unit and one sentence (contract, section 7).

use metrics::Unit;

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution over these upper bounds.
    Histogram(&'static [f64]),
}

/// A metric as it is declared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
    pub(crate) sentence: &'static str,
}

/// Bounds of one step of a batch, seconds: a batch is gathered for milliseconds and bounded by
/// `router.freshness_max_ms`.
const STEP_SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Bounds of what a person or a gateway would feel, seconds: milliseconds when all is well, minutes and hours after
/// an outage.
const WAIT_SECONDS: &[f64] = &[
    0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0,
    86_400.0,
];

macro_rules! declare {
    ($($id:ident = $name:literal, $kind:expr, $unit:ident, $sentence:literal;)+) => {
        $(pub(crate) const $id: Declared =
            Declared { name: $name, kind: $kind, unit: Unit::$unit, sentence: $sentence };)+

        /// Every metric.
        pub(crate) const ALL: &[Declared] = &[$($id),+];
    };
}

declare! {
    JOBS = "tamis_jobs_total", Kind::Counter, Count,
        "Jobs decided and committed, by channel and verdict.";
    RECIPIENTS = "tamis_recipients_total", Kind::Counter, Count,
        "Recipients decided and committed, by channel, outcome and reason.";
    RECIPIENTS_LOST = "tamis_recipients_lost_total", Kind::Counter, Count,
        "Recipients that the books of a job do not account for; must stay 0 (G6).";
    JOB_BYTES = "tamis_job_bytes_total", Kind::Counter, Bytes,
        "Bytes of the jobs committed, as they were read.";
    END_TO_END = "tamis_end_to_end_seconds", Kind::Histogram(WAIT_SECONDS), Seconds,
        "From a job's timestamp in the log to the commit of its deliveries; a sample of each batch.";
    BATCH = "tamis_batch_seconds", Kind::Histogram(STEP_SECONDS), Seconds,
        "Time that a batch spends in each step.";
    COMMITS = "tamis_commits_total", Kind::Counter, Count,
        "Transactions, by how they ended.";
    LAG_RECORDS = "tamis_consumer_lag_records", Kind::Gauge, Count,
        "Jobs in the log that this process has yet to read.";
    LAG_SECONDS = "tamis_consumer_lag_seconds", Kind::Gauge, Seconds,
        "Age of the newest job in the last batch, of the worker furthest behind.";
    FILTER_SUBJECTS = "tamis_filter_subjects", Kind::Gauge, Count,
        "Subjects in the filter.";
    FILTER_BYTES = "tamis_filter_bytes", Kind::Gauge, Bytes,
        "Memory of the filter.";
    FILTER_LAG = "tamis_filter_lag_records", Kind::Gauge, Count,
        "Suppression records in the log that the filter has yet to apply.";
    FILTER_LOAD = "tamis_filter_load_seconds", Kind::Gauge, Seconds,
        "Time that loading the filter took at the start.";
    OPTOUT_EFFECTIVE = "tamis_optout_effective_seconds", Kind::Histogram(WAIT_SECONDS), Seconds,
        "From the acceptance of an opt-out to its enforcement in this process, by source.";
    SUPPRESSION_RECORDS = "tamis_suppression_records_total", Kind::Counter, Count,
        "Suppression records accepted here and durable, by reason and source.";
    DEAD_LETTERS = "tamis_dead_letters_total", Kind::Counter, Count,
        "Records that could not be read as a job, or as what gateways hear back, by code.";
    INBOUND_LAG = "tamis_inbound_lag_records", Kind::Gauge, Count,
        "Events in inbound that this process has yet to read.";
    HOLDING = "tamis_holding", Kind::Gauge, Count,
        "1 while jobs are held because the filter is behind or its log cannot be asked (G5), else 0.";
    CONTENT_RESIDENCE = "tamis_content_residence_seconds", Kind::Gauge, Seconds,
        "Age of the oldest content that can still be read from a topic; 0 when there is none.";
    CONTENT_OVERDUE = "tamis_content_overdue", Kind::Gauge, Count,
        "1 while some content is older than router.content_max_age, else 0.";
    PURGE_LAG = "tamis_purge_reader_lag_records", Kind::Gauge, Count,
        "Offsets in a topic that its slowest reader has yet to commit; markers of transactions count.";
    PURGE_STILL = "tamis_purge_readers_standing_still", Kind::Gauge, Count,
        "Readers of a topic that hold its purge and have not moved for a minute; /readyz names them.";
    ERRORS = "tamis_errors_total", Kind::Counter, Count,
        "Errors that were handled, by stage and kind.";
    BUILD_INFO = "tamis_build_info", Kind::Gauge, Count,
        "1, with the version of this build as a label.";
}

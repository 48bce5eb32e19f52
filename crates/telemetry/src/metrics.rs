//! The handles: held, so that counting costs nanoseconds, and counted once a batch.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, NoopRecorder, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use tamis_campaign::{Channel, Reason, RecordReason, RejectReason, Source, Verdict};

use crate::declared::{self, Declared, Kind};
use crate::purge::{CONTENT_TOPICS, OfContent};
use crate::totals::{Mirror, Totals};
use crate::{CommitResult, Outcome, Stage};

const CHANNELS: usize = Channel::ALL.len();

/// How often histograms are folded when nobody scrapes, so that they do not grow: the exporter's own default.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Where a recipient could be lost, for `tamis_recipients_lost_total`.
const LOST_STAGE: &str = "sieve";

/// Label of an outcome that has no reason.
const NO_REASON: &str = "none";

/// All metrics of this process; clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Handles>);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// The metrics as text.
#[derive(Clone)]
pub struct Exposition(Arc<PrometheusHandle>);

impl std::fmt::Debug for Exposition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exposition").finish_non_exhaustive()
    }
}

impl Exposition {
    /// Prometheus text exposition, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }
}

/// Handles of one channel.
struct OfChannel {
    jobs: [Counter; Verdict::ALL.len()],
    bytes: Counter,
    forwarded: Counter,
    suppressed: [Counter; Reason::ALL.len()],
    rejected: [Counter; RejectReason::ALL.len()],
    deferred: Counter,
}

/// What one worker thread last said of its lag.
#[derive(Debug, Clone, Copy, Default)]
struct Lag {
    records: Option<u64>,
    seconds: f64,
}

struct Handles {
    channels: [OfChannel; CHANNELS],
    totals: Mirror,
    end_to_end: Histogram,
    batch: [Histogram; Stage::ALL.len()],
    commits: [Counter; CommitResult::ALL.len()],
    lag_records: Gauge,
    lag_seconds: Gauge,
    lags: Mutex<HashMap<ThreadId, Lag>>,
    filter_subjects: Gauge,
    filter_bytes: Gauge,
    filter_lag: Gauge,
    filter_load: Gauge,
    optout_effective: [Histogram; Source::ALL.len()],
    suppression_records: [[Counter; Source::ALL.len()]; RecordReason::ALL.len()],
    holding: Gauge,
    inbound_lag: Gauge,
    content: [OfContent; CONTENT_TOPICS.len()],
    content_overdue: Gauge,
    rare: Rare,
}

/// Counters whose labels are closed by their caller's code (`&'static str`): made when first needed, looked up
/// each time, which is fine for what hardly ever happens.
struct Rare {
    recorder: Box<dyn Recorder + Send + Sync>,
    made: Mutex<HashMap<(&'static str, [&'static str; 2]), Counter>>,
}

impl Metrics {
    /// Metrics that can be rendered. A thread folds histograms until the last [`Exposition`] is gone.
    #[must_use]
    pub fn install() -> (Self, Exposition) {
        let mut builder = PrometheusBuilder::new().with_recommended_naming(true);
        for metric in declared::ALL {
            if let Kind::Histogram(bounds) = metric.kind {
                builder = builder
                    .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)
                    .expect("every histogram is declared with bounds");
            }
        }
        let recorder = builder.build_recorder();
        let exposition = Exposition(Arc::new(recorder.handle()));
        let watched = Arc::downgrade(&exposition.0);
        let upkeep = move || {
            while let Some(handle) = watched.upgrade() {
                handle.run_upkeep();
                drop(handle);
                std::thread::sleep(UPKEEP_EVERY);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("metrics-upkeep".to_owned()).spawn(upkeep) {
            tracing::warn!(%error, "metrics are folded only when they are read");
        }
        (Self::on(Box::new(recorder)), exposition)
    }

    /// Metrics that nobody reads, but for [`Metrics::totals`].
    #[must_use]
    pub fn detached() -> Self {
        Self::on(Box::new(NoopRecorder))
    }

    fn on(recorder: Box<dyn Recorder + Send + Sync>) -> Self {
        for metric in declared::ALL {
            let describe = match metric.kind {
                Kind::Counter => Recorder::describe_counter,
                Kind::Gauge => Recorder::describe_gauge,
                Kind::Histogram(_) => Recorder::describe_histogram,
            };
            describe(&*recorder, metric.name.into(), Some(metric.unit), metric.sentence.into());
        }
        Self(Arc::new(Handles::on(recorder)))
    }

    /// Counts `count` jobs of `channel` that ended with `verdict`.
    pub fn jobs(&self, channel: Channel, verdict: Verdict, count: u64) {
        self.0.channels[channel as usize - 1].jobs[verdict as usize - 1].increment(count);
    }

    /// Counts the bytes of jobs as they were read.
    pub fn job_bytes(&self, channel: Channel, bytes: u64) {
        self.0.channels[channel as usize - 1].bytes.increment(bytes);
    }

    /// Counts `count` recipients that had `outcome`.
    pub fn recipients(&self, channel: Channel, outcome: Outcome, count: u64) {
        if count == 0 {
            return;
        }
        let of = &self.0.channels[channel as usize - 1];
        let counter = match outcome {
            Outcome::Forwarded => &of.forwarded,
            Outcome::Suppressed(reason) => &of.suppressed[reason as usize - 1],
            Outcome::Rejected(reason) => &of.rejected[reason as usize - 1],
            Outcome::Deferred => &of.deferred,
        };
        counter.increment(count);
        self.0.totals.add(channel, outcome, count);
    }

    /// The books of recipients since the start, as plain numbers.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.0.totals.read()
    }

    /// Counts recipients that the books do not account for: a defect (G6).
    pub fn lost(&self, stage: &'static str, count: u64) {
        self.0.rare.counter(declared::RECIPIENTS_LOST, &[("stage", stage)]).increment(count);
    }

    /// Notes the time from a job's timestamp to its commit.
    pub fn end_to_end_seconds(&self, seconds: f64) {
        self.0.end_to_end.record(seconds);
    }

    /// Notes the time that a batch spent in `stage`.
    pub fn batch_seconds(&self, stage: Stage, seconds: f64) {
        self.0.batch[stage as usize].record(seconds);
    }

    /// Counts a transaction that ended with `result`.
    pub fn commits(&self, result: CommitResult) {
        self.0.commits[result as usize].increment(1);
    }

    /// Notes how far the calling worker is behind: records yet to read, if known, and the age of its newest job.
    /// A worker is a thread; records are summed over them, of ages the greatest is shown.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; a lag is far below 2^52")]
    pub fn consumer_lag(&self, records: Option<u64>, seconds: f64) {
        let mut lags = self.0.lags.lock();
        let mine = lags.entry(std::thread::current().id()).or_default();
        *mine = Lag { records: records.or(mine.records), seconds };
        let sum: u64 = lags.values().filter_map(|lag| lag.records).sum();
        self.0.lag_records.set(sum as f64);
        self.0.lag_seconds.set(lags.values().map(|lag| lag.seconds).fold(0.0, f64::max));
    }

    /// Notes the filter's size.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; both are far below 2^52")]
    pub fn filter_size(&self, subjects: u64, bytes: u64) {
        self.0.filter_subjects.set(subjects as f64);
        self.0.filter_bytes.set(bytes as f64);
    }

    /// Notes how many records the filter is behind its log.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; a lag is far below 2^52")]
    pub fn filter_lag_records(&self, records: u64) {
        self.0.filter_lag.set(records as f64);
    }

    /// Notes how long loading the filter took.
    pub fn filter_load_seconds(&self, seconds: f64) {
        self.0.filter_load.set(seconds);
    }

    /// Notes the time from the acceptance of an opt-out to its enforcement here.
    pub fn optout_effective_seconds(&self, source: Source, seconds: f64) {
        self.0.optout_effective[source as usize - 1].record(seconds);
    }

    /// Counts suppression records that are durable.
    pub fn suppression_records(&self, reason: RecordReason, source: Source, count: u64) {
        let row = RecordReason::ALL.iter().position(|&member| member == reason);
        let row = row.expect("ALL holds every member");
        self.0.suppression_records[row][source as usize - 1].increment(count);
    }

    /// Counts a record that could not be read as a job or an event. `code` comes from a closed set of the reader.
    pub fn dead_letter(&self, code: &'static str) {
        self.0.rare.counter(declared::DEAD_LETTERS, &[("code", code)]).increment(1);
    }

    /// Makes the series of a dead-letter code, so that it is seen at 0.
    pub fn declare_dead_letter(&self, code: &'static str) {
        self.0.rare.counter(declared::DEAD_LETTERS, &[("code", code)]).increment(0);
    }

    /// Notes how many events of `inbound` are yet to be read here.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; a lag is far below 2^52")]
    pub fn inbound_lag_records(&self, records: u64) {
        self.0.inbound_lag.set(records as f64);
    }

    /// Notes whether jobs are held (G5).
    pub fn holding(&self, holds: bool) {
        self.0.holding.set(if holds { 1.0 } else { 0.0 });
    }

    /// The figures of what the purge sees in a topic with content, by its place: jobs, then the channels in order.
    pub(crate) fn content(&self, place: usize) -> &OfContent {
        &self.0.content[place]
    }

    /// Notes whether some content is older than it may be.
    pub fn content_overdue(&self, overdue: bool) {
        self.0.content_overdue.set(if overdue { 1.0 } else { 0.0 });
    }

    /// Counts an error that was handled. Both labels come from closed sets of the caller's code.
    pub fn error(&self, stage: &'static str, kind: &'static str) {
        self.0.rare.counter(declared::ERRORS, &[("stage", stage), ("kind", kind)]).increment(1);
    }
}

impl Handles {
    fn on(recorder: Box<dyn Recorder + Send + Sync>) -> Self {
        let make = Make(&*recorder);
        let channels = std::array::from_fn(|at| OfChannel::on(&make, Channel::ALL[at]));
        let handles = Self {
            channels,
            totals: Mirror::default(),
            end_to_end: make.histogram(declared::END_TO_END, &[]),
            batch: std::array::from_fn(|at| {
                make.histogram(declared::BATCH, &[("stage", Stage::ALL[at].as_str())])
            }),
            commits: std::array::from_fn(|at| {
                make.counter(declared::COMMITS, &[("result", CommitResult::ALL[at].as_str())])
            }),
            lag_records: make.gauge(declared::LAG_RECORDS, &[]),
            lag_seconds: make.gauge(declared::LAG_SECONDS, &[]),
            lags: Mutex::default(),
            filter_subjects: make.gauge(declared::FILTER_SUBJECTS, &[]),
            filter_bytes: make.gauge(declared::FILTER_BYTES, &[]),
            filter_lag: make.gauge(declared::FILTER_LAG, &[]),
            filter_load: make.gauge(declared::FILTER_LOAD, &[]),
            optout_effective: std::array::from_fn(|at| {
                make.histogram(declared::OPTOUT_EFFECTIVE, &[("source", Source::ALL[at].as_str())])
            }),
            suppression_records: std::array::from_fn(|reason| {
                std::array::from_fn(|source| {
                    let labels = [
                        ("reason", RecordReason::ALL[reason].as_str()),
                        ("source", Source::ALL[source].as_str()),
                    ];
                    make.counter(declared::SUPPRESSION_RECORDS, &labels)
                })
            }),
            holding: make.gauge(declared::HOLDING, &[]),
            inbound_lag: make.gauge(declared::INBOUND_LAG, &[]),
            content: std::array::from_fn(|at| OfContent::on(&make, CONTENT_TOPICS[at])),
            content_overdue: make.gauge(declared::CONTENT_OVERDUE, &[]),
            rare: Rare { recorder, made: Mutex::default() },
        };
        handles.rare.make().gauge(declared::BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION"))]).set(1.0);
        handles.rare.counter(declared::RECIPIENTS_LOST, &[("stage", LOST_STAGE)]).increment(0);
        handles
    }
}

impl OfChannel {
    fn on(make: &Make<'_>, channel: Channel) -> Self {
        let channel = channel.as_str();
        let recipients = |outcome, reason| {
            let labels = [("channel", channel), ("outcome", outcome), ("reason", reason)];
            make.counter(declared::RECIPIENTS, &labels)
        };
        Self {
            jobs: std::array::from_fn(|at| {
                make.counter(declared::JOBS, &[("channel", channel), ("verdict", Verdict::ALL[at].as_str())])
            }),
            bytes: make.counter(declared::JOB_BYTES, &[("channel", channel)]),
            forwarded: recipients("forwarded", NO_REASON),
            suppressed: std::array::from_fn(|at| recipients("suppressed", Reason::ALL[at].as_str())),
            rejected: std::array::from_fn(|at| recipients("rejected", RejectReason::ALL[at].as_str())),
            deferred: recipients("deferred", NO_REASON),
        }
    }
}

impl Rare {
    fn make(&self) -> Make<'_> {
        Make(&*self.recorder)
    }

    fn counter(&self, metric: Declared, labels: &[(&'static str, &'static str)]) -> Counter {
        let value = |at: usize| labels.get(at).map_or("", |(_, value)| value);
        let key = (metric.name, [value(0), value(1)]);
        self.made.lock().entry(key).or_insert_with(|| self.make().counter(metric, labels)).clone()
    }
}

/// Makes handles of declared metrics.
pub(crate) struct Make<'a>(&'a (dyn Recorder + Send + Sync));

const METADATA: Metadata<'static> = Metadata::new("tamis", Level::INFO, None);

impl Make<'_> {
    fn counter(&self, metric: Declared, labels: &[(&'static str, &'static str)]) -> Counter {
        debug_assert_eq!(metric.kind, Kind::Counter);
        self.0.register_counter(&key(metric, labels), &METADATA)
    }

    pub(crate) fn gauge(&self, metric: Declared, labels: &[(&'static str, &'static str)]) -> Gauge {
        debug_assert_eq!(metric.kind, Kind::Gauge);
        self.0.register_gauge(&key(metric, labels), &METADATA)
    }

    fn histogram(&self, metric: Declared, labels: &[(&'static str, &'static str)]) -> Histogram {
        debug_assert!(matches!(metric.kind, Kind::Histogram(_)));
        self.0.register_histogram(&key(metric, labels), &METADATA)
    }
}

fn key(metric: Declared, labels: &[(&'static str, &'static str)]) -> Key {
    let labels: Vec<Label> =
        labels.iter().map(|&(name, value)| Label::from_static_parts(name, value)).collect();
    Key::from_parts(metric.name, labels)
}

#[cfg(test)]
mod tests;

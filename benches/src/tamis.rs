//! tamis itself, in this process: the line over Kafka, everything on.

use anyhow::{Result, bail, ensure};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tamis_bus::kafka::{Config, Kafka};
use tamis_pipeline::{Options, Running, purge};
use tamis_subject::Subjects;
use tamis_telemetry::{Health, Metrics};

use crate::rival::{BATCH_BYTES, BATCH_MS};
use crate::setting::{PATIENCE, jobs_topic};

/// What a batch is at most.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// How long it is filled.
    pub ms: u64,
    /// Bytes of its jobs.
    pub bytes: usize,
}

/// tamis's defaults.
pub const DEFAULT: Batch = Batch { ms: 10, bytes: 8 << 20 };

/// As the rivals have it; [`crate::setting::Setting::roomy`] goes with it.
pub const ROOMY: Batch = Batch { ms: BATCH_MS, bytes: BATCH_BYTES };

/// Options for a comparison: no purge, since every contestant reads the same jobs.
#[must_use]
pub fn options(workers: u16, batch: Batch) -> Options {
    Options {
        workers,
        batch_ms_max: batch.ms,
        batch_bytes_max: batch.bytes,
        jobs_topic: jobs_topic(),
        purge: purge::Options { enabled: false, ..purge::Options::default() },
        ..Options::default()
    }
}

/// Starts it and waits until its filter is loaded, which is when it joins the group.
///
/// # Errors
/// When it stops by itself or does not load in time.
pub fn start(config: Config, subjects: Subjects, options: Options) -> Result<Running> {
    start_counted(config, subjects, options, Metrics::detached())
}

/// As [`start`], with metrics that somebody reads.
///
/// # Errors
/// As [`start`].
pub fn start_counted(
    config: Config,
    subjects: Subjects,
    options: Options,
    metrics: Metrics,
) -> Result<Running> {
    let bus = Arc::new(Kafka::new(config)?);
    let running = tamis_pipeline::start(bus, subjects, options, metrics, Health::new())?;
    let begun = Instant::now();
    let filter = running.filter();
    while !filter.is_loaded() {
        if let Some(stopped) = running.stopped() {
            bail!(stopped);
        }
        ensure!(begun.elapsed() < PATIENCE, "the filter is not loaded after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(running)
}

/// Ends it.
///
/// # Errors
/// When it does not end in time.
pub fn stop(running: Running) -> Result<()> {
    ensure!(running.drain(Duration::from_secs(20)), "tamis did not end");
    Ok(())
}

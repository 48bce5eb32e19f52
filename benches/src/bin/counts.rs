//! How fast an opt-out counts: 2,000 of them a second by the doors of a service that routes as fast as it can, on a real Kafka.
//! `cargo xtask bench counts [seconds] [doors-idle doors-routing nobody-routing log-idle log-routing tokens] [linger.ms=5 ...]`
//!
//! Half come by one-click, half by the API, each due at its moment. Of every fiftieth the person gets a job of their own, written as soon as
//! the answer is here: nobody of them may be delivered to (G1). Next to it stands a plain loop that writes as many such records to the
//! same topic with `acks=all` and waits for each: what Kafka takes at all.

#![allow(clippy::print_stdout)]

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tamis_benches::machine::{describe, results};
use tamis_benches::paced::{Connection, Pace, quantiles};
use tamis_benches::rival::WORKERS;
use tamis_benches::setting::{PATIENCE, Setting};
use tamis_benches::{people, tamis};
use tamis_bus::kafka::{Kafka, KafkaScheduler};
use tamis_bus::{Bus as _, Scheduler as _, Tail as _, TailTopic, topic_name};
use tamis_campaign::{Channel, Identity, RecordReason, Source, Tenant};
use tamis_intake::{Access, ApiState, keys};
use tamis_pipeline::Running;
use tamis_subject::{Key, Region, Subjects};
use tamis_telemetry::{Exposition, Metrics};
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1 as proto;
use tamis_wire::record;

/// As in `tamis` itself.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Opt-outs a second, by both doors together.
const RATE: u32 = 2_000;
/// Connections of each door: fewer than the API takes calls at once, which is 32.
const CONNECTIONS: usize = 24;
/// Not counted: clients connect, the group forms, the broker compiles itself.
const WARM_UP: Duration = Duration::from_secs(8);
/// Of so many opt-outs one is followed by a job to the person.
const PROBED: usize = 50;
/// People in the filter before, and recipients of a job of the load.
const FILTER: u64 = 1_000_000;
const RECIPIENTS: u64 = 1_000;
/// Jobs of the load that are written and not yet routed: some 20 MB, more than two workers have in hand.
const AHEAD: u64 = 500;
/// Jobs of the load that differ; each is written again under other ids.
const DIFFERENT: u64 = 256;
/// On which the opt-outs and the jobs that probe them are; the load is SMS.
const CHANNEL: Channel = Channel::Voice;

/// Who opts people out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Doors,
    Log,
    Nobody,
}

/// A row of the table: its name, how it is asked for, whether the workers have jobs.
struct Row {
    name: &'static str,
    by: By,
    routes: bool,
}

const ROWS: [Row; 5] = [
    Row { name: "doors-idle", by: By::Doors, routes: false },
    Row { name: "doors-routing", by: By::Doors, routes: true },
    Row { name: "nobody-routing", by: By::Nobody, routes: true },
    Row { name: "log-idle", by: By::Log, routes: false },
    Row { name: "log-routing", by: By::Log, routes: true },
];

/// Unix time in ms: what deliveries are stamped with.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Who opts out as number `at`, and who does not: neither is in the filter.
fn leaver(at: usize) -> String {
    people::number(at as u64 * 20 + 1)
}

fn stayer(at: usize) -> String {
    people::number(at as u64 * 20 + 2)
}

/// A job to both.
fn probe(at: usize) -> (String, Vec<u8>) {
    let job_id = format!("probe-{at}");
    let recipient = |address, contact: &str| proto::Recipient {
        address,
        contact: contact.to_owned(),
        ..proto::Recipient::default()
    };
    let job = proto::SendJob {
        job_id: job_id.clone(),
        tenant: people::TENANT.to_owned(),
        channel: CHANNEL.number(),
        purpose: proto::Purpose::Marketing.into(),
        content: b"?".to_vec(),
        recipients: vec![recipient(leaver(at), "left"), recipient(stayer(at), "stayed")],
        ..proto::SendJob::default()
    };
    (job_id, job.encode_to_vec())
}

/// The doors as `tamis run` opens them, on a runtime as it has.
struct Doors {
    api: SocketAddr,
    public: SocketAddr,
    key: String,
    _runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Doors {
    fn open(running: &Running, metrics: &Metrics) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("keys.toml");
        let (_, key) = keys::create(&file, keys::Owner::Tenant(people::TENANT.to_owned()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let access = Access::keys(&file)?;
        let state = ApiState::new(running.filter(), running.recorder(), metrics.clone(), access)
            .with_rate_per_key(2 * RATE);
        let serve = |router| -> Result<SocketAddr> {
            let _within = runtime.enter();
            let listener = tamis_intake::listen((Ipv4Addr::LOCALHOST, 0).into())?;
            let at = listener.local_addr()?;
            runtime.spawn(tamis_intake::serve(listener, router, std::future::pending(), metrics.clone()));
            Ok(at)
        };
        let (api, public) = (serve(tamis_intake::api(state.clone()))?, serve(tamis_intake::public(state))?);
        Ok(Self { api, public, key, _runtime: runtime, _folder: folder })
    }

    /// The calls that opt `people` out, whole.
    fn calls(&self, subjects: &Subjects, people: usize) -> Result<Vec<Vec<u8>>> {
        let tenant = Tenant::parse(people::TENANT).map_err(|_| anyhow!("our tenant is none"))?;
        let mut minter = subjects.minter(CHANNEL, tenant, "", 20_784)?;
        let mut call = |at: usize| -> Result<String> {
            let address = leaver(at);
            if at.is_multiple_of(2) {
                let first =
                    subjects.first().phone(&address).map_err(|_| anyhow!("a number of ours is none"))?;
                let path = format!("/u/{}", minter.mint(first, Identity::Phone).as_str());
                return Ok(post(&path, "Content-Type: application/x-www-form-urlencoded\r\n", ONE_CLICK));
            }
            let body = format!(
                r#"{{"tenant":"{}","channel":"{}","reason":"unsubscribed","addresses":["{address}"]}}"#,
                people::TENANT,
                CHANNEL.as_str()
            );
            let head = format!("Content-Type: application/json\r\nAuthorization: Bearer {}\r\n", self.key);
            Ok(post("/v1/suppressions", &head, &body))
        };
        (0..people).map(|at| call(at).map(String::into_bytes)).collect()
    }
}

/// The body of RFC 8058.
const ONE_CLICK: &str = "List-Unsubscribe=One-Click";

fn post(path: &str, head: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{head}Content-Length: {length}\r\n\r\n{body}")
}

/// Hands jobs over as fast as they are routed, until told to stop.
fn load(setting: &Setting, group: &str, metrics: &Metrics, stop: &AtomicBool) -> Result<()> {
    let scheduler = Kafka::new(setting.config(group))?.scheduler()?;
    let mut jobs: Vec<Vec<u8>> = (0..DIFFERENT).map(|at| people::job(at, RECIPIENTS).1).collect();
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        if written >= metrics.totals().channel(Channel::Sms).recipients_in() / RECIPIENTS + AHEAD {
            std::thread::sleep(Duration::from_micros(500));
            continue;
        }
        let job_id = format!("job-{written:08}");
        let job = &mut jobs[usize::try_from(written % DIFFERENT)?];
        // Field 1 stands first, and all ids have one length.
        job[2..2 + job_id.len()].copy_from_slice(job_id.as_bytes());
        scheduler.submit(&job_id, job.clone(), Box::new(|_| {}));
        written += 1;
    }
    Ok(())
}

/// What became of the jobs that were written after an answer.
#[derive(Default)]
struct Probed {
    /// From the answer to the decision, and until the delivery was seen; in the order of arrival.
    decided: Vec<Duration>,
    seen: Vec<Duration>,
    violations: usize,
}

/// Reads the deliveries of probes until `expected` says how many were written and all are there. `answered` has when each was answered.
fn watch(bus: &Kafka, answered: &[AtomicI64], expected: &AtomicI64, counted_from: usize) -> Result<Probed> {
    let mut tail = bus.tail(TailTopic::Deliveries(CHANNEL), "gateway", true)?;
    let (mut probed, mut came, mut last) = (Probed::default(), 0, Instant::now());
    loop {
        let most = expected.load(Ordering::Acquire);
        if most >= 0 && came >= most {
            return Ok(probed);
        }
        ensure!(last.elapsed() < PATIENCE, "{came} of {most} probes came");
        tail.poll(Duration::from_millis(50), 1_000, &mut |record| {
            (came, last) = (came + 1, Instant::now());
            let now = now_ms();
            let at = std::str::from_utf8(record.key)
                .ok()
                .and_then(|key| key.strip_prefix("probe-")?.parse::<usize>().ok());
            let (Some(at), Ok(delivery)) = (at, proto::Delivery::decode(record.value)) else {
                probed.violations += 1;
                return;
            };
            let contacts: Vec<&str> = delivery.recipients.iter().map(|one| one.contact.as_str()).collect();
            probed.violations += usize::from(contacts != ["stayed"]);
            let answered: i64 = answered.get(at).map_or(0, |at: &AtomicI64| at.load(Ordering::Acquire));
            let since = |ms: i64| Duration::from_millis(u64::try_from(ms - answered).unwrap_or(0));
            if at >= counted_from {
                probed.decided.push(since(delivery.stamp.unwrap_or_default().decided_at_ms));
                probed.seen.push(since(now));
            }
        })?;
    }
}

/// What a row has to tell.
#[derive(Default)]
struct Told {
    /// How long each opt-out took; of one-click and the API, or of the log alone.
    took: Vec<(&'static str, Vec<Duration>)>,
    refused: u64,
    probed: Probed,
    /// Of `tamis_optout_effective_seconds`.
    effective: String,
    jobs_per_second: f64,
}

/// What is asked of a row while it runs.
struct Stage<'s> {
    setting: &'s Setting,
    running: &'s Running,
    metrics: &'s Metrics,
    scheduler: &'s KafkaScheduler,
    counted: Duration,
}

impl Stage<'_> {
    fn calls(&self) -> usize {
        (WARM_UP + self.counted).as_secs() as usize * RATE as usize
    }

    /// How many of `every` calls are not counted.
    fn warm(every: Duration) -> usize {
        (WARM_UP.as_nanos() / every.as_nanos()) as usize
    }

    /// Opts people out by both doors. Notes in `answered` when those who are probed were.
    fn doors(
        &self,
        begun: Instant,
        doors: &Doors,
        calls: &[Vec<u8>],
        answered: &[AtomicI64],
    ) -> Result<Told> {
        let (every, refused) = (Duration::from_secs(2) / RATE, AtomicU64::new(0));
        // Calls of even numbers are one-click's.
        let half = |parity: usize, door| {
            let pace = Pace { begun: begun + every / 2 * parity as u32, every, calls: calls.len() / 2 };
            pace.run(CONNECTIONS, || {
                let mut connection = Connection::open(door)?;
                let refused = &refused;
                Ok(move |at: usize| {
                    let at = 2 * at + parity;
                    if connection.call(&calls[at])? != 200 {
                        refused.fetch_add(1, Ordering::Relaxed);
                    } else if is_probed(at) {
                        answered[at].store(now_ms(), Ordering::Release);
                        let (id, job) = probe(at);
                        self.scheduler.submit(&id, job, Box::new(|_| {}));
                    }
                    Ok(())
                })
            })
        };
        let (click, api) = std::thread::scope(|scope| {
            let api = scope.spawn(|| half(1, doors.api));
            let click = half(0, doors.public);
            Ok::<_, anyhow::Error>((click?, api.join().map_err(|_| anyhow!("a caller panicked"))??))
        })?;
        let counted = |took: Vec<Duration>| took[Self::warm(every)..].to_vec();
        let took = vec![("one-click", counted(click)), ("API", counted(api))];
        Ok(Told { took, refused: refused.into_inner(), ..Told::default() })
    }

    /// Writes such records to the log, and waits for each.
    fn log(&self, begun: Instant) -> Result<Told> {
        let producer: ThreadedProducer<Clerk> = ClientConfig::new()
            .set("bootstrap.servers", self.setting.bootstrap())
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .create_with_context(Clerk)?;
        let (topic, partitions) = (topic_name("bench", "suppressions"), self.running.recorder().partitions());
        let every = Duration::from_secs(1) / RATE;
        let took = Pace { begun, every, calls: self.calls() }.run(2 * CONNECTIONS, || {
            let (producer, topic) = (&producer, &topic);
            Ok(move |at: usize| {
                let subject = self.setting.subjects.phone(&leaver(at));
                let subject = subject.map_err(|_| anyhow!("a number of ours is none"))?;
                let mut one = people::opted_out(subject, people::TENANT);
                (one.channel, one.reason) = (Some(CHANNEL), RecordReason::Unsubscribed);
                (one.source, one.evidence) = (Source::Api, "".into());
                let (key, value) = (record::key(&one), record::encode(&one));
                let (tell, told) = sync_channel(1);
                let keyed = BaseRecord::with_opaque_to(topic, Box::new(tell))
                    .partition(record::partition_of(&subject, partitions));
                producer.send(keyed.key(&key).payload(&value)).map_err(|(error, _)| error)?;
                ensure!(told.recv_timeout(PATIENCE)?, "the log refuses a record");
                Ok(())
            })
        })?;
        Ok(Told { took: vec![("log", took[Self::warm(every)..].to_vec())], ..Told::default() })
    }
}

fn is_probed(at: usize) -> bool {
    // Of both doors as many.
    (at / 2).is_multiple_of(PROBED)
}

/// Tells whoever waits that a record is durable.
struct Clerk;

impl ClientContext for Clerk {}

impl ProducerContext for Clerk {
    type DeliveryOpaque = Box<SyncSender<bool>>;

    fn delivery(&self, result: &DeliveryResult<'_>, tell: Self::DeliveryOpaque) {
        // Nobody listens when the run has failed.
        let _ = tell.send(result.is_ok());
    }
}

/// The counts of `tamis_optout_effective_seconds`, by bound.
fn effective(exposition: &Exposition) -> Vec<(String, u64)> {
    let text = exposition.render();
    let mut bounds: Vec<(String, u64)> = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("tamis_optout_effective_seconds_bucket{")) {
        let Some((labels, count)) = line.split_once("} ") else { continue };
        let Some((_, bound)) = labels.split_once("le=\"") else { continue };
        let (bound, count) = (bound.trim_end_matches('"').to_owned(), count.parse().unwrap_or(0));
        match bounds.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, sum)) => *sum += count,
            None => bounds.push((bound, count)),
        }
    }
    bounds
}

/// The bounds that half of them, 99 of 100 and 999 of 1,000 are within.
fn within(before: &[(String, u64)], after: &[(String, u64)]) -> String {
    let had = |bound: &str| before.iter().find(|(known, _)| known == bound).map_or(0, |(_, count)| *count);
    let counts: Vec<_> = after.iter().map(|(bound, count)| (bound, count - had(bound))).collect();
    let all = counts.last().map_or(0, |(_, count)| *count);
    let at = |per_mille: u64| {
        let bound = counts.iter().find(|(_, count)| *count * 1_000 >= all * per_mille);
        bound.map_or("-".to_owned(), |(bound, _)| format!("≤ {bound} s"))
    };
    if all == 0 { "- | - | -".to_owned() } else { format!("{} | {} | {}", at(500), at(990), at(999)) }
}

fn run(setting: &Setting, row: &Row, counted: Duration, client: &[(&str, &str)]) -> Result<Told> {
    setting.renew(&["send-jobs", "deliveries.sms", "deliveries.voice", "outcomes"])?;
    let (metrics, exposition) = Metrics::install();
    let options = tamis::options(WORKERS, tamis::DEFAULT);
    let (mut config, subjects) = (setting.config(row.name), setting.subjects.clone());
    config.client.extend(client.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let running = tamis::start_counted(config, subjects, options, metrics.clone())?;
    let bus = Kafka::new(setting.config("client"))?;
    let scheduler = bus.scheduler()?;
    let stage = Stage { setting, running: &running, metrics: &metrics, scheduler: &scheduler, counted };
    let doors = Doors::open(&running, &metrics)?;
    let calls = if row.by == By::Doors { doors.calls(&setting.subjects, stage.calls())? } else { Vec::new() };
    let answered: Vec<AtomicI64> = calls.iter().map(|_| AtomicI64::new(0)).collect();
    let (stop, expected) = (AtomicBool::new(false), AtomicI64::new(-1));
    let routed = || stage.metrics.totals().channel(Channel::Sms).recipients_in() / RECIPIENTS;
    let begun = Instant::now() + Duration::from_millis(500);
    let told = std::thread::scope(|scope| {
        let loading = row.routes.then(|| scope.spawn(|| load(setting, row.name, &metrics, &stop)));
        let watching =
            scope.spawn(|| watch(&bus, &answered, &expected, Stage::warm(Duration::from_secs(1) / RATE)));
        let opting = scope.spawn(|| match row.by {
            By::Doors => stage.doors(begun, &doors, &calls, &answered),
            By::Log => stage.log(begun),
            By::Nobody => Ok(Told::default()),
        });
        let pause = |until: Instant| std::thread::sleep(until.saturating_duration_since(Instant::now()));
        pause(begun + WARM_UP);
        let (before, had, since) = (effective(&exposition), routed(), Instant::now());
        pause(begun + WARM_UP + counted);
        let jobs_per_second = (routed() - had) as f64 / since.elapsed().as_secs_f64();
        let opted = opting.join().map_err(|_| anyhow!("a caller panicked"));
        let after = effective(&exposition);
        let probes = answered.iter().filter(|at| at.load(Ordering::Acquire) > 0).count();
        // Set in any case, so that nobody goes on.
        expected.store(i64::try_from(probes).unwrap_or(0), Ordering::Release);
        let probed = watching.join().map_err(|_| anyhow!("the watcher panicked"));
        stop.store(true, Ordering::Relaxed);
        loading.map_or(Ok(()), |load| load.join().map_err(|_| anyhow!("the load panicked"))?)?;
        Ok::<_, anyhow::Error>(Told {
            probed: probed??,
            effective: within(&before, &after),
            jobs_per_second,
            ..opted??
        })
    })?;
    drop(doors);
    tamis::stop(running)?;
    Ok(told)
}

/// Links that can't be honoured, called by turns on one connection: how long each kind takes.
fn tokens(setting: &Setting) -> Result<String> {
    let (metrics, _) = Metrics::install();
    let options = tamis::options(0, tamis::DEFAULT);
    let running =
        tamis::start_counted(setting.config("tokens"), setting.subjects.clone(), options, metrics.clone())?;
    let doors = Doors::open(&running, &metrics)?;
    let tenant = Tenant::parse(people::TENANT).map_err(|_| anyhow!("our tenant is none"))?;
    let mint = |subjects: &Subjects| -> Result<String> {
        let first = subjects.first().phone(&leaver(0)).map_err(|_| anyhow!("a number of ours is none"))?;
        Ok(subjects.minter(CHANNEL, tenant, "", 20_784)?.mint(first, Identity::Phone).as_str().to_owned())
    };
    let good = mint(&setting.subjects)?;
    let foreign = mint(&Subjects::new(&Key::generate()?, Region::parse("FR")?))?;
    let forged = |at: usize| {
        let other = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &good[..at], &good[at + 1..])
    };
    let kinds = [
        ("foreign: of another key", foreign),
        ("forged: another tag", forged(4)),
        ("forged: another tenant", forged(good.len() - 3)),
        ("forged: another step", forged(0)),
        ("truncated by one", good[..good.len() - 1].to_owned()),
        ("truncated to ten", good[..10].to_owned()),
        ("too long", "A".repeat(200)),
        ("no base64", "~".repeat(good.len())),
        ("empty", String::new()),
    ];
    let requests = kinds.map(|(name, token)| {
        (name, post(&format!("/u/{token}"), "Content-Type: application/x-www-form-urlencoded\r\n", ONE_CLICK))
    });
    let mut connection = Connection::open(doors.public)?;
    let mut took: Vec<Vec<Duration>> = vec![Vec::new(); requests.len()];
    for round in 0..11_000 {
        for ((_, request), took) in requests.iter().zip(&mut took) {
            let begun = Instant::now();
            ensure!(connection.call(request.as_bytes())? == 404, "a bad token is honoured");
            if round >= 1_000 {
                took.push(begun.elapsed());
            }
        }
    }
    let mut table = "| token | median | mean of the middle half | p99 |\n|---|---|---|---|\n".to_owned();
    for ((name, _), took) in requests.iter().zip(&mut took) {
        took.sort_unstable();
        let middle = &took[took.len() / 4..took.len() * 3 / 4];
        let us = |took: Duration| took.as_secs_f64() * 1e6;
        let mean = us(middle.iter().sum::<Duration>()) / middle.len() as f64;
        let (median, p99) = (us(took[took.len() / 2]), us(took[took.len() * 99 / 100]));
        writeln!(table, "| {name} | {median:.1} µs | {mean:.1} µs | {p99:.1} µs |")?;
    }
    drop(doors);
    tamis::stop(running)?;
    Ok(table)
}

/// The process that is measured: `counts child <seconds> <rows>`.
fn child(counted: Duration, wanted: &[String]) -> Result<String> {
    // As `tamis run` has it: each opt-out has its line.
    tamis_telemetry::init_logs(true, None)?;
    let setting = Setting::new("lz4")?;
    setting.write_filter(FILTER)?;
    let mut answers =
        "| | opt-outs by | median | p90 | p99 | p99.9 | longest | refused |\n|---|---|---|---|---|---|---|---|\n".to_owned();
    let mut honoured =
        "| | jobs/s | accepted to enforced: p50 | p99 | p99.9 | answer to decision: p50 | p99 | to delivery seen: p50 | p99 | probes | violations |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    // Properties of tamis's clients, as an operator may set them.
    let client: Vec<_> = wanted.iter().filter_map(|argument| argument.split_once('=')).collect();
    let wanted: Vec<_> = wanted.iter().filter(|argument| !argument.contains('=')).collect();
    // Not told: a broker that has just started compiles itself for half a minute.
    run(&setting, &ROWS[0], WARM_UP, &client)?;
    for row in ROWS.iter().filter(|row| wanted.is_empty() || wanted.iter().any(|name| *name == row.name)) {
        let told = run(&setting, row, counted, &client).with_context(|| row.name)?;
        for (door, took) in &told.took {
            let [median, p90, p99, p999, longest] = quantiles(took);
            writeln!(
                answers,
                "| {} | {door} | {median:.1} ms | {p90:.1} ms | {p99:.1} ms | {p999:.1} ms | {longest:.1} ms | {} |",
                row.name, told.refused
            )?;
        }
        let Probed { decided, seen, violations } = &told.probed;
        let ([decided_50, _, decided_99, ..], [seen_50, _, seen_99, ..]) =
            (quantiles(decided), quantiles(seen));
        writeln!(
            honoured,
            "| {} | {:.0} | {} | {decided_50:.0} ms | {decided_99:.0} ms | {seen_50:.0} ms | {seen_99:.0} ms | {} | {violations} |",
            row.name,
            told.jobs_per_second,
            told.effective,
            decided.len(),
        )?;
    }
    let mut report = format!("{answers}\n{honoured}\n");
    if wanted.is_empty() || wanted.iter().any(|name| *name == "tokens") {
        report += &tokens(&setting)?;
    }
    Ok(report)
}

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_child = arguments.first().is_some_and(|first| first == "child");
    if is_child {
        arguments.remove(0);
    }
    let seconds = arguments.first().map_or(Ok(30), |seconds| seconds.parse::<u64>())?;
    let wanted = arguments.get(1..).unwrap_or_default();
    if is_child {
        print!("{}", child(Duration::from_secs(seconds), wanted)?);
        return Ok(());
    }
    // Its log goes to a file, as a service's does.
    let log = tempfile::NamedTempFile::new()?;
    let mut child = Command::new(std::env::current_exe()?);
    let output = child.args(["child", &seconds.to_string()]).args(wanted).stderr(log.reopen()?).output()?;
    let table = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        let said = std::fs::read_to_string(log.path())?;
        let last: Vec<&str> = said.lines().rev().take(10).collect();
        bail!("{table}\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    let report = format!(
        "# How fast an opt-out counts\n\n{RATE} opt-outs a second for {seconds} s, after {} s that are not counted; `cargo xtask bench counts`, {}.\n\n{table}",
        WARM_UP.as_secs(),
        describe()
    );
    println!("{report}");
    if wanted.is_empty() {
        std::fs::write(results("counts"), report)?;
    }
    Ok(())
}

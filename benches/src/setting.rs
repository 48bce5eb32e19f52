//! Broker, topics, the jobs that wait, the filter's records, and when a group has done with them.

use anyhow::{Context as _, Result, anyhow, ensure};
use kafka_harness::{Broker, Options, wait};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tamis_bus::kafka::{Config, Kafka, topics};
use tamis_bus::{Bus as _, KeyedRecord, Recorder as _, Scheduler as _, topic_name};
use tamis_subject::{Key, Region, Subject, Subjects};
use tamis_wire::record;

use crate::machine::turns;
use crate::people;

/// How long anything may take before a bench gives up.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Partitions of every topic.
pub const PARTITIONS: i32 = 8;
/// What a tuned consumer reads ahead, KiB.
pub const QUEUED_KBYTES: &str = "262144";
/// What is written and not yet acknowledged while the topics are filled.
const OUTSTANDING: usize = 20_000;
/// Suppression records handed over together.
const TOGETHER: usize = 1_000;

/// A broker with its topics, in memory, for one kind of job.
pub struct Setting {
    broker: Broker,
    codec: &'static str,
    /// Makes the subjects that are in the filter.
    pub subjects: Subjects,
}

impl Setting {
    /// Starts a broker and makes the topics; `codec` is what every producer compresses with.
    ///
    /// # Errors
    /// When there is no broker to be had.
    pub fn new(codec: &'static str) -> Result<Self> {
        let broker = Broker::start(&Options { heap_mb: 1_024, tmpfs: true, ..Options::default() })?;
        let subjects = Subjects::new(&Key::generate()?, Region::parse("FR")?);
        let setting = Self { broker, codec, subjects };
        topics::apply(&setting.config("none"), PATIENCE)?;
        Ok(setting)
    }

    /// `host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.broker.bootstrap()
    }

    /// What every producer compresses with.
    #[must_use]
    pub fn codec(&self) -> &'static str {
        self.codec
    }

    /// The topics' names and clients' properties, for a group of its own.
    #[must_use]
    pub fn config(&self, group: &str) -> Config {
        config(&self.bootstrap(), group, self.codec)
    }

    /// tamis's settings with room to read ahead as the rivals have it, for batches as large as theirs.
    #[must_use]
    pub fn roomy(&self, group: &str) -> Config {
        let mut config = self.config(group);
        config.client.insert("queued.max.messages.kbytes".to_owned(), QUEUED_KBYTES.to_owned());
        config
    }

    /// Writes `count` jobs of `recipients` each. Returns the bytes of their values.
    ///
    /// # Errors
    /// When the broker takes one of them not.
    pub fn write_jobs(&self, count: u64, recipients: u64) -> Result<u64> {
        let scheduler = Kafka::new(self.config("writer"))?.scheduler()?;
        let mut wait = Wait::new((8 << 20) / (40 * usize::try_from(recipients)? + 400));
        let mut bytes = 0;
        for at in 0..count {
            let (id, value) = people::job(at, recipients);
            bytes += value.len() as u64;
            let acked = wait.one()?;
            scheduler.submit(&id, value, Box::new(move |answer| acked(answer.is_ok())));
        }
        wait.all()?;
        Ok(bytes)
    }

    /// Makes topics anew, by their names without prefix and version: empty, and with no room taken by what was in them. Nobody
    /// may be using them.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn renew(&self, topics: &[&str]) -> Result<()> {
        let names: Vec<String> = topics.iter().map(|topic| topic_name("bench", topic)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (config, deadline) = (self.config("none"), Instant::now() + PATIENCE);
        for deleted in wait(self.admin()?.delete_topics(&names, &AdminOptions::new()))? {
            deleted.map_err(|(name, code)| anyhow!("delete {name}: {code}"))?;
        }
        // A broker learns of it after the controller; asked in that moment for their settings, it refuses.
        while topics::read(&config, PATIENCE)
            .map_or(true, |has| names.iter().any(|name| has.topics.contains_key(*name)))
        {
            ensure!(Instant::now() < deadline, "topics are not deleted after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        topics::apply(&config, PATIENCE)?;
        Ok(())
    }

    /// Has `count` contestants run in turns, each on empty topics: `run` has the round, and who it is, and gives a rate. Another begins each
    /// round, and a first one, by which the broker compiles itself, is not counted. The rates of each in `rounds` rounds.
    ///
    /// # Errors
    /// What `run` fails with, or when the broker does not answer.
    pub fn in_turns(
        &self,
        rounds: usize,
        count: usize,
        mut run: impl FnMut(usize, usize) -> Result<f64>,
    ) -> Result<Vec<Vec<f64>>> {
        let mut rates = vec![Vec::new(); count];
        for round in 0..=rounds {
            for at in turns(round, count) {
                // Else what was written before would fill the memory, and be told as duplicates.
                self.renew(&["deliveries.sms", "outcomes"])?;
                let rate = run(round, at)?;
                if round > 0 {
                    rates[at].push(rate);
                }
            }
        }
        Ok(rates)
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(ClientConfig::new().set("bootstrap.servers", self.bootstrap()).create()?)
    }

    /// Writes the first `count` people of the filter as opted out of the tenant's SMS.
    ///
    /// # Errors
    /// When the broker takes one of them not.
    pub fn write_filter(&self, count: u64) -> Result<()> {
        let subjects = people::suppressed(count).map(|number| self.subjects.phone(&number));
        self.write_opted_out(subjects.map(|subject| subject.ok().context("a number of ours is none")))
    }

    /// Writes `subjects` as opted out of the tenant's SMS.
    ///
    /// # Errors
    /// When the broker takes one of them not.
    pub fn write_opted_out(&self, subjects: impl Iterator<Item = Result<Subject>>) -> Result<()> {
        let recorder = Kafka::new(self.config("writer"))?.recorder()?;
        let mut wait = Wait::new(OUTSTANDING / TOGETHER);
        let mut together = Vec::with_capacity(TOGETHER);
        for subject in subjects {
            let subject = subject?;
            let record = people::opted_out(subject, people::TENANT);
            together.push(KeyedRecord::new(
                record::partition_of(&subject, recorder.partitions()),
                record::key(&record),
                record::encode(&record),
            ));
            if together.len() == TOGETHER {
                let acked = wait.one()?;
                let full = std::mem::replace(&mut together, Vec::with_capacity(TOGETHER));
                recorder.submit(full, Box::new(move |answer| acked(answer.is_ok())));
            }
        }
        let acked = wait.one()?;
        recorder.submit(together, Box::new(move |answer| acked(answer.is_ok())));
        wait.all()
    }
}

/// The topics' names and clients' properties, the same for every contestant.
#[must_use]
pub fn config(bootstrap: &str, group: &str, codec: &str) -> Config {
    // The group's second member is let in at the next heartbeat of the first: not in three seconds, the default.
    let client = [("compression.type", codec), ("heartbeat.interval.ms", "100")];
    Config {
        prefix: "bench".to_owned(),
        group: group.to_owned(),
        instance: group.to_owned(),
        client: client.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..Config::new(bootstrap)
    }
}

/// The topic of the jobs.
#[must_use]
pub fn jobs_topic() -> String {
    topic_name("bench", "send-jobs")
}

/// Bounds what is written and not yet acknowledged.
struct Wait {
    sender: mpsc::Sender<bool>,
    receiver: mpsc::Receiver<bool>,
    most: usize,
    open: usize,
}

impl Wait {
    fn new(most: usize) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self { sender, receiver, most: most.max(1), open: 0 }
    }

    fn one(&mut self) -> Result<impl FnOnce(bool) + Send + 'static> {
        if self.open == self.most {
            ensure!(self.receiver.recv_timeout(PATIENCE)?, "a record was not taken");
            self.open -= 1;
        }
        self.open += 1;
        let sender = self.sender.clone();
        Ok(move |ok| {
            // Nobody listens once a record was not taken.
            let _ = sender.send(ok);
        })
    }

    fn all(&mut self) -> Result<()> {
        while self.open > 0 {
            ensure!(self.receiver.recv_timeout(PATIENCE)?, "a record was not taken");
            self.open -= 1;
        }
        Ok(())
    }
}

/// Watches how far a group has come with the jobs.
pub struct Progress {
    consumer: BaseConsumer,
    ends: BTreeMap<i32, i64>,
}

impl Progress {
    /// Reads where the jobs end now.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn new(bootstrap: &str, group: &str) -> Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            // Else the question would wait until no transaction has offsets pending, which under load is never.
            .set("isolation.level", "read_uncommitted")
            .create()?;
        let mut ends = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let (_, end) = consumer.fetch_watermarks(&jobs_topic(), partition, PATIENCE)?;
            ends.insert(partition, end);
        }
        Ok(Self { consumer, ends })
    }

    /// Next offset of each partition after the last job.
    #[must_use]
    pub fn ends(&self) -> &BTreeMap<i32, i64> {
        &self.ends
    }

    /// Watches the group until it has committed every job. Jobs a second from when a fifth was committed to when four were: joining and
    /// the first fetch don't count, and as much is half done at the end as was at the beginning.
    ///
    /// # Errors
    /// When it does not come to that within [`PATIENCE`].
    pub fn rate(&self) -> Result<f64> {
        let all: i64 = self.ends.values().sum();
        let deadline = Instant::now() + PATIENCE;
        let (mut first, mut rate): (Option<(Instant, i64)>, _) = (None, None);
        while Instant::now() < deadline {
            let asked = Instant::now();
            // A coordinator that has just come to be says so once; who never answers ends in patience.
            let Ok(committed) = self.committed() else { continue };
            // A busy broker takes its time to answer: from before the first question to after the last answer, so
            // that nobody looks faster than it was.
            match first {
                None if committed * 5 >= all => first = Some((asked, committed)),
                Some((since, before)) if rate.is_none() && committed * 5 >= all * 4 => {
                    rate = Some((committed - before) as f64 / since.elapsed().as_secs_f64());
                }
                None | Some(_) => {}
            }
            if let Some(rate) = rate
                && committed == all
            {
                return Ok(rate);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        anyhow::bail!("the jobs are not committed after {PATIENCE:?}")
    }

    /// Jobs that are in the log still.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn left(&self) -> Result<i64> {
        let mut left = 0;
        for partition in self.ends.keys() {
            let (start, end) = self.consumer.fetch_watermarks(&jobs_topic(), *partition, PATIENCE)?;
            left += end - start;
        }
        Ok(left)
    }

    fn committed(&self) -> Result<i64> {
        let mut list = TopicPartitionList::new();
        for partition in self.ends.keys() {
            list.add_partition(&jobs_topic(), *partition);
        }
        let committed = self.consumer.committed_offsets(list, PATIENCE)?;
        let offset = |element: TopicPartitionListElem<'_>| match element.offset() {
            Offset::Offset(offset) => offset,
            _ => 0,
        };
        Ok(committed.elements().into_iter().map(offset).sum())
    }
}

//! Three nodes, each broker and controller, that keep what is acked when one of them is lost.

use crate::Error;
use crate::broker::Broker;
use crate::disk::SmallDisk;
use crate::node::{LOOK_AGAIN, Node, START_LIMIT};
use crate::ports::free_ports;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How many.
const NODES: usize = 3;

/// What is acked is on two disks at least; a lost broker is noticed in three seconds; small and few threads, since all
/// three share the machine with what they are there to test.
const PROPERTIES: &str = "\
process.roles=broker,controller
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,BEHIND:PLAINTEXT
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
unclean.leader.election.enable=false
offsets.topic.replication.factor=3
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
replica.lag.time.max.ms=5000
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
log.cleaner.dedupe.buffer.size=4194304
log.index.size.max.bytes=1048576
num.network.threads=2
num.io.threads=3
background.threads=2
";

/// How the cluster is started.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Where its folders are made; they stay.
    pub dir: PathBuf,
    /// Java's largest heap, MiB, of each.
    pub heap_mb: u32,
    /// Bytes of a disk of its own for the last node, if that can be had.
    pub small_disk: Option<u64>,
}

/// A running cluster. Dropping it kills it; so does the end of the process that owns it.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Broker>,
    disk: Option<SmallDisk>,
}

impl Cluster {
    /// Starts three nodes and waits until each knows all of them.
    ///
    /// Each node has a second listener, at the address that `behind` is told; clients that reach it are sent on to the
    /// ports that `behind` returns. So a proxy needs to rewrite nothing.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn start(options: &ClusterOptions, behind: &mut dyn FnMut(SocketAddr) -> u16) -> Result<Self, Error> {
        let ports: [u16; 3 * NODES] = free_ports().map_err(|e| Error::new("find ports for Kafka", e))?;
        let (direct, rest) = ports.split_at(NODES);
        let (inner, controller) = rest.split_at(NODES);
        let voters: Vec<String> =
            (0..NODES).map(|n| format!("{}@127.0.0.1:{}", n + 1, controller[n])).collect();
        let voters = voters.join(",");
        let mut cluster = Self { nodes: Vec::new(), disk: None };
        for n in 0..NODES {
            let mut node =
                Node::new(options.dir.join(format!("node-{}", n + 1)), direct[n], options.heap_mb)?;
            // The quick compiler and the plain collector: these live for minutes.
            node.jvm = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].map(str::to_owned).to_vec();
            if n + 1 == NODES
                && let Some(bytes) = options.small_disk
                && let Ok(disk) = SmallDisk::mount(node.data(), bytes)
            {
                node.within = disk.within();
                cluster.disk = Some(disk);
            }
            let advertised = behind(SocketAddr::from((Ipv4Addr::LOCALHOST, inner[n])));
            node.settle(&format!(
                "{PROPERTIES}node.id={id}\ncontroller.quorum.voters={voters}\n\
                 listeners=PLAINTEXT://127.0.0.1:{direct},BEHIND://127.0.0.1:{inner},CONTROLLER://127.0.0.1:{controller}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{direct},BEHIND://127.0.0.1:{advertised}\n",
                id = n + 1,
                direct = direct[n],
                inner = inner[n],
                controller = controller[n],
            ))?;
            cluster.nodes.push(Broker::of(node));
        }
        for node in &mut cluster.nodes {
            node.spawn()?;
        }
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// Waits until each node knows all of them; no longer than they all run.
    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + START_LIMIT;
        let all = u32::try_from(NODES).unwrap_or(u32::MAX);
        while !self.nodes.iter().all(|node| node.node().knows(all)) {
            let ended = self.nodes.iter_mut().position(|node| !node.is_running());
            if ended.is_some() || Instant::now() >= deadline {
                let words: Vec<String> = self.nodes.iter().map(|node| node.node().last_words()).collect();
                let what =
                    ended.map_or("not in time".to_owned(), |place| format!("node {} has ended", place + 1));
                return Err(Error::new("start Kafka", format!("{what}: {}", words.join("; "))));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// `host:port` of each, for clients that nothing stands between.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.nodes.iter().map(Broker::bootstrap).collect::<Vec<_>>().join(",")
    }

    /// The node with this place, from 0; its broker's id is one more.
    ///
    /// # Panics
    /// When there is none.
    pub fn node(&mut self, place: usize) -> &mut Broker {
        &mut self.nodes[place]
    }

    /// Starts a node that has ended, on its data and ports.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn start_again(&mut self, place: usize) -> Result<(), Error> {
        self.nodes[place].restart()
    }

    /// The place of the node whose disk is small, if there is one.
    #[must_use]
    pub fn small_disk(&self) -> Option<usize> {
        self.disk.as_ref().map(|_| NODES - 1)
    }

    /// Fills the small disk; says with how many bytes.
    ///
    /// # Errors
    /// When there is none.
    pub fn fill_disk(&self) -> Result<u64, Error> {
        self.disk.as_ref().ok_or_else(|| Error::new("fill the small disk", "there is none"))?.fill()
    }

    /// Makes room on it again.
    ///
    /// # Errors
    /// When there is none.
    pub fn free_disk(&self) -> Result<(), Error> {
        self.disk.as_ref().ok_or_else(|| Error::new("free the small disk", "there is none"))?.free()
    }

    /// Waits until `place` is gone by itself; says whether it is.
    pub fn wait_until_gone(&mut self, place: usize, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.nodes[place].is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        !self.nodes[place].is_running()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The brokers before the disk that one of them stands on.
        self.nodes.clear();
        self.disk = None;
    }
}

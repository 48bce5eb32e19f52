//! What the harness promises: a broker that answers, and that ends.

use kafka_harness::{Broker, Cluster, ClusterOptions, Options};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

fn is_running(pid: u32) -> bool {
    // A zombie has no command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[test]
fn a_broker_restarts_on_its_port_and_ends_when_dropped() {
    let mut broker = Broker::start(&Options::default()).expect("a broker");
    let (bootstrap, first) = (broker.bootstrap(), broker.pid().expect("its pid"));
    assert!(is_running(first) && TcpStream::connect(&bootstrap).is_ok());
    broker.kill();
    assert!(!is_running(first) && TcpStream::connect(&bootstrap).is_err());
    broker.restart().expect("again");
    let second = broker.pid().expect("its pid");
    assert!(bootstrap == broker.bootstrap() && is_running(second) && Path::new("/proc").exists());
    drop(broker);
    assert!(!is_running(second));
}

/// Guarantees that three nodes form one cluster, that it bears the loss of one, and that a full disk is full.
/// Fails when: a node does not find the others (each would know of fewer than three), or the disk is the machine's.
#[test]
fn three_nodes_know_each_other_one_comes_back_and_all_end_when_dropped() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = ClusterOptions { dir: dir.path().to_owned(), heap_mb: 384, small_disk: Some(256 << 20) };
    let mut told = Vec::new();
    let mut cluster = Cluster::start(&options, &mut |inner| {
        told.push(inner);
        inner.port()
    })
    .expect("three nodes");
    assert!(told.len() == 3 && told.iter().all(|inner| TcpStream::connect(inner).is_ok()));
    let pids: Vec<u32> = (0..3).map(|place| cluster.node(place).pid().expect("its pid")).collect();
    assert!(cluster.node(1).stop(Duration::from_secs(30)).expect("it is running"), "it goes when asked");
    cluster.start_again(1).expect("again");
    match cluster.small_disk() {
        Some(place) => {
            assert!(cluster.fill_disk().expect("it is filled") < 256 << 20);
            cluster.free_disk().expect("it is freed");
            assert_eq!(place, 2);
        }
        None => println!("mounting is not allowed here: no small disk"),
    }
    let second = cluster.node(1).pid().expect("its pid");
    drop(cluster);
    assert!(!is_running(pids[0]) && !is_running(second) && !is_running(pids[2]));
}

//! What the harness promises: a broker that answers, and that ends.

use kafka_harness::{Broker, Options};
use std::net::TcpStream;
use std::path::Path;

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

//! The end of a transaction that arrives late, at the writer itself: on a real broker behind a proxy that keeps it back.

use kafka_harness::{Broker, Options, free_ports};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tamis_bus::kafka::{Config, Kafka, topics};
use tamis_bus::{Bus as _, Fault, Ledger as _, OutRecord, OutTopic, Outgoing};
use tamis_chaos::proxy::{Faults, Harm, Proxy};

const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than the transactions after it would take, were there any.
const LATE: Duration = Duration::from_millis(800);
/// As often as librdkafka says the same of a connection before it keeps silent, and once more.
const ROUNDS: usize = 4;

/// One outcome.
fn outgoing() -> Outgoing {
    let record = OutRecord {
        topic: OutTopic::Outcomes,
        partition: 0,
        offset: 0,
        part: 0,
        key: 0..1,
        value: 0..1,
        traceparent: 0..0,
        tracestate: 0..0,
    };
    Outgoing { arena: vec![b'x'], records: vec![record], ..Outgoing::default() }
}

/// Guarantees G4 where a connection is lost while nothing but the end of a transaction is under way on it: whether the
/// end was answered by then or not, no transaction begins in that epoch, since the one that was lost may still arrive. So
/// too when the same had happened before the first transaction, of which librdkafka does not tell again.
/// And that nothing else is a doubt: a calm writer keeps its epoch.
/// Fails when: only what librdkafka logs as a warning counts as a doubt (round 0), or what it keeps silent about does not
/// (round 2).
#[test]
fn g4_no_transaction_begins_where_a_lost_end_may_still_arrive() {
    let [port] = free_ports().expect("a port");
    let faults = Arc::new(Faults::default());
    let proxy = Proxy::start((Ipv4Addr::LOCALHOST, port).into(), &faults).expect("a proxy");
    let advertised = format!("advertised.listeners=PLAINTEXT://127.0.0.1:{}\n", proxy.address().port());
    let options = Options { port: Some(port), tmpfs: true, properties: advertised, ..Options::default() };
    let broker = Broker::start(&options).expect("a broker");
    let mut config = Config::new(broker.bootstrap());
    config.topics.partitions = 1;
    topics::apply(&config, PATIENCE).expect("topics");
    let bus = Kafka::new(config).expect("a log");
    let (_jobs, mut ledger) = bus.join(0).expect("a member");
    ledger.replace(PATIENCE).expect("a writer");
    for _ in 0..20 {
        ledger.append(&outgoing()).expect("nothing is lost");
        ledger.commit(PATIENCE).expect("nothing is lost");
    }
    for round in 0..ROUNDS {
        ledger.replace(PATIENCE).expect("a writer");
        for _ in 0..round {
            proxy.cut_all();
            std::thread::sleep(Duration::from_millis(400));
        }
        faults.arm(Harm::LateAfterCut, LATE);
        ledger.append(&outgoing()).expect("nothing was lost so far");
        let committed = ledger.commit(PATIENCE);
        assert_eq!(faults.done(Harm::LateAfterCut), round as u64 + 1, "the end was kept back");
        assert!(matches!(committed, Ok(()) | Err(Fault::Replace(_))), "{committed:?}");
        let next = ledger.append(&outgoing());
        assert!(matches!(next, Err(Fault::Replace(_))), "round {round}: {next:?}");
    }
}

//! What is left of content on the embedded log, and in tamis, once it was read: nothing that any call shows, and once the
//! log was closed nothing in the raw file of the store.

use std::path::Path;
use std::process::{Command, Stdio};

use tamis_bus::embedded::{Config, Embedded};
use tamis_bus::{Bus, ContentTopic, Purger, Tail, TailTopic};
use tamis_campaign::Channel;
use tamis_tests::aviary::Aviary;
use tamis_tests::canary::{Found, Searcher, told};
use tamis_tests::process::{self, Service};
use tamis_tests::suite;

const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

fn open(data: &Path) -> std::sync::Arc<Embedded> {
    Embedded::open(data, Config { partitions: 2, ..Config::default() }).expect("nobody else has the store")
}

/// Reads a channel's deliveries as a command does, through the running service; what it printed.
fn read_deliveries(config: &Path, channel: Channel, group: &str) -> String {
    let read = Command::new(tamis_tests::tamis_bin())
        .args(["deliveries", "tail", "--from-beginning", "--idle-exit", "1s", "--reveal", "--json"])
        .args(["--channel", channel.as_str(), "--group", group, "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    String::from_utf8(read.stdout).expect("JSON is text")
}

/// Everything that a reader of any name is shown.
fn search_readable(bus: &Embedded, searcher: &Searcher) -> Vec<Found> {
    let deliveries = Channel::ALL.iter().map(|&channel| TailTopic::Deliveries(channel));
    let mut found = Vec::new();
    for topic in deliveries.chain([TailTopic::Outcomes, TailTopic::DeadLetters]) {
        let mut tail = bus.tail(topic, "canary-searcher", true).expect("it can be read");
        let mut each = |record: tamis_bus::TailRecord<'_>| {
            let place = format!("{topic:?}/{}/{}", record.partition, record.offset);
            found.extend(searcher.search(&place, record.value));
            found.extend(searcher.search(&place, record.key));
            found.extend(record.headers.iter().flat_map(|(_, value)| searcher.search(&place, value)));
        };
        while tail.poll(std::time::Duration::from_millis(100), 1_000, &mut each).expect("it can be read") > 0
        {
        }
    }
    found
}

/// Guarantees: after jobs, damaged records, opt-outs, a kill -9 in the middle, and gateways that read and committed, no
/// call of the log shows a canary, and none is in the store's file, logs at TRACE, metrics, health, settings or temporary
/// files.
/// Fails when: deliveries are not deleted at the last reader's commit; free pages are not overwritten when the log is
/// closed; a dead letter quotes its record; a record is logged.
#[test]
fn nothing_that_was_read_can_be_read_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let (data, tmp) = (dir.path().join("data"), dir.path().join("tmp"));
    std::fs::create_dir_all(&tmp).expect("a folder");
    let aviary = Aviary::new(20_261_126);
    let searcher = aviary.searcher();
    let store = data.join("bus.redb");
    {
        let bus = open(&data);
        let scheduler = bus.scheduler().expect("jobs can be sent");
        suite::send(&scheduler, &aviary.jobs("canary", 400));
        for damaged in aviary.damaged() {
            suite::send_bytes(&scheduler, "damaged", damaged);
        }
    }
    let before = searcher.search("the store", &std::fs::read(&store).expect("a file"));
    assert_eq!(before.len(), 10, "the search works:{}", told(&before));

    tamis_subject::Key::create_file(&dir.path().join("tamis.key")).expect("a key");
    let lines = format!("kind = \"embedded\"\ndata_dir = \"{}\"", data.display());
    let readers: Vec<_> = Channel::ALL.iter().map(|c| format!("{c} = [\"gateway-{c}\"]")).collect();
    let more = format!(
        "[router]\nworkers = 1\n[topics]\npartitions = 2\n[purge]\nreaders = {{ {} }}\n",
        readers.join(", ")
    );
    let (path, admin, api) = process::config(dir.path(), "one", &lines, &more);
    let environment = [("TAMIS_LOG", "trace"), ("TMPDIR", tmp.to_str().expect("a plain path"))];
    let start = || Service::start_with(&path, admin, api, &environment);
    let mut service = start();
    service.wait_ready();
    let body = format!(
        r#"{{"tenant":"acme","channel":"all","reason":"unsubscribed","addresses":{:?}}}"#,
        aviary.opting_out()
    );
    let answer = process::post(api, "/v1/suppressions", &body).expect("the API answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    service.kill();
    let mut service = start();
    service.wait_ready();

    let mut read = Vec::new();
    for &channel in Channel::ALL {
        let text = read_deliveries(&path, channel, &format!("gateway-{channel}"));
        read.extend(searcher.search(channel.as_str(), text.as_bytes()));
    }
    assert!(
        read.iter().any(|found| found.canary == "contact"),
        "gateways get what they must:{}",
        told(&read)
    );
    for &channel in Channel::ALL {
        let again = read_deliveries(&path, channel, "somebody-else");
        assert!(again.is_empty(), "{channel} is shown again: {} bytes", again.len());
    }
    let mut left = searcher.search_deleted_files(service.pid());
    for path in ["/metrics", "/readyz", "/livez"] {
        let text = process::get(admin, path).expect("the service answers");
        left.extend(searcher.search(path, text.as_bytes()));
    }
    assert!(service.stop().success(), "it drains");

    // The store's own file is among them.
    left.extend(searcher.search_folder(dir.path()));
    let bus = open(&data);
    left.extend(search_readable(&bus, &searcher));
    assert!(left.is_empty(), "{}", told(&left));
    let mut purger = bus.purger().expect("a purger");
    for topic in ContentTopic::ALL {
        let spans = purger.spans(topic, TIMEOUT).expect("the disk answers");
        assert!(spans.iter().all(|span| span.start == span.end), "{topic:?} {spans:?}");
    }
}

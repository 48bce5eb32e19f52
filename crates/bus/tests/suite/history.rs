//! What every log promises to who goes back in its outcomes (G7).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tamis_bus::{Bus, History, Ledger, OutRecord, OutTopic, Outgoing, Partition, Start};

use super::{PATIENCE, join, read_jobs, send_jobs};

/// From the first record on.
pub const ALL: Start = Start::Since(0);

/// Unix ms.
pub fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A transaction that writes `texts` as outcomes of `partition` and commits no offset.
pub fn outcomes(partition: Partition, texts: &[&str]) -> Outgoing {
    let mut outgoing = Outgoing { decided_at_ms: now_ms(), ..Outgoing::default() };
    for (offset, text) in (0..).zip(texts) {
        let from = outgoing.arena.len();
        outgoing.arena.extend_from_slice(text.as_bytes());
        let value = from..outgoing.arena.len();
        outgoing.records.push(OutRecord {
            topic: OutTopic::Outcomes,
            partition,
            offset,
            part: 0,
            key: value.clone(),
            value,
            traceparent: 0..0,
            tracestate: 0..0,
        });
    }
    outgoing
}

/// Reads until it is said that everything is there.
pub fn read_back<H: History>(
    history: &mut H,
    partitions: &[Partition],
    start: Start,
) -> Vec<(Partition, String)> {
    history.begin(partitions, start, PATIENCE).unwrap();
    rest(history)
}

/// Reads on until it is said that everything is there.
pub fn rest<H: History>(history: &mut H) -> Vec<(Partition, String)> {
    let deadline = Instant::now() + PATIENCE;
    let mut read = Vec::new();
    loop {
        assert!(Instant::now() < deadline, "never whole; {} records came", read.len());
        let done = history.poll(Duration::from_millis(200), &mut |partition, value| {
            read.push((partition, String::from_utf8(value.to_vec()).unwrap()));
        });
        if done.unwrap() {
            return read;
        }
    }
}

fn of(read: &[(Partition, String)], partition: Partition) -> Vec<&str> {
    read.iter().filter(|(of, _)| *of == partition).map(|(_, text)| text.as_str()).collect()
}

/// Guarantees: who goes back gets every committed record of the partitions asked for, in order, over what was aborted, and
/// nothing of the others; an empty log is whole at once. Fails when: another isolation is read, or the end of one partition
/// is taken for all.
pub fn going_back_shows_what_was_committed_in_its_order<B: Bus>(bus: &B) {
    let mut history = bus.history().unwrap();
    assert_eq!(read_back(&mut history, &[0, 1, 2, 3], ALL), []);
    send_jobs(bus, 0..1);
    let (jobs, mut ledger) = join(bus);
    read_jobs(&jobs, 1);
    for (partition, texts, committed) in [
        (1, &["a", "b"][..], true),
        (1, &["undone"], false),
        (2, &["c"], true),
        (1, &["d"], true),
        (3, &["undone"], false),
    ] {
        ledger.append(&outcomes(partition, texts)).unwrap();
        if committed {
            ledger.commit(PATIENCE).unwrap();
        } else if ledger.abort().is_err() {
            ledger.replace(PATIENCE).unwrap();
        }
    }
    let read = read_back(&mut history, &[1, 3], ALL);
    assert_eq!((of(&read, 1), read.len()), (vec!["a", "b", "d"], 3));
    let again = read_back(&mut history, &[0, 2, 3], ALL);
    assert_eq!((of(&again, 2), again.len()), (vec!["c"], 1), "it can go back again");
}

/// Guarantees: nothing older than what is asked for is read, and nothing younger is left out, to the record. Fails when: the
/// time asked for is not looked at.
pub fn going_back_begins_at_a_time<B: Bus>(bus: &B) {
    send_jobs(bus, 0..1);
    let (jobs, mut ledger) = join(bus);
    read_jobs(&jobs, 1);
    ledger.append(&outcomes(0, &["old"])).unwrap();
    ledger.commit(PATIENCE).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let since = now_ms();
    std::thread::sleep(Duration::from_millis(50));
    ledger.append(&outcomes(0, &["young"])).unwrap();
    ledger.commit(PATIENCE).unwrap();
    let mut history = bus.history().unwrap();
    assert_eq!(of(&read_back(&mut history, &[0], Start::Since(since)), 0), ["young"]);
    assert_eq!(read_back(&mut history, &[0], Start::Since(now_ms() + 60_000)), []);
}

/// Guarantees: so many offsets before the end are read and no more, whatever stands there, and all of a log that is shorter.
/// Fails when: the number is not looked at, or counts from the beginning.
pub fn going_back_begins_before_the_end<B: Bus>(bus: &B) {
    send_jobs(bus, 0..1);
    let (jobs, mut ledger) = join(bus);
    read_jobs(&jobs, 1);
    for text in ["a", "b", "c", "d", "e", "f"] {
        ledger.append(&outcomes(0, &[text])).unwrap();
        ledger.commit(PATIENCE).unwrap();
    }
    let mut history = bus.history().unwrap();
    let some = read_back(&mut history, &[0, 1], Start::Last(4));
    // On Kafka each transaction has a marker behind its record.
    assert!([&["c", "d", "e", "f"][..], &["e", "f"]].contains(&&*of(&some, 0)), "{some:?}");
    let all = read_back(&mut history, &[0, 1], Start::Last(1_000));
    assert_eq!(of(&all, 0), ["a", "b", "c", "d", "e", "f"]);
}

/// Guarantees: who has read everything back is handed what is committed afterwards, of every partition asked for, those included that had
/// nothing yet or nothing young enough; each record once, and nothing that was aborted.
/// Fails when: it stands only at the partitions that it found something in, or begins again.
pub fn going_back_goes_on_with_what_is_committed_later<B: Bus>(bus: &B) {
    send_jobs(bus, 0..1);
    let (jobs, mut ledger) = join(bus);
    read_jobs(&jobs, 1);
    let mut unborn = bus.history().unwrap();
    assert_eq!(read_back(&mut unborn, &[0, 1], ALL), []);
    ledger.append(&outcomes(0, &["old"])).unwrap();
    ledger.commit(PATIENCE).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let mut late = bus.history().unwrap();
    assert_eq!(read_back(&mut late, &[0, 1], Start::Since(now_ms() + 60_000)), []);
    for (partition, text, committed) in [(0, "a", true), (1, "undone", false), (1, "b", true), (2, "c", true)]
    {
        ledger.append(&outcomes(partition, &[text])).unwrap();
        if committed {
            ledger.commit(PATIENCE).unwrap();
        } else if ledger.abort().is_err() {
            ledger.replace(PATIENCE).unwrap();
        }
    }
    for (mut history, first) in [(unborn, vec!["old", "a"]), (late, vec!["a"])] {
        let deadline = Instant::now() + PATIENCE;
        let mut read = Vec::new();
        // Some more turns, to see that nothing comes twice.
        let mut quiet = 0;
        while quiet < 5 {
            assert!(Instant::now() < deadline, "{read:?}");
            let before = read.len();
            let followed = history.follow(Duration::from_millis(100), &mut |partition, value| {
                read.push((partition, String::from_utf8(value.to_vec()).unwrap()));
            });
            followed.unwrap();
            quiet = if read.len() == before && read.len() > first.len() { quiet + 1 } else { 0 };
        }
        assert_eq!((of(&read, 0), of(&read, 1), read.len()), (first.clone(), vec!["b"], first.len() + 1));
    }
}

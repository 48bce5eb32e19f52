//! Redis over loopback, in a pipeline: eight questions of a thousand members at once.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::measure::{SAMPLE, fastest, number, print_row, sample};

const MEMBERS: usize = 1_000;
const PIPELINED: usize = 8;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `command key member…` in Redis's protocol.
fn put(out: &mut Vec<u8>, command: &str, members: &[u128]) {
    let _ = write!(out, "*{}\r\n${}\r\n{command}\r\n$1\r\ns\r\n", members.len() + 2, command.len());
    for member in members {
        out.extend_from_slice(b"$16\r\n");
        out.extend_from_slice(&member.to_le_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// A line of an answer that starts with `kind`, as a number.
fn line(from: &mut impl std::io::BufRead, kind: char) -> usize {
    let mut text = String::new();
    from.read_line(&mut text).expect("an answer");
    text.strip_prefix(kind).and_then(|t| t.trim().parse().ok()).expect("an answer of that kind")
}

fn look(stream: &mut BufReader<TcpStream>, members: &[u128]) -> usize {
    let (mut found, mut out) = (0, Vec::new());
    for pipelined in members.chunks(MEMBERS * PIPELINED) {
        out.clear();
        pipelined.chunks(MEMBERS).for_each(|members| put(&mut out, "SMISMEMBER", members));
        stream.get_mut().write_all(&out).expect("written");
        for asked in pipelined.chunks(MEMBERS) {
            assert_eq!(line(stream, '*'), asked.len());
            let mut answers = [0; MEMBERS * 4];
            let answers = &mut answers[..asked.len() * 4];
            stream.read_exact(answers).expect("answers");
            found += answers.chunks(4).filter(|answer| answer[1] == b'1').count();
        }
    }
    found
}

pub(crate) fn redis(entries: u64) {
    const NAME: &str = "redis SMISMEMBER, pipelined";
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    let Ok(child) = command.stdout(Stdio::null()).spawn() else {
        println!(
            "| {NAME} | {} M | skipped: there is no redis-server here (Debian: redis-server) |",
            entries / 1_000_000
        );
        return;
    };
    let _server = Server(child);
    let until = Instant::now() + Duration::from_secs(10);
    let stream = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < until, "redis-server does not answer: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    stream.set_nodelay(true).expect("a socket");
    let mut stream = BufReader::new(stream);
    let begun = Instant::now();
    let all: Vec<u64> = (0..entries).collect();
    let mut out = Vec::new();
    for numbers in all.chunks(MEMBERS) {
        out.clear();
        put(&mut out, "SADD", &numbers.iter().map(|n| number(*n)).collect::<Vec<_>>());
        stream.get_mut().write_all(&out).expect("written");
        line(&mut stream, ':');
    }
    let seconds = begun.elapsed().as_secs_f64();
    stream.get_mut().write_all(b"MEMORY USAGE s SAMPLES 0\r\n").expect("written");
    let bytes = line(&mut stream, ':');
    let (present, absent) = (sample(entries, true, number), sample(entries, false, number));
    let ns =
        [fastest(&absent, 0, |s| look(&mut stream, s)), fastest(&present, SAMPLE, |s| look(&mut stream, s))];
    let wrong = look(&mut stream, &absent);
    print_row(NAME, entries, &ns, bytes as u64, seconds, (wrong, SAMPLE as u64));
}

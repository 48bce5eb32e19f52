//! Each harm is seen to bite, with a broker that writes down what reaches it.

use super::faults::Fate;
use super::offsets::tests as offsets;
use super::{Faults, Harm, Proxy};
use crate::frame;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

/// Answers every request, and tells of it.
fn broker() -> (std::net::SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, tell) = (stream.unwrap(), tell.clone());
            std::thread::spawn(move || {
                while let Ok(request) = frame::read(&mut stream) {
                    let correlation = frame::head(&request).unwrap().correlation.to_be_bytes();
                    tell.send(request).unwrap();
                    let mut answer = vec![0, 0, 0, 10];
                    answer.extend(correlation);
                    answer.extend([0, 0, 0, 0, 0, 47]);
                    stream.write_all(&answer).unwrap();
                }
            });
        }
    });
    (address, told)
}

fn request(api: i16, correlation: i32) -> Vec<u8> {
    let mut body = api.to_be_bytes().to_vec();
    body.extend(1i16.to_be_bytes());
    body.extend(correlation.to_be_bytes());
    body.extend([0, 1, b'c', 0, 1, b't', 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1]);
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.append(&mut body);
    frame
}

struct Scene {
    faults: Arc<Faults>,
    proxy: Proxy,
    client: TcpStream,
    arrived: mpsc::Receiver<Vec<u8>>,
}

fn scene() -> Scene {
    let (address, arrived) = broker();
    let faults = Arc::new(Faults::default());
    let proxy = Proxy::start(address, &faults).unwrap();
    let client = TcpStream::connect(proxy.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    Scene { faults, proxy, client, arrived }
}

impl Scene {
    fn ask(&mut self, api: i16, correlation: i32) -> std::io::Result<i32> {
        self.client.write_all(&request(api, correlation))?;
        Ok(frame::correlation(&frame::read(&mut self.client)?).unwrap())
    }
}

/// Guarantees that what no harm is meant for passes byte for byte.
#[test]
fn a_request_and_its_answer_pass_unchanged() {
    let mut scene = scene();
    scene.faults.arm(Harm::DropEndTxnAnswer, Duration::ZERO);
    assert_eq!(scene.ask(3, 7).unwrap(), 7);
    assert_eq!(scene.arrived.recv_timeout(PATIENCE).unwrap(), request(3, 7));
    assert_eq!(scene.faults.disarm(), 1);
}

/// Guarantees that the broker has carried it out and the client never hears of it.
/// Fails when: the request is dropped instead of its answer, or the answer passes.
#[test]
fn a_dropped_answer_is_to_a_request_that_was_carried_out() {
    let mut scene = scene();
    scene.faults.arm(Harm::DropEndTxnAnswer, Duration::ZERO);
    assert!(scene.ask(frame::END_TXN, 8).is_err(), "no answer, and the connection is lost");
    assert_eq!(scene.arrived.recv_timeout(PATIENCE).unwrap(), request(frame::END_TXN, 8));
    assert_eq!(scene.faults.done(Harm::DropEndTxnAnswer), 1);
}

/// Guarantees that a late request arrives after the client has gone on.
/// Fails when: it is passed at once, or never.
#[test]
fn a_request_that_is_kept_back_arrives_later_on_another_connection() {
    let mut scene = scene();
    scene.faults.arm(Harm::LateAfterCut, Duration::from_millis(300));
    assert!(scene.ask(frame::END_TXN, 9).is_err(), "its connection is lost");
    assert!(scene.arrived.try_recv().is_err(), "and it has not arrived");
    scene.client = TcpStream::connect(scene.proxy.address()).unwrap();
    assert_eq!(scene.ask(frame::END_TXN, 10).unwrap(), 10);
    assert_eq!(scene.arrived.recv_timeout(PATIENCE).unwrap(), request(frame::END_TXN, 10));
    assert_eq!(scene.arrived.recv_timeout(PATIENCE).unwrap(), request(frame::END_TXN, 9));
    let told = || scene.faults.late_errors() == [47];
    tamis_tests::suite::wait("its answer is read", told);
}

/// Guarantees that a doubled request arrives twice, and is answered once.
#[test]
fn a_doubled_request_arrives_twice_and_is_answered_once() {
    let mut scene = scene();
    scene.faults.arm(Harm::Duplicate, Duration::ZERO);
    assert_eq!(scene.ask(frame::END_TXN, 11).unwrap(), 11);
    assert_eq!(scene.ask(3, 12).unwrap(), 12, "the second answer is not taken for this one's");
    let arrived: Vec<_> = (0..3).map(|_| scene.arrived.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(arrived[0] == arrived[1] && arrived[1] != arrived[2]);
}

/// Guarantees that a worker's answer is changed and a purge's is not, and that one without any offset leaves it to the next.
/// Fails when: the answer to another request is, or what is armed is used up by an answer that was not changed.
#[test]
fn offsets_that_a_worker_asks_for_are_made_older_once() {
    let faults = Faults::default();
    faults.arm(Harm::StaleOffsets, Duration::ZERO);
    let (none, some) = (offsets::answer(&[]), offsets::answer(&[(offsets::TOPIC, &[(0, 500, 0)])]));
    let answered = |mut answer: Vec<u8>| {
        faults.age(9, &mut answer);
        answer
    };
    assert_eq!((answered(none.clone()), faults.done(Harm::StaleOffsets)), (none, 0));
    let older = offsets::answer(&[(offsets::TOPIC, &[(0, 499, 0)])]);
    assert_eq!((answered(some.clone()), faults.done(Harm::StaleOffsets)), (older, 1));
    assert_eq!(answered(some.clone()), some, "it was armed once");
    let fate = |stable| {
        let frame = [&request(frame::OFFSET_FETCH, 16)[..], &[stable, 0]].concat();
        faults.fate(frame::Head { api: frame::OFFSET_FETCH, version: 9, correlation: 16 }, &frame)
    };
    assert_eq!((fate(1), fate(0)), (Fate::AgeAnswer, Fate::Pass));
}

/// Guarantees that nothing passes a black hole, and that what waited passes after it.
#[test]
fn a_black_hole_lets_nothing_pass_until_it_ends() {
    let mut scene = scene();
    assert_eq!(scene.ask(3, 13).unwrap(), 13);
    scene.proxy.set_blackhole(true);
    scene.client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(scene.ask(3, 14).is_err());
    scene.client.set_read_timeout(Some(PATIENCE)).unwrap();
    scene.proxy.set_blackhole(false);
    assert_eq!(frame::correlation(&frame::read(&mut scene.client).unwrap()), Some(14));
    assert_eq!(scene.proxy.cut_all(), 1);
    assert!(scene.ask(3, 15).is_err(), "cut");
}

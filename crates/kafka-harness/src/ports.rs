//! Ports for servers that are told their port before they start.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Below are well-known servers.
const LOWEST: u16 = 10_000;
/// How many ports are tried.
const TRIES: u32 = 1_000;

/// Ports of 127.0.0.1 that are free now and outside of what the system hands out by itself: a connection that
/// somebody opens before the server starts, the server's own attempts to reach its peers first of all, cannot sit
/// on one of them.
///
/// # Errors
/// When there are none.
pub fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let below = handed_out_from()?;
    let random = RandomState::new();
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for (port, number) in ports.iter_mut().zip(0u32..) {
        // Held until all are found, so that none is found twice.
        let (found, listener) = (0..TRIES)
            .map(|nth| LOWEST + (random.hash_one((number, nth)) % u64::from(below - LOWEST)) as u16)
            .find_map(|port| Some((port, TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?)))
            .ok_or_else(|| io::Error::other(format!("no free port from {LOWEST} to {below}")))?;
        *port = found;
        held.push(listener);
    }
    Ok(ports)
}

/// The first port that the system gives to whoever asks for any.
fn handed_out_from() -> io::Result<u16> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let first = range.split_whitespace().next().and_then(|word| word.parse().ok());
    first
        .filter(|first| *first > LOWEST)
        .ok_or_else(|| io::Error::other(format!("the system hands out all ports above {LOWEST}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::TcpStream;

    /// Guarantees: ports are distinct, free, and never one that an outgoing connection is given, which kept a node
    /// of a cluster from starting.
    /// Fails when: they are asked of the system (port 0).
    #[test]
    fn ports_are_none_that_a_connection_could_have() {
        let first = handed_out_from().unwrap();
        let ports: BTreeSet<u16> = free_ports::<20>().unwrap().into_iter().collect();
        assert_eq!(ports.len(), 20);
        assert!(ports.iter().all(|port| (LOWEST..first).contains(port)), "{ports:?}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, *ports.first().unwrap())).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap().local_addr().unwrap();
        assert!(near.port() >= first);
    }
}

//! Finds who leads a partition and who coordinates a group or a transaction, by asking in Kafka's own words.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::frame;

const LIMIT: Duration = Duration::from_secs(3);
const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;
/// The first version that has all that is asked here; without tagged fields.
const VERSION: i16 = 1;

/// What a coordinator coordinates.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Of {
    Group,
    Transaction,
}

/// A partition, as its cluster has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) leader: i32,
    pub(crate) replicas: usize,
    pub(crate) in_sync: usize,
}

/// The id of the broker that coordinates `name`.
pub(crate) fn coordinator(broker: SocketAddr, of: Of, name: &str) -> io::Result<i32> {
    let mut body = string(name);
    body.push(match of {
        Of::Group => 0,
        Of::Transaction => 1,
    });
    let answer = ask(broker, FIND_COORDINATOR, &body)?;
    let mut rest = Reader(&answer);
    rest.int()?;
    let error = rest.short()?;
    rest.text()?;
    if error == 0 { rest.int() } else { Err(io::Error::other(format!("error {error}"))) }
}

/// Every partition of these topics; an error when one of them is not whole.
pub(crate) fn partitions(broker: SocketAddr, topics: &[String]) -> io::Result<Vec<Partition>> {
    let mut body = length(topics.len());
    topics.iter().for_each(|topic| body.append(&mut string(topic)));
    read_metadata(&ask(broker, METADATA, &body)?)
}

fn read_metadata(answer: &[u8]) -> io::Result<Vec<Partition>> {
    let mut rest = Reader(answer);
    for _ in 0..rest.int()? {
        // Id, host, port, rack.
        rest.int()?;
        rest.text()?;
        rest.int()?;
        rest.text()?;
    }
    rest.int()?;
    let mut found = Vec::new();
    for _ in 0..rest.int()? {
        let error = rest.short()?;
        if error != 0 {
            return Err(io::Error::other(format!("error {error}")));
        }
        rest.text()?;
        rest.take(1)?;
        for _ in 0..rest.int()? {
            rest.short()?;
            rest.int()?;
            let leader = rest.int()?;
            let replicas = rest.ids()?;
            found.push(Partition { leader, replicas, in_sync: rest.ids()? });
        }
    }
    Ok(found)
}

fn ask(broker: SocketAddr, api: i16, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&broker, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut request = api.to_be_bytes().to_vec();
    request.extend(VERSION.to_be_bytes());
    request.extend(1i32.to_be_bytes());
    request.append(&mut string("tamis-chaos"));
    request.extend(body);
    let mut framed = length(request.len());
    framed.append(&mut request);
    stream.write_all(&framed)?;
    // Length and correlation id are behind us.
    Ok(frame::read(&mut stream)?.split_off(8))
}

fn length(length: usize) -> Vec<u8> {
    i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes().to_vec()
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = i16::try_from(text.len()).unwrap_or(i16::MAX).to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, count: usize) -> io::Result<&[u8]> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        self.0 = rest;
        Ok(taken)
    }

    fn short(&mut self) -> io::Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into().expect("two bytes were taken")))
    }

    fn int(&mut self) -> io::Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into().expect("four bytes were taken")))
    }

    /// A string, which may be null; passed over.
    fn text(&mut self) -> io::Result<()> {
        let length = self.short()?;
        self.take(usize::try_from(length).unwrap_or(0)).map(drop)
    }

    /// How many ids there are in a list of them.
    fn ids(&mut self) -> io::Result<usize> {
        let count = usize::try_from(self.int()?).unwrap_or(0);
        self.take(4 * count).map(|_| count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when: a field of the answer is passed over or read twice.
    #[test]
    fn leaders_and_replicas_are_read_from_an_answer() {
        let int = |n: i32| n.to_be_bytes().to_vec();
        let mut answer = [int(1), int(2), string("localhost"), int(9092), vec![0xff, 0xff], int(2)].concat();
        answer
            .extend([int(1), vec![0, 0], string("t"), vec![0], int(1), vec![0, 0], int(0), int(2)].concat());
        answer.extend([int(3), int(1), int(2), int(3), int(2), int(1), int(2)].concat());
        let expected = Partition { leader: 2, replicas: 3, in_sync: 2 };
        assert_eq!(read_metadata(&answer).unwrap(), [expected]);
        assert!(read_metadata(&answer[..answer.len() - 1]).is_err(), "cut short");
    }
}

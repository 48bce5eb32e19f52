//! The committed offsets in the answer to an `OffsetFetch`, and how they are made older where they stand.

use std::ops::RangeInclusive;

/// The versions whose layout is known here: tagged fields, and an array of groups. librdkafka asks in the last of them.
const VERSIONS: RangeInclusive<i16> = 8..=9;

/// Makes every offset committed for `topic` older by `records`, never below 0. Says whether any was changed: an answer that
/// is not understood to its end is left as it is.
pub(super) fn age(version: i16, answer: &mut [u8], topic: &str, records: i64) -> bool {
    if !VERSIONS.contains(&version) {
        return false;
    }
    let found = committed(answer, topic).unwrap_or_default();
    for (at, offset) in &found {
        answer[*at..*at + 8].copy_from_slice(&(offset - records).max(0).to_be_bytes());
    }
    !found.is_empty()
}

/// Where the offsets of `topic` stand that can be made older, and which they are; `None` when it is no such answer.
fn committed(answer: &[u8], topic: &str) -> Option<Vec<(usize, i64)>> {
    let mut rest = Reader { bytes: answer, at: 0 };
    let mut found = Vec::new();
    // Length, correlation id; the header's tagged fields; how long it was throttled.
    rest.take(8)?;
    rest.tags()?;
    rest.take(4)?;
    for _ in 0..rest.count()? {
        rest.text()?;
        for _ in 0..rest.count()? {
            let is_it = rest.text()? == topic.as_bytes();
            for _ in 0..rest.count()? {
                rest.take(4)?;
                let at = rest.at;
                let offset = i64::from_be_bytes(rest.take(8)?.try_into().ok()?);
                // The leader's epoch, and what the committer noted.
                rest.take(4)?;
                rest.text()?;
                let error = rest.take(2)?;
                rest.tags()?;
                if is_it && error == [0, 0] && offset > 0 {
                    found.push((at, offset));
                }
            }
            rest.tags()?;
        }
        // The group's error.
        rest.take(2)?;
        rest.tags()?;
    }
    rest.tags()?;
    (rest.at == answer.len()).then_some(found)
}

/// Reads Kafka's compact types, and knows where it stands.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// How many follow: written as one more, so that 0 is null.
    fn count(&mut self) -> Option<usize> {
        Some(self.varint()?.saturating_sub(1))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.count()?;
        self.take(length)
    }

    /// Tagged fields, passed over.
    fn tags(&mut self) -> Option<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.take(length)?;
        }
        Some(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const TOPIC: &str = "chaos.send-jobs.v1";

    /// A partition's number, its offset, and its error.
    type Partition = (i32, i64, i16);

    fn text(text: &str) -> Vec<u8> {
        let mut bytes = vec![u8::try_from(text.len() + 1).unwrap()];
        bytes.extend(text.as_bytes());
        bytes
    }

    /// An answer to correlation id 7 as a broker lays it out, with a tagged field wherever there may be one.
    pub(crate) fn answer(topics: &[(&str, &[Partition])]) -> Vec<u8> {
        let tags = [1, 5, 2, 0xaa, 0xbb];
        let count = |length: usize| u8::try_from(length + 1).unwrap();
        let mut body = 7i32.to_be_bytes().to_vec();
        body.extend(tags);
        body.extend(0i32.to_be_bytes());
        body.push(count(1));
        body.extend(text("chaos"));
        body.push(count(topics.len()));
        for (topic, partitions) in topics {
            body.extend(text(topic));
            body.push(count(partitions.len()));
            for (number, offset, error) in *partitions {
                body.extend(number.to_be_bytes());
                body.extend(offset.to_be_bytes());
                body.extend((-1i32).to_be_bytes());
                // Null for one of them, empty for the other.
                body.push(u8::from(*number == 0));
                body.extend(error.to_be_bytes());
                body.extend(tags);
            }
            body.extend(tags);
        }
        body.extend([0, 0]);
        body.extend(tags);
        body.extend(tags);
        [u32::try_from(body.len()).unwrap().to_be_bytes().to_vec(), body].concat()
    }

    /// Fails when: a field is passed over or read twice, or another byte than an offset's is written.
    #[test]
    fn offsets_of_the_topic_are_made_older_and_nothing_else() {
        let mut told = answer(&[("other", &[(0, 9, 0)]), (TOPIC, &[(0, 500, 0), (5, 70_000, 0)])]);
        assert!(age(9, &mut told, TOPIC, 3));
        assert_eq!(told, answer(&[("other", &[(0, 9, 0)]), (TOPIC, &[(0, 497, 0), (5, 69_997, 0)])]));
    }

    /// Fails when: "none committed" (-1) or an error's offset is taken for an offset, or one goes below 0.
    #[test]
    fn only_what_is_committed_is_made_older_and_not_below_zero() {
        let mut told = answer(&[(TOPIC, &[(0, -1, 0), (1, 2, 0), (2, 8, 88), (3, 0, 0)])]);
        assert!(age(8, &mut told, TOPIC, 3));
        assert_eq!(told, answer(&[(TOPIC, &[(0, -1, 0), (1, 0, 0), (2, 8, 88), (3, 0, 0)])]));
        assert!(!age(8, &mut told, TOPIC, 3), "there is nothing left that can be older");
    }

    /// Fails when: offsets are written before all of the answer is understood.
    #[test]
    fn what_is_not_understood_is_left_as_it_is() {
        let whole = answer(&[(TOPIC, &[(0, 500, 0)])]);
        let unharmed = |version, mut bytes: Vec<u8>| {
            let before = bytes.clone();
            !age(version, &mut bytes, TOPIC, 3) && bytes == before
        };
        assert!((0..whole.len()).all(|length| unharmed(9, whole[..length].to_vec())), "cut short");
        assert!(unharmed(9, [&whole[..], &[0]].concat()), "something behind it");
        assert!([0, 7, 10].into_iter().all(|version| unharmed(version, whole.clone())), "another layout");
        let endless = [&whole[..13], &[0xff; 40]].concat();
        assert!(unharmed(9, endless), "more of something than there can be");
    }
}

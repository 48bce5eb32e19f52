//! The purge's control: what may be deleted, what is still there, who stands still. No I/O and no clock.
//!
//! Inputs go in, calls come out, as in [`crate::control`]. Nothing is remembered that a deletion rests on: every round
//! asks the log what each reader has committed and where each partition starts, and deletes the difference. So a start
//! that went back, as it may when a broker was killed, is purged again by itself; so is what a deletion that failed
//! left over; and several processes may do the same work without knowing of each other.
//!
//! What it keeps: nothing is deleted that a group that must read it has not committed past, by an offset read back from
//! the log. A group that has committed nothing in a partition holds that partition; one whose commit is beyond the
//! log's end does, too, since such a log was cut or made anew and the offset speaks of another one.

use tamis_bus::{ContentTopic, First, Partition, Span};
use tamis_campaign::UnixMs;

use crate::control::Millis;

mod partition;

use partition::{Found, Part};

/// Times the purge goes by.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Between two rounds.
    pub round_ms: Millis,
    /// Between two looks at a topic's oldest records.
    pub look_ms: Millis,
    /// How long a reader may leave a record unread before it counts as standing still.
    pub still_ms: Millis,
    /// Content older than this is too old (`router.content_max_age`).
    pub content_max_age_ms: Millis,
}

/// Two clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Only goes forward; what waiting is measured by.
    pub now: Millis,
    /// The wall's; what ages are told by.
    pub unix_ms: UnixMs,
}

/// A topic, and how many groups must have read it. Without any nothing of it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duty {
    /// The topic.
    pub topic: ContentTopic,
    /// How many; they are called by their place from 0.
    pub readers: usize,
}

/// What the log says of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What each reader has committed in each partition. Asked before `spans`, so that no good commit is beyond an end.
    pub committed: Vec<Vec<Option<i64>>>,
    /// What can be read of each partition.
    pub spans: Vec<Span>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Time passed.
    Tick,
    /// The answer to `Ask`; `None` when it could not be had.
    Seen(Option<Seen>),
    /// The answer to `Delete`: whether all of it is gone.
    Deleted(bool),
    /// The answer to `Look`; partitions that did not answer are not in it.
    Looked(Vec<(Partition, Option<First>)>),
}

/// What is to be done. The last of several is `Ask`, `Delete`, `Look` or `Wait`; its answer, or `Tick`, comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Ask what the topic's readers have committed, then what can be read. Answer: `Seen`.
    Ask(ContentTopic),
    /// Delete what is before these offsets. Answer: `Deleted`.
    Delete {
        /// The topic.
        topic: ContentTopic,
        /// By partition.
        up_to: Vec<(Partition, i64)>,
    },
    /// Look at the first record from these offsets on. Answer: `Looked`.
    Look {
        /// The topic.
        topic: ContentTopic,
        /// By partition.
        from: Vec<(Partition, i64)>,
    },
    /// Tell the age of the oldest content that is still there; an upper bound between two looks.
    Residence {
        /// The topic.
        topic: ContentTopic,
        /// 0 when nothing is there.
        age_ms: Millis,
    },
    /// Tell how many offsets the slowest reader has before it. Told of topics with readers.
    Lag {
        /// The topic.
        topic: ContentTopic,
        /// Over all partitions.
        records: u64,
    },
    /// Tell that a reader stands still, or no longer.
    Still {
        /// The topic.
        topic: ContentTopic,
        /// Its place among the topic's readers.
        reader: usize,
        /// Whether it does.
        still: bool,
    },
    /// Tell that some content is older than it may be, or no longer.
    Overdue(bool),
    /// Nothing is to be done for so long.
    Wait(Millis),
}

/// Where the round is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Resting { until: Millis },
    Asking,
    Deleting,
    Looking,
}

/// What is known of one topic.
#[derive(Debug)]
struct Topic {
    duty: Duty,
    seen: Option<Seen>,
    parts: Vec<Part>,
    look_at: Millis,
    still: Vec<bool>,
    age_ms: Millis,
}

/// The control of the purge.
#[derive(Debug)]
pub struct Control {
    limits: Limits,
    topics: Vec<Topic>,
    /// The topic that the round has come to.
    at: usize,
    step: Step,
    overdue: bool,
}

impl Control {
    /// A purge that has asked nothing yet.
    #[must_use]
    pub fn new(limits: Limits, duties: &[Duty]) -> Self {
        let topic = |duty: &Duty| Topic {
            duty: *duty,
            seen: None,
            parts: Vec::new(),
            look_at: 0,
            still: vec![false; duty.readers],
            age_ms: 0,
        };
        let topics = duties.iter().map(topic).collect();
        Self { limits, topics, at: 0, step: Step::Resting { until: 0 }, overdue: false }
    }

    /// Takes an input and says what to do.
    pub fn on(&mut self, moment: Moment, input: Input) -> Vec<Call> {
        let mut calls = Vec::new();
        match (self.step, input) {
            (Step::Resting { until }, Input::Tick) if moment.now >= until => {
                self.begin(0, moment, &mut calls)
            }
            (Step::Resting { until }, _) => calls.push(Call::Wait(until.saturating_sub(moment.now))),
            (Step::Asking, Input::Seen(Some(seen))) => {
                let topic = &mut self.topics[self.at];
                topic.see(seen, moment);
                let up_to = topic.to_delete();
                if up_to.is_empty() {
                    self.look(moment, &mut calls);
                } else {
                    self.step = Step::Deleting;
                    calls.push(Call::Delete { topic: topic.duty.topic, up_to });
                }
            }
            // What cannot be asked is not deleted, and what was known of it only grows older.
            (Step::Asking, Input::Seen(None)) => self.tell(moment, &mut calls),
            (Step::Deleting, Input::Deleted(done)) => {
                if done {
                    self.topics[self.at].deleted(moment);
                }
                self.look(moment, &mut calls);
            }
            (Step::Looking, Input::Looked(found)) => {
                self.topics[self.at].looked(&found, moment);
                self.tell(moment, &mut calls);
            }
            // Time passed while an answer is awaited, or an answer to nothing that was asked.
            (Step::Asking | Step::Deleting | Step::Looking, _) => {
                calls.push(Call::Wait(self.limits.round_ms))
            }
        }
        calls
    }

    /// Comes to topic `at`, or to the end of the round.
    fn begin(&mut self, at: usize, moment: Moment, calls: &mut Vec<Call>) {
        self.at = at;
        if let Some(topic) = self.topics.get(at) {
            self.step = Step::Asking;
            calls.push(Call::Ask(topic.duty.topic));
            return;
        }
        let oldest = self.topics.iter().map(|topic| topic.age_ms).max().unwrap_or(0);
        let overdue = oldest > self.limits.content_max_age_ms;
        if overdue != self.overdue {
            self.overdue = overdue;
            calls.push(Call::Overdue(overdue));
        }
        self.step = Step::Resting { until: moment.now + self.limits.round_ms };
        calls.push(Call::Wait(self.limits.round_ms));
    }

    fn look(&mut self, moment: Moment, calls: &mut Vec<Call>) {
        let topic = &mut self.topics[self.at];
        let from = topic.to_look_at();
        if from.is_empty() || moment.now < topic.look_at {
            self.tell(moment, calls);
            return;
        }
        topic.look_at = moment.now + self.limits.look_ms;
        self.step = Step::Looking;
        calls.push(Call::Look { topic: topic.duty.topic, from });
    }

    /// Tells what is known of the topic, and goes on to the next.
    fn tell(&mut self, moment: Moment, calls: &mut Vec<Call>) {
        let topic = &mut self.topics[self.at];
        let name = topic.duty.topic;
        topic.age_ms = topic.parts.iter().map(|part| part.age_ms(moment)).max().unwrap_or(0);
        calls.push(Call::Residence { topic: name, age_ms: topic.age_ms });
        if topic.duty.readers > 0 {
            calls.push(Call::Lag { topic: name, records: topic.lag() });
        }
        for reader in 0..topic.duty.readers {
            let still = topic.stands_still(reader, moment, self.limits.still_ms);
            if still != topic.still[reader] {
                topic.still[reader] = still;
                calls.push(Call::Still { topic: name, reader, still });
            }
        }
        self.begin(self.at + 1, moment, calls);
    }
}

impl Topic {
    fn see(&mut self, seen: Seen, moment: Moment) {
        self.parts.resize_with(seen.spans.len(), Part::default);
        for (part, span) in self.parts.iter_mut().zip(&seen.spans) {
            part.see(*span, moment);
        }
        self.seen = Some(seen);
    }

    /// The lowest offset that every reader has committed in `partition`; `None` when one of them holds it.
    fn low(&self, partition: usize) -> Option<i64> {
        let seen = self.seen.as_ref()?;
        let end = seen.spans.get(partition)?.end;
        if seen.committed.len() != self.duty.readers {
            return None;
        }
        let of = |committed: &Vec<Option<i64>>| committed.get(partition).copied().flatten();
        let lows = seen.committed.iter().map(|committed| of(committed).filter(|offset| *offset <= end));
        lows.min().flatten()
    }

    fn to_delete(&self) -> Vec<(Partition, i64)> {
        let spans = self.seen.iter().flat_map(|seen| &seen.spans);
        (0..)
            .zip(spans.enumerate())
            .filter_map(|(number, (partition, span))| {
                let low = self.low(partition)?;
                (low > span.start).then_some((number, low))
            })
            .collect()
    }

    /// What was to be deleted is gone: the partitions start later now.
    fn deleted(&mut self, moment: Moment) {
        let gone = self.to_delete();
        let Some(seen) = &mut self.seen else { return };
        for (partition, low) in gone {
            let at = usize::try_from(partition).unwrap_or(usize::MAX);
            if let (Some(span), Some(part)) = (seen.spans.get_mut(at), self.parts.get_mut(at)) {
                span.start = low;
                part.see(*span, moment);
            }
        }
    }

    fn to_look_at(&self) -> Vec<(Partition, i64)> {
        let numbered = (0..).zip(&self.parts);
        numbered.filter_map(|(number, part)| Some((number, part.wants_look()?))).collect()
    }

    fn looked(&mut self, found: &[(Partition, Option<First>)], moment: Moment) {
        for (partition, first) in found {
            if let Some(part) = usize::try_from(*partition).ok().and_then(|at| self.parts.get_mut(at)) {
                part.looked(*first, moment);
            }
        }
    }

    fn lag(&self) -> u64 {
        let spans = self.seen.iter().flat_map(|seen| &seen.spans);
        let behind = |(partition, span): (usize, &Span)| {
            let from = self.low(partition).unwrap_or(span.start).max(span.start);
            span.end.saturating_sub(from).max(0).unsigned_abs()
        };
        spans.enumerate().map(behind).sum()
    }

    /// Whether `reader` has left the first record of a partition unread for too long.
    fn stands_still(&self, reader: usize, moment: Moment, still_ms: Millis) -> bool {
        let Some(seen) = &self.seen else { return false };
        let Some(committed) = seen.committed.get(reader) else { return false };
        self.parts.iter().zip(&seen.spans).enumerate().any(|(partition, (part, span))| {
            let Found::Record { offset, since, .. } = part.found else { return false };
            let at = committed.get(partition).copied().flatten();
            let unread = at.is_none_or(|at| at <= offset || at > span.end);
            unread && moment.now >= since.saturating_add(still_ms)
        })
    }
}

#[cfg(test)]
mod tests;

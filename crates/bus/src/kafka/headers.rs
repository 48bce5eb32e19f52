//! Record headers: the CloudEvents Kafka binding in binary mode (contract, sections 1 and 9).

use crate::{OutRecord, OutTopic, Outgoing};
use rdkafka::message::{Header, OwnedHeaders};
use std::fmt::Write;

/// The values that change from record to record share these buffers.
#[derive(Debug)]
pub(super) struct Stationery {
    /// The topic that the results come from.
    topic: String,
    source: String,
    time: String,
    id: String,
}

impl Stationery {
    pub(super) fn new(topic: &str, group: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            source: format!("/tamis/{group}"),
            time: String::new(),
            id: String::new(),
        }
    }

    /// Sets `ce_time` for the records to come.
    pub(super) fn date(&mut self, unix_ms: i64) {
        self.time = rfc3339(unix_ms);
    }

    /// The headers of one record. `ce_id` names the source, so that a repeat of a delivery has the same id.
    pub(super) fn headers(&mut self, record: &OutRecord, outgoing: &Outgoing) -> OwnedHeaders {
        self.id.clear();
        let Self { topic, id, .. } = self;
        let (partition, offset) = (record.partition, record.offset);
        let written = match record.part {
            0 => write!(id, "{topic}/{partition}/{offset}"),
            part => write!(id, "{topic}/{partition}/{offset}/{part}"),
        };
        written.expect("a String takes every write");
        let kind = match record.topic {
            OutTopic::Deliveries(_) => "tamis.delivery.v1",
            OutTopic::Outcomes => "tamis.outcomes.v1",
            OutTopic::DeadLetters => "tamis.dead-letter.v1",
        };
        let mut headers = event(&self.id, &self.source, kind, &self.time);
        let trace = [("traceparent", &record.traceparent), ("tracestate", &record.tracestate)];
        for (key, range) in trace {
            if let Some(value) = outgoing.arena.get(range.clone()).filter(|value| !value.is_empty()) {
                headers = headers.insert(Header { key, value: Some(value) });
            }
        }
        headers
    }
}

/// The headers every event has.
pub(super) fn event(id: &str, source: &str, kind: &str, time: &str) -> OwnedHeaders {
    let values = [
        ("content-type", "application/protobuf"),
        ("ce_specversion", "1.0"),
        ("ce_id", id),
        ("ce_source", source),
        ("ce_type", kind),
        ("ce_time", time),
    ];
    values.iter().fold(OwnedHeaders::new_with_capacity(8), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value.as_bytes()) })
    })
}

/// Unix ms as RFC 3339 in UTC, to the millisecond.
///
/// The calendar is Howard Hinnant's `civil_from_days` (days counted from 1 March, 400-year eras of 146,097 days).
pub(super) fn rfc3339(unix_ms: i64) -> String {
    let (days, ms) = (unix_ms.div_euclid(86_400_000), unix_ms.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_as_rfc_3339_on_leap_days_century_ends_and_before_1970() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (1_795_489_530_123, "2026-11-24T03:05:30.123Z"),
        ] {
            assert_eq!(rfc3339(unix_ms), text);
        }
    }
}

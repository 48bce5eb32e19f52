//! The headers that a result's reader sees: the CloudEvents Kafka binding in binary mode (contract, section 2).

use super::core::Topic;
use crate::topic_name;

/// Where a result comes from.
pub(super) struct Origin {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) part: u32,
    pub(super) decided_at_ms: i64,
}

/// `ce_type` of a topic's records (contract, section 9).
pub(super) fn ce_type(topic: Topic) -> &'static str {
    match topic {
        Topic::Deliveries(_) => "tamis.delivery.v1",
        Topic::Outcomes => "tamis.outcomes.v1",
        Topic::DeadLetters => "tamis.dead-letter.v1",
        Topic::Jobs | Topic::Suppressions => "",
    }
}

/// `ce_id`: the source's `topic/partition/offset`, with `/part` for parts.
pub(super) fn ce_id(prefix: &str, origin: &Origin) -> String {
    let mut id = format!("{}/{}/{}", topic_name(prefix, "send-jobs"), origin.partition, origin.offset);
    if origin.part > 0 {
        id.push_str(&format!("/{}", origin.part));
    }
    id
}

/// RFC 3339 in UTC with milliseconds. The days are counted as in Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`.
pub(super) fn ce_time(unix_ms: i64) -> String {
    let (days, ms) = (unix_ms.div_euclid(86_400_000), unix_ms.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_over_leap_days_and_before_1970() {
        assert_eq!(ce_time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(ce_time(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(ce_time(1_795_476_789_000), "2026-11-23T23:33:09.000Z");
        assert_eq!(ce_time(-1), "1969-12-31T23:59:59.999Z");
    }
}

//! Topics with content: what makes the bytes leave the disks, and what would keep them.
//!
//! The purge moves a log's start. The bytes go when all of these have happened: the segment that holds them is closed
//! (`segment.ms`, `segment.bytes`; by the next record only), it lies below the start, the broker has looked
//! (`log.retention.check.interval.ms`, the broker's), and the file's last delay is over (`file.delete.delay.ms`).

use super::{
    CONTENT_SEGMENT_MS, CONTENT_SEGMENT_MS_LEAST, Differences, FILE_DELETE_DELAY_MS, Mend, Severity, Wanted,
};

/// What `plan` says of a topic with content that is to be made; nothing of others.
pub(super) fn explained(topic: &Wanted) -> String {
    if !topic.holds.content() {
        return String::new();
    }
    let get = |key: &str| topic.configs.get(key).map_or("", String::as_str);
    format!(
        "; it holds content: what is purged cannot be read at once, and leaves the disks when its segment is closed \
         (segment.ms {}, segment.bytes {}, and one more record), the broker has looked \
         (log.retention.check.interval.ms) and file.delete.delay.ms is over; what is never read goes after \
         retention.ms {}",
        get("segment.ms"),
        get("segment.bytes"),
        get("retention.ms")
    )
}

impl Differences<'_> {
    /// Content must be gone in time, and not before an outage is over. None of it stops tamis.
    pub(super) fn content(&mut self) {
        if !self.topic.holds.content() {
            return;
        }
        self.retention();
        self.segments();
        self.copies();
    }

    /// The operator's to change: one way would delete, the other would keep.
    fn retention(&mut self) {
        let is = self.number("retention.ms").unwrap_or(-1);
        let should: i64 = self.topic.configs["retention.ms"].parse().unwrap_or(i64::MAX);
        if is != should {
            let effect = if is < 0 || is > should {
                "content stays longer"
            } else {
                "an outage longer than that loses jobs"
            };
            let text = format!(
                "retention.ms is {is}, topics.retention says {should}: {effect}; `kafka-configs.sh --alter`"
            );
            self.add(Severity::Note, Mend::Operator, text);
        }
        let bytes = self.number("retention.bytes").unwrap_or(-1);
        if bytes >= 0 {
            let text = format!(
                "retention.bytes is {bytes}: in an outage the oldest jobs are deleted unread when it is reached; \
                 `kafka-configs.sh --alter` sets -1"
            );
            self.add(Severity::Note, Mend::Operator, text);
        }
    }

    /// How soon what was purged leaves the disks.
    fn segments(&mut self) {
        let ms = self.number("segment.ms").unwrap_or(i64::MAX);
        if ms > CONTENT_SEGMENT_MS {
            let text = format!(
                "segment.ms is {}: content leaves the disks late; `tamis topics apply` sets {CONTENT_SEGMENT_MS}",
                self.get("segment.ms")
            );
            let mend = Mend::Set { key: "segment.ms", value: CONTENT_SEGMENT_MS.to_string() };
            self.add(Severity::Note, mend, text);
        } else if ms < CONTENT_SEGMENT_MS_LEAST {
            let text = format!("segment.ms is {ms}: the topic is cut into many small files");
            self.add(Severity::Note, Mend::Operator, text);
        }
        let should = self.topic.configs["segment.bytes"].clone();
        let most: i64 = should.parse().unwrap_or(i64::MAX);
        let largest: i64 = self.topic.configs["max.message.bytes"].parse().unwrap_or(0);
        let bytes = self.number("segment.bytes").unwrap_or(i64::MAX);
        if bytes > most || bytes < largest {
            let effect = if bytes > most {
                "a segment goes only when its last record was read, so that content leaves the disks late"
            } else {
                "a delivery that is larger cannot be written"
            };
            let text = format!("segment.bytes is {bytes}: {effect}; `tamis topics apply` sets {should}");
            self.add(Severity::Note, Mend::Set { key: "segment.bytes", value: should }, text);
        }
        let delay = self.number("file.delete.delay.ms").unwrap_or(FILE_DELETE_DELAY_MS);
        if delay > FILE_DELETE_DELAY_MS {
            let text = format!(
                "file.delete.delay.ms is {delay}: deleted segments stay on the disks for so long; `tamis topics \
                 apply` sets {FILE_DELETE_DELAY_MS}"
            );
            let value = FILE_DELETE_DELAY_MS.to_string();
            self.add(Severity::Note, Mend::Set { key: "file.delete.delay.ms", value }, text);
        }
    }

    /// Copies that no purge reaches in time. Taking them away is the operator's.
    fn copies(&mut self) {
        if self.get("remote.storage.enable") == "true" {
            let text = "remote.storage.enable is true: segments are copied to another store, where the purge reaches them \
                        late and backups may keep them; Kafka switches it off for a topic with \
                        `kafka-configs.sh --alter --add-config remote.storage.enable=false,remote.log.delete.on.disable=true`";
            self.add(Severity::Note, Mend::Operator, text.to_owned());
        }
    }
}

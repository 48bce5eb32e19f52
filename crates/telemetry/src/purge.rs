//! What the purge tells: how long content stays, and who holds it. The label is the topic, from a closed set; the names
//! of groups are the operator's and never become one.

use metrics::Gauge;
use tamis_campaign::Channel;

use crate::Metrics;
use crate::declared;
use crate::metrics::Make;

/// A topic with content, as figures are told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Jobs.
    Jobs,
    /// A channel's deliveries.
    Deliveries(Channel),
    /// Replies, and what else gateways hear back.
    Inbound,
}

impl Content {
    const fn place(self) -> usize {
        match self {
            Self::Jobs => 0,
            Self::Deliveries(channel) => channel as usize,
            Self::Inbound => 1 + Channel::ALL.len(),
        }
    }
}

/// Label of a topic with content: jobs, then the channels in the order of [`Channel::ALL`], then what comes back.
pub(crate) const CONTENT_TOPICS: [&str; 2 + Channel::ALL.len()] =
    ["send_jobs", "sms", "email", "voice", "fax", "mail", "inbound"];

/// Handles of one topic with content.
pub(crate) struct OfContent {
    residence: Gauge,
    lag: Gauge,
    still: Gauge,
}

impl OfContent {
    pub(crate) fn on(make: &Make<'_>, topic: &'static str) -> Self {
        let labels = [("topic", topic)];
        Self {
            residence: make.gauge(declared::CONTENT_RESIDENCE, &labels),
            lag: make.gauge(declared::PURGE_LAG, &labels),
            still: make.gauge(declared::PURGE_STILL, &labels),
        }
    }
}

impl Metrics {
    /// Notes the age of the oldest content that can still be read.
    pub fn content_residence_seconds(&self, topic: Content, seconds: f64) {
        self.content(topic.place()).residence.set(seconds);
    }

    /// Notes how many offsets the slowest reader has yet to commit.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; a lag is far below 2^52")]
    pub fn purge_reader_lag_records(&self, topic: Content, records: u64) {
        self.content(topic.place()).lag.set(records as f64);
    }

    /// Notes how many readers hold the purge and stand still.
    pub fn purge_readers_standing_still(&self, topic: Content, readers: u32) {
        self.content(topic.place()).still.set(f64::from(readers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when: a channel is added, or the order changes, and figures are told under another's name.
    #[test]
    fn every_channel_stands_at_its_label() {
        for channel in Channel::ALL {
            assert_eq!(CONTENT_TOPICS[Content::Deliveries(*channel).place()], channel.as_str());
        }
        assert_eq!(CONTENT_TOPICS[Content::Inbound.place()], "inbound");
        let (metrics, exposition) = Metrics::install();
        metrics.content_residence_seconds(Content::Jobs, 1.5);
        metrics.purge_readers_standing_still(Content::Deliveries(Channel::Mail), 2);
        let text = exposition.render();
        assert!(text.contains("tamis_content_residence_seconds{topic=\"send_jobs\"} 1.5\n"), "{text}");
        assert!(text.contains("tamis_purge_readers_standing_still{topic=\"mail\"} 2\n"), "{text}");
    }
}

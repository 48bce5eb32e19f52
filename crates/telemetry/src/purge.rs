//! What the purge tells: how long content stays, and who holds it. The label is the topic, from a closed set; the names
//! of groups are the operator's and never become one.

use metrics::Gauge;
use tamis_campaign::Channel;

use crate::Metrics;
use crate::declared;
use crate::metrics::Make;

/// Label of a topic with content: jobs, then the channels in the order of [`Channel::ALL`].
pub(crate) const CONTENT_TOPICS: [&str; 1 + Channel::ALL.len()] =
    ["send_jobs", "sms", "email", "voice", "fax", "mail"];

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

/// `topic` is the channel of a deliveries topic, `None` for the jobs.
impl Metrics {
    /// Notes the age of the oldest content that can still be read.
    pub fn content_residence_seconds(&self, topic: Option<Channel>, seconds: f64) {
        self.content(place(topic)).residence.set(seconds);
    }

    /// Notes how many offsets the slowest reader has yet to commit.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; a lag is far below 2^52")]
    pub fn purge_reader_lag_records(&self, topic: Option<Channel>, records: u64) {
        self.content(place(topic)).lag.set(records as f64);
    }

    /// Notes how many readers hold the purge and stand still.
    pub fn purge_readers_standing_still(&self, topic: Option<Channel>, readers: u32) {
        self.content(place(topic)).still.set(f64::from(readers));
    }
}

fn place(topic: Option<Channel>) -> usize {
    topic.map_or(0, |channel| channel as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when: a channel is added, or the order changes, and figures are told under another's name.
    #[test]
    fn every_channel_stands_at_its_label() {
        for channel in Channel::ALL {
            assert_eq!(CONTENT_TOPICS[place(Some(*channel))], channel.as_str());
        }
        let (metrics, exposition) = Metrics::install();
        metrics.content_residence_seconds(None, 1.5);
        metrics.purge_readers_standing_still(Some(Channel::Mail), 2);
        let text = exposition.render();
        assert!(text.contains("tamis_content_residence_seconds{topic=\"send_jobs\"} 1.5\n"), "{text}");
        assert!(text.contains("tamis_purge_readers_standing_still{topic=\"mail\"} 2\n"), "{text}");
    }
}

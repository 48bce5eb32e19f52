//! How many calls a key may make in a time, and how many somebody without one: by the key's id and by the socket's peer, never by
//! what a header says of where a call came from.
//!
//! A known key is taken whatever its peer did before: behind a proxy all callers are one peer, and nobody shall shut the
//! others out by calling with wrong keys. So guessing is not refused, but each guess past the allowance waits for its answer.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

/// Calls of one peer without a known key: so many at once, and one more each second. A person who has mistaken a key is well inside.
const STRANGER_CALLS: NonZeroU32 = NonZeroU32::new(20).expect("20 is not 0");
/// Peers of which it is remembered how often they called; when there are more, whoever is new waits. A bucket is some 100 bytes.
const PEERS_MAX: usize = 10_000;
/// How long the answer to a wrong key waits past that. It holds one of the door's connections, as a silent caller can for longer.
const STRANGER_PAUSE: Duration = Duration::from_secs(1);

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

type Limiter<K> = RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// Who is at the other end of a connection; put into each of its calls by the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Peer {
    /// As it is counted: of IPv6 the first 64 bits, which is what one caller has.
    fn counted(self) -> Self {
        match self.0 {
            IpAddr::V4(_) => self,
            IpAddr::V6(address) => address.to_ipv4_mapped().map_or_else(
                || Self(IpAddr::V6((u128::from(address) >> 64 << 64).into())),
                |address| Self(IpAddr::V4(address)),
            ),
        }
    }
}

/// The buckets.
pub(crate) struct Rates {
    keys: Option<(NonZeroU32, Limiter<String>)>,
    strangers: Limiter<Peer>,
}

/// What a call is told of its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// A key's: how many calls each second, how many are left now.
    Left(NonZeroU32, u32),
    /// A key's that has none left: for how long.
    Over(NonZeroU32, Duration),
    /// Somebody without a key who calls too often.
    Stranger,
}

/// Where [`tell`] finds what to tell, in a call's extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slot(Arc<OnceLock<Told>>);

impl Rates {
    /// Each key may make `per_second` calls, that many at once; 0 is no limit.
    pub(crate) fn new(per_second: u32) -> Self {
        let quota = |each| RateLimiter::keyed(Quota::per_second(each)).with_middleware();
        let strangers = Quota::per_second(NonZeroU32::MIN).allow_burst(STRANGER_CALLS);
        Self {
            keys: NonZeroU32::new(per_second).map(|each| (each, quota(each))),
            strangers: RateLimiter::keyed(strangers).with_middleware(),
        }
    }

    /// Counts a call of the key `id`; whether it may go on.
    pub(crate) fn key(&self, id: &str, slot: Option<&Slot>) -> bool {
        let Some((each, limiter)) = &self.keys else { return true };
        let (told, may) = match limiter.check_key(&id.to_owned()) {
            Ok(state) => (Told::Left(*each, state.remaining_burst_capacity()), true),
            Err(not_until) => (Told::Over(*each, not_until.wait_time_from(limiter.clock().now())), false),
        };
        fill(slot, told);
        may
    }

    /// Counts a call without a known key; whether it is among those that are answered at once.
    pub(crate) fn stranger(&self, peer: Option<Peer>, slot: Option<&Slot>) -> bool {
        // A call that came by no door of ours has no peer.
        let Some(peer) = peer.map(Peer::counted) else { return true };
        if self.strangers.len() >= PEERS_MAX {
            self.strangers.retain_recent();
        }
        let may = self.strangers.len() < PEERS_MAX && self.strangers.check_key(&peer).is_ok();
        if !may {
            fill(slot, Told::Stranger);
        }
        may
    }
}

fn fill(slot: Option<&Slot>, told: Told) {
    if let Some(slot) = slot {
        // Told once: a call is counted once.
        let _ = slot.0.set(told);
    }
}

impl Told {
    /// Writes the header fields of draft-ietf-httpapi-ratelimit-headers-10.
    fn write(self, headers: &mut HeaderMap) {
        let (each, left, wait) = match self {
            Self::Left(each, left) => (each, left, None),
            Self::Over(each, wait) => (each, 0, Some(wait)),
            Self::Stranger => {
                headers.insert(header::RETRY_AFTER, seconds(STRANGER_PAUSE));
                return;
            }
        };
        let text = |text: String| HeaderValue::try_from(text).expect("digits and signs");
        headers.insert(RATE_LIMIT_POLICY, text(format!("\"key\";q={each};w=1")));
        headers.insert(RATE_LIMIT, text(format!("\"key\";r={left};t=1")));
        if let Some(wait) = wait {
            headers.insert(header::RETRY_AFTER, seconds(wait));
        }
    }
}

/// Whole seconds, rounded up, at least one.
fn seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_millis().div_ceil(1_000).clamp(1, 3_600) as u64)
}

/// Lets a call through, and tells its rate in the head of the answer.
pub(crate) async fn tell(mut request: Request, next: Next) -> Response {
    let slot = Slot::default();
    request.extensions_mut().insert(slot.clone());
    let mut response = next.run(request).await;
    if let Some(told) = slot.0.get() {
        if *told == Told::Stranger {
            tokio::time::sleep(STRANGER_PAUSE).await;
        }
        told.write(response.headers_mut());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::{PEERS_MAX, Peer, Rates, STRANGER_CALLS};

    fn peer(number: u32) -> Option<Peer> {
        Some(Peer(std::net::Ipv4Addr::from(0x0a00_0000 + number).into()))
    }

    /// Guarantees: what is remembered of peers is bounded, and whoever comes when it is full has no allowance instead of a free one.
    /// Fails when: the bound is not looked at, or looked at after the bucket is made.
    #[test]
    fn peers_are_counted_up_to_a_number() {
        let rates = Rates::new(0);
        for number in 0..u32::try_from(PEERS_MAX).unwrap() {
            assert!(rates.stranger(peer(number), None));
        }
        assert!(!rates.stranger(peer(u32::MAX >> 16 << 8), None));
        assert!(rates.strangers.len() <= PEERS_MAX);
    }

    /// Guarantees: whoever has a network of IPv6 has one allowance, and one who comes by way of the other family the same.
    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let rates = Rates::new(0);
        let at = |text: &str| Some(Peer(text.parse().unwrap()));
        for number in 0..STRANGER_CALLS.get() {
            assert!(rates.stranger(at(&format!("2001:db8::{number:x}")), None));
        }
        assert!(!rates.stranger(at("2001:db8::ffff:1"), None));
        assert!(rates.stranger(at("2001:db8:0:1::1"), None));
        assert_eq!(Peer("::ffff:10.0.0.1".parse().unwrap()).counted(), Peer("10.0.0.1".parse().unwrap()));
    }
}

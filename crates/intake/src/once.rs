//! `Idempotency-Key`: a call that is sent again under its key gets the answer it got, and writes nothing more
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! What is remembered is in this process's memory: after a restart, at another process, or past its bounds a repeated call is carried out
//! again. That is harmless, since a record said twice says what it said once; it is the answer that is worth repeating. Only
//! calls that succeeded are remembered: one that was refused wrote nothing, and its key is free again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::Value;

use crate::access::Caller;
use crate::answer::Refusal;
use crate::keys::Owner;
use crate::problems::Code;

/// Longest key, characters; a UUID has 36.
pub(crate) const KEY_MOST: usize = 128;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What is remembered at most. Past it the oldest of whoever has most is forgotten.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Keys of one owner: half a minute at the rate of a busy one, a day at one call in two seconds.
    owner_keys: usize,
    /// Keys in all, of some 250 bytes.
    keys: usize,
    /// Bytes of answers in all; one has 100 as a rule, and 600 KB where thousands of rows were rejected.
    bytes: usize,
    age: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { owner_keys: 50_000, keys: 200_000, bytes: 64 << 20, age: Duration::from_secs(24 * 3_600) }
    }
}

/// A call as it is told from others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Marked {
    owner: Box<str>,
    /// Of the key.
    name: blake3::Hash,
    /// Of path and body.
    content: blake3::Hash,
}

/// What is known of a key.
struct Known {
    content: blake3::Hash,
    place: u64,
    since: Instant,
    /// `None` while the call is under way.
    answer: Option<Bytes>,
}

#[derive(Default)]
struct OfOwner {
    keys: HashMap<blake3::Hash, Known>,
    /// By age.
    order: BTreeMap<u64, blake3::Hash>,
    bytes: usize,
}

/// All that is remembered.
pub(crate) struct Remembered {
    bounds: Bounds,
    owners: HashMap<Box<str>, OfOwner>,
    keys: usize,
    bytes: usize,
    next_place: u64,
    swept: Option<Instant>,
}

/// Whether a call is to be carried out.
#[derive(Debug, PartialEq, Eq)]
enum Begun {
    /// Yes; its place.
    Anew(u64),
    /// No, it was: the answer.
    Again(Bytes),
    /// No, it is being carried out.
    UnderWay,
    /// No, the key stands for another one.
    Another,
}

impl Default for Remembered {
    fn default() -> Self {
        Self::within(Bounds::default())
    }
}

impl Remembered {
    fn within(bounds: Bounds) -> Self {
        Self { bounds, owners: HashMap::new(), keys: 0, bytes: 0, next_place: 0, swept: None }
    }

    fn begin(&mut self, call: &Marked, now: Instant) -> Begun {
        self.sweep(now);
        if let Some(known) = self.owners.get(&call.owner).and_then(|of| of.keys.get(&call.name)) {
            return match &known.answer {
                _ if known.content != call.content => Begun::Another,
                Some(answer) => Begun::Again(answer.clone()),
                None => Begun::UnderWay,
            };
        }
        let place = self.next_place;
        self.next_place += 1;
        let of = self.owners.entry(call.owner.clone()).or_default();
        of.keys.insert(call.name, Known { content: call.content, place, since: now, answer: None });
        of.order.insert(place, call.name);
        let crowded = of.keys.len() > self.bounds.owner_keys;
        self.keys += 1;
        if crowded {
            self.forget_oldest(&call.owner.clone());
        }
        self.keep_within();
        Begun::Anew(place)
    }

    /// Notes the answer of the call that began at `place`, or that it has none worth keeping.
    fn end(&mut self, call: &Marked, place: u64, answer: Option<Bytes>) {
        let Some(of) = self.owners.get_mut(&call.owner) else { return };
        // Forgotten meanwhile, or begun again since.
        let Some(known) = of.keys.get_mut(&call.name).filter(|known| known.place == place) else { return };
        if let Some(answer) = answer {
            of.bytes += answer.len();
            self.bytes += answer.len();
            known.answer = Some(answer);
            self.keep_within();
        } else {
            self.forget(&call.owner.clone(), place);
        }
    }

    fn keep_within(&mut self) {
        while self.keys > self.bounds.keys || self.bytes > self.bounds.bytes {
            let weight = |of: &OfOwner| if self.keys > self.bounds.keys { of.keys.len() } else { of.bytes };
            let most = self.owners.iter().max_by_key(|(_, of)| weight(of)).map(|(owner, _)| owner.clone());
            let Some(owner) = most else { return };
            self.forget_oldest(&owner);
        }
    }

    fn forget_oldest(&mut self, owner: &str) {
        let oldest =
            self.owners.get(owner).and_then(|of| of.order.first_key_value().map(|(place, _)| *place));
        if let Some(place) = oldest {
            self.forget(owner, place);
        }
    }

    fn forget(&mut self, owner: &str, place: u64) {
        let Some(of) = self.owners.get_mut(owner) else { return };
        let Some(known) = of.order.remove(&place).and_then(|name| of.keys.remove(&name)) else { return };
        let bytes = known.answer.map_or(0, |answer| answer.len());
        of.bytes -= bytes;
        self.bytes -= bytes;
        self.keys -= 1;
        if of.keys.is_empty() {
            self.owners.remove(owner);
        }
    }

    /// Forgets what is too old: of everybody, since somebody may never call again.
    fn sweep(&mut self, now: Instant) {
        let every = self.bounds.age / 1_440;
        if self.swept.is_some_and(|swept| now.duration_since(swept) < every) {
            return;
        }
        self.swept = Some(now);
        let owners: Vec<Box<str>> = self.owners.keys().cloned().collect();
        for owner in owners {
            while let Some(of) = self.owners.get(&owner)
                && let Some((place, name)) = of.order.first_key_value()
                && now.duration_since(of.keys[name].since) >= self.bounds.age
            {
                let place = *place;
                self.forget(&owner, place);
            }
        }
    }
}

/// What a call says of itself before its body is read.
pub(crate) struct Once(Option<(Box<str>, String, String)>);

impl Once {
    /// The key of `request`, if it has one.
    pub(crate) fn of(request: &Request, caller: &Caller) -> Result<Self, Refusal> {
        let mut values = request.headers().get_all(IDEMPOTENCY_KEY).iter();
        let Some(first) = values.next() else { return Ok(Self(None)) };
        let bad = || {
            Refusal::new(
                Code::BadIdempotencyKey,
                format!("one Idempotency-Key of 1 to {KEY_MOST} printable characters"),
            )
        };
        let text = first.to_str().map_err(|_| bad())?.trim();
        // The draft's form is a text in quotes; many send it bare.
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let good = (1..=KEY_MOST).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'!'..=b'~' if b != b'"'));
        if values.next().is_some() || !good {
            return Err(bad());
        }
        // Whose key it is, so that another key of the same owner repeats the call.
        let owner = match &caller.owner {
            Owner::Tenant(name) => format!("tenant {name}"),
            Owner::Gateway(name) => format!("gateway {name}"),
            Owner::Operator => "operator".to_owned(),
        };
        Ok(Self(Some((owner.into(), text.to_owned(), request.uri().path().to_owned()))))
    }

    /// Carries `work` out, or answers what it answered before.
    pub(crate) async fn run(
        self,
        remembered: &Arc<Mutex<Remembered>>,
        body: &[u8],
        work: impl Future<Output = Result<Json<Value>, Refusal>>,
    ) -> Result<Response, Refusal> {
        let Some((owner, key, path)) = self.0 else { return work.await.map(IntoResponse::into_response) };
        let mut content = blake3::Hasher::new();
        content.update(path.as_bytes()).update(&[0]).update(body);
        let call = Marked { owner, name: blake3::hash(key.as_bytes()), content: content.finalize() };
        let begun = remembered.lock().begin(&call, Instant::now());
        let place = match begun {
            Begun::Anew(place) => place,
            Begun::Again(answer) => return Ok(json(answer)),
            Begun::UnderWay => {
                let text = "the call with this Idempotency-Key is still under way";
                return Err(Refusal::new(Code::IdempotencyKeyInUse, text));
            }
            Begun::Another => {
                let text = "this Idempotency-Key was used for another path or body";
                return Err(Refusal::new(Code::IdempotencyKeyReused, text));
            }
        };
        // Also when the caller hangs up: the key must not be under way for ever.
        let mut under_way = UnderWay { remembered, call: &call, place, answer: None };
        let Json(answer) = work.await?;
        let answer = Bytes::from(answer.to_string());
        under_way.answer = Some(answer.clone());
        drop(under_way);
        Ok(json(answer))
    }
}

/// A call that is being carried out; notes how it ended when dropped.
struct UnderWay<'a> {
    remembered: &'a Mutex<Remembered>,
    call: &'a Marked,
    place: u64,
    answer: Option<Bytes>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.remembered.lock().end(self.call, self.place, self.answer.take());
    }
}

fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests;

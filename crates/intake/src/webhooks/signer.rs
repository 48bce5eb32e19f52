//! Who signed a call, or carries a gateway's key.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tamis_campaign::UnixMs;
use tamis_subject::Subjects;
use zeroize::Zeroizing;

use super::call::Call;
use super::seen::Mark;
use super::signature::{Proof, Signature};
use crate::access::{Signers, bearer};
use crate::answer::Refusal;
use crate::keys::{Entry, Owner, digest_of};
use crate::now_ms;
use crate::problems::Code;
use crate::state::ApiState;

/// Longest `Authorization: Basic`: a gateway's name and a key, with room.
const BASIC_MAX: usize = 512;

const SIGNATURE: &str = "x-tamis-signature";
pub(super) const TWILIO_SIGNATURE: &str = "x-twilio-signature";

/// Who signed a call.
pub(super) struct Signer {
    /// The key's id, for the log.
    pub(super) key: String,
    /// `None` where nobody signs (`http.auth = "off"`).
    pub(super) gateway: Option<String>,
    /// Tells this call from others; `None` where what it carries is the same each time.
    proof: Option<Proof>,
    pub(super) signed_at_ms: UnixMs,
}

impl Call {
    /// Who signed the body with `X-Tamis-Signature`; of the gateway in the path where there is one.
    pub(super) fn signed(&self, gateway: Option<&str>) -> Result<Signer, Refusal> {
        if let Signers::Nobody = self.state.access().signers() {
            return Ok(self.nobody());
        }
        let refused = |kind| {
            self.state.metrics.error("inbound", kind);
            unsigned()
        };
        let header = self.header(SIGNATURE).ok_or_else(|| refused("unsigned"))?;
        let signature = Signature::parse(header).ok_or_else(|| refused("signature"))?;
        if !signature.is_fresh(self.now_ms) {
            return Err(refused("late"));
        }
        self.find(gateway, |key| signature.proves(key, &self.body), signature.signed_at_ms)
    }

    /// The gateway whose key `proves` the call. A key that is in the call is looked at, and no other; else each that can be made again.
    pub(super) fn find(
        &self,
        gateway: Option<&str>,
        proves: impl Fn(&str) -> Option<Proof>,
        signed_at_ms: UnixMs,
    ) -> Result<Signer, Refusal> {
        let Signers::Keys(keys) = self.state.access().signers() else { return Ok(self.nobody()) };
        let given = bearer(&self.headers);
        let subjects = self.state.filter.doors();
        let mut found = None;
        // Every key of this gateway is tried, whichever fits.
        for entry in keys.iter().filter(|entry| is_of(entry, gateway)) {
            let Some(key) = key_of(entry, given, &subjects) else { continue };
            if let Some(proof) = proves(&key) {
                found = Some(entry.signer(Some(proof), signed_at_ms));
            }
        }
        found.ok_or_else(|| {
            self.state.metrics.error("inbound", "signature");
            unsigned()
        })
    }

    /// Who calls with `Authorization: Basic`, the gateway's name and its key; `None` where there is no such header.
    pub(super) fn carried(&self, gateway: &str) -> Result<Option<Signer>, Refusal> {
        let Signers::Keys(keys) = self.state.access().signers() else { return Ok(Some(self.nobody())) };
        let Some((scheme, given)) =
            self.header(header::AUTHORIZATION.as_str()).and_then(|text| text.split_once(' '))
        else {
            return Ok(None);
        };
        if !scheme.eq_ignore_ascii_case("basic") {
            return Ok(None);
        }
        let given = Some(given.trim()).filter(|given| given.len() <= BASIC_MAX);
        let given = given.and_then(|given| BASE64_STANDARD.decode(given).ok()).map(Zeroizing::new);
        let text = given.as_ref().and_then(|octets| std::str::from_utf8(octets).ok()).unwrap_or_default();
        let (name, key) = text.split_once(':').unwrap_or_default();
        let mut found = None;
        for entry in keys.iter().filter(|entry| is_of(entry, Some(gateway))) {
            if entry.digest() == Some(digest_of(key)) && name == gateway {
                found = Some(entry.signer(None, self.now_ms));
            }
        }
        match found {
            Some(signer) => Ok(Some(signer)),
            None => {
                self.state.metrics.error("inbound", "key");
                Err(unsigned())
            }
        }
    }

    fn nobody(&self) -> Signer {
        Signer { key: "auth off".to_owned(), gateway: None, proof: None, signed_at_ms: self.now_ms }
    }

    /// The URLs that this call may have had outside: proxies end TLS and may name the host in another header. A signature is for one of
    /// them only, and whoever has the key could sign any.
    pub(super) fn urls(&self) -> Vec<String> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let hosts = [self.header("x-forwarded-host"), self.header(header::HOST.as_str()), self.uri.host()];
        let of = |host: &str| ["https", "http"].map(|scheme| format!("{scheme}://{host}{path}"));
        hosts.into_iter().flatten().flat_map(of).collect()
    }
}

impl Entry {
    fn signer(&self, proof: Option<Proof>, signed_at_ms: UnixMs) -> Signer {
        let gateway = match &self.owner {
            Owner::Gateway(name) => Some(name.clone()),
            Owner::Tenant(_) | Owner::Operator => None,
        };
        Signer { key: self.id.clone(), gateway, proof, signed_at_ms }
    }
}

impl Signer {
    /// What an event of this call is remembered by: the call's signature with the event's id, and the id.
    pub(super) fn marks(&self, gateway: &str, message_id: &str) -> Vec<Mark> {
        let digest = |parts: &[&[u8]]| {
            let mut hasher = blake3::Hasher::new();
            for part in parts {
                hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
            }
            let mut mark = Mark::default();
            hasher.finalize_xof().fill(&mut mark);
            mark
        };
        let (gateway, id) = (gateway.as_bytes(), message_id.as_bytes());
        let mut marks = vec![digest(&[b"message", gateway, id])];
        marks.extend(self.proof.map(|proof| digest(&[b"signature", gateway, &proof, id])));
        marks
    }
}

/// Whether it is a gateway's key, of this gateway where one is named.
fn is_of(entry: &Entry, gateway: Option<&str>) -> bool {
    match &entry.owner {
        Owner::Gateway(name) => gateway.is_none_or(|gateway| gateway == name),
        Owner::Tenant(_) | Owner::Operator => false,
    }
}

/// The key of `entry`: as it was given if it is this one, made again if none was given.
fn key_of(entry: &Entry, given: Option<&str>, subjects: &Subjects) -> Option<Zeroizing<String>> {
    match given {
        // Digests are compared in constant time.
        Some(given) => (entry.digest()? == digest_of(given)).then(|| Zeroizing::new(given.to_owned())),
        None => entry.gateway_key(subjects),
    }
}

/// Nothing is waited for from a caller who can't be anybody: without any proof, or with an old one.
pub(super) fn may_be_signed(state: &ApiState, headers: &HeaderMap) -> Result<(), Refusal> {
    let refused = |kind| {
        state.metrics.error("inbound", kind);
        Err(unsigned())
    };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(header) = text(SIGNATURE) else {
        let other = headers.contains_key(TWILIO_SIGNATURE) || headers.contains_key(header::AUTHORIZATION);
        let nobody_signs = matches!(state.access().signers(), Signers::Nobody);
        return if other || nobody_signs { Ok(()) } else { refused("unsigned") };
    };
    match Signature::parse(header) {
        None => refused("signature"),
        Some(signature) if !signature.is_fresh(now_ms()) => refused("late"),
        Some(_) => Ok(()),
    }
}

/// One answer, whatever is wrong with a signature.
fn unsigned() -> Refusal {
    Refusal::new(Code::Unauthorized, "a valid signature of the gateway's key is needed")
}

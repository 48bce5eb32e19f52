//! Signatures of gateways: `X-Tamis-Signature: t=<Unix s>,v1=<hex>`, HMAC-SHA-256 over `<t>.<raw body>` (contract, section 6), and
//! that of Twilio-style posts. Pure. A key is a gateway's whole key as it was shown.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac};
use sha1::Sha1;
use sha2::Sha256;
use tamis_campaign::UnixMs;

/// How far a signature's moment may be from ours, either way (contract, section 6).
pub(crate) const TOLERANCE_MS: i64 = 5 * 60 * 1_000;
/// Most `v1` of a header: a gateway that changes its key signs with both.
const MACS_MAX: usize = 4;

/// What identifies one signed call.
pub(crate) type Proof = [u8; 32];

/// A header as it came.
pub(crate) struct Signature {
    /// As it is written: these octets are signed.
    moment: String,
    pub(crate) signed_at_ms: UnixMs,
    macs: Vec<[u8; 32]>,
}

impl Signature {
    /// Reads the header's value; what it has besides `t` and `v1` is passed over, so that there may be a `v2` one day.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let (mut moment, mut macs) = (None, Vec::new());
        for part in header.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            match name {
                // One moment: two readers must not take a different one each.
                "t" if moment.is_none() && (1..=12).contains(&value.len()) => moment = Some(value),
                "t" => return None,
                // The hash's reader is the one for 64 hexadecimal digits that is here.
                "v1" if macs.len() < MACS_MAX => macs.push(*blake3::Hash::from_hex(value).ok()?.as_bytes()),
                "v1" => return None,
                _ => {}
            }
        }
        let moment = moment.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
        let signed_at_ms = moment.parse::<i64>().ok()?.checked_mul(1_000)?;
        (!macs.is_empty()).then(|| Self { moment: moment.to_owned(), signed_at_ms, macs })
    }

    /// Whether it is of about now.
    pub(crate) fn is_fresh(&self, now_ms: UnixMs) -> bool {
        self.signed_at_ms.abs_diff(now_ms) <= TOLERANCE_MS.unsigned_abs()
    }

    /// What it proves about `body` under `key`: the mac that is right, if one is. Compared in constant time, all of them.
    pub(crate) fn proves(&self, key: &str, body: &[u8]) -> Option<Proof> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(self.moment.as_bytes());
        mac.update(b".");
        mac.update(body);
        let mut proof = None;
        for given in &self.macs {
            if mac.clone().verify_slice(given).is_ok() {
                proof = Some(*given);
            }
        }
        proof
    }
}

/// Whether `signature` (base64) is the HMAC-SHA-1 under `key` of the URL and the form's fields, sorted, each once, name and value after
/// each other: what Twilio calls `X-Twilio-Signature`.
pub(crate) fn twilio(signature: &str, key: &str, url: &str, fields: &[(&str, &str)]) -> Option<Proof> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    let mut fields = fields.to_vec();
    fields.sort_unstable();
    fields.dedup();
    mac.update(url.as_bytes());
    for (name, value) in fields {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    let given = BASE64_STANDARD.decode(signature).ok()?;
    mac.verify_slice(&given).is_ok().then(|| *blake3::hash(&given).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "tamis_0123456789ab_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    /// `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac "$KEY"`.
    const MAC: &str = include_str!("../../tests/webhooks/signature.hex");

    fn proves(header: &str, body: &[u8]) -> bool {
        Signature::parse(header).is_some_and(|signature| signature.proves(KEY, body).is_some())
    }

    #[test]
    fn the_moment_and_the_raw_body_are_signed() {
        let mac = MAC.trim();
        assert!(proves(&format!("t=1700000000,v1={mac}"), br#"{"a":1}"#));
        assert!(proves(&format!("v1={mac}, t=1700000000, v0=ab"), br#"{"a":1}"#));
        // A gateway that changes its key signs twice.
        let other = "ab".repeat(32);
        assert!(proves(&format!("t=1700000000,v1={other},v1={mac}"), br#"{"a":1}"#));
        assert!(!proves(&format!("t=1700000001,v1={mac}"), br#"{"a":1}"#));
        assert!(!proves(&format!("t=1700000000,v1={mac}"), br#"{"a": 1}"#));
        assert!(!proves(&format!("t=1700000000,v1={other}"), br#"{"a":1}"#));
        // The same number, written otherwise, is not what was signed.
        assert!(!proves(&format!("t=01700000000,v1={mac}"), br#"{"a":1}"#));
    }

    #[test]
    fn a_header_that_says_two_things_or_none_is_none() {
        let mac = MAC.trim();
        for bad in [
            "",
            "t=1",
            &format!("v1={mac}"),
            &format!("t=,v1={mac}"),
            &format!("t=-1,v1={mac}"),
            &format!("t=1e9,v1={mac}"),
            &format!("t=9999999999999,v1={mac}"),
            &format!("t=1,t=2,v1={mac}"),
            &format!("t=1,v1={}", &mac[1..]),
            &format!("t=1,v1={mac},v1={mac},v1={mac},v1={mac},v1={mac}"),
            &format!("t=1 v1={mac}"),
        ] {
            assert!(Signature::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn five_minutes_either_way_are_fresh() {
        let at = |seconds: i64| Signature::parse(&format!("t={seconds},v1={}", MAC.trim())).unwrap();
        let now_ms = 1_700_000_000_000;
        for (offset, fresh) in [(0, true), (300, true), (-300, true), (301, false), (-301, false)] {
            assert_eq!(at(1_700_000_000 + offset).is_fresh(now_ms), fresh, "{offset}");
        }
    }

    /// Guarantees: the example of Twilio's own documentation is accepted, and it alone.
    #[test]
    fn twilios_own_example_is_proved() {
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        let fields = [
            ("To", "+18005551212"),
            ("CallSid", "CA1234567890ABCDE"),
            ("From", "+14158675309"),
            ("Caller", "+14158675309"),
            ("Digits", "1234"),
        ];
        let signature = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
        assert!(twilio(signature, "12345", url, &fields).is_some());
        assert!(twilio(signature, "12346", url, &fields).is_none());
        assert!(twilio(signature, "12345", &url.replace("https", "http"), &fields).is_none());
        assert!(twilio(signature, "12345", url, &fields[..4]).is_none());
        assert!(twilio("", "12345", url, &fields).is_none());
    }
}

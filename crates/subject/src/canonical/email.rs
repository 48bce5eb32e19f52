//! E-mail addresses: the domain through IDNA, the local part in lower case, nothing else folded.

use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use tamis_campaign::Identity;
use unicode_normalization::UnicodeNormalization;

use crate::{Invalid, canonical::Email};

/// RFC 5321, section 4.5.3.1.1, in octets.
const LOCAL_MAX: usize = 64;
/// RFC 1035, section 2.3.4, in octets.
const LABEL_MAX: usize = 63;
/// RFC 1035, section 2.3.4, in octets, as text without the root's dot.
const DOMAIN_MAX: usize = 253;

/// The canonical form of an e-mail address: trimmed; the domain by UTS 46 (not transitional) in ASCII lower
/// case without a trailing dot; the local part in NFC and then lower case, or as it is when it is quoted.
///
/// Dots and `+tags` stay: to fold them would merge different people.
///
/// # Errors
/// [`Invalid::Missing`] when it is blank; [`Invalid::NotAnAddress`] when it is not `local@domain` of RFC 5321
/// and 6531 (display names, comments and domain literals such as `[192.0.2.1]` are not taken).
pub fn email(address: &str) -> Result<Email, Invalid> {
    let mut form = Email::new(Identity::Email);
    email_into(address.as_bytes(), &mut form)?;
    Ok(form)
}

/// [`email`] into a new form: a form is large, and moving it would cost as much as reading the address.
#[inline]
pub(crate) fn email_into(address: &[u8], form: &mut Email) -> Result<(), Invalid> {
    if !plain(address, form) {
        *form = thorough(std::str::from_utf8(address).map_err(|_| Invalid::NotAnAddress)?)?;
    }
    Ok(())
}

/// The form of an ASCII address without quotes, spaces or punycode, which most are, into `form`; false says nothing.
pub(super) fn plain(address: &[u8], form: &mut Email) -> bool {
    let Some(at) = address.iter().position(|&b| b == b'@').filter(|&at| at <= LOCAL_MAX) else {
        return false;
    };
    let (local, domain) = (&address[..at], &address[at + 1..]);
    if domain.len() > DOMAIN_MAX {
        return false;
    }
    let room = &mut form.room()[..address.len()];
    let mut last = b'.';
    for (to, &byte) in room.iter_mut().zip(local) {
        if !is_atext(byte) && (byte != b'.' || last == b'.') {
            return false;
        }
        *to = byte.to_ascii_lowercase();
        last = byte;
    }
    room[at] = b'@';
    // `last` stays on a dot for an empty local part and for one that ends with a dot.
    if last == b'.' || !plain_domain(domain, &mut room[at + 1..]) {
        return false;
    }
    form.set_len(address.len());
    true
}

/// Writes `domain` in lower case; false when a label is not plainly letters, digits and inner hyphens.
fn plain_domain(domain: &[u8], to: &mut [u8]) -> bool {
    let mut label = 0;
    for (at, (to, &byte)) in to.iter_mut().zip(domain).enumerate() {
        *to = byte.to_ascii_lowercase();
        let ends = domain.get(at + 1).is_none_or(|&next| next == b'.');
        match byte {
            b'.' if label > 0 => label = 0,
            b'-' if label > 0 && !ends => label += 1,
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                // Punycode must decode to be taken.
                if label == 0 && domain[at..].get(..4).is_some_and(|l| l.eq_ignore_ascii_case(b"xn--")) {
                    return false;
                }
                label += 1;
            }
            _ => return false,
        }
        if label > LABEL_MAX {
            return false;
        }
    }
    label > 0
}

/// Every address, by the rules in full.
pub(super) fn thorough(address: &str) -> Result<Email, Invalid> {
    let address = address.trim();
    if address.is_empty() {
        return Err(Invalid::Missing);
    }
    let (local, domain) = address.rsplit_once('@').ok_or(Invalid::NotAnAddress)?;
    let local = local_part(local).ok_or(Invalid::NotAnAddress)?;
    let domain = domain_part(domain).ok_or(Invalid::NotAnAddress)?;
    Email::holding(Identity::Email, &format!("{local}@{domain}")).ok_or(Invalid::NotAnAddress)
}

fn local_part(local: &str) -> Option<Cow<'_, str>> {
    let form = if local.starts_with('"') {
        is_quoted(local).then_some(Cow::Borrowed(local))?
    } else {
        let dots = local.split('.').all(|atom| !atom.is_empty());
        let legal = |c: char| {
            c == '.' || if c.is_ascii() { is_atext(c as u8) } else { !c.is_whitespace() && !c.is_control() }
        };
        let folded =
            (dots && local.chars().all(legal)).then(|| local.nfc().collect::<String>().to_lowercase())?;
        Cow::Owned(folded)
    };
    (form.len() <= LOCAL_MAX).then_some(form)
}

/// Whether it is a `Quoted-string` of RFC 5321, section 4.1.2, or of RFC 6531.
fn is_quoted(local: &str) -> bool {
    let Some(inner) = local.strip_prefix('"').and_then(|l| l.strip_suffix('"')).filter(|_| local.len() > 1)
    else {
        return false;
    };
    let mut escaped = false;
    for c in inner.chars() {
        if c.is_control() || (c == '"' && !escaped) {
            return false;
        }
        escaped = c == '\\' && !escaped;
    }
    !escaped
}

fn domain_part(domain: &str) -> Option<String> {
    let ascii = Uts46::new()
        .to_ascii(
            domain.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::VerifyAllowRootDot,
        )
        .ok()?;
    let domain = ascii.strip_suffix('.').unwrap_or(&ascii);
    (!domain.is_empty()).then(|| domain.to_owned())
}

/// `atext` of RFC 5322, section 3.2.3.
const fn is_atext(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/'
        | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~')
}

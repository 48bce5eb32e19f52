//! Unsubscribe tokens: a subject, a tenant, a list and a channel, sealed, so that whoever holds one can opt out and learns nothing.
//!
//! A token is the step of the key that sealed it (1 octet), then AES-SIV (RFC 5297, deterministic, 128-bit tag) over the person's
//! subject of the *first* scheme, the channel and the kind of address, the day it was made, and the names; all of it in base64url,
//! 120 characters at most (semantics, section 4). The keys are BLAKE3's derivations from the steps of the key file, so that a token
//! is good as long as the file's first steps are there, which is for ever, and no table of tokens is needed.
//!
//! The subject is that of the first scheme because that one chooses the log's partition, and later ones follow from it.

mod names;

use aes_siv::{KeyInit as _, Tag, siv::Aes128Siv};
use arrayvec::{ArrayString, ArrayVec};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use tamis_campaign::{Channel, DAY_MS, Identity, Tenant, UnixMs};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Key, Subject, Subjects, key::STEPS_MAX, redacted::REDACTED};
use names::Packed;

/// Greatest length of a token, characters (semantics, section 4).
pub const TOKEN_MOST: usize = 120;
/// The same in octets: four characters hold three.
const OCTETS_MOST: usize = TOKEN_MOST / 4 * 3;
const TAG: usize = 16;
/// What stands before the names: subject, kind, day.
const FIXED: usize = 16 + 1 + 2;
/// Octets that are left for the names.
const NAMES_MOST: usize = OCTETS_MOST - 1 - TAG - FIXED;

/// Binds a step's derived key to this use.
fn context(step: usize) -> String {
    format!("tamis 2026-11 unsubscribe token, scheme {step}, AES-SIV-CMAC-256")
}

/// What a sealed text is for: one can't be opened as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Token,
    Undo,
}

impl Use {
    const fn header(self) -> &'static [u8] {
        match self {
            Self::Token => b"token",
            Self::Undo => b"undo",
        }
    }
}

/// A token. Whoever has it can opt its person out, so it prints redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(ArrayString<TOKEN_MOST>);

impl Token {
    /// Its text, for the one place where it must stand: the link.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(REDACTED)
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Whom it is about: the subject of the first scheme.
    pub first: Subject,
    /// What the subject was made from.
    pub identity: Identity,
    /// The channel that it was made for.
    pub channel: Channel,
    /// The tenant.
    pub tenant: Box<str>,
    /// The list; empty for the tenant as a whole.
    pub list: Box<str>,
    /// When it was made, in days since 1970-01-01.
    pub day: u16,
}

/// Tenant and list have too many characters together to fit into a token: some 69.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tenant and list have more than {} characters together, which do not fit into a token", names::CHARS_MOST - 1)]
pub struct NamesTooLong;

/// The derived keys that seal, a step each.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct SealKeys([[u8; 32]; STEPS_MAX]);

impl SealKeys {
    pub(crate) fn of(key: &Key) -> Self {
        let mut keys = Self([[0; 32]; STEPS_MAX]);
        for (at, step) in key.steps().iter().enumerate() {
            keys.0[at] = blake3::derive_key(&context(at + 1), step);
        }
        keys
    }

    /// `step` counts from 1.
    fn siv(&self, step: u32) -> Aes128Siv {
        let at = (step as usize).clamp(1, STEPS_MAX) - 1;
        Aes128Siv::new(&self.0[at].into())
    }
}

/// Makes the tokens of one tenant, list and channel; made once a job or a call.
pub struct Minter {
    siv: Aes128Siv,
    step: u8,
    channel: Channel,
    day: u16,
    names: ArrayVec<u8, NAMES_MOST>,
}

impl Minter {
    /// The token of the person with the subject `first`, of the first scheme.
    #[must_use]
    pub fn mint(&mut self, first: Subject, identity: Identity) -> Token {
        let mut octets = ArrayVec::<u8, OCTETS_MOST>::new();
        let room = "the parts of a token have the sizes that its length was computed from";
        octets.push(self.step);
        octets.try_extend_from_slice(&[0; TAG]).expect(room);
        octets.try_extend_from_slice(&first.to_bytes()).expect(room);
        octets.push(kind(self.channel, identity));
        octets.try_extend_from_slice(&self.day.to_be_bytes()).expect(room);
        octets.try_extend_from_slice(&self.names).expect(room);
        let (head, body) = octets.split_at_mut(1 + TAG);
        let tag = self
            .siv
            .encrypt_inout_detached([Use::Token.header()], body.into())
            .expect("one header, of the 126 that there may be");
        head[1..].copy_from_slice(&tag);
        let mut text = [0; TOKEN_MOST];
        let written = BASE64_URL_SAFE_NO_PAD.encode_slice(&octets, &mut text).expect(room);
        let text = std::str::from_utf8(&text[..written]).expect("base64 is ASCII");
        Token(ArrayString::from(text).expect(room))
    }
}

impl std::fmt::Debug for Minter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minter").field("channel", &self.channel).finish_non_exhaustive()
    }
}

const fn kind(channel: Channel, identity: Identity) -> u8 {
    channel as u8 | (identity as u8) << 4
}

impl Subjects {
    /// Makes tokens for people of `tenant` and `list` (empty: the tenant as a whole), which say the day of `now_ms`, with the step of
    /// the scheme in use: a later one, other processes may not have yet.
    ///
    /// # Errors
    /// [`NamesTooLong`].
    pub fn minter(
        &self,
        channel: Channel,
        tenant: Tenant<'_>,
        list: &str,
        now_ms: UnixMs,
    ) -> Result<Minter, NamesTooLong> {
        let step = self.scheme();
        let day = u16::try_from(now_ms.div_euclid(DAY_MS)).unwrap_or(u16::MAX);
        let names = names::pack(tenant.as_str(), list).ok_or(NamesTooLong)?;
        #[expect(clippy::cast_possible_truncation, reason = "a key has 16 steps at most")]
        Ok(Minter { siv: self.seal_keys().siv(step), step: step as u8, channel, day, names })
    }

    /// What `token` says; `None` for one that was never made here. Whatever is wrong with it, as much is computed.
    #[must_use]
    pub fn open(&self, token: &str) -> Option<Opened> {
        let mut octets = [0; OCTETS_MOST];
        let given = if token.len() <= TOKEN_MOST { token.as_bytes() } else { &[] };
        let read = BASE64_URL_SAFE_NO_PAD.decode_slice(given, &mut octets).unwrap_or(0);
        let (whole, len) = if read > 1 + TAG + FIXED { (true, read) } else { (false, OCTETS_MOST) };
        let step = u32::from(octets[0]);
        let known = (1..=self.newest()).contains(&step);
        let (head, body) = octets[..len].split_at_mut(1 + TAG);
        let tag = Tag::try_from(&head[1..]).expect("so long is a tag");
        let sealed_here = self
            .seal_keys()
            .siv(if known { step } else { 1 })
            .decrypt_inout_detached([Use::Token.header()], (&mut *body).into(), &tag)
            .is_ok();
        if !(whole && known && sealed_here) {
            return None;
        }
        let first = Subject::from_bytes(*body.first_chunk()?);
        let channel = Channel::from_number(i32::from(body[16] & 15))?;
        let identity = Identity::from_number(i32::from(body[16] >> 4))?;
        let day = u16::from_be_bytes([body[17], body[18]]);
        let Packed { tenant, list } = names::unpack(&body[FIXED..])?;
        Some(Opened { first, identity, channel, tenant, list, day })
    }

    /// Seals what an undo needs to know, bound to `token`: good with that token only.
    #[must_use]
    pub fn seal_undo(&self, token: &str, what: &[u8]) -> String {
        let step = self.scheme();
        let mut sealed = Zeroizing::new(what.to_vec());
        let tag = self
            .seal_keys()
            .siv(step)
            .encrypt_inout_detached([Use::Undo.header(), token.as_bytes()], sealed.as_mut_slice().into())
            .expect("two headers, of the 126 that there may be");
        #[expect(clippy::cast_possible_truncation, reason = "a key has 16 steps at most")]
        let octets = [&[step as u8][..], &tag[..], &sealed[..]].concat();
        BASE64_URL_SAFE_NO_PAD.encode(octets)
    }

    /// What was sealed by [`Subjects::seal_undo`] for the same token.
    #[must_use]
    pub fn open_undo(&self, token: &str, sealed: &str) -> Option<Vec<u8>> {
        let octets = BASE64_URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (&step, rest) = octets.split_first()?;
        let (tag, body) = rest.split_at_checked(TAG)?;
        let known = (1..=self.newest()).contains(&u32::from(step));
        let tag = Tag::try_from(tag).ok()?;
        let mut body = body.to_vec();
        let opened = self.seal_keys().siv(if known { u32::from(step) } else { 1 }).decrypt_inout_detached(
            [Use::Undo.header(), token.as_bytes()],
            body.as_mut_slice().into(),
            &tag,
        );
        opened.ok().filter(|()| known).map(|()| body)
    }
}

#[cfg(test)]
mod tests;

use proptest::prelude::*;

use super::*;
use crate::Region;

fn subjects(key: &Key) -> Subjects {
    Subjects::new(key, Region::parse("FR").unwrap())
}

fn minted(subjects: &Subjects, tenant: &str, list: &str) -> Token {
    let first = subjects.first().email("ada@example.org").unwrap();
    let (tenant, now_ms) = (Tenant::parse(tenant).unwrap(), 20_784 * DAY_MS);
    let mut minter = subjects.minter(Channel::Email, tenant, list, now_ms).unwrap();
    minter.mint(first, Identity::Email)
}

proptest! {
    /// Guarantees: whatever names and people there may be, a token is at most 120 URL-safe characters and says what it was made
    /// of; names that don't fit are told.
    #[test]
    fn a_token_says_what_it_was_made_of(
        tenant in "[A-Za-z0-9._:-]{1,64}",
        list in "[A-Za-z0-9._:-]{0,128}",
        channel in prop::sample::select(Channel::ALL),
        identity in prop::sample::select(Identity::ALL),
        subject: [u8; 16],
        day: u16,
        of_day in 0..DAY_MS,
    ) {
        let subjects = subjects(&Key::generate().unwrap());
        let first = Subject::from_bytes(subject);
        let now_ms = i64::from(day) * DAY_MS + of_day;
        let minter = subjects.minter(channel, Tenant::parse(&tenant).unwrap(), &list, now_ms);
        let chars = tenant.len() + list.len() + usize::from(!list.is_empty());
        prop_assert_eq!(minter.is_ok(), chars <= names::CHARS_MOST);
        if let Ok(mut minter) = minter {
            let token = minter.mint(first, identity);
            prop_assert!(token.as_str().len() <= TOKEN_MOST);
            prop_assert!(token.as_str().bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'));
            let (tenant, list) = (tenant.into(), list.into());
            let said = Opened { first, identity, channel, tenant, list, day };
            prop_assert_eq!(subjects.open(token.as_str()), Some(said));
        }
    }

    /// Guarantees: nothing that was not made here opens, and nothing panics.
    #[test]
    fn other_texts_do_not_open(text in "[A-Za-z0-9_-]{0,130}", any in ".{0,40}") {
        let subjects = subjects(&Key::generate().unwrap());
        prop_assert_eq!(subjects.open(&text), None);
        prop_assert_eq!(subjects.open(&any), None);
    }
}

#[test]
fn the_longest_tenant_has_tokens_and_names_have_70_characters_together() {
    assert_eq!(names::CHARS_MOST, 70);
    let subjects = subjects(&Key::generate().unwrap());
    let opened = subjects.open(minted(&subjects, &"t".repeat(64), "").as_str()).unwrap();
    assert_eq!((opened.tenant.len(), &*opened.list), (64, ""));
}

/// Guarantees: a token that differs in one bit, is cut, or has something added is none.
/// Fails when: a part of it is not under the tag.
#[test]
fn a_token_that_was_changed_does_not_open() {
    let subjects = subjects(&Key::generate().unwrap());
    let token = minted(&subjects, "acme", "news");
    let octets = BASE64_URL_SAFE_NO_PAD.decode(token.as_str()).unwrap();
    for bit in 0..octets.len() * 8 {
        let mut other = octets.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(subjects.open(&BASE64_URL_SAFE_NO_PAD.encode(&other)), None, "bit {bit}");
    }
    for len in 0..octets.len() {
        assert_eq!(subjects.open(&BASE64_URL_SAFE_NO_PAD.encode(&octets[..len])), None, "{len} octets");
    }
    assert_eq!(subjects.open(&format!("{}AA", token.as_str())), None);
    assert_eq!(subjects.open(&format!("{}=", token.as_str())), None);
}

/// Guarantees: a token of before a rotation opens after it, and says the same; another key opens none.
#[test]
fn a_token_outlives_a_rotation_of_the_key_and_no_other_key_opens_it() {
    let key = Key::generate().unwrap();
    let (before, after) = (subjects(&key), subjects(&key.with_another_step().unwrap()));
    let (old, new) = (minted(&before, "acme", ""), minted(&after, "acme", ""));
    assert_eq!(after.open(old.as_str()), before.open(old.as_str()));
    assert_eq!(after.open(new.as_str()), after.open(old.as_str()), "the first scheme's subject, both times");
    assert_ne!(old, new, "it is sealed by the step in use");
    assert_eq!(before.open(new.as_str()), None, "a process that has not got the new step");
    let not_yet_used = minted(&after.at(1), "acme", "");
    assert_eq!(not_yet_used, old, "until the log is told of the new step, the old one seals");
    assert_eq!(subjects(&Key::generate().unwrap()).open(old.as_str()), None);
}

/// Guarantees: an undo is good with its token only, and is no token.
#[test]
fn an_undo_is_bound_to_its_token() {
    let subjects = subjects(&Key::generate().unwrap());
    let (token, other) = (minted(&subjects, "acme", ""), minted(&subjects, "acme", "news"));
    let sealed = subjects.seal_undo(token.as_str(), b"what was done, and when");
    assert_eq!(subjects.open_undo(token.as_str(), &sealed).as_deref(), Some(&b"what was done, and when"[..]));
    assert_eq!(subjects.open_undo(other.as_str(), &sealed), None);
    assert_eq!(subjects.open(&sealed), None);
    assert_eq!(subjects.open_undo(token.as_str(), token.as_str()), None);
    assert_eq!(subjects.open_undo(token.as_str(), ""), None);
}

/// Guarantees: neither the person nor the names can be read in a token, and it prints redacted.
#[test]
fn a_token_shows_nothing() {
    let subjects = subjects(&Key::generate().unwrap());
    let token = minted(&subjects, "acme", "news");
    let octets = BASE64_URL_SAFE_NO_PAD.decode(token.as_str()).unwrap();
    let first = subjects.first().email("ada@example.org").unwrap().to_bytes();
    assert!(!octets.windows(16).any(|window| window == first));
    let packed = names::pack("acme", "news").unwrap();
    assert!(!octets.windows(packed.len()).any(|window| window == &packed[..]));
    assert_eq!(format!("{token:?}"), "<redacted>");
}

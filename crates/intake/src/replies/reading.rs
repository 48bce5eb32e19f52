//! What a reply says: stop, start or nothing (semantics, section 3). Pure; a text is read whole, in one pass that keeps a few words of it.
//!
//! A text is folded first: NFKD, marks and format characters dropped, upper case, and what stands between words made one space. What
//! can stand inside a word joins it where one such sign stands alone between letters or digits (OPT-OUT, non-stop, l'arrêt); all
//! else is between words, so that "stop,merci" and "🛑STOP🛑" have the word and "stop-over" and "https://x.example/stop" have not. A
//! word is compared as a whole: letters or digits joined to it make it another.

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory as Category};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// Stops wherever they stand: they mean nothing else.
const STOP_WORDS: [&str; 12] = [
    "STOP",
    "STOPALL",
    "STOPSMS",
    "DESABO",
    "DESABONNER",
    "DESABONNEMENT",
    "DESINSCRIRE",
    "DESINSCRIPTION",
    "UNSUBSCRIBE",
    "UNSUB",
    "OPTOUT",
    "OPT-OUT",
];
/// Stops as the first word only: elsewhere they may mean something else.
const FIRST_WORDS: [&str; 9] =
    ["ARRET", "ARRETE", "ARRETER", "ARRETEZ", "CANCEL", "END", "QUIT", "REVOKE", "REMOVE"];
/// Starts when they are the whole text.
const START_WORDS: [&str; 3] = ["START", "UNSTOP", "REPRENDRE"];

/// What a reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The person wants no more.
    Stop,
    /// The person takes a stop back.
    Start,
    /// Anything else: nothing is recorded.
    Nothing,
}

/// What `text` says to a tenant whose words count besides those of every tenant: its stop words anywhere in the text, its start words
/// as the whole of it. A tenant can't take a stop away: where both hold it is a stop.
#[must_use]
pub fn read(text: &str, own_stop_words: &[Box<str>], own_start_words: &[Box<str>]) -> Meaning {
    let own = |words: &[Box<str>]| -> Vec<String> {
        let folded = words.iter().map(|word| folded(word).collect());
        folded.filter(|word: &String| !word.is_empty()).collect()
    };
    let (own_stops, own_starts) = (own(own_stop_words), own(own_start_words));
    let stops = || STOP_WORDS.into_iter().chain(own_stops.iter().map(String::as_str));
    let starts = || START_WORDS.into_iter().chain(own_starts.iter().map(String::as_str));
    // So much of the text is kept that the longest word is in it, with the space before it.
    let keep = 1 + stops().chain(starts()).chain(FIRST_WORDS).map(str::len).max().unwrap_or(0);

    // Never grows, so that there is one copy to wipe.
    let mut window = Zeroizing::new(String::with_capacity(2 * keep + 4));
    window.push(' ');
    let (mut is_first, mut is_whole) = (true, true);
    for c in folded(text).chain([' ']) {
        if c == ' ' {
            let ends = |word: &str| window.strip_suffix(word).is_some_and(|before| before.ends_with(' '));
            if stops().any(ends) || is_first && is_whole && FIRST_WORDS.into_iter().any(ends) {
                return Meaning::Stop;
            }
            is_first = false;
        }
        window.push(c);
        if window.len() >= 2 * keep {
            let from = (0..=window.len() - keep).rev().find(|&at| window.is_char_boundary(at)).unwrap_or(0);
            window.drain(..from);
            is_whole = false;
        }
    }
    let whole = if is_whole { window.trim_matches(' ') } else { "" };
    if starts().any(|word| word == whole) { Meaning::Start } else { Meaning::Nothing }
}

/// What a character is to words.
enum Role {
    /// A letter or a digit.
    Letter,
    /// May stand inside a word, as this.
    Joins(char),
    /// Between words.
    Parts,
    /// Not there: an accent, a zero-width character.
    Dropped,
}

fn role(c: char) -> Role {
    match c {
        // Hyphens, and the minus sign that telephones write for one; the hyphen that does not break is the second of them in NFKD.
        '-' | '\u{2010}' | '\u{2212}' => return Role::Joins('-'),
        // The last seven are letters to Unicode and quotes to whoever writes them.
        '\'' | '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2b9}'..='\u{2bf}' => return Role::Joins('\''),
        // Of addresses and paths.
        '/' | '@' | '_' | '&' => return Role::Joins(c),
        _ if CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c) => return Role::Dropped,
        _ => {}
    }
    match CodePointMapData::<Category>::new().get(c) {
        Category::NonspacingMark | Category::SpacingMark | Category::EnclosingMark | Category::Format => {
            Role::Dropped
        }
        Category::UppercaseLetter
        | Category::LowercaseLetter
        | Category::TitlecaseLetter
        | Category::ModifierLetter
        | Category::OtherLetter
        | Category::DecimalNumber
        | Category::LetterNumber
        | Category::OtherNumber => Role::Letter,
        // Spaces, punctuation, symbols with the emoji, controls; what is not assigned.
        _ => Role::Parts,
    }
}

/// What stood since the last letter.
#[derive(Clone, Copy)]
enum Since {
    /// There was none yet.
    Begin,
    Letter,
    Joined(char),
    Parted,
}

/// The words of `text` with one space between them.
fn folded(text: &str) -> impl Iterator<Item = char> + '_ {
    let mut since = Since::Begin;
    let folded = text.nfkd().map(move |c| {
        match (role(c), since) {
            (Role::Letter, before) => {
                since = Since::Letter;
                let between = match before {
                    Since::Begin | Since::Letter => None,
                    Since::Joined(sign) => Some(sign),
                    Since::Parted => Some(' '),
                };
                return (between, Some(c));
            }
            (Role::Joins(sign), Since::Letter) => since = Since::Joined(sign),
            // One that has nothing to join parts, too.
            (Role::Joins(_) | Role::Parts, Since::Letter | Since::Joined(_)) => since = Since::Parted,
            (Role::Joins(_) | Role::Parts, Since::Begin | Since::Parted) | (Role::Dropped, _) => {}
        }
        (None, None)
    });
    folded.flat_map(|(between, letter)| {
        between.into_iter().chain(letter.into_iter().flat_map(char::to_uppercase))
    })
}

#[cfg(test)]
mod tests;

//! The law of semantics, section 3, by its vectors, by spellings, and as properties.

use proptest::prelude::*;

use super::{FIRST_WORDS, Meaning, START_WORDS, STOP_WORDS, read};

fn plain(text: &str) -> Meaning {
    read(text, &[], &[])
}

fn stops(texts: &[&str]) {
    for text in texts {
        assert_eq!(plain(text), Meaning::Stop, "{text:?}");
    }
}

fn says_nothing(texts: &[&str]) {
    for text in texts {
        assert_eq!(plain(text), Meaning::Nothing, "{text:?}");
    }
}

/// Guarantees: the project's own vectors.
#[test]
fn the_shared_vectors_are_read_as_they_say() {
    let file = include_str!("../../../tests/replies.csv");
    let mut rows = 0;
    // One text stands in quotes over two lines.
    let mut rest = file.split_once('\n').unwrap().1;
    while !rest.is_empty() {
        let (text, meaning);
        if let Some(quoted) = rest.strip_prefix('"') {
            let (inside, after) = quoted.split_once("\",").unwrap();
            (text, (meaning, rest)) = (inside, after.split_once('\n').unwrap());
        } else {
            let line;
            (line, rest) = rest.split_once('\n').unwrap();
            (text, meaning) = line.rsplit_once(',').unwrap();
        }
        let expected = match meaning {
            "stop" => Meaning::Stop,
            "start" => Meaning::Start,
            "none" => Meaning::Nothing,
            other => panic!("{other}"),
        };
        assert_eq!(plain(text), expected, "{text:?}");
        rows += 1;
    }
    assert_eq!(rows, 43);
}

#[test]
fn every_word_of_the_rule_is_read_in_any_case() {
    for word in STOP_WORDS.iter().chain(&FIRST_WORDS) {
        stops(&[word, &word.to_lowercase(), &format!("{word} merci"), &format!(" - {word}, thanks")]);
    }
    for word in STOP_WORDS {
        stops(&[&format!("je vous prie: {word}"), &format!("12 {word} 34")]);
    }
    for word in FIRST_WORDS {
        says_nothing(&[&format!("please {word}"), &format!("1 {word}")]);
    }
    for word in START_WORDS {
        assert_eq!(plain(&format!("«{}» !", word.to_lowercase())), Meaning::Start);
        says_nothing(&[&format!("{word} please"), &format!("please {word}"), &format!("{word}{word}")]);
    }
}

#[test]
fn accents_widths_and_what_is_not_seen_change_nothing() {
    stops(&[
        // Composed and decomposed.
        "arr\u{ea}t",
        "arre\u{302}t",
        "D\u{c9}SABONNEMENT",
        "De\u{301}sabonnement",
        // Marks where none belong.
        "S\u{336}T\u{336}O\u{336}P\u{336}",
        "ＳＴＯＰ",
        "ｓｔｏｐ！",
        "ｏｐｔ－ｏｕｔ",
        "ⓢⓣⓞⓟ",
        "𝐒𝐓𝐎𝐏",
        "ﬆop",
        // Zero-width space, joiners, BOM, soft hyphen, word joiner, Mongolian and Hangul fillers.
        "S\u{200b}T\u{200c}O\u{200d}P",
        "\u{feff}STOP\u{feff}",
        "ST\u{ad}OP",
        "ST\u{2060}OP\u{180e}",
        "STOP\u{115f}\u{3164}",
        // Right to left marks, embeddings and isolates.
        "\u{200f}STOP\u{200f}",
        "\u{202b}STOP\u{202c}",
        "\u{2067}STOP\u{2069}",
        "شكرا STOP\u{200f}",
        // Variation selectors and tags.
        "STOP\u{fe0f}",
        "S\u{e0001}TOP",
    ]);
}

#[test]
fn quotes_punctuation_and_emoji_around_a_word_are_none_of_it() {
    stops(&[
        "\"STOP\"",
        "'STOP'",
        "`STOP`",
        "´STOP´",
        "“STOP”",
        "„STOP“",
        "‚STOP‘",
        "«\u{a0}STOP\u{a0}»",
        "‹STOP›",
        "「STOP」",
        "『STOP』",
        "〝STOP〞",
        "＂STOP＂",
        "ʼSTOPʼ",
        "ʻSTOPʻ",
        "''STOP''",
        "\u{201b}STOP\u{2019}",
        "(STOP)",
        "[STOP]",
        "{STOP}",
        "<STOP>",
        "*STOP*",
        "_STOP_",
        "~STOP~",
        "#STOP",
        "@STOP",
        "STOP/",
        "-STOP-",
        "—STOP—",
        "…STOP…",
        "¡STOP!",
        "¿STOP?",
        "STOP‼",
        "STOP⁉️",
        "STOP。",
        "STOP！",
        "STOP؟",
        "STOP¶",
        "€STOP£",
        "STOP=",
        "=STOP",
        "STOP\u{a9}",
    ]);
    stops(&[
        "🛑STOP🛑",
        "STOP 👍🏽",
        "👍🏽STOP",
        "STOP❤️",
        "STOP👨‍👩‍👧",
        "🇫🇷 STOP 🇫🇷",
        "🖐🏿stop",
        "STOP✋🏻merci",
        "✋ stop",
        "STOP\u{20e3}",
    ]);
    // The sign alone says nothing, nor do letters that are pictures.
    says_nothing(&["🛑", "🅂", "🇸🇹🇴🇵", "✋", "👍", "…", "«»", "\u{200b}", " \t\n"]);
}

#[test]
fn hurried_writing_without_a_space_has_the_word() {
    stops(&[
        "stop,merci",
        "Merci.STOP",
        "STOP!!!merci",
        "Re:STOP",
        "1.STOP",
        "stop;merci",
        "ok\nstop\nbye",
        "oui\tSTOP",
        "STOP\0x",
    ]);
    stops(&[
        "STOP--merci",
        "STOP...merci",
        "STOP — merci",
        "arrêt,merci",
        "Stop\u{3000}merci",
        "Stop\u{2028}merci",
        "stop\u{a0}36200",
    ]);
}

#[test]
fn a_word_that_has_a_stop_inside_is_another_word() {
    says_nothing(&[
        "stopover",
        "nonstop",
        "non-stop",
        "stop-over",
        "stop\u{2011}over",
        "Stop'n'go",
        "stop’n’go",
        "unstoppable",
        "stopped",
        "STOP1",
        "1STOP",
        "https://x.example/stop",
        "news@stop-list.example",
        "stop_list",
        "stop&go",
        "ＮＯＮＳＴＯＰ",
        "STOPé",
        "стоп",
        "STOPв",
        "l'arrêt",
        "arrêt-maladie",
        "weekend",
        "ending",
        "opt-outs",
        "opt--out",
        "opt out",
        "pit stop-and-go",
        "c'est un arrêt de bus",
        "at the end",
        "the end.",
        "S.T.O.P",
        "s-t-o-p",
    ]);
}

#[test]
fn opt_out_has_any_hyphen() {
    stops(&[
        "OPT-OUT",
        "opt\u{2010}out",
        "opt\u{2011}out",
        "opt\u{fe63}out",
        "opt\u{ff0d}out",
        "opt\u{2212}out",
        "opt\u{ad}-out",
    ]);
}

#[test]
fn a_tenants_words_add_and_never_take_away() {
    let own = |words: &[&str]| words.iter().map(|&word| Box::from(word)).collect::<Vec<Box<str>>>();
    let (halt, weiter) =
        (own(&["Halt", "no.more", "ça-suffit", "BASTA!", "…"]), own(&["weiter", "STOP", "go.on"]));
    for text in
        ["halt", "bitte HALT!", "«ＨＡＬＴ»", "No.More", "no more", "ca-suffit", "Ça\u{2011}suffit", "basta"]
    {
        assert_eq!(read(text, &halt, &weiter), Meaning::Stop, "{text}");
        assert_eq!(plain(text), Meaning::Nothing, "{text}");
    }
    for text in ["Weiter!", " weiter ", "go on", "START", "unstop"] {
        assert_eq!(read(text, &halt, &weiter), Meaning::Start, "{text}");
    }
    // A start word that is a stop of every tenant takes nothing away.
    assert_eq!(read("STOP", &halt, &weiter), Meaning::Stop);
    for text in ["bitte weiter", "halts", "more", "", "…"] {
        assert_eq!(read(text, &halt, &weiter), Meaning::Nothing, "{text}");
    }
}

/// Guarantees: a stop counts wherever it stands in a text of any length, and the length of what is around it costs no memory.
#[test]
fn a_long_text_is_read_to_its_end() {
    for filler in ["x", "word ", "é ", "ﷺ", "e\u{301}", ".", "-", "🛑"] {
        let long = filler.repeat(200_000 / filler.len());
        stops(&[&format!("{long} stop"), &format!("stop {long}"), &format!("{long} stop {long}")]);
        says_nothing(&[&long, &format!("{long} stopx")]);
        assert_ne!(plain(&format!("{long}x start")), Meaning::Start);
    }
    assert_eq!(plain(&format!("{0}start{0}", " ".repeat(100_000))), Meaning::Start);
    says_nothing(&[&format!("{}end", "x".repeat(100_000)), &format!("{} end", "x".repeat(100_000))]);
}

/// What may stand around a word: nothing that is a letter or a digit, and nothing alone that joins.
fn decoration() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec![
            " ", "\n", "\u{a0}", "!", "?", ".", ",", "…", "«", "»", "“", "”", "\"", "🛑", "👍🏽", "❤️",
            "\u{200b}", "\u{feff}", "\u{200f}", "\u{301}", "(", ")", "*", "--", "''", "\u{2069}",
        ]),
        0..8,
    )
    .prop_map(|parts| parts.concat())
}

/// A word with the case of each letter as it falls.
fn cased(word: &str, upper: u64) -> String {
    let one = |(at, c): (usize, char)| if upper >> (at % 64) & 1 == 0 { c.to_ascii_lowercase() } else { c };
    word.chars().enumerate().map(one).collect()
}

proptest! {
    #[test]
    fn a_stop_word_with_any_decoration_is_a_stop(
        at in 0..STOP_WORDS.len(), upper: u64, before in decoration(), after in decoration(), words in "[a-z0-9]{0,6} ", more in " [a-z0-9]{0,6}"
    ) {
        let word = cased(STOP_WORDS[at], upper);
        let text = format!("{before}{word}{after}");
        prop_assert_eq!(plain(&text), Meaning::Stop, "{:?}", text);
        let text = format!("{words}{text}{more}");
        prop_assert_eq!(plain(&text), Meaning::Stop, "{:?}", text);
    }

    #[test]
    fn a_first_word_counts_first_and_a_start_word_alone(
        at in 0..FIRST_WORDS.len(), start in 0..START_WORDS.len(), upper: u64, before in decoration(), after in decoration()
    ) {
        let first = cased(FIRST_WORDS[at], upper);
        let start = cased(START_WORDS[start], upper);
        prop_assert_eq!(plain(&format!("{before}{first}{after} rest")), Meaning::Stop);
        prop_assert_eq!(plain(&format!("word {before}{first}{after}")), Meaning::Nothing);
        prop_assert_eq!(plain(&format!("{before}{start}{after}")), Meaning::Start);
        prop_assert_eq!(plain(&format!("{before}{start}{after} x")), Meaning::Nothing);
    }

    #[test]
    fn letters_or_digits_joined_to_a_word_make_it_another(
        at in 0..STOP_WORDS.len(), upper: u64, before in "[bj-mqvwxz0-9é]{0,3}", after in "[bj-mqvwxz0-9é]{0,3}"
    ) {
        prop_assume!(!before.is_empty() || !after.is_empty());
        let word = cased(STOP_WORDS[at], upper);
        prop_assert_eq!(plain(&format!("{before}{word}{after}")), Meaning::Nothing);
        prop_assert_eq!(plain(&format!("{before}{word}{after} {before}{word}{after}")), Meaning::Nothing);
    }

    /// Guarantees: any text is read, and a stop after it is one.
    #[test]
    fn any_text_is_read(text in any::<String>(), own in "\\PC{1,8}") {
        let own = [own.into_boxed_str()];
        let _ = read(&text, &own, &own);
        prop_assert_eq!(read(&format!("{text}\nstop"), &[], &own), Meaning::Stop);
        prop_assert_eq!(plain(&format!("stop\n{text}")), Meaning::Stop);
    }
}

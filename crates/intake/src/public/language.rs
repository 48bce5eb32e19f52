//! Which of the page's languages a caller reads best (RFC 9110, section 12.5.4).

use axum::http::{HeaderMap, header};

/// A language of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    French,
    English,
    German,
    Spanish,
    Italian,
}

impl Language {
    pub(crate) const ALL: [Self; 5] =
        [Self::French, Self::English, Self::German, Self::Spanish, Self::Italian];

    /// Its tag (BCP 47).
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::French => "fr",
            Self::English => "en",
            Self::German => "de",
            Self::Spanish => "es",
            Self::Italian => "it",
        }
    }

    /// The one that `Accept-Language` likes best; of equals the first. Who names none of ours gets English, which people of other
    /// languages read more often than French; who says nothing, or that any will do, gets French: tamis writes to people in France.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = || headers.get_all(header::ACCEPT_LANGUAGE).iter();
        if values().next().is_none() {
            return Self::French;
        }
        let mut best = (0, Self::English);
        for range in values().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix(['q', 'Q'])).map_or(Some(1_000), quality);
            if let (Some(language), Some(quality)) = (Self::named(name), quality)
                && quality > best.0
            {
                best = (quality, language);
            }
        }
        best.1
    }

    fn named(range: &str) -> Option<Self> {
        if range == "*" {
            return Some(Self::French);
        }
        let language = range.split('-').next()?;
        Self::ALL.into_iter().find(|known| language.eq_ignore_ascii_case(known.tag()))
    }
}

/// Thousandths, of `=0.8`: RFC 9110 has three digits at most. `None` for what is no quality.
fn quality(text: &str) -> Option<u32> {
    let text = text.trim_start().strip_prefix('=')?.trim_start();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{part:0<3}").parse::<u32>().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::Language::{self, English, French, German, Italian, Spanish};

    fn of(values: &[&'static str]) -> Language {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT_LANGUAGE, HeaderValue::from_static(value));
        }
        Language::of(&headers)
    }

    #[test]
    fn the_language_liked_best_is_taken() {
        for (values, language) in [
            (&["de"][..], German),
            (&["es-419,es;q=0.9,en;q=0.8"], Spanish),
            (&["en;q=0.5, it-IT;q=0.7"], Italian),
            (&["pl,de;q=0.2,en;q=0.199"], German),
            (&["FR-be"], French),
            (&["en, fr"], English),
            (&["pl", "it;q=0.4"], Italian),
            (&["en ; q = 0.1 , de ; q=1.000"], German),
        ] {
            assert_eq!(of(values), language, "{values:?}");
        }
    }

    #[test]
    fn who_reads_none_of_ours_gets_english_and_who_says_nothing_french() {
        for (values, language) in [
            (&[][..], French),
            (&["*"], French),
            (&["pl, *;q=0.5"], French),
            (&["pl"], English),
            (&["ja, fr;q=0"], English),
            (&[""], English),
            // What is no range or no quality counts for nothing.
            (&["de;q=2, fr;q=-1, it;q=0.1234, es;q=zero"], English),
            (&["french, deutsch, e"], English),
        ] {
            assert_eq!(of(values), language, "{values:?}");
        }
    }
}

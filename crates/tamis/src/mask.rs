//! What is shown of an address when nobody asked to see it.

/// What stands for what is hidden: always as many, so that the length does not tell.
const HIDDEN: &str = "•••••";

/// The longest top-level domain that is shown; most people's have two or three letters.
const TOP_MOST: usize = 6;

/// An address with enough left to recognise its kind, and too little to find the person.
///
/// A phone number keeps its first three digits after `+` (two without) and its last two, if it has at least
/// nine; an e-mail address keeps the first letter and the top-level domain, if that is plainly one: what a job brings as
/// an address may be anything, a name or orders to a terminal too.
pub(crate) fn address(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    if let Some((local, domain)) = text.rsplit_once('@') {
        let many = local.chars().count() > 1;
        let first: String = local.chars().take(1).filter(|c| many && c.is_alphanumeric()).collect();
        let plain = |top: &&str| top.len() <= TOP_MOST && top.bytes().all(|b| b.is_ascii_alphabetic());
        let top = domain.rsplit_once('.').map(|(_, top)| top).filter(plain).unwrap_or_default();
        return format!("{first}{HIDDEN}@{HIDDEN}.{top}");
    }
    let digits: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
    if digits.len() < 9 {
        return HIDDEN.to_owned();
    }
    let (sign, keep) = if text.starts_with('+') { ("+", 3) } else { ("", 2) };
    let head: String = digits[..keep].iter().collect();
    let tail: String = digits[digits.len() - 2..].iter().collect();
    format!("{sign}{head}{HIDDEN}{tail}")
}

/// Any other text about a person: only whether there is one.
pub(crate) fn text(text: &str) -> String {
    if text.is_empty() { String::new() } else { HIDDEN.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_keeps_its_ends_only() {
        assert_eq!(address("+33612345678"), "+336•••••78");
        assert_eq!(address("06 12 34 56 78"), "06•••••78");
        assert_eq!(address("36200"), HIDDEN, "a short one would be given away by its ends");
    }

    #[test]
    fn an_email_address_keeps_a_letter_and_the_top_level_domain() {
        assert_eq!(address("lea.martin@martin-lea.fr"), "l•••••@•••••.fr");
        assert_eq!(address("l@martin.fr"), "•••••@•••••.fr");
        assert_eq!(address("l@localhost"), "•••••@•••••.");
    }

    /// Guarantees: what stands where an address belongs, and is none, is not shown by way of its mask.
    /// Fails when: whatever follows the last dot is taken for a top-level domain.
    #[test]
    fn what_is_no_address_is_not_shown_by_its_mask() {
        for text in ["x@y.0639981234", "x@y.Camille Exemple", "x@y.\u{1b}]0;x\u{7}", "x@y.exemple-camille"] {
            assert_eq!(address(text), "•••••@•••••.", "{text}");
        }
        assert_eq!(address("\u{1b}x@y.fr"), "•••••@•••••.fr");
    }

    #[test]
    fn the_length_of_a_text_is_not_told() {
        assert_eq!(text("Léa"), text("Maximilienne de la Tour"));
        assert_eq!(text(""), "");
        assert_eq!(address(" "), "");
    }
}

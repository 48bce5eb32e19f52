//! A colour that white text can be read on.

use std::fmt;

/// Contrast that text needs at least (WCAG 2.2, success criterion 1.4.3).
const CONTRAST_LEAST: f64 = 4.5;

/// An sRGB colour dark enough for white text, and so legible itself on white. Prints as `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour([u8; 3]);

/// Why a text is no colour for a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    Malformed,
    TooLight,
}

impl Colour {
    pub(crate) fn parse(text: &str) -> Result<Self, Unfit> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6).ok_or(Unfit::Malformed)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Unfit::Malformed);
        }
        let value = u32::from_str_radix(digits, 16).map_err(|_| Unfit::Malformed)?;
        let [_, red, green, blue] = value.to_be_bytes();
        let colour = Self([red, green, blue]);
        if colour.contrast_to_white() < CONTRAST_LEAST { Err(Unfit::TooLight) } else { Ok(colour) }
    }

    /// WCAG 2.2, "contrast ratio" and "relative luminance".
    fn contrast_to_white(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Colour, Unfit};

    #[test]
    fn a_colour_is_dark_enough_for_white_text() {
        assert_eq!(Colour::parse("#0055AA").unwrap().to_string(), "#0055aa");
        // 4.54 and 4.48: the known neighbours of the limit.
        assert!(Colour::parse("#767676").is_ok());
        assert_eq!(Colour::parse("#777777"), Err(Unfit::TooLight));
        for none in ["0055aa", "#05a", "#0055ag", "#+055aa", "red", "", "#0055aa;}"] {
            assert_eq!(Colour::parse(none), Err(Unfit::Malformed), "{none}");
        }
    }
}

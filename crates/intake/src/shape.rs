//! The values of a call's JSON, taken in without keeping more of them than a call may have.
//!
//! A body of two million zeros is 4 MiB, and a hundred as a tree of values: so only texts and numbers are kept, arrays to
//! one row more than their limit, and whatever has no business here is read over.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::rows::ROWS_MAX;

/// A field's value. May be personal data: nothing here prints.
pub(crate) enum Scalar {
    /// A text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// What no field is.
    Other,
}

/// A field that holds rows.
pub(crate) enum Many<T> {
    /// The rows, one more than a call may have at most.
    Rows(Vec<T>),
    /// Not an array.
    Other,
}

/// Fields of a postal address, in this order.
pub(crate) const POSTAL_FIELDS: [&str; 6] = ["name", "street", "extra", "postal_code", "city", "country"];

/// A row of `postal`.
pub(crate) enum PostalRow {
    /// An object of known names, each once at most, with texts.
    Fields([String; POSTAL_FIELDS.len()]),
    /// Anything else.
    Other,
}

/// Reads an array or an object to its end and keeps nothing of it.
fn read_over<'de, A: SeqAccess<'de>>(mut rest: A) -> Result<(), A::Error> {
    while rest.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// As [`read_over`].
fn read_over_map<'de, A: MapAccess<'de>>(mut rest: A) -> Result<(), A::Error> {
    while rest.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// What a kind of value makes of each kind of JSON. All but what it is for is [`Shape::other`].
trait Shape<'de>: Sized {
    fn other() -> Self;
    fn text(_: String) -> Self {
        Self::other()
    }
    fn whole(_: i64) -> Self {
        Self::other()
    }
    fn rows<A: SeqAccess<'de>>(rows: A) -> Result<Self, A::Error> {
        read_over(rows).map(|()| Self::other())
    }
    fn fields<A: MapAccess<'de>>(fields: A) -> Result<Self, A::Error> {
        read_over_map(fields).map(|()| Self::other())
    }
}

struct Any<T>(PhantomData<T>);

impl<'de, T: Shape<'de>> Visitor<'de> for Any<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<T, E> {
        Ok(T::text(text))
    }

    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::whole(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(i64::try_from(number).map_or_else(|_| T::other(), T::whole))
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::other())
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(T::other())
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::other())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, rows: A) -> Result<T, A::Error> {
        T::rows(rows)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::fields(fields)
    }
}

impl Shape<'_> for Scalar {
    fn other() -> Self {
        Self::Other
    }

    fn text(text: String) -> Self {
        Self::Text(text)
    }

    fn whole(number: i64) -> Self {
        Self::Whole(number)
    }
}

impl<'de, T: Deserialize<'de>> Shape<'de> for Many<T> {
    fn other() -> Self {
        Self::Other
    }

    fn rows<A: SeqAccess<'de>>(mut rows: A) -> Result<Self, A::Error> {
        let mut kept = Vec::new();
        while kept.len() <= ROWS_MAX {
            match rows.next_element()? {
                Some(row) => kept.push(row),
                None => return Ok(Self::Rows(kept)),
            }
        }
        read_over(rows).map(|()| Self::Rows(kept))
    }
}

impl<'de> Shape<'de> for PostalRow {
    fn other() -> Self {
        Self::Other
    }

    fn fields<A: MapAccess<'de>>(mut fields: A) -> Result<Self, A::Error> {
        let mut kept: [Option<String>; POSTAL_FIELDS.len()] = Default::default();
        let mut good = true;
        while let Some(name) = fields.next_key::<String>()? {
            let place = POSTAL_FIELDS.iter().position(|known| *known == name);
            let text = match fields.next_value::<Option<Scalar>>()? {
                Some(Scalar::Text(text)) => Some(text),
                None => Some(String::new()),
                Some(Scalar::Whole(_) | Scalar::Other) => None,
            };
            match (place, text) {
                (Some(at), Some(text)) if kept[at].is_none() => kept[at] = Some(text),
                (_, _) => good = false,
            }
        }
        Ok(if good { Self::Fields(kept.map(Option::unwrap_or_default)) } else { Self::Other })
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any(PhantomData))
    }
}

impl<'de> Deserialize<'de> for PostalRow {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::{Many, PostalRow, Scalar};
    use crate::rows::ROWS_MAX;

    /// Guarantees: of an array only as many rows are kept as tell that there are too many, and of a row that is none
    /// nothing is.
    /// Fails when: the visitor keeps on pushing after the limit.
    #[test]
    fn of_two_million_rows_ten_thousand_and_one_are_kept() {
        let body = format!("[{}0]", "0,".repeat(2_000_000));
        let Ok(Many::Rows(rows)) = serde_json::from_str::<Many<Scalar>>(&body) else { panic!("an array") };
        assert_eq!(rows.len(), ROWS_MAX + 1);
        assert!(rows.capacity() < 4 * ROWS_MAX);
        let nested = serde_json::from_str::<Many<Scalar>>(&format!("[{body}]"));
        assert!(matches!(nested, Ok(Many::Rows(rows)) if matches!(rows[..], [Scalar::Other])));
    }

    #[test]
    fn a_postal_row_has_known_names_with_texts_each_once() {
        let read = |text: &str| match serde_json::from_str(text).unwrap() {
            PostalRow::Fields(fields) => Some(fields),
            PostalRow::Other => None,
        };
        let fields = read(r#"{"city":"Brest","name":"Ada","extra":null}"#).unwrap();
        assert_eq!((&*fields[0], &*fields[2], &*fields[4]), ("Ada", "", "Brest"));
        for bad in [r#"{"name":"a","name":"b"}"#, r#"{"nom":"a"}"#, r#"{"name":1}"#, "[]", "\"a\"", "null"] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_whole_number_is_one_of_64_bits_with_a_sign() {
        let whole = |text: &str| match serde_json::from_str(text).unwrap() {
            Scalar::Whole(number) => Some(number),
            Scalar::Text(_) | Scalar::Other => None,
        };
        assert_eq!(whole("-5"), Some(-5));
        assert_eq!(whole("9223372036854775807"), Some(i64::MAX));
        for other in ["9223372036854775808", "1.0", "true", "\"1\"", "1e400"] {
            assert!(serde_json::from_str::<Scalar>(other).is_err() || whole(other).is_none(), "{other}");
        }
    }
}

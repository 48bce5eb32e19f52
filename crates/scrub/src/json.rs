//! A row of NDJSON: of its fields only those that say who it is.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

/// Who a row is, as it is written there. Personal data: no `Debug`.
#[derive(Default)]
pub(crate) struct Fields<'r> {
    pub(crate) address: Cow<'r, str>,
    pub(crate) contact: Cow<'r, str>,
    pub(crate) postal: Option<Postal<'r>>,
}

/// A postal address, with the names of the contract.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Postal<'r> {
    #[serde(borrow)]
    pub(crate) name: Cow<'r, str>,
    #[serde(borrow)]
    pub(crate) street: Cow<'r, str>,
    #[serde(borrow)]
    pub(crate) postal_code: Cow<'r, str>,
    #[serde(borrow)]
    pub(crate) country: Cow<'r, str>,
}

/// What the fields are called.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) address: String,
    pub(crate) contact: String,
}

impl Names {
    /// The fields of a row; `None` when it is no object, one of them stands twice or is no text.
    pub(crate) fn read<'r>(&self, row: &'r [u8]) -> Option<Fields<'r>> {
        let mut from = serde_json::Deserializer::from_slice(row);
        let fields = self.deserialize(&mut from).ok()?;
        from.end().ok()?;
        Some(fields)
    }
}

impl<'r> DeserializeSeed<'r> for &Names {
    type Value = Fields<'r>;

    fn deserialize<D: Deserializer<'r>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

#[derive(Deserialize)]
struct Text<'r>(#[serde(borrow)] Cow<'r, str>);

impl<'r> Visitor<'r> for &Names {
    type Value = Fields<'r>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'r>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        let mut seen = [false; 3];
        while let Some(Text(name)) = map.next_key()? {
            let of = [&*self.address, &*self.contact, "postal"].iter().position(|known| *known == name);
            // Which of two counts is a reader's own choice.
            if of.is_some_and(|of| std::mem::replace(&mut seen[of], true)) {
                return Err(A::Error::custom("a field stands twice"));
            }
            let text = |text: Option<Text<'r>>| text.map(|Text(text)| text).unwrap_or_default();
            match of {
                Some(0) => fields.address = text(map.next_value()?),
                Some(1) => fields.contact = text(map.next_value()?),
                Some(_) => fields.postal = map.next_value()?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(row: &str) -> Option<String> {
        let names = Names { address: "tel".to_owned(), contact: "contact".to_owned() };
        names.read(row.as_bytes()).map(|fields| fields.address.into_owned())
    }

    #[test]
    fn a_row_is_an_object_whose_fields_stand_once() {
        assert_eq!(address("{\"tel\":\"+336\",\"x\":[{}],\"contact\":\"c\"}\r\n").as_deref(), Some("+336"));
        assert_eq!(address("{\"tel\":\"\\u002b336\"}").as_deref(), Some("+336"));
        assert_eq!(address("{\"tel\":null}").as_deref(), Some(""));
        assert_eq!(address("{}").as_deref(), Some(""));
        for bad in [
            "{\"tel\":\"a\",\"tel\":\"b\"}",
            "{\"tel\":null,\"\\u0074el\":\"b\"}",
            "{\"tel\":336}",
            "[]",
            "\"a\"",
            "{\"tel\":\"a\"} {}",
            "{\"tel\":\"a\"",
            "{\"postal\":{\"name\":\"a\",\"name\":\"b\"}}",
            "",
        ] {
            assert_eq!(address(bad), None, "{bad}");
        }
        let deep = format!("{{\"x\":{}1{},\"tel\":\"a\"}}", "[".repeat(9_000), "]".repeat(9_000));
        assert!(address(&deep).is_none_or(|address| address == "a"), "no depth ends the process");
    }
}

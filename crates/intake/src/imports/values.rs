//! The fields of a row by column, from a CSV's row or a JSON object. Of JSON only texts are kept; whatever has no business there
//! is read over and told.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

use super::columns::{self, Column};
use super::layouts::Header;
use super::reading::Row;
use super::rows::Code;

/// The fields of a row, by column. Personal data: no `Debug`.
pub(super) struct Values<'a>([Option<Cow<'a, str>>; Column::COUNT]);

impl<'a> Values<'a> {
    /// Of a CSV's row.
    pub(super) fn of_csv(header: &Header, row: &'a Row) -> Result<Self, Code> {
        let more = (header.columns..row.columns()).any(|at| !row.octets(at).is_empty());
        if row.columns() < header.columns || more {
            return Err(Code::WrongNumberOfColumns);
        }
        let mut values = Self(Default::default());
        for (at, place) in header.places().iter().enumerate() {
            let Some(place) = place else { continue };
            let (text, trimmed) = (row.text(*place), row.text(*place).trim());
            // A contact is its bytes as they are (semantics, section 1).
            let kept = if at == Column::Contact as usize { text } else { trimmed };
            values.0[at] = (!trimmed.is_empty()).then_some(Cow::Borrowed(kept));
        }
        Ok(values)
    }

    /// Of a JSON object.
    pub(super) fn of_json(line: &'a str) -> Result<Self, Code> {
        let mut from = serde_json::Deserializer::from_str(line);
        let read = from.deserialize_any(Fields).map_err(|_| Code::NotJson)?;
        from.end().map_err(|_| Code::NotJson)?;
        read.map(Self)
    }

    /// A field; empty where there is none.
    pub(super) fn get(&self, column: Column) -> &str {
        self.0[column as usize].as_deref().unwrap_or_default()
    }
}

/// Reads an object, whatever stands in it: what is no field of a row is read over, and told.
struct Fields;

type Known<'a> = [Option<Cow<'a, str>>; Column::COUNT];

impl<'de> Visitor<'de> for Fields {
    type Value = Result<Known<'de>, Code>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut known, mut wrong) = (Known::default(), None);
        while let Some(name) = map.next_key::<Text<'de>>()? {
            // SES tells when it noted somebody.
            let column = match &*name.0 {
                "LastUpdateTime" | "lastUpdateTime" => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                "postal" => {
                    match map.next_value::<Field<'de>>()? {
                        Field::Postal(parts) => {
                            for (column, text) in parts {
                                wrong = wrong.or(put(&mut known, column, text));
                            }
                        }
                        Field::Nothing => {}
                        Field::Text(_) | Field::Other => wrong = wrong.or(Some(Code::BadField)),
                    }
                    continue;
                }
                name => columns::column(name),
            };
            match (column, map.next_value::<Field<'de>>()?) {
                (None, _) => wrong = wrong.or(Some(Code::UnknownField)),
                (Some(_), Field::Nothing) => {}
                (Some(Column::OfALift), _) => wrong = Some(Code::LiftNotAllowed),
                (Some(Column::Elsewhere), _) => wrong = wrong.or(Some(Code::FieldNotAllowed)),
                (Some(column), Field::Text(text)) => wrong = wrong.or(put(&mut known, column, text)),
                (Some(_), Field::Postal(_) | Field::Other) => wrong = wrong.or(Some(Code::BadField)),
            }
        }
        Ok(wrong.map_or(Ok(known), Err))
    }
}

fn put<'a>(known: &mut Known<'a>, column: Column, text: Cow<'a, str>) -> Option<Code> {
    let place = &mut known[column as usize];
    if place.is_some() {
        return Some(Code::BadField);
    }
    let empty = text.trim().is_empty();
    *place = (!empty).then_some(text);
    None
}

/// A text that is borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A field's value.
enum Field<'a> {
    Text(Cow<'a, str>),
    Postal(Vec<(Column, Cow<'a, str>)>),
    Nothing,
    Other,
}

impl<'de> serde::Deserialize<'de> for Field<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Field<'de>, E> {
        Ok(Field::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }

    /// 0 is what `expires_at_ms` has where it says nothing.
    fn visit_u64<E>(self, number: u64) -> Result<Field<'de>, E> {
        Ok(if number == 0 { Field::Nothing } else { Field::Other })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Field<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field<'de>, A::Error> {
        let (mut parts, mut good) = (Vec::new(), true);
        while let Some(name) = map.next_key::<Text<'de>>()? {
            match (
                columns::column(&name.0).filter(|column| column.is_postal()),
                map.next_value::<Flat<'de>>()?,
            ) {
                (Some(column), Flat(Some(text))) if parts.len() < 6 => parts.push((column, text)),
                (_, _) => good = false,
            }
        }
        Ok(if good { Field::Postal(parts) } else { Field::Other })
    }
}

/// A text, or anything else read over without recursion.
struct Flat<'a>(Option<Cow<'a, str>>);

impl<'de> serde::Deserialize<'de> for Flat<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FlatVisitor)
    }
}

struct FlatVisitor;

impl<'de> Visitor<'de> for FlatVisitor {
    type Value = Flat<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Flat<'de>, E> {
        Ok(Flat(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Flat<'de>, E> {
        Ok(Flat(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_unit<E>(self) -> Result<Flat<'de>, E> {
        Ok(Flat(Some(Cow::Borrowed(""))))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Flat<'de>, E> {
        Ok(Flat(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Flat<'de>, E> {
        Ok(Flat(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Flat<'de>, E> {
        Ok(Flat(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Flat<'de>, E> {
        Ok(Flat(None))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Flat<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Flat(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Flat<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Flat(None))
    }
}

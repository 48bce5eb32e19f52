//! Protobuf's wire format, read strictly: what one reader takes and another refuses is damage.

/// A field's value on the wire.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64,
    Bytes(&'a [u8]),
    Fixed32,
}

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    Truncated,
    VarintTooLong,
    BadTag,
    Group,
}

/// Reads fields one after the other.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The next field's number and value.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "measured: out of line, its answer goes through memory, 36 ns a job"
    )]
    pub(crate) fn field(&mut self) -> Result<(u32, Value<'a>), (u32, Damage)> {
        let (number, wire_type) = self.tag().map_err(|damage| (0, damage))?;
        let value = match wire_type {
            2 => self.length_delimited().map(Value::Bytes),
            0 => self.varint().map(Value::Varint),
            1 => self.skip(8).map(|()| Value::Fixed64),
            5 => self.skip(4).map(|()| Value::Fixed32),
            3 | 4 => Err(Damage::Group),
            _ => Err(Damage::BadTag),
        };
        value.map(|value| (number, value)).map_err(|damage| (number, damage))
    }

    #[inline]
    fn tag(&mut self) -> Result<(u32, u8), Damage> {
        let tag = self.varint()?;
        let number = tag >> 3;
        // Field numbers have 29 bits and begin at 1.
        if number == 0 || number > 0x1fff_ffff {
            return Err(Damage::BadTag);
        }
        #[expect(clippy::cast_possible_truncation, reason = "29 bits, and 3")]
        Ok((number as u32, (tag & 7) as u8))
    }

    /// One octet, which most are, here; more of them out of line.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "measured: 8 % of a whole decision went into calling it")]
    pub(crate) fn varint(&mut self) -> Result<u64, Damage> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Damage> {
        let rest = &self.bytes[self.at..];
        let mut value = 0u64;
        for (i, &byte) in rest.iter().take(10).enumerate() {
            // The tenth byte has room for one bit only.
            if i == 9 && byte > 1 {
                return Err(Damage::VarintTooLong);
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(if rest.len() < 10 { Damage::Truncated } else { Damage::VarintTooLong })
    }

    #[inline]
    fn length_delimited(&mut self) -> Result<&'a [u8], Damage> {
        let length = usize::try_from(self.varint()?).map_err(|_| Damage::Truncated)?;
        let rest = &self.bytes[self.at..];
        if length > rest.len() {
            return Err(Damage::Truncated);
        }
        self.at += length;
        Ok(&rest[..length])
    }

    fn skip(&mut self, count: usize) -> Result<(), Damage> {
        if self.bytes.len() - self.at < count {
            return Err(Damage::Truncated);
        }
        self.at += count;
        Ok(())
    }
}

/// Whether it is UTF-8, with the usual case, ASCII, first, and of that the length of telephone numbers.
#[inline]
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    let is_ascii = match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(head), Some(tail)) if bytes.len() <= 16 => {
            (u64::from_le_bytes(*head) | u64::from_le_bytes(*tail)) & 0x8080_8080_8080_8080 == 0
        }
        _ => bytes.is_ascii(),
    };
    is_ascii || std::str::from_utf8(bytes).is_ok()
}

/// UTF-8.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

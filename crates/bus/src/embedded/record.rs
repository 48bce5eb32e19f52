//! How a record lies in the store.
//!
//! | topic | bytes |
//! |---|---|
//! | jobs | timestamp i64 ‖ value |
//! | suppressions | timestamp i64 ‖ key length u32 ‖ key ‖ value |
//! | results | timestamp i64 ‖ decided i64 ‖ source partition i32 ‖ source offset i64 ‖ part u32 ‖ lengths of key, traceparent, tracestate u32 ‖ those three ‖ value |
//!
//! Numbers are little-endian.

use crate::{Blame, Error};

/// Reads from the front of a record.
pub(super) struct Front<'a>(&'a [u8]);

impl<'a> Front<'a> {
    pub(super) fn of(record: &'a [u8]) -> Self {
        Self(record)
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (front, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| Error::new("read records", Blame::Internal, "a stored record is too short"))?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        Ok(self.bytes(N)?.try_into().expect("as many bytes as were asked for"))
    }

    pub(super) fn i64(&mut self) -> Result<i64, Error> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Error> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// The parts of a suppression record: timestamp, key, value.
    pub(super) fn of_suppression(record: &'a [u8]) -> Result<(i64, &'a [u8], &'a [u8]), Error> {
        let mut front = Self::of(record);
        let timestamp_ms = front.i64()?;
        let key_bytes = front.u32()? as usize;
        Ok((timestamp_ms, front.bytes(key_bytes)?, front.rest()))
    }
}

/// Fills a record's bytes, front to back.
pub(super) struct Fill<'a>(&'a mut [u8]);

impl<'a> Fill<'a> {
    /// `into` must be as long as everything that will be put.
    pub(super) fn new(into: &'a mut [u8]) -> Self {
        Self(into)
    }

    pub(super) fn put(self, bytes: &[u8]) -> Self {
        let (front, rest) = self.0.split_at_mut(bytes.len());
        front.copy_from_slice(bytes);
        Self(rest)
    }

    /// Puts a length as u32.
    pub(super) fn length(self, length: usize) -> Self {
        self.put(&u32::try_from(length).expect("a field of a record is shorter than 4 GiB").to_le_bytes())
    }
}

//! The encoding of a value in a row.
//!
//! ```text
//!  00                          the member is its own value
//!  01  bytes                   the value
//!  02  stamp (8)  length (8)  chunk (4)   the value is in chunks of this length, with this stamp
//!  03  bytes (7)  00           a string of seven bytes
//!  integer (8)                 a counter, little-endian, so that an engine can add to it
//! ```
//!
//! A counter is a string that is the canonical text of an integer. Only the row of a string has
//! counters. Eight bytes identify a counter, so no other string is encoded in eight bytes.
//!
//! The stamp is a hash of the value. Different values have different stamps, except for deliberate
//! hash collisions. So a reader whose snapshot advances does not mix the chunks of an old and a new
//! value. Writing the same value again writes the same rows. Equal stamps never mean that values
//! are equal.

use super::engine::{Change, EngineLimits, Transaction};
use super::rows::{ChunkRows, corrupt};
use crate::{Error, ErrorKind, Result, Value};
use futures_util::future::try_join_all;
use std::hash::{DefaultHasher, Hasher};

/// The maximum number of chunks of a value.
const MAX_CHUNKS: u64 = 1 << 26;
/// Chunks that are read together. A false length is detected before memory is allocated for it.
const CHUNKS_PER_READ: u64 = 64;

/// A longer value of a sorted hash is stored once, in chunks, instead of in two rows.
const MAX_INLINE_IN_SORTED: usize = 1_024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EncodedValue {
    /// A member of a sorted set without a value of its own.
    SameAsMember,
    Inline(Value),
    Counter(i64),
    Chunked {
        stamp: u64,
        len: u64,
        chunk: u32,
    },
}

impl EncodedValue {
    pub(super) fn for_string(value: &Value, limits: &EngineLimits) -> Self {
        value
            .as_canonical_integer()
            .map_or_else(|| EncodedValue::for_hash_field(value, limits), EncodedValue::Counter)
    }
    pub(super) fn for_hash_field(value: &Value, limits: &EngineLimits) -> Self {
        EncodedValue::with_max_row(value, limits.max_value, limits)
    }
    pub(super) fn for_sorted(value: Option<&Value>, limits: &EngineLimits) -> Self {
        value.map_or(EncodedValue::SameAsMember, |v| {
            EncodedValue::with_max_row(v, limits.max_value.min(MAX_INLINE_IN_SORTED), limits)
        })
    }
    /// `limit` is that of the row, which also holds the tag and perhaps a score: 16 bytes are
    /// reserved.
    fn with_max_row(value: &Value, limit: usize, limits: &EngineLimits) -> Self {
        if value.len().saturating_add(16) <= limit {
            return EncodedValue::Inline(value.clone());
        }
        let mut stamp = DefaultHasher::new();
        stamp.write(value);
        let chunk = u32::try_from(limits.max_value).unwrap_or(u32::MAX);
        EncodedValue::Chunked { stamp: stamp.finish(), len: value.len() as u64, chunk }
    }
    pub(super) fn is_chunked(&self) -> bool {
        matches!(self, EncodedValue::Chunked { .. })
    }

    /// Appends the encoding to the value of a row.
    pub(super) fn encode(&self, row: &mut Vec<u8>) {
        match self {
            EncodedValue::SameAsMember => row.push(0),
            EncodedValue::Inline(value) => {
                row.reserve_exact(1 + value.len());
                row.push(1);
                row.extend_from_slice(value);
            }
            EncodedValue::Counter(n) => row.extend_from_slice(&n.to_le_bytes()),
            EncodedValue::Chunked { stamp, len, chunk } => {
                row.push(2);
                row.extend_from_slice(&stamp.to_be_bytes());
                row.extend_from_slice(&len.to_be_bytes());
                row.extend_from_slice(&chunk.to_be_bytes());
            }
        }
    }
    /// The content of the row of a string.
    pub(super) fn to_string_row(&self) -> Vec<u8> {
        let mut row = Vec::new();
        self.encode(&mut row);
        if let (EncodedValue::Inline(_), 8) = (self, row.len()) {
            row[0] = 3;
            row.push(0);
        }
        row
    }
    pub(super) fn decode_string(row: &[u8]) -> Result<Self> {
        if let Ok(counter) = row.try_into() {
            return Ok(EncodedValue::Counter(i64::from_le_bytes(counter)));
        }
        match row {
            [3, value @ .., 0] if value.len() == 7 => Ok(EncodedValue::Inline(value.into())),
            _ => EncodedValue::decode(row),
        }
    }
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        match bytes {
            [0] => Ok(EncodedValue::SameAsMember),
            [1, value @ ..] => Ok(EncodedValue::Inline(value.into())),
            [2, rest @ ..] => {
                let (stamp, rest) = rest.split_first_chunk::<8>().ok_or_else(corrupt)?;
                let (len, rest) = rest.split_first_chunk::<8>().ok_or_else(corrupt)?;
                let chunk = u32::from_be_bytes(rest.try_into().map_err(|_| corrupt())?);
                let (stamp, len) = (u64::from_be_bytes(*stamp), u64::from_be_bytes(*len));
                Ok(EncodedValue::Chunked { stamp, len, chunk })
            }
            _ => Err(corrupt()),
        }
    }

    /// Adds the chunks of `value`, if it is chunked.
    pub(super) fn write_chunks(
        &self,
        value: &Value,
        long: ChunkRows<'_>,
        changes: &mut Vec<Change>,
    ) {
        if let EncodedValue::Chunked { stamp, chunk, .. } = self {
            for (n, chunk) in value.chunks(*chunk as usize).enumerate() {
                changes.push(Change::Put(long.chunk(*stamp, n), chunk.into()));
            }
        }
    }

    /// The value. `itself` is the member, for a member that is its own value.
    pub(super) async fn resolve<T: Transaction>(
        self,
        tx: &T,
        long: ChunkRows<'_>,
        itself: Option<&Value>,
    ) -> Result<Value> {
        match self {
            EncodedValue::SameAsMember => itself.cloned().ok_or_else(corrupt),
            EncodedValue::Inline(value) => Ok(value),
            EncodedValue::Counter(n) => Ok(itoa::Buffer::new().format(n).into()),
            EncodedValue::Chunked { stamp, len, chunk } => {
                let chunks = len.checked_div(chunk.into()).filter(|n| *n < MAX_CHUNKS);
                let chunks =
                    chunks.ok_or_else(corrupt)? + u64::from(!len.is_multiple_of(chunk.into()));
                let mut value = Vec::new();
                for first in (0..chunks).step_by(CHUNKS_PER_READ as usize) {
                    // Point reads, issued together: a range would arrive page by page.
                    let next = chunks.min(first + CHUNKS_PER_READ);
                    let some = try_join_all((first..next).map(async |n| {
                        let row = long.chunk(stamp, n as usize);
                        tx.get(&row, |chunk| Ok(chunk.to_vec()))
                            .await?
                            .ok_or_else(|| chunks_do_not_match(tx))
                    }));
                    some.await?.iter().for_each(|chunk| value.extend_from_slice(chunk));
                }
                if value.len() as u64 == len {
                    Ok(value.into())
                } else {
                    Err(chunks_do_not_match(tx))
                }
            }
        }
    }
}

/// The chunks do not match the row. If the snapshot may have advanced in between, a retry resolves
/// that.
fn chunks_do_not_match<T: Transaction>(tx: &T) -> Error {
    match tx.may_advance() {
        true => Error::new(ErrorKind::Conflict, "a long value was replaced while it was read"),
        false => missing_chunks(),
    }
}
/// Another program has changed the rows, or the file is damaged.
pub(super) fn missing_chunks() -> Error {
    Error::new(ErrorKind::Corrupt, "a long value lacks some of its chunks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_every_length_and_counters_read_back_from_their_rows() {
        let limits = EngineLimits {
            max_name: 100,
            max_value: 64,
            max_transaction: 1_000,
            max_part_rows: usize::MAX,
            max_attempts: 1,
            checks_types: false,
        };
        let letters = (0..100).map(|len| Value::from("x".repeat(len)));
        let integers = ["0", "-7", "1234567", "12345678", "-9223372036854775808"].map(Value::from);
        for value in letters.chain(integers).chain([Value::from(&b"\x03\0\0\0\0\0\0"[..])]) {
            let encoded = EncodedValue::for_string(&value, &limits);
            let row = encoded.to_string_row();
            assert_eq!(EncodedValue::decode_string(&row).unwrap(), encoded);
            let is_counter = value.as_canonical_integer().is_some();
            assert_eq!(row.len() == 8, is_counter, "{value:?}");
        }
    }

    #[test]
    fn cells_read_back_and_nonsense_is_corrupt() {
        let cells = [
            EncodedValue::SameAsMember,
            EncodedValue::Inline("".into()),
            EncodedValue::Inline("v".into()),
            EncodedValue::Chunked { stamp: 7, len: 9, chunk: 5 },
        ];
        for encoded in cells {
            let mut row = Vec::new();
            encoded.encode(&mut row);
            assert_eq!(EncodedValue::decode(&row).unwrap(), encoded);
        }
        for bytes in [
            &b""[..],
            b"\0x",
            b"\x02",
            b"\x021234567812345678123",
            b"\x02123456781234567812345",
            b"\x03",
        ] {
            assert_eq!(
                EncodedValue::decode(bytes).unwrap_err().kind(),
                ErrorKind::Corrupt,
                "{bytes:?}"
            );
        }
    }
}

//! How a value stands in a row.
//!
//! ```text
//!  00                          the member is its own value
//!  01  bytes                   the value
//!  02  stamp (8)  length (8)  chunk (4)   the value is in chunks of this length, with this stamp
//!  03  bytes (7)  00           a string of seven bytes
//!  integer (8)                 a counter, the lowest byte first, so that an engine can add to it
//! ```
//!
//! Counters are strings that are the canonical text of an integer, and only where strings are. As
//! they are known by their eight bytes, no other string is written in eight.
//!
//! The stamp is a hash of the value. Two values of one place have different stamps, unless somebody
//! has looked for two that do not, so chunks of an old and a new value are not taken for one value
//! by a reader whose view moves on between the two; and writing the same value again writes the
//! same rows. That two stamps are the same never means that the values are.

use super::engine::{Change, EngineLimits, Transaction};
use super::rows::{Long, corrupt};
use crate::{Error, ErrorKind, Result, Value};
use futures_util::future::try_join_all;
use std::hash::{DefaultHasher, Hasher};

/// No value has as many.
const MOST_CHUNKS: u64 = 1 << 26;
/// How many are read at once. A length that is not true is found out before the memory is taken
/// that it asks for.
const AT_ONCE: u64 = 64;

/// From this length on, the value of a sorted hash is kept once, in chunks, and not in both of its
/// rows.
const LONG_IN_SORTED: usize = 1_024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// A member of a sorted set, which is its own value.
    Itself,
    Value(Value),
    Counter(i64),
    Long {
        stamp: u64,
        len: u64,
        chunk: u32,
    },
}

impl Cell {
    pub(super) fn of_string(value: &Value, limits: &EngineLimits) -> Self {
        value.as_canonical_integer().map_or_else(|| Cell::of_plain(value, limits), Cell::Counter)
    }
    pub(super) fn of_plain(value: &Value, limits: &EngineLimits) -> Self {
        Cell::at_most(value, limits.value, limits)
    }
    pub(super) fn of_sorted(value: Option<&Value>, limits: &EngineLimits) -> Self {
        value.map_or(Cell::Itself, |v| Cell::at_most(v, limits.value.min(LONG_IN_SORTED), limits))
    }
    /// `limit` is that of a row, of which a cell and a score take some bytes.
    fn at_most(value: &Value, limit: usize, limits: &EngineLimits) -> Self {
        if value.len().saturating_add(16) <= limit {
            return Cell::Value(value.clone());
        }
        let mut stamp = DefaultHasher::new();
        stamp.write(value);
        let chunk = u32::try_from(limits.value).unwrap_or(u32::MAX);
        Cell::Long { stamp: stamp.finish(), len: value.len() as u64, chunk }
    }
    pub(super) fn is_long(&self) -> bool {
        matches!(self, Cell::Long { .. })
    }

    /// Appends it to the value of a row.
    pub(super) fn write(&self, row: &mut Vec<u8>) {
        match self {
            Cell::Itself => row.push(0),
            Cell::Value(value) => {
                row.reserve_exact(1 + value.len());
                row.push(1);
                row.extend_from_slice(value);
            }
            Cell::Counter(n) => row.extend_from_slice(&n.to_le_bytes()),
            Cell::Long { stamp, len, chunk } => {
                row.push(2);
                row.extend_from_slice(&stamp.to_be_bytes());
                row.extend_from_slice(&len.to_be_bytes());
                row.extend_from_slice(&chunk.to_be_bytes());
            }
        }
    }
    /// The value of the row of a string.
    pub(super) fn string_row(&self) -> Vec<u8> {
        let mut row = Vec::new();
        self.write(&mut row);
        if let (Cell::Value(_), 8) = (self, row.len()) {
            row[0] = 3;
            row.push(0);
        }
        row
    }
    pub(super) fn read_string(row: &[u8]) -> Result<Self> {
        if let Ok(counter) = row.try_into() {
            return Ok(Cell::Counter(i64::from_le_bytes(counter)));
        }
        match row {
            [3, value @ .., 0] if value.len() == 7 => Ok(Cell::Value(value.into())),
            _ => Cell::read(row),
        }
    }
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        match bytes {
            [0] => Ok(Cell::Itself),
            [1, value @ ..] => Ok(Cell::Value(value.into())),
            [2, rest @ ..] => {
                let (stamp, rest) = rest.split_first_chunk::<8>().ok_or_else(corrupt)?;
                let (len, rest) = rest.split_first_chunk::<8>().ok_or_else(corrupt)?;
                let chunk = u32::from_be_bytes(rest.try_into().map_err(|_| corrupt())?);
                let (stamp, len) = (u64::from_be_bytes(*stamp), u64::from_be_bytes(*len));
                Ok(Cell::Long { stamp, len, chunk })
            }
            _ => Err(corrupt()),
        }
    }

    /// Adds the chunks of `value`, if it is a long one.
    pub(super) fn write_chunks(&self, value: &Value, long: Long<'_>, changes: &mut Vec<Change>) {
        if let Cell::Long { stamp, chunk, .. } = self {
            for (n, chunk) in value.chunks(*chunk as usize).enumerate() {
                changes.push(Change::Put(long.chunk(*stamp, n), chunk.into()));
            }
        }
    }

    /// The value that it stands for; `itself` where it is its own.
    pub(super) async fn resolve<T: Transaction>(
        self,
        tx: &T,
        long: Long<'_>,
        itself: Option<&Value>,
    ) -> Result<Value> {
        match self {
            Cell::Itself => itself.cloned().ok_or_else(corrupt),
            Cell::Value(value) => Ok(value),
            Cell::Counter(n) => Ok(itoa::Buffer::new().format(n).into()),
            Cell::Long { stamp, len, chunk } => {
                let chunks = len.checked_div(chunk.into()).filter(|n| *n < MOST_CHUNKS);
                let chunks =
                    chunks.ok_or_else(corrupt)? + u64::from(!len.is_multiple_of(chunk.into()));
                let mut value = Vec::new();
                for first in (0..chunks).step_by(AT_ONCE as usize) {
                    // At once, by their names: a range of them would come page by page.
                    let next = chunks.min(first + AT_ONCE);
                    let some = try_join_all((first..next).map(async |n| {
                        let row = long.chunk(stamp, n as usize);
                        tx.get(&row, |chunk| Ok(chunk.to_vec())).await?.ok_or_else(|| not_whole(tx))
                    }));
                    some.await?.iter().for_each(|chunk| value.extend_from_slice(chunk));
                }
                if value.len() as u64 == len { Ok(value.into()) } else { Err(not_whole(tx)) }
            }
        }
    }
}

/// The chunks are not those of the row: the view has moved on in between, where it can, and reading
/// again settles that.
fn not_whole<T: Transaction>(tx: &T) -> Error {
    match tx.moves_on() {
        true => Error::new(ErrorKind::Conflict, "a long value was replaced while it was read"),
        false => incomplete(),
    }
}
/// Somebody else has been at the rows.
pub(super) fn incomplete() -> Error {
    Error::new(ErrorKind::Corrupt, "a long value lacks some of its chunks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_every_length_and_counters_read_back_from_their_rows() {
        let limits = EngineLimits {
            row: 100,
            value: 64,
            transaction: 1_000,
            part: usize::MAX,
            attempts: 1,
            typed: false,
        };
        let letters = (0..100).map(|len| Value::from("x".repeat(len)));
        let integers = ["0", "-7", "1234567", "12345678", "-9223372036854775808"].map(Value::from);
        for value in letters.chain(integers).chain([Value::from(&b"\x03\0\0\0\0\0\0"[..])]) {
            let cell = Cell::of_string(&value, &limits);
            let row = cell.string_row();
            assert_eq!(Cell::read_string(&row).unwrap(), cell);
            let is_counter = value.as_canonical_integer().is_some();
            assert_eq!(row.len() == 8, is_counter, "{value:?}");
        }
    }

    #[test]
    fn cells_read_back_and_nonsense_is_corrupt() {
        let cells = [
            Cell::Itself,
            Cell::Value("".into()),
            Cell::Value("v".into()),
            Cell::Long { stamp: 7, len: 9, chunk: 5 },
        ];
        for cell in cells {
            let mut row = Vec::new();
            cell.write(&mut row);
            assert_eq!(Cell::read(&row).unwrap(), cell);
        }
        for bytes in [
            &b""[..],
            b"\0x",
            b"\x02",
            b"\x021234567812345678123",
            b"\x02123456781234567812345",
            b"\x03",
        ] {
            assert_eq!(Cell::read(bytes).unwrap_err().kind(), ErrorKind::Corrupt, "{bytes:?}");
        }
    }
}

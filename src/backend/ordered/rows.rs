//! The row layout. The name of a row is a tuple in FoundationDB's tuple encoding. So rows sort like
//! the tuples, and other tools can decode them. `docs/file-format.md` documents the layout.
//!
//! ```text
//!  (key, 0)                         string or counter         cell
//!  (key, 1, member)                 member of a set           empty
//!  (key, 2, field)                  field of a hash           cell
//!  (key, 3, kind, name, stamp, n)   chunk of a long value     bytes
//!  (key, 4, member)                 sorted member             score, cell
//!  (key, 5, score, member)          the same, in order        whether it has a row 7
//!  (key, 6, member, stamp, n)       chunk of a long value     bytes
//!  (key, 7, score, member)          its value, in order       cell
//! ```
//!
//! A cell is an [encoded value](super::encoded_value).
//!
//! - The rows of a key are adjacent. One range read finds out whether the key exists, and one range
//!   clear deletes it.
//! - `set*` and an atomic `delete` read rows 0 to 3. Sorted sets are in rows 4 to 7.
//! - There is no row per key. So writes of different members share no row and never conflict.
//! - Members in score order and their values are in different rows. So counting and listing members
//!   reads no values. Listing values reads both ranges at once.

use super::engine::{Span, after};
use crate::op::{LexRange, Score, ScoreRange};
use crate::{Error, ErrorKind, Key, Result, Value};
use foundationdb_tuple::{Bytes, TuplePack, TupleUnpack, pack, unpack};
use std::ops::Bound;

const STRING: i64 = 0;
const SET: i64 = 1;
const HASH: i64 = 2;
const CHUNK: i64 = 3;
const MEMBER: i64 = 4;
const ORDER: i64 = 5;
const SORTED_CHUNK: i64 = 6;
const VALUE: i64 = 7;
const END: i64 = 8;

fn bytes(bytes: &[u8]) -> Bytes<'_> {
    Bytes::from(bytes)
}

/// The type of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string or a counter.
    String,
    Set,
    Hash,
    Sorted,
}

/// The rows of one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a>(&'a Key);

impl<'a> Rows<'a> {
    pub(super) fn of(key: &'a Key) -> Self {
        Rows(key)
    }
    fn row<T: TuplePack>(self, kind: i64, name: T) -> Vec<u8> {
        pack(&(bytes(self.0), kind, name))
    }
    fn kind(self, kind: i64) -> Vec<u8> {
        pack(&(bytes(self.0), kind))
    }
    fn span(self, from: i64, to: i64) -> Span {
        Span { begin: self.kind(from), end: self.kind(to) }
    }

    /// All rows of the key.
    pub(super) fn all(self) -> Span {
        self.span(STRING, END)
    }
    /// The rows of a string, counter, set or hash.
    pub(super) fn plain(self) -> Span {
        self.span(STRING, MEMBER)
    }
    /// The rows of a sorted set or sorted hash.
    pub(super) fn sorted(self) -> Span {
        self.span(MEMBER, END)
    }
    /// The rows, besides an old string, that a new string replaces.
    pub(super) fn plain_except_string(self) -> Span {
        self.span(SET, MEMBER)
    }
    pub(super) fn string(self) -> Vec<u8> {
        self.kind(STRING)
    }
    pub(super) fn set_member(self, member: &Value) -> Vec<u8> {
        self.row(SET, bytes(member))
    }
    pub(super) fn set(self) -> Span {
        self.span(SET, HASH)
    }
    pub(super) fn hash_field(self, field: &Value) -> Vec<u8> {
        self.row(HASH, bytes(field))
    }
    pub(super) fn hash(self) -> Span {
        self.span(HASH, CHUNK)
    }
    pub(super) fn sorted_member(self, member: &Value) -> Vec<u8> {
        self.row(MEMBER, bytes(member))
    }
    pub(super) fn sorted_order(self, score: Score, member: &Value) -> Vec<u8> {
        pack(&(bytes(self.0), ORDER, score.get(), bytes(member)))
    }
    pub(super) fn sorted_value(self, score: Score, member: &Value) -> Vec<u8> {
        pack(&(bytes(self.0), VALUE, score.get(), bytes(member)))
    }
    /// A row that never exists. Writing or deleting a string clears it, adding to a counter does
    /// not. A blind add conflicts with its changes.
    pub(super) fn string_conflict_row(self) -> Vec<u8> {
        self.kind(SET)
    }
    /// The rows of sorted members in score order.
    pub(super) fn by_score(self, range: &ScoreRange) -> Option<Span> {
        self.in_order(ORDER, range)
    }
    /// The rows of their values in score order.
    pub(super) fn values_by_score(self, range: &ScoreRange) -> Option<Span> {
        self.in_order(VALUE, range)
    }
    fn in_order(self, kind: i64, range: &ScoreRange) -> Option<Span> {
        let (first, end) = range.half_open()?;
        let begin = self.row(kind, first.get());
        let end = end.map_or_else(|| self.kind(kind + 1), |end| self.row(kind, end.get()));
        Some(Span { begin, end })
    }
    /// The rows of sorted members in lexicographical order.
    pub(super) fn by_lex(self, range: &LexRange) -> Span {
        let begin = match &range.min {
            Bound::Unbounded => self.kind(MEMBER),
            Bound::Included(min) => self.sorted_member(min),
            Bound::Excluded(min) => after(self.sorted_member(min)),
        };
        let end = match &range.max {
            Bound::Unbounded => self.kind(ORDER),
            Bound::Included(max) => after(self.sorted_member(max)),
            Bound::Excluded(max) => self.sorted_member(max),
        };
        Span { begin, end }
    }

    /// The chunks of a long value.
    pub(super) fn chunks_of(self, owner: ChunkOwner<'a>) -> ChunkRows<'a> {
        ChunkRows { rows: self, owner }
    }

    /// The member or field, from the name of a row of kind 1, 2 or 4.
    pub(super) fn member_of(self, row: &[u8]) -> Result<Value> {
        let member: Bytes<'_> = self.tail(row)?;
        Ok(Value::from(&*member))
    }
    /// The score and the member, from the name of a row of kind 5 or 7.
    pub(super) fn order_of(self, row: &[u8]) -> Result<(Score, Value)> {
        let (score, member): (f64, Bytes<'_>) = self.tail(row)?;
        Ok((Score::new(score).map_err(|_| corrupt())?, Value::from(&*member)))
    }
    /// The type of a key, from the name of its first row.
    pub(super) fn kind_of(self, row: &[u8]) -> Result<Kind> {
        // See `tail`. The kind 0 is encoded in one byte, the others in two.
        match row.get(self.encoded_len()..) {
            Some([0x14]) => Ok(Kind::String),
            Some([0x15, kind, ..]) => match i64::from(*kind) {
                SET => Ok(Kind::Set),
                HASH => Ok(Kind::Hash),
                MEMBER => Ok(Kind::Sorted),
                _ => Err(corrupt()),
            },
            _ => Err(corrupt()),
        }
    }
    /// The encoded length of the key: a byte at each end, and an escape for each zero byte.
    fn encoded_len(self) -> usize {
        self.0.len() + self.0.iter().filter(|byte| **byte == 0).count() + 2
    }
    /// The rest of the name of a row, after the key and the kind.
    fn tail<'r, T: TupleUnpack<'r>>(self, row: &'r [u8]) -> Result<T> {
        // The kind is encoded in two bytes. The kind 0, in one byte, has no tail.
        let tail = row.get(self.encoded_len() + 2..).ok_or_else(corrupt)?;
        unpack(tail).map_err(|e| corrupt().with_source(e))
    }
}

/// The item that a long value belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum ChunkOwner<'a> {
    String,
    Field(&'a Value),
    Member(&'a Value),
}

/// The rows of a value that does not fit into one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkRows<'a> {
    rows: Rows<'a>,
    owner: ChunkOwner<'a>,
}

impl ChunkRows<'_> {
    fn prefix(self) -> Vec<u8> {
        let key = bytes(self.rows.0);
        match self.owner {
            ChunkOwner::String => pack(&(key, CHUNK, STRING, bytes(b""))),
            ChunkOwner::Field(field) => pack(&(key, CHUNK, HASH, bytes(field))),
            ChunkOwner::Member(member) => pack(&(key, SORTED_CHUNK, bytes(member))),
        }
    }
    /// The chunks of all values that the item ever had.
    pub(super) fn all(self) -> Span {
        let begin = self.prefix();
        let mut end = begin.clone();
        end.push(0xff); // above every type byte of a tuple
        Span { begin, end }
    }
    pub(super) fn chunk(self, stamp: u64, n: usize) -> Vec<u8> {
        let mut row = self.prefix();
        row.extend(pack(&(stamp, n as u64)));
        row
    }
}

pub(super) fn corrupt() -> Error {
    Error::new(ErrorKind::Corrupt, "a row cannot be decoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(s: f64) -> Score {
        Score::new(s).unwrap()
    }

    #[test]
    fn rows_sort_as_keys_then_scores_then_members() {
        let keys = ["", "\0", "\0\0", "\0\u{1}", "a", "a\0", "a\0b", "aa", "b"].map(Key::from);
        let members = [&b""[..], b"\0", b"\0\xff", b"\x01", b"a", b"a\0", b"\xff", b"\xff\xff"];
        let scores = [f64::NEG_INFINITY, -1.5, -5e-324, 0.0, 5e-324, 1.5, f64::MAX, f64::INFINITY];
        let mut rows = Vec::new();
        for key in &keys {
            let of = Rows::of(key);
            rows.push(of.string());
            rows.extend(members.map(|m| of.set_member(&m.into())));
            rows.extend(members.map(|m| of.hash_field(&m.into())));
            rows.push(of.chunks_of(ChunkOwner::String).chunk(7, 0));
            rows.push(of.chunks_of(ChunkOwner::String).chunk(7, 1));
            rows.push(of.chunks_of(ChunkOwner::String).chunk(7, 300));
            rows.extend(members.map(|m| of.sorted_member(&m.into())));
            for s in scores {
                rows.extend(members.map(|m| of.sorted_order(score(s), &m.into())));
            }
            rows.extend(
                members.map(|m| of.chunks_of(ChunkOwner::Member(&m.into())).chunk(u64::MAX, 3)),
            );
            for s in scores {
                rows.extend(members.map(|m| of.sorted_value(score(s), &m.into())));
            }
        }
        assert!(rows.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_span_holds_the_rows_of_its_key_and_kind_alone() {
        let (a, a0) = (Key::from("a"), Key::from("a\0"));
        let m = Value::from(&b"\xff\xff"[..]);
        let inside = |span: Span, row: Vec<u8>| span.begin <= row && row < span.end;
        assert!(inside(
            Rows::of(&a).all(),
            Rows::of(&a).chunks_of(ChunkOwner::Member(&m)).chunk(1, 1)
        ));
        assert!(!inside(Rows::of(&a).all(), Rows::of(&a0).string()));
        assert!(inside(
            Rows::of(&a).plain(),
            Rows::of(&a).chunks_of(ChunkOwner::Field(&m)).chunk(1, 1)
        ));
        assert!(!inside(Rows::of(&a).plain(), Rows::of(&a).sorted_member(&"".into())));
        assert!(inside(Rows::of(&a).all(), Rows::of(&a).sorted_value(Score::MAX, &m)));
        assert!(inside(Rows::of(&a).plain_except_string(), Rows::of(&a).string_conflict_row()));
        assert!(!inside(Rows::of(&a).set(), Rows::of(&a).hash_field(&"".into())));
        let long = Rows::of(&a).chunks_of(ChunkOwner::Member(&m));
        assert!(inside(long.all(), long.chunk(u64::MAX, usize::MAX)));
    }

    #[test]
    fn the_first_row_of_a_key_tells_its_type() {
        let key = Key::from("k\0");
        let (rows, m) = (Rows::of(&key), Value::from("m"));
        assert_eq!(rows.kind_of(&rows.string()).unwrap(), Kind::String);
        assert_eq!(rows.kind_of(&rows.set_member(&m)).unwrap(), Kind::Set);
        assert_eq!(rows.kind_of(&rows.hash_field(&m)).unwrap(), Kind::Hash);
        assert_eq!(rows.kind_of(&rows.sorted_member(&m)).unwrap(), Kind::Sorted);
        let chunk = rows.chunks_of(ChunkOwner::Field(&m)).chunk(1, 1);
        for row in [&b""[..], &chunk, &rows.sorted_order(Score::MAX, &m), &[0xff; 30]] {
            assert_eq!(rows.kind_of(row).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn names_read_back_and_nonsense_is_corrupt() {
        let key = Key::from("k\0");
        let rows = Rows::of(&key);
        let member = Value::from(&b"\0\xff\0"[..]);
        assert_eq!(rows.member_of(&rows.set_member(&member)).unwrap(), member);
        let (s, m) = rows.order_of(&rows.sorted_order(score(-2.5), &member)).unwrap();
        assert_eq!((s.get(), m), (-2.5, member));
        for row in [&b""[..], b"\x01k", &rows.string(), &[0xff; 30]] {
            assert_eq!(rows.member_of(row).unwrap_err().kind(), ErrorKind::Corrupt);
            assert_eq!(rows.order_of(row).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        let nan = pack(&(bytes(&key), ORDER, f64::NAN, bytes(b"m")));
        assert_eq!(rows.order_of(&nan).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

//! Operations as data: everything that a caller can ask for, and one table of their properties.
//!
//! A backend matches on [`Read`] and [`Write`]. A wrapper reads their [`key`](Op::key),
//! [`name`](Op::name) and other properties, and passes them on. The method of
//! [`Store`](crate::Store) documents what an operation means, its payload which [`Reply`] it
//! returns. Each file has the payloads of one data type, and the methods of
//! [`Store`](crate::Store), [`Batch`](crate::Batch) and [`AtomicWrite`](crate::AtomicWrite) that
//! make them.
//!
//! # The table
//!
//! `operations!` below has an entry per operation. Wrappers and backends derive what they need to
//! know about all operations from it, so a new operation touches no wrapper. An entry without one
//! of the properties does not compile.

#[cfg(test)]
pub(crate) mod examples;
mod hash;
mod payload;
mod range_query;
mod set;
mod sorted_hash;
mod sorted_set;
mod string;

pub use crate::range::{LexRange, Range, ScoreRange, ToLexRange};
pub use crate::reply::{FromReply, Reply};
pub use crate::score::Score;
pub use hash::{HDel, HGet, HGetAll, HSet, HSetNx};
pub(crate) use payload::Named;
pub use range_query::{RangeQuery, ZRange};
pub use set::{SAdd, SMembers, SRem};
pub use sorted_hash::ZHGet;
pub use sorted_set::{ZAdd, ZCount, ZIncrBy, ZRem, ZScore};
pub use string::{Delete, Exists, Get, IncrBy, Set};

use crate::{Key, Value};
use std::fmt;
use std::ops::Bound;

/// The type of key that an operation works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Strings and counters.
    String,
    Set,
    Hash,
    /// Sorted sets and sorted hashes.
    Sorted,
    /// Any type.
    Any,
}

/// One entry per operation:
///
/// - its payload, the [`Kind`] of its key, and its names, one of which `name` of the payload
///   returns;
/// - `size`: the bytes of its arguments without the key, lists and values included;
/// - `member`: for a write that changes only one member of the key, that member;
/// - `idempotent`: whether applying the write twice has the same effect and reply as once;
/// - `conditional`: whether the write is applied only under a condition.
macro_rules! operations {
    (
        Read {$(
            $(#[$read_doc:meta])*
            $read:ident: $read_kind:ident, [$($read_name:literal)*],
            size: |$read_op:pat_param| $read_size:expr;
        )*}
        Write {$(
            $(#[$write_doc:meta])*
            $write:ident: $write_kind:ident, [$($write_name:literal)*],
            size: |$write_op:pat_param| $write_size:expr,
            member: |$member_op:pat_param| $member:expr,
            idempotent: |$idempotent_op:pat_param| $idempotent:expr,
            conditional: |$conditional_op:pat_param| $conditional:expr;
        )*}
    ) => {
        /// An operation that changes nothing.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Read {
            $($(#[$read_doc])* $read($read),)*
        }

        /// An operation that changes one key.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Write {
            $($(#[$write_doc])* $write($write),)*
        }

        impl Read {
            /// The key that it reads.
            pub fn key(&self) -> &Key {
                match self { $(Read::$read(op) => &op.key,)* }
            }
            /// The key, for a wrapper that replaces it.
            pub fn key_mut(&mut self) -> &mut Key {
                match self { $(Read::$read(op) => &mut op.key,)* }
            }
            /// Its name in errors, metrics and logs: that of its method of [`Store`](crate::Store).
            pub fn name(&self) -> &'static str {
                match self { $(Read::$read(op) => op.name(),)* }
            }
            /// The bytes of its arguments, without its key.
            #[allow(dead_code, reason = "for the cache, and for backends that split by bytes")]
            pub(crate) fn size(&self) -> usize {
                match self { $(Read::$read($read_op) => $read_size,)* }
            }
            /// The type of its key.
            #[allow(dead_code, reason = "for the ordered layer and the conformance tests")]
            pub(crate) fn kind(&self) -> Kind {
                match self { $(Read::$read(_) => Kind::$read_kind,)* }
            }
        }

        impl Write {
            /// The key that it changes.
            pub fn key(&self) -> &Key {
                match self { $(Write::$write(op) => &op.key,)* }
            }
            /// The key, for a wrapper that replaces it.
            pub fn key_mut(&mut self) -> &mut Key {
                match self { $(Write::$write(op) => &mut op.key,)* }
            }
            /// Its name in errors, metrics and logs: that of its method of [`Store`](crate::Store).
            pub fn name(&self) -> &'static str {
                match self { $(Write::$write(op) => op.name(),)* }
            }
            /// The bytes of its arguments, without its key.
            #[allow(dead_code, reason = "for backends that split by bytes")]
            pub(crate) fn size(&self) -> usize {
                match self { $(Write::$write($write_op) => $write_size,)* }
            }
            /// The type of its key.
            #[allow(dead_code, reason = "for Redis and the differential test")]
            pub(crate) fn kind(&self) -> Kind {
                match self { $(Write::$write(_) => Kind::$write_kind,)* }
            }
            /// The part of the store that it changes. Two writes of an atomic write may not have
            /// the same target.
            pub fn target(&self) -> WriteTarget<'_> {
                let member = match self { $(Write::$write($member_op) => $member,)* };
                WriteTarget { key: self.key(), member }
            }
            /// Whether applying it twice has the same effect and reply as once, without other
            /// writes in between.
            pub fn is_idempotent(&self) -> bool {
                match self { $(Write::$write($idempotent_op) => $idempotent,)* }
            }
            /// Whether it is applied only under a condition. An atomic write fails if one of its
            /// conditions does.
            pub fn has_condition(&self) -> bool {
                match self { $(Write::$write($conditional_op) => $conditional,)* }
            }
        }

        /// The names of all calls, each once: of the operations, of batches and of atomic writes.
        pub(crate) const NAMES: &[&str] =
            &[$($($read_name,)*)* $($($write_name,)*)* "batch", "atomic_write"];

        /// The names of the reads.
        #[cfg(test)]
        pub(crate) const READ_NAMES: &[&str] = &[$($($read_name,)*)*];
        /// The names of the writes.
        #[cfg(test)]
        pub(crate) const WRITE_NAMES: &[&str] = &[$($($write_name,)*)*];

        /// The index of `name` in [`NAMES`].
        #[inline]
        #[allow(dead_code, reason = "for the histograms of metrics")]
        pub(crate) fn index_of_name(name: &str) -> Option<usize> {
            match name {
                $($($read_name => Some(const { position($read_name) }),)*)*
                $($($write_name => Some(const { position($write_name) }),)*)*
                "batch" => Some(const { position("batch") }),
                "atomic_write" => Some(const { position("atomic_write") }),
                _ => None,
            }
        }

        impl From<Read> for Op {
            #[inline]
            fn from(op: Read) -> Op {
                Op::Read(op)
            }
        }
        impl From<Write> for Op {
            #[inline]
            fn from(op: Write) -> Op {
                Op::Write(op)
            }
        }
        from_payload! { Read: $($read)* }
        from_payload! { Write: $($write)* }
    };
}

macro_rules! from_payload {
    ($set:ident: $($payload:ident)*) => {$(
        impl From<$payload> for $set {
            #[inline]
            fn from(payload: $payload) -> $set {
                $set::$payload(payload)
            }
        }
        impl From<$payload> for Op {
            #[inline]
            fn from(payload: $payload) -> Op {
                Op::$set($set::$payload(payload))
            }
        }
    )*};
}

operations! {
    Read {
        /// A string or counter.
        Get: String, ["get"],
            size: |_| 0;
        /// Whether a key exists.
        Exists: Any, ["exists"],
            size: |_| 0;
        /// The members of a set.
        SMembers: Set, ["smembers"],
            size: |_| 0;
        /// One field of a hash.
        HGet: Hash, ["hget"],
            size: |op| op.field.len();
        /// All fields of a hash.
        HGetAll: Hash, ["hgetall"],
            size: |_| 0;
        /// The score of a member.
        ZScore: Sorted, ["zscore"],
            size: |op| op.member.len();
        /// How many members are in a range.
        ZCount: Sorted, ["zcount" "zlexcount"],
            size: |op| size_of_range(&op.range);
        /// The members, or the values, in a range.
        ZRange: Sorted, ["zrange" "zhrange"],
            size: |op| size_of_range(&op.range);
        /// The value of one field of a sorted hash.
        ZHGet: Sorted, ["zhget"],
            size: |op| op.field.len();
    }
    Write {
        /// Sets a string.
        Set: String, ["set" "set_nx" "set_xx" "set_eq"],
            size: |op| op.value.len() + op.condition.size(),
            member: |_| None,
            idempotent: |op| op.condition == Condition::Always,
            conditional: |op| op.condition != Condition::Always;
        /// Removes a key.
        Delete: Any, ["delete" "delete_xx"],
            size: |_| 0,
            member: |_| None,
            idempotent: |_| false,
            conditional: |op| op.must_exist;
        /// Adds to a counter.
        IncrBy: String, ["incr_by"],
            size: |_| size_of::<i64>(),
            member: |_| None,
            idempotent: |_| false,
            conditional: |_| false;
        /// Adds members to a set.
        SAdd: Set, ["sadd"],
            size: |op| op.members.iter().map(|member| member.len()).sum(),
            member: |_| None,
            idempotent: |_| true,
            conditional: |_| false;
        /// Removes members from a set.
        SRem: Set, ["srem"],
            size: |op| op.members.iter().map(|member| member.len()).sum(),
            member: |_| None,
            idempotent: |_| true,
            conditional: |_| false;
        /// Sets fields of a hash.
        HSet: Hash, ["hset"],
            size: |op| op.fields.iter().map(|(field, value)| field.len() + value.len()).sum(),
            member: |_| None,
            idempotent: |_| true,
            conditional: |_| false;
        /// Sets a field of a hash that is not there.
        HSetNx: Hash, ["hset_nx"],
            size: |op| op.field.len() + op.value.len(),
            member: |_| None,
            idempotent: |_| false,
            conditional: |_| true;
        /// Removes fields from a hash.
        HDel: Hash, ["hdel"],
            size: |op| op.fields.iter().map(|field| field.len()).sum(),
            member: |_| None,
            idempotent: |_| true,
            conditional: |_| false;
        /// Adds to a sorted set or sorted hash.
        ZAdd: Sorted, ["zadd" "zadd_nx" "zhadd" "zhadd_nx"],
            size: |op| op.member.len() + op.value.as_ref().map_or(0, |value| value.len()),
            member: |op| Some(&op.member),
            idempotent: |op| !op.nx,
            conditional: |op| op.nx;
        /// Removes from a sorted set or sorted hash.
        ZRem: Sorted, ["zrem"],
            size: |op| op.member.len(),
            member: |op| Some(&op.member),
            idempotent: |_| true,
            conditional: |_| false;
        /// Adds to a score.
        ZIncrBy: Sorted, ["zincr_by"],
            size: |op| op.member.len(),
            member: |op| Some(&op.member),
            idempotent: |_| false,
            conditional: |_| false;
    }
}

/// The bytes that a range allocates: a range by score is part of the operation, one by member is
/// boxed.
fn size_of_range(range: &Range) -> usize {
    let end = |end: &Bound<Value>| match end {
        Bound::Included(end) | Bound::Excluded(end) => end.len(),
        Bound::Unbounded => 0,
    };
    match range {
        Range::Lex(range) => size_of::<LexRange>() + end(&range.min) + end(&range.max),
        Range::Score(_) => 0,
    }
}

/// The index of `name` in [`NAMES`], at compile time.
#[allow(dead_code, reason = "for the histograms of metrics")]
#[allow(clippy::panic, reason = "at compile time")]
pub(crate) const fn position(name: &str) -> usize {
    let mut i = 0;
    while i < NAMES.len() {
        if is_same(NAMES[i].as_bytes(), name.as_bytes()) {
            return i;
        }
        i += 1;
    }
    panic!("`operations!` puts every name into `NAMES`");
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// A read or a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // an operation either reads or writes
pub enum Op {
    /// Changes nothing.
    Read(Read),
    /// Changes one key.
    Write(Write),
}

/// The condition of a [`Set`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// No string, counter, set or hash is there. `NX` in Redis.
    NotExists,
    /// A string, counter, set or hash is there. `XX` in Redis.
    Exists,
    /// A string or counter is there, and is this.
    Equals(Value),
}

impl Condition {
    fn size(&self) -> usize {
        match self {
            Condition::Always | Condition::NotExists | Condition::Exists => 0,
            Condition::Equals(old) => old.len(),
        }
    }
}

/// The part of the store that a write changes. Two writes of an atomic write may not have the same
/// target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct WriteTarget<'a> {
    /// The key.
    pub key: &'a Key,
    /// The member, of a sorted set or sorted hash. A write of any other type has the whole key as
    /// its target.
    pub member: Option<&'a Value>,
}

impl Op {
    /// Its key.
    pub fn key(&self) -> &Key {
        match self {
            Op::Read(op) => op.key(),
            Op::Write(op) => op.key(),
        }
    }
    /// Its name in errors, metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Read(op) => op.name(),
            Op::Write(op) => op.name(),
        }
    }
    /// The type of its key.
    #[cfg(feature = "conformance")]
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Op::Read(op) => op.kind(),
            Op::Write(op) => op.kind(),
        }
    }
}

impl fmt::Display for Op {
    /// Prints only the name: keys and values are not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;

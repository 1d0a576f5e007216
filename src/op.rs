//! Operations as data: everything that a caller can ask for.
//!
//! A backend matches on [`Read`] and [`Write`]; a wrapper asks them for their [`key`](Op::key) and
//! [`name`](Op::name) and passes them on. What an operation means is written at the method of
//! [`Store`](crate::Store) that makes it; which [`Reply`](crate::Reply) answers it, at its payload in [`ops`](crate::ops).

use crate::ops::*;
use crate::{Key, Value};
use std::fmt;

/// An operation that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Read {
    /// A string or counter.
    Get(Get),
    /// The members of a set.
    SMembers(SMembers),
    /// One field of a hash.
    HGet(HGet),
    /// All fields of a hash.
    HGetAll(HGetAll),
    /// The score of a member.
    ZScore(ZScore),
    /// How many members are in a range.
    ZCount(ZCount),
    /// The members, or the values, in a range.
    ZRange(ZRange),
    /// The value of one field of a sorted hash.
    ZHGet(ZHGet),
}

/// An operation that changes one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Write {
    /// Sets a string.
    Set(Set),
    /// Removes a key.
    Delete(Delete),
    /// Adds to a counter.
    IncrBy(IncrBy),
    /// Adds members to a set.
    SAdd(SAdd),
    /// Removes members from a set.
    SRem(SRem),
    /// Sets fields of a hash.
    HSet(HSet),
    /// Sets a field of a hash that is not there.
    HSetNx(HSetNx),
    /// Removes fields from a hash.
    HDel(HDel),
    /// Adds to a sorted set or sorted hash.
    ZAdd(ZAdd),
    /// Removes from a sorted set or sorted hash.
    ZRem(ZRem),
    /// Adds to a score.
    ZIncrBy(ZIncrBy),
}

/// Either, as a batch mixes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // there is no third thing that an operation can do
pub enum Op {
    /// Changes nothing.
    Read(Read),
    /// Changes one key.
    Write(Write),
}

/// What must hold before a [`Set`] is applied.
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

/// The part of the store that one write of an atomic write changes. No two may change the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item<'a> {
    /// The key.
    pub key: &'a Key,
    /// In a sorted set or hash, the member; every other type is one item.
    pub member: Option<&'a Value>,
}

// The facts about an operation that wrappers need, each one match, all in this file.
macro_rules! for_each {
    ($op:expr, $set:ident { $($variant:ident),* }, $o:ident => $body:expr) => {
        match $op { $($set::$variant($o) => $body),* }
    };
}
macro_rules! for_each_read {
    ($op:expr, $o:ident => $body:expr) => {
        for_each!($op, Read { Get, SMembers, HGet, HGetAll, ZScore, ZCount, ZRange, ZHGet }, $o => $body)
    };
}
macro_rules! for_each_write {
    ($op:expr, $o:ident => $body:expr) => {
        for_each!(
            $op,
            Write { Set, Delete, IncrBy, SAdd, SRem, HSet, HSetNx, HDel, ZAdd, ZRem, ZIncrBy },
            $o => $body
        )
    };
}

impl Read {
    /// The key that it looks at.
    pub fn key(&self) -> &Key {
        for_each_read!(self, o => &o.key)
    }
    /// The key, to be replaced: what a namespace does.
    pub fn key_mut(&mut self) -> &mut Key {
        for_each_read!(self, o => &mut o.key)
    }
    /// Its name in errors, metrics and logs: that of the method of [`Store`](crate::Store).
    pub fn name(&self) -> &'static str {
        for_each_read!(self, o => o.name())
    }
}

impl Write {
    /// The key that it changes.
    pub fn key(&self) -> &Key {
        for_each_write!(self, o => &o.key)
    }
    /// The key, to be replaced: what a namespace does.
    pub fn key_mut(&mut self) -> &mut Key {
        for_each_write!(self, o => &mut o.key)
    }
    /// Its name in errors, metrics and logs: that of the method of [`Store`](crate::Store).
    pub fn name(&self) -> &'static str {
        for_each_write!(self, o => o.name())
    }
    /// Whether it is applied only if something holds. In an atomic write that is one of its conditions.
    pub fn has_condition(&self) -> bool {
        match self {
            Write::Set(op) => op.condition != Condition::Always,
            Write::Delete(op) => op.must_exist,
            Write::ZAdd(op) => op.nx,
            Write::HSetNx(_) => true,
            Write::IncrBy(_) | Write::SAdd(_) | Write::SRem(_) | Write::HSet(_) => false,
            Write::HDel(_) | Write::ZRem(_) | Write::ZIncrBy(_) => false,
        }
    }
    /// What it changes, for telling whether two writes of an atomic write get in each other's way.
    pub fn item(&self) -> Item<'_> {
        let member = match self {
            Write::ZAdd(o) => Some(&o.member),
            Write::ZRem(o) => Some(&o.member),
            Write::ZIncrBy(o) => Some(&o.member),
            _ => None,
        };
        Item { key: self.key(), member }
    }
}

impl Op {
    /// The key that it is about.
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
}

macro_rules! into_op {
    ($($set:ident { $($payload:ident),* })*) => {$(
        impl From<$set> for Op {
            #[inline]
            fn from(op: $set) -> Op {
                Op::$set(op)
            }
        }
        $(
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
        )*
    )*};
}
into_op! {
    Read { Get, SMembers, HGet, HGetAll, ZScore, ZCount, ZRange, ZHGet }
    Write { Set, Delete, IncrBy, SAdd, SRem, HSet, HSetNx, HDel, ZAdd, ZRem, ZIncrBy }
}

impl fmt::Display for Op {
    /// Prints the name alone: keys and values are not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

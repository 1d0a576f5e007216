//! [`Reply`]: what a backend returns, and the Rust types that it converts to.

use crate::{Error, ErrorKind, Result, Value};
use std::collections::BTreeMap;

/// The reply of a backend to one operation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// The write was applied; it has no result.
    Done,
    /// Whether the write changed something: its condition held, or it removed something.
    Applied(bool),
    /// Whether the key exists.
    Exists(bool),
    /// The value, if it exists.
    Value(Option<Value>),
    /// The counter after an increment.
    Integer(i64),
    /// The number of members.
    Count(u64),
    /// The score, if the member exists.
    Score(Option<f64>),
    /// Members or values, in the order that the operation documents.
    Values(Vec<Value>),
    /// Members or values with their scores.
    Scored(Vec<(Value, f64)>),
    /// Fields and their values, each field once.
    Fields(Vec<(Value, Value)>),
}

impl Reply {
    /// The number of bytes on the heap, approximately.
    #[allow(dead_code, reason = "for the cache")]
    pub(crate) fn size(&self) -> usize {
        let value = |value: &Value| size_of::<Value>() + value.len();
        match self {
            Reply::Value(Some(it)) => value(it),
            Reply::Values(values) => values.iter().map(value).sum(),
            Reply::Scored(members) => members.iter().map(|(member, _)| 8 + value(member)).sum(),
            Reply::Fields(fields) => {
                fields.iter().map(|(field, it)| value(field) + value(it)).sum()
            }
            Reply::Done | Reply::Applied(_) | Reply::Exists(_) | Reply::Value(None) => 0,
            Reply::Integer(_) | Reply::Count(_) | Reply::Score(_) => 0,
        }
    }
}

/// A type that a [`Reply`] converts to.
pub trait FromReply: Sized {
    /// Converts the reply.
    ///
    /// # Errors
    /// `Other` if the reply is another variant. From a method of [`Store`](crate::Store) this is a
    /// bug in the backend. With [`run`](crate::Store::run) and
    /// [`Batch::push`](crate::Batch::push) the caller picks the type, and may have picked the wrong
    /// one. A write has been applied in either case.
    fn from_reply(reply: Reply) -> Result<Self>;
}

impl FromReply for Reply {
    fn from_reply(reply: Reply) -> Result<Self> {
        Ok(reply)
    }
}

macro_rules! from_reply {
    ($($t:ty: $reply:pat => $value:expr;)*) => {$(
        impl FromReply for $t {
            #[inline]
            fn from_reply(reply: Reply) -> Result<Self> {
                match reply {
                    $reply => Ok($value),
                    other => Err(unexpected(&other, stringify!($t))),
                }
            }
        }
    )*};
}
from_reply! {
    (): Reply::Done | Reply::Applied(_) => ();
    bool: Reply::Applied(it) | Reply::Exists(it) => it;
    Option<Value>: Reply::Value(value) => value;
    i64: Reply::Integer(n) => n;
    u64: Reply::Count(n) => n;
    Option<f64>: Reply::Score(score) => score;
    f64: Reply::Score(Some(score)) => score;
    Vec<Value>: Reply::Values(values) => values;
    Vec<(Value, f64)>: Reply::Scored(members) => members;
    BTreeMap<Value, Value>: Reply::Fields(fields) => fields.into_iter().collect();
}

#[cold]
fn unexpected(reply: &Reply, wanted: &str) -> Error {
    let name = match reply {
        Reply::Done => "Done",
        Reply::Applied(_) => "Applied",
        Reply::Exists(_) => "Exists",
        Reply::Value(_) => "Value",
        Reply::Integer(_) => "Integer",
        Reply::Count(_) => "Count",
        Reply::Score(_) => "Score",
        Reply::Values(_) => "Values",
        Reply::Scored(_) => "Scored",
        Reply::Fields(_) => "Fields",
    };
    Error::new(ErrorKind::Other, format!("the reply {name} does not convert to {wanted}"))
}

//! The operations by data type. Each file holds the payloads, which are what a backend receives, and the
//! methods of [`Store`](crate::Store), [`Batch`](crate::Batch) and [`AtomicWrite`](crate::AtomicWrite) that
//! make them.
//!
//! A new operation is a payload here, a variant in `op.rs`, and an arm in every backend that the compiler
//! then asks for.

mod hash;
mod set;
mod sorted_hash;
mod sorted_set;
mod string;

pub use hash::{HDel, HGet, HGetAll, HSet, HSetNx};
pub use set::{SAdd, SMembers, SRem};
pub use sorted_hash::ZHGet;
pub use sorted_set::{RangeQuery, ZAdd, ZCount, ZIncrBy, ZRange, ZRem, ZScore};
pub use string::{Delete, Get, IncrBy, Set};

use crate::{Result, ToValue, Value};

/// Makes values of the arguments of an operation that takes several.
fn values<V: ToValue>(values: impl IntoIterator<Item = V>) -> Result<Vec<Value>> {
    values.into_iter().map(|value| value.to_value()).collect()
}

/// Makes pairs of values of the arguments of an operation that takes several.
fn pairs<F: ToValue, V: ToValue>(
    pairs: impl IntoIterator<Item = (F, V)>,
) -> Result<Vec<(Value, Value)>> {
    pairs.into_iter().map(|(field, value)| Ok((field.to_value()?, value.to_value()?))).collect()
}

/// What an operation is called that could not even be made.
pub(crate) trait Named {
    /// The name of its method, without `_nx` and the like.
    const NAME: &'static str;
}

// Made already by whoever holds them.
impl Named for crate::Read {
    const NAME: &'static str = "run";
}
impl Named for crate::Write {
    const NAME: &'static str = "run";
}

/// A payload: a public struct whose fields a backend reads, and the name of its method.
macro_rules! payload {
    ($(#[$doc:meta])* $op:ident $name:literal { $($(#[$fdoc:meta])* $field:ident: $t:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub struct $op {
            /// The key.
            pub key: crate::Key,
            $($(#[$fdoc])* pub $field: $t,)*
        }
        impl $op {
            #[doc = concat!("An operation for [`Store::run`](crate::Store::run), [`Batch::push`](crate::Batch::push) or a backend.")]
            pub fn new(key: impl Into<crate::Key>, $($field: $t),*) -> Self {
                $op { key: key.into(), $($field),* }
            }
            #[inline]
            pub(crate) fn name(&self) -> &'static str {
                $name
            }
        }
        impl crate::ops::Named for $op {
            const NAME: &'static str = $name;
        }
    };
}
use payload;

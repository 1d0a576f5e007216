//! The form of most payloads, and what the methods make them with.

use crate::{Result, ToValue, Value};

/// Makes values of the arguments of an operation that takes several.
pub(super) fn values<V: ToValue>(values: impl IntoIterator<Item = V>) -> Result<Vec<Value>> {
    values.into_iter().map(|value| value.to_value()).collect()
}

/// Makes pairs of values of the arguments of an operation that takes several.
pub(super) fn pairs<F: ToValue, V: ToValue>(
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
impl Named for super::Read {
    const NAME: &'static str = "run";
}
impl Named for super::Write {
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
        impl crate::op::Named for $op {
            const NAME: &'static str = $name;
        }
    };
}
pub(super) use payload;

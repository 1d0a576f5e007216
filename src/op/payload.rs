//! The macro that defines most payloads, and conversions of their arguments.

use crate::{Result, ToValue, Value};

/// Converts the arguments of an operation that takes several values.
pub(super) fn values<V: ToValue>(values: impl IntoIterator<Item = V>) -> Result<Vec<Value>> {
    values.into_iter().map(|value| value.to_value()).collect()
}

/// Converts the arguments of an operation that takes several pairs.
pub(super) fn pairs<F: ToValue, V: ToValue>(
    pairs: impl IntoIterator<Item = (F, V)>,
) -> Result<Vec<(Value, Value)>> {
    pairs.into_iter().map(|(field, value)| Ok((field.to_value()?, value.to_value()?))).collect()
}

/// The name of an operation whose arguments could not be converted, for its error.
pub(crate) trait Named {
    /// The name of its method, without a condition such as `_nx`.
    const NAME: &'static str;
}

// `Store::run` takes an operation that exists already.
impl Named for super::Read {
    const NAME: &'static str = "run";
}
impl Named for super::Write {
    const NAME: &'static str = "run";
}

/// A payload: a public struct whose fields a backend reads, and the name of its method.
macro_rules! payload {
    (
        $(#[$doc:meta])*
        $op:ident $name:literal { $($(#[$fdoc:meta])* $field:ident: $t:ty),* $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub struct $op {
            /// The key.
            pub key: crate::Key,
            $($(#[$fdoc])* pub $field: $t,)*
        }
        impl $op {
            /// An operation for [`Store::run`](crate::Store::run),
            /// [`Batch::push`](crate::Batch::push) or a backend.
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

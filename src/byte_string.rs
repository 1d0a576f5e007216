//! [`Key`] and [`Value`]: immutable byte strings that are cheap to clone.
//!
//! Both are 24 bytes. Up to 22 bytes are stored inline, without an allocation; the clones of a
//! longer one share one allocation. So an operation can own its key, a backend can store it, and a
//! cache can return it again, without a copy.
//!
//! One exception: a long value that a client library has read stays in the client's allocation,
//! and its first clone copies it. Most such values are never cloned.

use ::bytes::Bytes;
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use triomphe::Arc;

/// The bytes that are left of three words after the tag and the length.
const INLINE: usize = 22;

enum Repr {
    Inline(u8, [u8; INLINE]),
    Static(&'static [u8]),
    Shared(Arc<[u8]>),
    /// The allocation of a client library. The first clone copies it.
    #[cfg(any(feature = "redis", feature = "dynamodb"))]
    Owned(Box<[u8]>),
}

impl Clone for Repr {
    #[inline]
    fn clone(&self) -> Self {
        match self {
            Repr::Inline(len, bytes) => Repr::Inline(*len, *bytes),
            Repr::Static(bytes) => Repr::Static(bytes),
            Repr::Shared(bytes) => Repr::Shared(Arc::clone(bytes)),
            #[cfg(any(feature = "redis", feature = "dynamodb"))]
            Repr::Owned(bytes) => Repr::Shared(Arc::from(&bytes[..])),
        }
    }
}

impl Repr {
    #[inline]
    fn copy(bytes: &[u8]) -> Self {
        if bytes.len() <= INLINE {
            let mut inline = [0; INLINE];
            inline[..bytes.len()].copy_from_slice(bytes);
            Repr::Inline(bytes.len() as u8, inline)
        } else {
            Repr::Shared(bytes.into())
        }
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        match self {
            Repr::Inline(len, bytes) => &bytes[..usize::from(*len)],
            Repr::Static(bytes) => bytes,
            Repr::Shared(bytes) => bytes,
            #[cfg(any(feature = "redis", feature = "dynamodb"))]
            Repr::Owned(bytes) => bytes,
        }
    }
}

/// Two integers with the same order as the bytes: comparing them avoids a call to `memcmp`.
#[inline]
fn words(inline: &[u8; INLINE]) -> (u128, u64) {
    let head = inline.first_chunk().map_or(0, |head| u128::from_be_bytes(*head));
    let tail = inline.last_chunk().map_or(0, |tail| u64::from_be_bytes(*tail));
    (head, tail)
}

// Equality and order are those of the slices. Unused inline bytes are 0, so that two inline strings
// can be compared whole, and their lengths last.
impl PartialEq for Repr {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Repr::Inline(a_len, a), Repr::Inline(b_len, b)) => a_len == b_len && a == b,
            _ => self.as_slice() == other.as_slice(),
        }
    }
}
impl Eq for Repr {}
impl PartialOrd for Repr {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Repr {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Repr::Inline(a_len, a), Repr::Inline(b_len, b)) => {
                words(a).cmp(&words(b)).then(a_len.cmp(b_len))
            }
            _ => self.as_slice().cmp(other.as_slice()),
        }
    }
}

macro_rules! byte_string {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Repr);

        impl $name {
            /// Refers to static bytes, without a copy.
            pub const fn from_static(bytes: &'static [u8]) -> Self {
                Self(Repr::Static(bytes))
            }
            /// The bytes.
            #[inline]
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_slice()
            }
        }
        impl Deref for $name {
            type Target = [u8];
            #[inline]
            fn deref(&self) -> &[u8] {
                self.0.as_slice()
            }
        }
        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                self
            }
        }
        // Equality, order and hash are those of the slice, as `Borrow` requires.
        impl Borrow<[u8]> for $name {
            fn borrow(&self) -> &[u8] {
                self
            }
        }
        impl Default for $name {
            fn default() -> Self {
                Self(Repr::Inline(0, [0; INLINE]))
            }
        }
        impl PartialEq for $name {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                self.0 == other.0
            }
        }
        impl Eq for $name {}
        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for $name {
            #[inline]
            fn cmp(&self, other: &Self) -> Ordering {
                self.0.cmp(&other.0)
            }
        }
        impl Hash for $name {
            #[inline]
            fn hash<H: Hasher>(&self, state: &mut H) {
                (**self).hash(state);
            }
        }
        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                **self == *other.as_bytes()
            }
        }
        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                **self == *other.as_bytes()
            }
        }
        impl PartialEq<[u8]> for $name {
            fn eq(&self, other: &[u8]) -> bool {
                **self == *other
            }
        }
        impl PartialEq<&[u8]> for $name {
            fn eq(&self, other: &&[u8]) -> bool {
                **self == **other
            }
        }
        impl PartialEq<String> for $name {
            fn eq(&self, other: &String) -> bool {
                **self == *other.as_bytes()
            }
        }
        impl PartialEq<Vec<u8>> for $name {
            fn eq(&self, other: &Vec<u8>) -> bool {
                **self == other[..]
            }
        }
        impl<const N: usize> PartialEq<&[u8; N]> for $name {
            fn eq(&self, other: &&[u8; N]) -> bool {
                **self == other[..]
            }
        }
        impl From<&[u8]> for $name {
            #[inline]
            fn from(bytes: &[u8]) -> Self {
                Self(Repr::copy(bytes))
            }
        }
        impl<const N: usize> From<&[u8; N]> for $name {
            fn from(bytes: &[u8; N]) -> Self {
                Self::from(&bytes[..])
            }
        }
        impl From<&str> for $name {
            #[inline]
            fn from(text: &str) -> Self {
                Self::from(text.as_bytes())
            }
        }
        impl From<&String> for $name {
            #[inline]
            fn from(text: &String) -> Self {
                Self::from(text.as_bytes())
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::from(text.as_bytes())
            }
        }
        impl From<Vec<u8>> for $name {
            fn from(bytes: Vec<u8>) -> Self {
                Self::from(&bytes[..])
            }
        }
        impl From<Bytes> for $name {
            fn from(bytes: Bytes) -> Self {
                Self::from(&bytes[..])
            }
        }
        impl From<&$name> for $name {
            #[inline]
            fn from(other: &$name) -> Self {
                other.clone()
            }
        }
        /// Shares the bytes, without a copy.
        impl From<$name> for Bytes {
            fn from(value: $name) -> Bytes {
                Bytes::from_owner(value)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "\"{}\"", self.escape_ascii())
            }
        }
    };
}

byte_string! {
    /// A key, as in Redis: 1 to 2,048 bytes of any content ([`Limits`](crate::Limits)).
    ///
    /// Every method takes `impl Into<Key>`: text, bytes, or a `&Key`. To avoid an allocation per
    /// call, make the `Key` once and pass it by reference. Keys of up to 22 bytes never allocate.
    /// To use your own type as a key, implement `From<YourType> for Key`; as a value, implement
    /// [`ToValue`](crate::ToValue):
    ///
    /// ```
    /// use keyvaluestore::{Key, Store};
    /// struct UserId(u64);
    /// impl From<UserId> for Key {
    ///     fn from(id: UserId) -> Key {
    ///         format!("user:{}", id.0).into()
    ///     }
    /// }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let store = Store::memory();
    /// store.set(UserId(42), "carol").await?;
    /// assert_eq!(store.get("user:42").await?.unwrap(), "carol");
    /// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
    /// ```
    ///
    /// `Debug` prints the bytes; errors never contain them.
    Key
}
/// For values that are keys themselves, such as the members of an index.
impl From<Value> for Key {
    fn from(value: Value) -> Key {
        Key(value.0)
    }
}
impl From<&Value> for Key {
    fn from(value: &Value) -> Key {
        value.clone().into()
    }
}
byte_string! {
    /// Bytes in the store: a string, a set member, a hash field or a hash value.
    ///
    /// Immutable; a clone shares the bytes. Read it as a slice (it derefs to `[u8]`), as text with
    /// [`as_str`](Value::as_str), or as any [`FromValue`](crate::FromValue) type with
    /// [`to`](Value::to).
    ///
    /// ```
    /// use keyvaluestore::Value;
    /// let value = Value::from("42");
    /// assert_eq!(value, "42");
    /// assert_eq!(value.len(), 2);
    /// assert_eq!(value.to::<i64>()?, 42);
    /// # Ok::<_, keyvaluestore::Error>(())
    /// ```
    Value
}

impl Key {
    /// The concatenation of this key and `rest`. Allocates once, or not at all if the result fits
    /// inline.
    #[inline]
    pub(crate) fn followed_by(&self, rest: &Key) -> Key {
        if let (Repr::Inline(len, head), Repr::Inline(more, tail)) = (&self.0, &rest.0)
            && usize::from(len + more) <= INLINE
        {
            // Copies of constant length are inlined. The unused bytes that they include are 0.
            let mut both = [0; 2 * INLINE];
            both[..INLINE].copy_from_slice(head);
            both[usize::from(*len)..][..INLINE].copy_from_slice(tail);
            let inline = both.first_chunk().copied().unwrap_or_default();
            return Key(Repr::Inline(len + more, inline));
        }
        let rest = rest.as_bytes();
        Key(Repr::Shared(self.iter().chain(rest).copied().collect()))
    }
}

#[cfg(feature = "cache")]
impl Value {
    /// Whether a clone increments a shared reference count.
    pub(crate) fn is_counted(&self) -> bool {
        matches!(self.0, Repr::Shared(_))
    }
}

#[cfg(any(feature = "redis", feature = "dynamodb"))]
impl Value {
    /// Takes ownership of bytes that a client library has read.
    pub(crate) fn from_answer(bytes: Vec<u8>) -> Self {
        if bytes.len() <= INLINE {
            bytes.into()
        } else {
            Value(Repr::Owned(bytes.into_boxed_slice()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_value_is_three_words_and_so_is_an_optional_one() {
        assert_eq!(size_of::<Value>(), 24);
        assert_eq!(size_of::<Option<Value>>(), 24);
    }

    #[test]
    fn every_length_around_the_inline_one_reads_back() {
        for len in 0..=2 * INLINE {
            let bytes: Vec<u8> = (0..len as u8).collect();
            let value = Value::from(&bytes[..]);
            assert_eq!(value.as_bytes(), bytes);
            assert_eq!(value.clone(), value);
            assert_eq!(Bytes::from(value), bytes);
        }
    }

    #[test]
    fn the_order_is_that_of_the_bytes_however_they_are_kept() {
        let mut all: Vec<Vec<u8>> = vec![vec![]];
        for len in [1, 7, 8, 14, 15, 16, 17, INLINE - 1, INLINE, INLINE + 1] {
            for last in [0, 1, 0x7f, 0x80, 0xff] {
                for rest in [0, 0x80, 0xff] {
                    all.push([vec![rest; len - 1], vec![last]].concat());
                }
            }
        }
        let leaked = |bytes: &[u8]| Value::from_static(bytes.to_vec().leak());
        for a in &all {
            for b in &all {
                for (x, y) in
                    [(Value::from(&a[..]), Value::from(&b[..])), (leaked(a), Value::from(&b[..]))]
                {
                    assert_eq!(x.cmp(&y), a.cmp(b), "{a:?} {b:?}");
                    assert_eq!(x == y, a == b, "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn equal_bytes_are_one_map_key_however_they_are_kept() {
        let kept = Key::from_static(b"k");
        let map = HashMap::from([(kept, 1)]);
        assert_eq!(map.get(&Key::from("k")), Some(&1));
        assert_eq!(map.get(&b"k"[..]), Some(&1));
    }
}

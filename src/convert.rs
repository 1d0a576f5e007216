//! [`ToValue`] and [`FromValue`]: the conversions between Rust types and stored values.

use crate::{Error, Key, Result, Value};
use ::bytes::Bytes;

/// A type that can be stored as a value, member or field.
///
/// Bytes and text are stored unchanged. Integers are stored as decimal text, as Redis does, so that
/// `set("n", 5)` makes a counter that `incr_by` can increment. [`Json`](crate::Json) and
/// [`MsgPack`](crate::MsgPack) store what `serde` serializes. Implement it for your own types:
///
/// ```
/// use keyvaluestore::{FromValue, Result, ToValue, Value};
///
/// #[derive(Debug, PartialEq)]
/// struct UserId(u64);
///
/// impl ToValue for UserId {
///     fn to_value(&self) -> Result<Value> {
///         self.0.to_value()
///     }
/// }
/// impl FromValue for UserId {
///     fn from_value(value: &Value) -> Result<Self> {
///         value.to().map(UserId)
///     }
/// }
/// assert_eq!(UserId(7).to_value()?, "7");
/// assert_eq!(Value::from("7").to::<UserId>()?, UserId(7));
/// # Ok::<_, keyvaluestore::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored as it is",
    note = "bytes, text and integers can; wrap serde types in `Json` or `MsgPack`, or \
            implement `ToValue`"
)]
pub trait ToValue {
    /// Converts `self` to bytes.
    ///
    /// # Errors
    /// `InvalidArgument` if the conversion fails. The operation is then not sent.
    fn to_value(&self) -> Result<Value>;
}

/// A type that a stored value can be read as, with [`Value::to`].
pub trait FromValue: Sized {
    /// Converts the bytes.
    ///
    /// # Errors
    /// `WrongType` if the bytes are not a valid `Self`.
    fn from_value(value: &Value) -> Result<Self>;
}

impl Value {
    /// Converts the value to the type that you expect: `value.to::<i64>()`,
    /// `value.to::<Json<User>>()`.
    ///
    /// # Errors
    /// `WrongType` if the bytes are not a valid `T`. The message names the type and does not
    /// contain the value.
    pub fn to<T: FromValue>(&self) -> Result<T> {
        T::from_value(self)
    }
    /// The value as text, without copying it.
    ///
    /// # Errors
    /// `WrongType` if it is not UTF-8.
    pub fn as_str(&self) -> Result<&str> {
        std::str::from_utf8(self).map_err(|e| not_a("text in UTF-8").with_source(e))
    }
    /// The number, if the value is the canonical decimal text of an `i64`: `0`, `-7` or `42`, but
    /// not `+7`, `007` or `-0`. Exactly these strings are counters, as with Redis's `INCRBY`.
    pub fn as_canonical_integer(&self) -> Option<i64> {
        match self.as_bytes() {
            b"0" => return Some(0),
            [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..] => {}
            _ => return None,
        }
        std::str::from_utf8(self).ok()?.parse().ok()
    }
}

#[cold]
pub(crate) fn not_a(what: &str) -> Error {
    Error::new(crate::ErrorKind::WrongType, format!("the value is not {what}"))
}

impl<T: ToValue + ?Sized> ToValue for &T {
    #[inline]
    fn to_value(&self) -> Result<Value> {
        (**self).to_value()
    }
}

macro_rules! bytes_to_value {
    ($($t:ty),*) => {$(
        impl ToValue for $t {
            #[inline]
            fn to_value(&self) -> Result<Value> {
                Ok(Value::from(AsRef::<[u8]>::as_ref(self)))
            }
        }
    )*};
}
bytes_to_value!([u8], str, String, Vec<u8>, Bytes, Key);

impl<const N: usize> ToValue for [u8; N] {
    fn to_value(&self) -> Result<Value> {
        Ok(Value::from(&self[..]))
    }
}
impl ToValue for Value {
    #[inline]
    fn to_value(&self) -> Result<Value> {
        Ok(self.clone())
    }
}
impl FromValue for Value {
    fn from_value(value: &Value) -> Result<Self> {
        Ok(value.clone())
    }
}
impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Result<Self> {
        Ok(value.to_vec())
    }
}
impl FromValue for Bytes {
    fn from_value(value: &Value) -> Result<Self> {
        Ok(value.clone().into())
    }
}
impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self> {
        value.as_str().map(str::to_owned)
    }
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl ToValue for $t {
            fn to_value(&self) -> Result<Value> {
                Ok(itoa::Buffer::new().format(*self).into())
            }
        }
        impl FromValue for $t {
            fn from_value(value: &Value) -> Result<Self> {
                let not_it = concat!("an integer of type ", stringify!($t));
                value.as_str().map_err(|e| not_a(not_it).with_source(e))?
                    .parse().map_err(|e| not_a(not_it).with_source(e))
            }
        }
    )*};
}
integers!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! sizes {
    ($($t:ty as $as:ty),*) => {$(
        impl ToValue for $t {
            fn to_value(&self) -> Result<Value> {
                (*self as $as).to_value()
            }
        }
        impl FromValue for $t {
            fn from_value(value: &Value) -> Result<Self> {
                let number: $as = value.to()?;
                number.try_into().map_err(|e| not_a(concat!("a ", stringify!($t))).with_source(e))
            }
        }
    )*};
}
sizes!(usize as u64, isize as i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_decimal_text_and_come_back() {
        assert_eq!(i64::MIN.to_value().unwrap(), "-9223372036854775808");
        assert_eq!(u64::MAX.to_value().unwrap(), "18446744073709551615");
        assert_eq!(0u8.to_value().unwrap(), "0");
        assert_eq!(usize::MAX.to_value().unwrap().to::<usize>().unwrap(), usize::MAX);
        assert_eq!((-1isize).to_value().unwrap().to::<isize>().unwrap(), -1);
    }

    #[test]
    fn only_one_way_to_write_an_integer_is_canonical() {
        for text in ["0", "-7", "42", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(Value::from(text).as_canonical_integer(), text.parse().ok(), "{text}");
        }
        for text in [
            "",
            "-",
            "+7",
            "007",
            "-0",
            "-07",
            "00",
            " 1",
            "1 ",
            "1.0",
            "9223372036854775808",
            "-9223372036854775809",
            "1\u{0}",
            "0x1",
            "１",
        ] {
            assert_eq!(Value::from(text).as_canonical_integer(), None, "{text}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused_by_name() {
        let error = Value::from("secret").to::<u8>().unwrap_err();
        assert_eq!(error.to_string(), "the value is not an integer of type u8");
        assert!(Value::from("256").to::<u8>().is_err());
        assert!(Value::from("-1").to::<u64>().is_err());
        assert!(Value::from(&b"\xff"[..]).to::<String>().is_err());
        assert!(Value::from(&b"\xff"[..]).to::<i64>().is_err());
    }
}

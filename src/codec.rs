//! [`Json`] and [`MsgPack`]: values that `serde` serializes. Both reject input that is not exactly
//! one value of the type, when they write and when they read.

use crate::convert::not_a;
use crate::{Error, FromValue, Result, ToValue, Value};

#[cfg(feature = "json")]
mod finite;

/// A value stored as JSON: `store.set("user", Json(&user))`, `value.to::<Json<User>>()?.0`.
///
/// ```
/// # #[cfg(feature = "json")] {
/// use keyvaluestore::{Json, ToValue, Value};
/// let value = Json(vec![1, 2]).to_value()?;
/// assert_eq!(value, "[1,2]");
/// let Json(back) = value.to::<Json<Vec<u8>>>()?;
/// assert_eq!(back, [1, 2]);
/// # }
/// # Ok::<_, keyvaluestore::Error>(())
/// ```
///
/// Every finite number reads back with the same bits. JSON has no NaN and no infinities: writing a
/// value that contains one fails with `InvalidArgument`, and nothing is sent. Reading bytes that
/// are not JSON for `T` fails with `WrongType`.
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a newtype, constructed by its field")]
pub struct Json<T>(pub T);

#[cfg(feature = "json")]
impl<T: serde::Serialize> ToValue for Json<T> {
    fn to_value(&self) -> Result<Value> {
        let refused = |e| Error::invalid("the value cannot be written as JSON").with_source(e);
        let bytes = serde_json::to_vec(&self.0).map_err(refused)?;
        // `serde_json` writes `null` for NaN and infinities.
        if memchr::memmem::find(&bytes, b"null").is_some() {
            finite::check(&self.0)?;
        }
        Ok(bytes.into())
    }
}
#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned> FromValue for Json<T> {
    fn from_value(value: &Value) -> Result<Self> {
        serde_json::from_slice(value)
            .map(Json)
            .map_err(|e| not_a("JSON of the expected type").with_source(e))
    }
}

/// A value stored as MessagePack. It includes the names of struct fields, so that a later version
/// of the struct may have more of them. Smaller and faster than [`Json`], but not readable as text.
///
/// ```
/// # #[cfg(feature = "msgpack")] {
/// use keyvaluestore::{MsgPack, ToValue};
/// let value = MsgPack(("alice", 42)).to_value()?;
/// let MsgPack((name, age)) = value.to::<MsgPack<(String, u8)>>()?;
/// assert_eq!((name.as_str(), age), ("alice", 42));
/// # }
/// # Ok::<_, keyvaluestore::Error>(())
/// ```
///
/// Reading bytes that are not MessagePack for `T`, or that continue after the value, fails with
/// `WrongType`.
#[cfg(feature = "msgpack")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a newtype, constructed by its field")]
pub struct MsgPack<T>(pub T);

#[cfg(feature = "msgpack")]
impl<T: serde::Serialize> ToValue for MsgPack<T> {
    fn to_value(&self) -> Result<Value> {
        let bytes = rmp_serde::to_vec_named(&self.0).map_err(|e| {
            Error::invalid("the value cannot be written as MessagePack").with_source(e)
        })?;
        Ok(bytes.into())
    }
}
#[cfg(feature = "msgpack")]
impl<T: serde::de::DeserializeOwned> FromValue for MsgPack<T> {
    fn from_value(value: &Value) -> Result<Self> {
        let mut rest = value.as_bytes();
        let read = T::deserialize(&mut rmp_serde::Deserializer::new(&mut rest))
            .map_err(|e| not_a("MessagePack of the expected type").with_source(e))?;
        match rest {
            [] => Ok(MsgPack(read)),
            _ => Err(not_a("MessagePack of the expected type: bytes follow it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind::{InvalidArgument, WrongType};

    #[cfg(feature = "json")]
    #[test]
    fn json_that_does_not_fit_is_an_error_with_its_cause() {
        let error = Value::from("{").to::<Json<u8>>().unwrap_err();
        assert_eq!(error.kind(), WrongType);
        assert!(std::error::Error::source(&error).is_some());
        // JSON has no map whose keys are not text.
        let map = std::collections::HashMap::from([((1, 2), 3)]);
        assert_eq!(Json(map).to_value().unwrap_err().kind(), InvalidArgument);
    }

    /// Random bits and everyday numbers. Without serde_json's `float_roundtrip`, one in ten of the
    /// latter read back as the adjacent `f64`.
    #[cfg(feature = "json")]
    #[test]
    fn every_finite_number_comes_back_from_json_to_the_bit() {
        let mut random = fastrand::Rng::with_seed(7);
        let edges = [0.0, -0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::MIN, 0.1, 1e21, 1e-7];
        let common = std::iter::repeat_with(|| random.f64() * 1e6).take(100_000);
        let mut bits = fastrand::Rng::with_seed(8);
        let any = std::iter::repeat_with(|| f64::from_bits(bits.u64(..))).take(100_000);
        for number in edges.into_iter().chain(common).chain(any.filter(|n| n.is_finite())) {
            let Json(back) = Json(number).to_value().unwrap().to::<Json<f64>>().unwrap();
            assert_eq!(back.to_bits(), number.to_bits(), "{number:?}");
        }
        let singles = std::iter::repeat_with(|| f32::from_bits(bits.u32(..))).take(100_000);
        for number in singles.filter(|n| n.is_finite()) {
            let Json(back) = Json(number).to_value().unwrap().to::<Json<f32>>().unwrap();
            assert_eq!(back.to_bits(), number.to_bits(), "{number:?}");
        }
    }

    #[cfg(feature = "msgpack")]
    #[test]
    fn bytes_left_over_are_no_messagepack() {
        for text in ["hello", "h\0", "\0\u{1}"] {
            let error = Value::from(text).to::<MsgPack<u8>>().unwrap_err();
            assert_eq!(error.kind(), WrongType, "{text:?}");
        }
        assert_eq!(Value::from("h").to::<MsgPack<u8>>().unwrap().0, b'h');
        let mut pair = MsgPack((Some("a"), None::<u8>)).to_value().unwrap().to_vec();
        type Pair = MsgPack<(Option<String>, Option<u8>)>;
        assert_eq!(Value::from(&pair[..]).to::<Pair>().unwrap().0, (Some("a".to_owned()), None));
        pair.push(0xc0);
        assert_eq!(Value::from(&pair[..]).to::<Pair>().unwrap_err().kind(), WrongType);
        assert_eq!(Value::from("").to::<MsgPack<u8>>().unwrap_err().kind(), WrongType);
        // A length prefix that exceeds the input is an error.
        let long = Value::from(&b"\xc6\xff\xff\xff\xff"[..]);
        assert_eq!(long.to::<MsgPack<String>>().unwrap_err().kind(), WrongType);
    }
}

//! Finds NaN and infinities in a value that is written as JSON. `serde_json` writes them as `null`,
//! which would not read back as a number.
//!
//! This is a serializer that writes nothing. It runs only for values whose JSON contains `null`.

use crate::{Error, Result};
use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// Checks every number in `value`.
///
/// # Errors
/// `InvalidArgument` if one of them is NaN or an infinity.
pub(super) fn check<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    value.serialize(Finite).map_err(|e| {
        Error::invalid("the value cannot be written as JSON: it contains NaN or an infinity")
            .with_source(e)
    })
}

#[derive(Clone, Copy)]
struct Finite;

// `serde` requires an error that can be made from any message; that of `serde_json` can.
type Checked = std::result::Result<(), serde_json::Error>;

fn number(is_finite: bool) -> Checked {
    if is_finite { Ok(()) } else { Err(serde_json::Error::custom("a number is not finite")) }
}

macro_rules! writes_nothing {
    ($($method:ident: $t:ty),* $(,)?) => {$(
        fn $method(self, _: $t) -> Checked {
            Ok(())
        }
    )*};
}

impl Serializer for Finite {
    type Ok = ();
    type Error = serde_json::Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn serialize_f32(self, n: f32) -> Checked {
        number(n.is_finite())
    }
    fn serialize_f64(self, n: f64) -> Checked {
        number(n.is_finite())
    }

    writes_nothing!(
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_char: char,
        serialize_str: &str,
        serialize_bytes: &[u8],
        serialize_unit_struct: &'static str,
    );
    fn serialize_none(self) -> Checked {
        Ok(())
    }
    fn serialize_unit(self) -> Checked {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Checked {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Checked {
        value.serialize(self)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Checked {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Checked {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Self::Error> {
        Ok(self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, Self::Error> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Self::Error> {
        Ok(self)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Self::Error> {
        Ok(self)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self, Self::Error> {
        Ok(self)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Self::Error> {
        Ok(self)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Self::Error> {
        Ok(self)
    }
}

/// Compound values: each part is checked.
macro_rules! parts {
    ($($compound:ident: $($method:ident($($name:ty)?)),+;)*) => {$(
        impl $compound for Finite {
            type Ok = ();
            type Error = serde_json::Error;
            $(
                fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Checked {
                    value.serialize(*self)
                }
            )+
            fn end(self) -> Checked {
                Ok(())
            }
        }
    )*};
}
parts! {
    SerializeSeq: serialize_element();
    SerializeTuple: serialize_element();
    SerializeTupleStruct: serialize_field();
    SerializeTupleVariant: serialize_field();
    SerializeMap: serialize_key(), serialize_value();
    SerializeStruct: serialize_field(&'static str);
    SerializeStructVariant: serialize_field(&'static str);
}

#[cfg(test)]
mod tests {
    use crate::{ErrorKind, Json, ToValue};
    use serde::Serialize;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    enum Shape {
        Unit,
        Newtype(f64),
        Tuple(u8, f32),
        Struct { name: &'static str, score: Option<f64> },
    }

    #[derive(Serialize)]
    struct Newtype(Option<f64>);
    #[derive(Serialize)]
    struct Tuple(u8, f64);

    #[track_caller]
    fn is_refused(value: impl Serialize) {
        let error = Json(value).to_value().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("NaN"), "{error}");
    }

    #[test]
    fn a_number_that_json_does_not_have_is_refused_wherever_it_stands() {
        is_refused(f64::NAN);
        is_refused(f32::INFINITY);
        is_refused([1.0, f64::NEG_INFINITY]);
        is_refused((1, f64::NAN));
        is_refused(Some(Some(f64::NAN)));
        is_refused(BTreeMap::from([("a", f64::NAN)]));
        is_refused(Newtype(Some(f64::NAN)));
        is_refused(Tuple(1, f64::NAN));
        is_refused(Shape::Newtype(f64::NAN));
        is_refused(Shape::Tuple(1, f32::NAN));
        is_refused(Shape::Struct { name: "a", score: Some(f64::NAN) });
        is_refused(vec![Shape::Unit, Shape::Newtype(f64::NAN)]);
    }

    #[test]
    fn what_is_null_by_itself_is_written() {
        let all = (None::<f64>, (), Newtype(None), "null", Some(1.5), Shape::Unit);
        assert_eq!(Json(all).to_value().unwrap(), r#"[null,null,null,"null",1.5,"Unit"]"#);
        let shape = Shape::Struct { name: "null", score: None };
        assert_eq!(Json(shape).to_value().unwrap(), r#"{"Struct":{"name":"null","score":null}}"#);
        assert_eq!(Json(BTreeMap::from([("a", None::<u8>)])).to_value().unwrap(), r#"{"a":null}"#);
    }
}

//! The layout: how keys, scores, fields and values are written into items, and what an item that is
//! read holds.
//!
//! It is that of the Go library keyvaluestore, byte for byte, but for one attribute of ours,
//! [`MARK`].

use super::api::Item;
use crate::op::Score;
use crate::{Error, ErrorKind, Key, Result, Value};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::LazyLock;

/// The hash key: the key.
pub(super) const HK: &str = "hk";
/// The range key: [`PLAIN`], or the member of a sorted set.
pub(super) const RK: &str = "rk";
/// The range key of the index, which only members of sorted sets have: score and member. The index
/// is called so, too.
pub(super) const RK2: &str = "rk2";
/// The value: `B` for strings, also for those that are integers, and for the values of sorted sets;
/// `N` for what was incremented; `BS` for sets. A hash has none.
pub(super) const V: &str = "v";
/// Written by whoever removes fields from a hash, a new one each time, and removed by whoever adds
/// something: if it is still the same, nothing was added. It is what an emptied item is removed or
/// replaced under. The Go library ignores it.
pub(super) const MARK: &str = "t";
/// The range key of strings, counters, sets and hashes.
pub(super) const PLAIN: &[u8] = b"_";

/// The longest sort key, and so the longest member with its score.
pub(super) const SORT_KEY: usize = 1_024;
/// The longest member.
pub(super) const MEMBER: usize = SORT_KEY - 8;

pub(super) fn bytes(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

pub(super) fn number(n: impl itoa::Integer) -> AttributeValue {
    AttributeValue::N(itoa::Buffer::new().format(n).to_owned())
}
/// A set of which no member is named twice, which DynamoDB refuses.
pub(super) fn members_attribute(members: &[Value]) -> AttributeValue {
    let mut members: Vec<&Value> = members.iter().collect();
    members.sort_unstable();
    members.dedup();
    AttributeValue::Bs(members.into_iter().map(|member| Blob::new(&member[..])).collect())
}

/// A map in which the same insertions lead to the same order, in all maps of this process: a
/// request that is made again under an idempotency token is then the same to the byte.
pub(super) fn map<T>(capacity: usize) -> HashMap<String, T> {
    static ORDER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    HashMap::with_capacity_and_hasher(capacity, ORDER.clone())
}

/// The primary key of an item.
pub(super) fn primary(key: &[u8], rk: &[u8]) -> Item {
    let mut item = map(2);
    item.insert(HK.to_owned(), bytes(key));
    item.insert(RK.to_owned(), bytes(rk));
    item
}
pub(super) fn item<const N: usize>(
    key: &Key,
    rk: &[u8],
    attributes: [(&str, AttributeValue); N],
) -> Item {
    let mut item = map(2 + N);
    item.insert(HK.to_owned(), bytes(key));
    item.insert(RK.to_owned(), bytes(rk));
    item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    item
}

/// The name of the attribute that a hash field is.
pub(super) fn field_name(field: &[u8]) -> String {
    let mut name = String::with_capacity(2 + field.len() * 4 / 3);
    name.push('~');
    BASE64.encode_string(field, &mut name);
    name
}
fn field(name: &str) -> Option<Result<Value>> {
    let encoded = name.strip_prefix('~')?;
    let decoded = BASE64.decode(encoded);
    Some(decoded.map(Value::from).map_err(|e| corrupt("a hash field is not base64").with_source(e)))
}

/// Eight bytes that sort as scores do.
pub(super) fn score_bytes(score: f64) -> [u8; 8] {
    let bits = score.to_bits();
    let flipped = if bits >> 63 == 1 { !bits } else { bits ^ 1 << 63 };
    flipped.to_be_bytes()
}
/// The range key of the index.
pub(super) fn index_key(score: Score, member: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new([&score_bytes(score.get())[..], member].concat()))
}
/// The score in a range key of the index.
pub(super) fn score_of(index_key: &AttributeValue) -> Result<Score> {
    let AttributeValue::B(key) = index_key else { return Err(corrupt("a score is not binary")) };
    let Some(bytes) = key.as_ref().first_chunk() else {
        return Err(corrupt("a score is shorter than 8 bytes"));
    };
    let flipped = u64::from_be_bytes(*bytes);
    let bits = if flipped >> 63 == 1 { flipped ^ 1 << 63 } else { !flipped };
    Score::new(f64::from_bits(bits)).map_err(|_| corrupt("a score is not a number"))
}

pub(super) fn corrupt(what: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, what)
}
pub(super) fn wrong_type() -> Error {
    Error::wrong_type("the key holds another type")
}

/// What an item is, by its attributes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holds<'i> {
    /// There is none.
    Nothing,
    /// What is left of a hash or set that was emptied, with its [`MARK`], if it has one: to a
    /// caller, nothing.
    Leftover(Option<&'i AttributeValue>),
    /// A string or counter.
    Text(&'i AttributeValue),
    Set(&'i [Blob]),
    /// A hash, and the attribute of one of its fields.
    Hash(&'i str),
    /// A member of a sorted set, and its range key of the index.
    Member(&'i AttributeValue),
}

pub(super) fn holds(item: Option<&Item>) -> Holds<'_> {
    let Some(item) = item else { return Holds::Nothing };
    if let Some(index_key) = item.get(RK2) {
        return Holds::Member(index_key);
    }
    match item.get(V) {
        Some(AttributeValue::Bs(members)) => Holds::Set(members),
        Some(value) => Holds::Text(value),
        None => match item.keys().find(|name| name.starts_with('~')) {
            Some(field) => Holds::Hash(field),
            None => Holds::Leftover(item.get(MARK)),
        },
    }
}

/// The bytes of a string, a counter or a value.
pub(super) fn value(attribute: AttributeValue) -> Result<Value> {
    match attribute {
        AttributeValue::B(bytes) => Ok(Value::from_answer(bytes.into_inner())),
        AttributeValue::N(number) => Ok(Value::from(number)),
        _ => Err(wrong_type()),
    }
}
/// What a member of a sorted set bears.
pub(super) fn value_of_member(attribute: Option<AttributeValue>) -> Result<Value> {
    value(attribute.ok_or_else(|| corrupt("a member has no value"))?)
}
pub(super) fn members(attribute: AttributeValue) -> Result<Vec<Value>> {
    match attribute {
        AttributeValue::Bs(members) => {
            Ok(members.into_iter().map(|member| Value::from_answer(member.into_inner())).collect())
        }
        _ => Err(wrong_type()),
    }
}
pub(super) fn fields(item: Item) -> Result<Vec<(Value, Value)>> {
    let (mut fields, mut is_other) = (Vec::with_capacity(item.len().saturating_sub(2)), false);
    for (name, attribute) in item {
        match field(&name) {
            Some(name) => fields.push((name?, value(attribute)?)),
            None => is_other |= name == V,
        }
    }
    if fields.is_empty() && is_other { Err(wrong_type()) } else { Ok(fields) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_sort_as_their_bytes_do_and_come_back() {
        let scores = [f64::NEG_INFINITY, -1e300, -1.0, -5e-324, 0.0, 5e-324, 1.5, f64::INFINITY];
        assert!(scores.windows(2).all(|pair| score_bytes(pair[0]) < score_bytes(pair[1])));
        for score in scores {
            let score = Score::new(score).unwrap();
            assert_eq!(score_of(&index_key(score, b"m")).unwrap(), score);
        }
        // Known from the Go library.
        assert_eq!(score_bytes(1.0), [0xbf, 0xf0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(score_bytes(-1.0), [0x40, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn damaged_items_are_corrupt_or_of_another_type() {
        use ErrorKind::{Corrupt, WrongType};
        let text = |text: &str| AttributeValue::S(text.into());
        assert_eq!(score_of(&text("x")).unwrap_err().kind(), Corrupt);
        assert_eq!(score_of(&bytes(b"1234567")).unwrap_err().kind(), Corrupt);
        assert_eq!(score_of(&bytes(&[0xff; 9])).unwrap_err().kind(), Corrupt);
        assert_eq!(value(text("x")).unwrap_err().kind(), WrongType);
        assert_eq!(members(text("x")).unwrap_err().kind(), WrongType);
        let item = HashMap::from([("~?".to_owned(), bytes(b"x"))]);
        assert_eq!(fields(item).unwrap_err().kind(), Corrupt);
    }

    #[test]
    fn hash_fields_are_named_as_the_go_library_names_them() {
        assert_eq!(field_name(b""), "~");
        assert_eq!(field_name(b"foo"), "~Zm9v");
        assert_eq!(field_name(&[0xfb, 0xff]), "~-_8");
        assert_eq!(field("~-_8").unwrap().unwrap()[..], [0xfb, 0xff]);
        assert!(field("v").is_none());
    }
}

//! The layout: encodes keys, scores, fields and values as items, and decodes items.
//!
//! It is the layout of the Go library keyvaluestore, byte for byte, with one additional attribute:
//! [`MARK`].

use crate::op::Score;
use crate::{Error, ErrorKind, Key, Result, Value};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::LazyLock;

/// An item of the SDK: attributes by name.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The hash key attribute: the key.
pub(super) const HK: &str = "hk";
/// The range key attribute: [`PLAIN`], or the member of a sorted set.
pub(super) const RK: &str = "rk";
/// The range key attribute of the index: score and member. Only members of sorted sets have it. It
/// is also the name of the index.
pub(super) const RK2: &str = "rk2";
/// The value attribute: `B` for strings, digits included, and for values of sorted sets; `N` for
/// counters that were incremented; `BS` for sets. A hash has none.
pub(super) const V: &str = "v";
/// A random tag, for optimistic locking of emptied hashes. Removing fields from a hash writes a new
/// one, adding fields removes it. While it is unchanged, nothing was added, so that the item may be
/// deleted or replaced. The Go library ignores it.
pub(super) const MARK: &str = "t";
/// The range key of strings, counters, sets and hashes.
pub(super) const PLAIN: &[u8] = b"_";

/// The size limit of a sort key.
pub(super) const MAX_SORT_KEY_LEN: usize = 1_024;
/// A member and its score are a sort key of the index.
pub(super) const MAX_MEMBER_LEN: usize = MAX_SORT_KEY_LEN - 8;

pub(super) fn binary(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

pub(super) fn number(n: impl itoa::Integer) -> AttributeValue {
    AttributeValue::N(itoa::Buffer::new().format(n).to_owned())
}
/// A binary set. Removes duplicates, which DynamoDB rejects.
pub(super) fn binary_set(members: &[Value]) -> AttributeValue {
    let mut members: Vec<&Value> = members.iter().collect();
    members.sort_unstable();
    members.dedup();
    AttributeValue::Bs(members.into_iter().map(|member| Blob::new(&member[..])).collect())
}

/// A map whose order depends only on its insertions. A request that is built again for a retry is
/// then the same to the byte, as its idempotency token requires.
pub(super) fn deterministic_map<T>(capacity: usize) -> HashMap<String, T> {
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    HashMap::with_capacity_and_hasher(capacity, HASHER.clone())
}

/// The primary key of an item.
pub(super) fn primary_key(key: &[u8], rk: &[u8]) -> Item {
    let mut item = deterministic_map(2);
    item.insert(HK.to_owned(), binary(key));
    item.insert(RK.to_owned(), binary(rk));
    item
}
pub(super) fn item<const N: usize>(
    key: &Key,
    rk: &[u8],
    attributes: [(&str, AttributeValue); N],
) -> Item {
    let mut item = deterministic_map(2 + N);
    item.insert(HK.to_owned(), binary(key));
    item.insert(RK.to_owned(), binary(rk));
    item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    item
}

/// The attribute name of a hash field.
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

/// Encodes a score so that the bytes sort as scores do.
pub(super) fn score_bytes(score: f64) -> [u8; 8] {
    let bits = score.to_bits();
    let flipped = if bits >> 63 == 1 { !bits } else { bits ^ 1 << 63 };
    flipped.to_be_bytes()
}
/// The range key of the index: score and member.
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

/// The type of an item, by its attributes.
#[derive(Clone, Copy, Debug)]
pub(super) enum StoredValue<'i> {
    /// There is no item.
    Absent,
    /// A hash without fields, with its [`MARK`] if it has one. Callers see no value.
    Emptied(Option<&'i AttributeValue>),
    /// A string or a counter.
    String(&'i AttributeValue),
    Set(&'i [Blob]),
    /// A hash, with the attribute name of one of its fields.
    Hash(&'i str),
    /// A member of a sorted set, with its range key of the index.
    Member(&'i AttributeValue),
}

pub(super) fn decode_item(item: Option<&Item>) -> StoredValue<'_> {
    let Some(item) = item else { return StoredValue::Absent };
    if let Some(index_key) = item.get(RK2) {
        return StoredValue::Member(index_key);
    }
    match item.get(V) {
        Some(AttributeValue::Bs(members)) => StoredValue::Set(members),
        Some(value) => StoredValue::String(value),
        None => match item.keys().find(|name| name.starts_with('~')) {
            Some(field) => StoredValue::Hash(field),
            None => StoredValue::Emptied(item.get(MARK)),
        },
    }
}

/// Decodes a string, a counter or a value.
pub(super) fn value(attribute: AttributeValue) -> Result<Value> {
    match attribute {
        AttributeValue::B(bytes) => Ok(Value::from_answer(bytes.into_inner())),
        AttributeValue::N(number) => Ok(Value::from(number)),
        _ => Err(wrong_type()),
    }
}
/// Decodes the value of a member of a sorted set.
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
        assert_eq!(score_of(&binary(b"1234567")).unwrap_err().kind(), Corrupt);
        assert_eq!(score_of(&binary(&[0xff; 9])).unwrap_err().kind(), Corrupt);
        assert_eq!(value(text("x")).unwrap_err().kind(), WrongType);
        assert_eq!(members(text("x")).unwrap_err().kind(), WrongType);
        let item = HashMap::from([("~?".to_owned(), binary(b"x"))]);
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

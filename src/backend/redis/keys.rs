//! The keys in Redis: cluster slots, the key of a value hash, and the keys that are refused.

use crate::op::{Op, Read, Write, ZAdd, ZHGet, ZIncrBy, ZRem};
use crate::{Error, Key, Result};
use crc::{CRC_16_XMODEM, Crc};

/// The number of slots of a cluster.
pub(super) const SLOTS: u16 = 16_384;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The prefix of the keys of value hashes.
const RESERVED: &[u8] = b"__kvs_zh";

/// How the keys and marks of sorted sets are written. It depends on the server and on the options.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyScheme {
    /// In a cluster a key and its value hash must be in one slot.
    pub(super) cluster: bool,
    pub(super) default_mark: DefaultMark,
}

/// The mark that a sorted set without a value hash counts as having: what a member without a value
/// means.
#[derive(Clone, Copy, Debug)]
pub(super) enum DefaultMark {
    /// The member is its own value.
    Own,
    /// The value is lost.
    Lost,
}

impl DefaultMark {
    /// As the scripts and the layout spell it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            DefaultMark::Own => "own",
            DefaultMark::Lost => "lost",
        }
    }
}

impl KeyScheme {
    pub(super) fn value_hash_key(self, key: &[u8]) -> Vec<u8> {
        value_hash_key(key, self.cluster)
    }
}

/// The hash tag of a key, which decides on its slot: the bytes between its first `{` and the next
/// `}`. `None` if there are none.
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|b| *b == b'{')?;
    let inside = &key[open + 1..];
    let close = inside.iter().position(|b| *b == b'}')?;
    (close > 0).then_some(&inside[..close])
}

/// The slot of a key in a cluster.
pub(super) fn slot(key: &[u8]) -> u16 {
    CRC.checksum(hash_tag(key).unwrap_or(key)) % SLOTS
}

/// The key of the hash with the values of the sorted hash at `key`.
///
/// On one server that is `__kvs_zh:` and the key, as in the Go library. In a cluster both must be
/// in one slot, so a key without a hash tag becomes one: `__kvs_zh{key}`. No two keys have the same
/// value hash.
fn value_hash_key(key: &[u8], cluster: bool) -> Vec<u8> {
    let parts: [&[u8]; 4] = if !cluster || hash_tag(key).is_some() {
        [RESERVED, b":", key, b""]
    } else if !key.is_empty() && !key.contains(&b'{') && !key.contains(&b'}') {
        [RESERVED, b"{", key, b"}"]
    } else {
        // The key cannot be a hash tag: a brace in it would end the tag. Use the smallest number
        // that has the same slot.
        let target = slot(key);
        let tag = (0_u32..).map(|n| n.to_string()).find(|n| slot(n.as_bytes()) == target);
        return [RESERVED, b"{", tag.unwrap_or_default().as_bytes(), b"}:", key].concat();
    };
    parts.concat()
}

/// Refuses the keys of value hashes.
fn check(key: &Key) -> Result<()> {
    if key.starts_with(RESERVED) {
        return Err(reserved());
    }
    Ok(())
}

/// # Errors
/// `InvalidArgument` for reserved keys and fields.
pub(super) fn check_read(op: &Read) -> Result<()> {
    if let Read::ZHGet(ZHGet { field, .. }) = op {
        check_field(field)?;
    }
    check(op.key())
}

/// # Errors
/// `InvalidArgument` for reserved keys and fields.
pub(super) fn check_write(op: &Write) -> Result<()> {
    if let Write::ZAdd(ZAdd { member, .. })
    | Write::ZRem(ZRem { member, .. })
    | Write::ZIncrBy(ZIncrBy { member, .. }) = op
    {
        check_field(member)?;
    }
    check(op.key())
}

pub(super) fn check_op(op: &Op) -> Result<()> {
    match op {
        Op::Read(op) => check_read(op),
        Op::Write(op) => check_write(op),
    }
}

/// The empty field of a value hash is its mark. The portable limits refuse empty fields as well.
fn check_field(field: &[u8]) -> Result<()> {
    if field.is_empty() {
        return Err(Error::invalid("a field of a sorted set cannot be empty on Redis"));
    }
    Ok(())
}

#[cold]
fn reserved() -> Error {
    Error::invalid(
        "keys that start with `__kvs_zh` are reserved on Redis for the values of sorted hashes",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(CRC.checksum(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"{user1000}.following"), slot(b"{user1000}.followers"));
        assert_eq!(hash_tag(b"foo{}{bar}"), None);
        assert_eq!(hash_tag(b"foo{{bar}}zap"), Some(&b"{bar"[..]));
        assert_eq!(hash_tag(b"foo{bar}{zap}"), Some(&b"bar"[..]));
        assert_eq!(hash_tag(b"}{"), None);
    }

    #[test]
    fn a_companion_shares_the_slot_of_its_key_and_its_name_with_no_other() {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        // Every key of up to five of the bytes that have a meaning.
        let mut level = vec![Vec::new()];
        for _ in 0..5 {
            level =
                level.iter().flat_map(|key| b"{}:1".map(|b| [&key[..], &[b]].concat())).collect();
            keys.extend(level.iter().cloned());
        }
        keys.push(Vec::new());
        let mut names = HashSet::new();
        for key in &keys {
            let name = value_hash_key(key, true);
            assert_eq!(slot(&name), slot(key), "{}", key.escape_ascii());
            assert!(names.insert(name), "{}", key.escape_ascii());
            assert_eq!(value_hash_key(key, false), [b"__kvs_zh:", &key[..]].concat());
        }
    }
}

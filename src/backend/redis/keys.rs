//! Where things are kept: the slot of a key in a cluster, and the name of the hash beside a sorted
//! set.

use crate::op::{Op, Read, Write, ZAdd, ZHGet, ZIncrBy, ZRem};
use crate::{Error, Key, Result};
use crc::{CRC_16_XMODEM, Crc};

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16_384;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// What the name of every companion starts with.
const RESERVED: &[u8] = b"__kvs_zh";

/// The part of a key that decides on its slot: what is between its first `{` and the next `}`,
/// unless that is nothing.
fn tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|b| *b == b'{')?;
    let inside = &key[open + 1..];
    let close = inside.iter().position(|b| *b == b'}')?;
    (close > 0).then_some(&inside[..close])
}

/// The slot of a key in a cluster.
pub(super) fn slot(key: &[u8]) -> u16 {
    CRC.checksum(tag(key).unwrap_or(key)) % SLOTS
}

/// The name of the hash that keeps the values of the sorted hash at `key`.
///
/// On one server that is `__kvs_zh:` and the key, as the Go library has it. In a cluster both have
/// to be in one slot, so a key without a tag of its own becomes one: `__kvs_zh{key}`. No two keys
/// get the same name.
pub(super) fn companion(key: &[u8], cluster: bool) -> Vec<u8> {
    let parts: [&[u8]; 4] = if !cluster || tag(key).is_some() {
        [RESERVED, b":", key, b""]
    } else if !key.is_empty() && !key.contains(&b'{') && !key.contains(&b'}') {
        [RESERVED, b"{", key, b"}"]
    } else {
        // As a tag it would be cut short; a number in the same slot stands in for it.
        let target = slot(key);
        let tag = (0_u32..).map(|n| n.to_string()).find(|n| slot(n.as_bytes()) == target);
        return [RESERVED, b"{", tag.unwrap_or_default().as_bytes(), b"}:", key].concat();
    };
    parts.concat()
}

/// Refuses keys that are names of companions.
fn check(key: &Key) -> Result<()> {
    if key.starts_with(RESERVED) {
        return Err(reserved());
    }
    Ok(())
}

/// Refuses reads of what is not the user's.
pub(super) fn check_read(op: &Read) -> Result<()> {
    if let Read::ZHGet(ZHGet { field, .. }) = op {
        check_field(field)?;
    }
    check(op.key())
}

/// Refuses writes to what is not the user's.
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

/// The empty field of a companion is its mark. The portable limits refuse empty fields, too.
fn check_field(field: &[u8]) -> Result<()> {
    if field.is_empty() {
        return Err(Error::invalid("a field of a sorted set cannot be empty on Redis"));
    }
    Ok(())
}

#[cold]
fn reserved() -> Error {
    Error::invalid("keys that start with `__kvs_zh` keep the values of sorted hashes on Redis")
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
        assert_eq!(tag(b"foo{}{bar}"), None);
        assert_eq!(tag(b"foo{{bar}}zap"), Some(&b"{bar"[..]));
        assert_eq!(tag(b"foo{bar}{zap}"), Some(&b"bar"[..]));
        assert_eq!(tag(b"}{"), None);
    }

    #[test]
    fn a_companion_shares_the_slot_of_its_key_and_its_name_with_no_other() {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        // Every key of up to five of the bytes that matter.
        let mut level = vec![Vec::new()];
        for _ in 0..5 {
            level =
                level.iter().flat_map(|key| b"{}:1".map(|b| [&key[..], &[b]].concat())).collect();
            keys.extend(level.iter().cloned());
        }
        keys.push(Vec::new());
        let mut names = HashSet::new();
        for key in &keys {
            let name = companion(key, true);
            assert_eq!(slot(&name), slot(key), "{}", key.escape_ascii());
            assert!(names.insert(name), "{}", key.escape_ascii());
            assert_eq!(companion(key, false), [b"__kvs_zh:", &key[..]].concat());
        }
    }
}

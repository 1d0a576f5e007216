//! [`Limits`]: the sizes that a store accepts, checked once, before anything is sent.

use crate::op::*;
use crate::op::{Condition, Op, Range, Read, Write};
use crate::{Error, ErrorKind, Result};
use std::cmp::Ordering;
use std::ops::Bound;

/// The sizes that a store accepts, in bytes. A [`Store`](crate::Store) starts with
/// [`Limits::PORTABLE`], the limits of DynamoDB, so that no backend refuses a call for the sizes
/// below. If your program uses only one backend, replace them with
/// [`Store::with_limits`](crate::Store::with_limits).
///
/// A call that exceeds a length fails with `TooLarge`; an empty name or too many writes fail with
/// `InvalidArgument`. In both cases nothing is sent.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::{ErrorKind, Limits, Memory, Store};
/// let portable = Store::new(Memory::new());
/// let long = vec![0; 400 * 1024];
/// assert_eq!(portable.set("k", &long).await.unwrap_err().kind(), ErrorKind::TooLarge);
///
/// let here = portable.with_limits(Limits::NONE);
/// here.set("k", &long).await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Limits {
    max_key_len: usize,
    max_member_len: usize,
    max_value_len: usize,
    max_atomic_writes: usize,
    allow_empty_names: bool,
}

impl Default for Limits {
    /// [`Limits::PORTABLE`].
    fn default() -> Self {
        Limits::PORTABLE
    }
}

impl Limits {
    /// Keys of 1 to 2,048 bytes, members and fields of at most 1,016 bytes (at least 1 in sorted
    /// sets and sorted hashes), values of at most 390 KiB, and 100 writes in an atomic write.
    ///
    /// DynamoDB allows 2,048 bytes for a partition key, 1,024 for a sort key (a score takes 8 of
    /// them), 400 KB for an item, and 100 actions in a `TransactWriteItems`.
    pub const PORTABLE: Limits = Limits {
        max_key_len: 2_048,
        max_member_len: 1_016,
        max_value_len: 390 * 1_024,
        max_atomic_writes: 100,
        allow_empty_names: false,
    };
    /// No limits. The backend then reports its own.
    pub const NONE: Limits = Limits {
        max_key_len: usize::MAX,
        max_member_len: usize::MAX,
        max_value_len: usize::MAX,
        max_atomic_writes: usize::MAX,
        allow_empty_names: true,
    };

    /// Sets the maximum length of a key in bytes.
    pub const fn max_key_len(mut self, bytes: usize) -> Self {
        self.max_key_len = bytes;
        self
    }
    /// Sets the maximum length in bytes of a set member, hash field, sorted-set member or
    /// sorted-hash field.
    pub const fn max_member_len(mut self, bytes: usize) -> Self {
        self.max_member_len = bytes;
        self
    }
    /// Sets the maximum length in bytes of a string, hash value or sorted-hash value.
    pub const fn max_value_len(mut self, bytes: usize) -> Self {
        self.max_value_len = bytes;
        self
    }
    /// Sets the maximum number of writes in an atomic write.
    pub const fn max_atomic_writes(mut self, writes: usize) -> Self {
        self.max_atomic_writes = writes;
        self
    }
    /// Sets whether keys, sorted-set members and sorted-hash fields may be empty.
    pub const fn allow_empty_names(mut self, allow: bool) -> Self {
        self.allow_empty_names = allow;
        self
    }

    #[inline]
    pub(crate) fn check_read(&self, op: &Read) -> Result<()> {
        self.check_key(op.key())?;
        match op {
            Read::Get(_) | Read::Exists(_) | Read::SMembers(_) | Read::HGetAll(_) => Ok(()),
            Read::HGet(HGet { field, .. }) => self.check_member(field),
            Read::ZScore(ZScore { member, .. }) => self.check_sorted(member),
            Read::ZHGet(ZHGet { field, .. }) => self.check_sorted(field),
            Read::ZCount(ZCount { range, .. }) | Read::ZRange(ZRange { range, .. }) => {
                self.check_range(range)
            }
        }
    }

    #[inline]
    pub(crate) fn check_write(&self, op: &Write) -> Result<()> {
        self.check_key(op.key())?;
        match op {
            Write::Delete(_) | Write::IncrBy(_) => Ok(()),
            Write::Set(Set { value, condition, .. }) => {
                if let Condition::Equals(old) = condition {
                    self.check_value(old)?;
                }
                self.check_value(value)
            }
            Write::SAdd(SAdd { members, .. }) | Write::SRem(SRem { members, .. }) => {
                members.iter().try_for_each(|member| self.check_member(member))
            }
            Write::HDel(HDel { fields, .. }) => {
                fields.iter().try_for_each(|field| self.check_member(field))
            }
            Write::HSet(HSet { fields, .. }) => fields.iter().try_for_each(|(field, value)| {
                self.check_member(field)?;
                self.check_value(value)
            }),
            Write::HSetNx(HSetNx { field, value, .. }) => {
                self.check_member(field)?;
                self.check_value(value)
            }
            Write::ZAdd(ZAdd { member, value, .. }) => {
                self.check_sorted(member)?;
                value.as_ref().map_or(Ok(()), |value| self.check_value(value))
            }
            Write::ZRem(ZRem { member, .. }) | Write::ZIncrBy(ZIncrBy { member, .. }) => {
                self.check_sorted(member)
            }
        }
    }

    pub(crate) fn check_op(&self, op: &Op) -> Result<()> {
        match op {
            Op::Read(op) => self.check_read(op),
            Op::Write(op) => self.check_write(op),
        }
        .map_err(|e| e.in_operation(op.name()))
    }

    /// Checks an atomic write as a whole: the number of writes, and that no two of them have the
    /// same target.
    pub(crate) fn check_together(&self, writes: &[Write]) -> Result<()> {
        if writes.len() > self.max_atomic_writes {
            return Err(Error::invalid(format!(
                "an atomic write of {} writes, and {} is the limit",
                writes.len(),
                self.max_atomic_writes
            )));
        }
        // A few writes are compared pairwise, without an allocation. The code below finds the
        // collision for the error message.
        let free = |i: usize| {
            let key = writes[i].key();
            !writes[..i]
                .iter()
                .any(|other| *other.key() == *key && overlap(writes[i].target(), other.target()))
        };
        if writes.len() <= 8 && (1..writes.len()).all(free) {
            return Ok(());
        }
        let mut order: Vec<usize> = (0..writes.len()).collect();
        let item = |i: &usize| writes[*i].target();
        order.sort_unstable_by(|a, b| item(a).cmp(&item(b)).then(a.cmp(b)));
        for pair in order.windows(2) {
            let (a, b) = (item(&pair[0]), item(&pair[1]));
            if a.key == b.key && (a.member == b.member || a.member.is_none()) {
                return Err(collision(writes, pair, a.cmp(&b)));
            }
        }
        Ok(())
    }

    #[inline]
    fn check_key(&self, key: &[u8]) -> Result<()> {
        if key.len() > self.max_key_len {
            return Err(too_large("the key", key.len(), self.max_key_len));
        }
        if key.is_empty() && !self.allow_empty_names {
            return Err(Error::invalid("the key is empty"));
        }
        Ok(())
    }
    fn check_member(&self, member: &[u8]) -> Result<()> {
        if member.len() > self.max_member_len {
            return Err(too_large("a member or field", member.len(), self.max_member_len));
        }
        Ok(())
    }
    fn check_sorted(&self, member: &[u8]) -> Result<()> {
        if member.is_empty() && !self.allow_empty_names {
            return Err(Error::invalid("a sorted-set member or sorted-hash field is empty"));
        }
        self.check_member(member)
    }
    fn check_range(&self, range: &Range) -> Result<()> {
        let Range::Lex(range) = range else { return Ok(()) };
        [&range.min, &range.max].into_iter().try_for_each(|bound| match bound {
            Bound::Included(end) | Bound::Excluded(end) => self.check_member(end),
            Bound::Unbounded => Ok(()),
        })
    }
    fn check_value(&self, value: &[u8]) -> Result<()> {
        if value.len() > self.max_value_len {
            return Err(too_large("the value", value.len(), self.max_value_len));
        }
        Ok(())
    }
}

#[cold]
fn too_large(what: &str, len: usize, most: usize) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!(
            "{what} has {len} bytes, and {most} is the limit; `Store::with_limits` raises it, if \
             the backend can hold more"
        ),
    )
}

/// Whether two targets in the same key have a part in common.
fn overlap(a: WriteTarget<'_>, b: WriteTarget<'_>) -> bool {
    a.member.is_none() || b.member.is_none() || a.member == b.member
}

#[cold]
fn collision(writes: &[Write], pair: &[usize], items: Ordering) -> Error {
    let [mut first, mut second] = [pair[0], pair[1]];
    if first > second {
        std::mem::swap(&mut first, &mut second);
    }
    let [a, b] = [writes[first].name(), writes[second].name()];
    let what = match items {
        Ordering::Equal => "change the same item",
        _ => "use one key as a sorted set and as another type",
    };
    Error::invalid(format!("writes {first} ({a}) and {second} ({b}) {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;
    use crate::op::Score;

    fn set(key: &str) -> Write {
        Set::new(key, Value::default()).into()
    }
    fn zrem(key: &str, member: &str) -> Write {
        ZRem::new(key, member.into()).into()
    }
    fn refusal(writes: &[Write]) -> String {
        Limits::PORTABLE.check_together(writes).unwrap_err().to_string()
    }

    #[test]
    fn two_writes_of_one_item_are_named_in_the_order_they_were_added() {
        let delete = Write::from(Delete::new("b"));
        assert_eq!(
            refusal(&[set("c"), delete, set("a"), set("b")]),
            "writes 1 (delete) and 3 (set) change the same item"
        );
        let incr = ZIncrBy::new("z", "m".into(), Score::MAX).into();
        assert_eq!(
            refusal(&[zrem("z", "m"), zrem("z", "n"), incr]),
            "writes 0 (zrem) and 2 (zincr_by) change the same item"
        );
    }

    #[test]
    fn one_key_as_two_types_is_refused_and_two_members_are_not() {
        let message = refusal(&[zrem("k", "m"), zrem("k", "n"), set("k")]);
        assert_eq!(
            message,
            "writes 0 (zrem) and 2 (set) use one key as a sorted set and as another type"
        );
        let fine = [zrem("k", "m"), zrem("k", "n"), zrem("l", "m"), set("m")];
        Limits::PORTABLE.check_together(&fine).unwrap();
        Limits::PORTABLE.check_together(&[]).unwrap();
    }

    #[test]
    fn a_hundred_writes_are_the_most() {
        let writes: Vec<Write> = (0..=100).map(|i| set(&i.to_string())).collect();
        Limits::PORTABLE.check_together(&writes[..100]).unwrap();
        assert_eq!(refusal(&writes), "an atomic write of 101 writes, and 100 is the limit");
        Limits::NONE.check_together(&writes).unwrap();
    }
}

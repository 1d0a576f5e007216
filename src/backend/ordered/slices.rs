//! Splits a batch into transactions.
//!
//! A batch is not atomic, so it can be split: by the size limit of the engine, and into halves
//! after a transaction that exceeded the maximum age. An engine with a single writer commits a
//! batch part by part, so that other callers do not wait for all of it.

use super::engine::EngineLimits;
use crate::op::*;

/// The slices of a batch, in order.
#[derive(Debug)]
pub(super) struct Slices<'o> {
    rest: &'o [Op],
    /// Slices to try before `rest`, the next one last.
    retry: Vec<&'o [Op]>,
    /// The maximum bytes of a slice.
    max_bytes: usize,
    /// The maximum operations of a slice. Reduced after a slice that was too old.
    max_ops: usize,
}

impl<'o> Slices<'o> {
    pub(super) fn new(ops: &'o [Op], limits: &EngineLimits) -> Self {
        // Reads change nothing.
        let writes = ops.iter().any(|op| matches!(op, Op::Write(_)));
        let max_bytes = if writes { limits.max_transaction } else { usize::MAX };
        Slices { rest: ops, retry: Vec::new(), max_bytes, max_ops: usize::MAX }
    }

    pub(super) fn next(&mut self) -> Option<&'o [Op]> {
        if let Some(slice) = self.retry.pop() {
            let (slice, rest) = slice.split_at(slice.len().min(self.max_ops));
            self.retry.extend((!rest.is_empty()).then_some(rest));
            return Some(slice);
        }
        // A slice has at least one operation, even if that is too large.
        let len = self.fitting().max(1).min(self.rest.len());
        let (slice, rest) = self.rest.split_at(len);
        self.rest = rest;
        (!slice.is_empty()).then_some(slice)
    }
    /// The number of operations that fit into the next slice.
    fn fitting(&self) -> usize {
        let max_ops = self.rest.len().min(self.max_ops);
        if self.max_bytes == usize::MAX {
            return max_ops;
        }
        let mut bytes = 0usize;
        let fits = self.rest[..max_ops].iter().take_while(|op| {
            bytes = bytes.saturating_add(bytes_of(op));
            bytes <= self.max_bytes
        });
        fits.count()
    }

    /// The slice was too old: halves it, and limits all later slices to that length.
    pub(super) fn halve_all(&mut self, slice: &'o [Op]) {
        self.max_ops = (slice.len() / 2).max(1);
        self.retry.push(slice);
    }
    /// The slice was too large: halves it alone.
    pub(super) fn halve_one(&mut self, slice: &'o [Op]) {
        let (first, second) = slice.split_at(slice.len() / 2);
        self.retry.extend([second, first]);
    }
}

/// The ends of the parts of a batch. A part changes at most `max_rows` rows, or is one operation.
pub(super) fn part_ends(ops: &[Op], max_rows: usize) -> Vec<usize> {
    let mut ends = Vec::new();
    if max_rows < usize::MAX {
        let mut rows = 0usize;
        for (i, op) in ops.iter().enumerate() {
            let more = rows_of(op);
            if rows > 0 && rows.saturating_add(more) > max_rows {
                ends.push(i);
                rows = 0;
            }
            rows = rows.saturating_add(more);
        }
    }
    ends.push(ops.len());
    ends
}

/// The approximate cost of an operation: rows changed, and 4 KiB pages of values.
pub(super) fn rows_of(op: &Op) -> usize {
    match op {
        Op::Read(_) => 1,
        Op::Write(op) => rows_written(op),
    }
}
pub(super) fn rows_written(op: &Write) -> usize {
    const PAGE: usize = 4_096;
    match op {
        Write::Set(Set { value, .. }) => 1 + value.len() / PAGE,
        // The embedded engine clears a large range in the background.
        Write::Delete(_) | Write::IncrBy(_) => 1,
        Write::SAdd(SAdd { members, .. }) | Write::SRem(SRem { members, .. }) => members.len(),
        Write::HDel(HDel { fields, .. }) => fields.len(),
        Write::HSet(HSet { fields, .. }) => {
            fields.len() + fields.iter().map(|(_, value)| value.len()).sum::<usize>() / PAGE
        }
        Write::HSetNx(HSetNx { value, .. }) => 1 + value.len() / PAGE,
        Write::ZAdd(ZAdd { value: None, .. }) => 2,
        Write::ZAdd(ZAdd { value: Some(value), .. }) => 3 + value.len() / PAGE,
        Write::ZRem(_) | Write::ZIncrBy(_) => 3,
    }
}

/// An upper bound of the bytes that an operation adds to a writing transaction. Names count several
/// times: a row that is put has its name in the change, and twice in its write conflict range. A
/// deleted row has it twice in both. A row that is read has it twice in the read conflict range.
fn bytes_of(op: &Op) -> usize {
    const PUT: usize = 3;
    const DELETED: usize = 4;
    // A zero byte is encoded in two bytes. 64 bytes cover kinds, scores, stamps and the overhead of
    // a transaction.
    let escaped = |name: &[u8]| name.len() + name.iter().filter(|byte| **byte == 0).count();
    let key = escaped(op.key()) + 64;
    let row = |member: &[u8]| key + escaped(member);
    // With the chunks of a long value.
    let put = |row: usize, value: &[u8]| PUT * row + value.len() + value.len() / 20_000 * PUT * row;
    let write = match op {
        Op::Write(op) => op,
        Op::Read(Read::HGet(HGet { field, .. }) | Read::ZHGet(ZHGet { field, .. })) => {
            return 4 * row(field);
        }
        Op::Read(Read::ZScore(ZScore { member, .. })) => return 4 * row(member),
        Op::Read(_) => return 4 * key,
    };
    match write {
        Write::Set(Set { value, .. }) => (2 + DELETED) * key + put(key, value),
        Write::Delete(_) | Write::IncrBy(_) => (2 + PUT + DELETED) * key,
        Write::SAdd(SAdd { members, .. }) => members.iter().map(|m| PUT * row(m)).sum(),
        Write::SRem(SRem { members, .. }) => members.iter().map(|m| DELETED * row(m)).sum(),
        Write::HDel(HDel { fields, .. }) => fields.iter().map(|f| 2 * DELETED * row(f)).sum(),
        Write::HSet(HSet { fields, .. }) => {
            fields.iter().map(|(f, v)| DELETED * row(f) + put(row(f), v)).sum()
        }
        Write::HSetNx(HSetNx { field, value, .. }) => {
            (2 + DELETED) * row(field) + put(row(field), value)
        }
        // Three rows are deleted and three are put. An old value that is kept is an inline one.
        Write::ZAdd(ZAdd { member, value, .. }) => {
            let value = value.as_deref().unwrap_or_default();
            (2 + 3 * DELETED + 2 * PUT) * row(member) + value.len() + put(row(member), value)
        }
        Write::ZRem(ZRem { member, .. }) => (2 + 4 * DELETED) * row(member),
        Write::ZIncrBy(ZIncrBy { member, .. }) => (2 + 3 * DELETED + 3 * PUT) * row(member) + 4_096,
    }
}

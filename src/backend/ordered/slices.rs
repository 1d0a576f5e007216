//! How much of a batch goes into one transaction.
//!
//! A batch promises no atomicity, so it is cut: into what the engine can take, and where a
//! transaction has grown too old, into halves. An engine with one writer for all commits it part by
//! part, so that others get between.

use super::engine::EngineLimits;
use crate::op::*;

/// The slices of a batch, one after another.
#[derive(Debug)]
pub(super) struct Slices<'o> {
    rest: &'o [Op],
    /// Cut from `rest` already, and to be tried again before it. The last one comes first.
    retry: Vec<&'o [Op]>,
    /// The most bytes of a slice.
    max_bytes: usize,
    /// The most operations in a slice: fewer once one was too old.
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
        // One that may be too large alone is tried alone.
        let len = self.fitting().max(1).min(self.rest.len());
        let (slice, rest) = self.rest.split_at(len);
        self.rest = rest;
        (!slice.is_empty()).then_some(slice)
    }
    /// How many operations from the next one on go together.
    fn fitting(&self) -> usize {
        let most = self.rest.len().min(self.max_ops);
        if self.max_bytes == usize::MAX {
            return most;
        }
        let mut bytes = 0usize;
        let fits = self.rest[..most].iter().take_while(|op| {
            bytes = bytes.saturating_add(bytes_of(op));
            bytes <= self.max_bytes
        });
        fits.count()
    }

    /// That slice was too old: it is cut, and all that follow it.
    pub(super) fn halve_all(&mut self, slice: &'o [Op]) {
        self.max_ops = (slice.len() / 2).max(1);
        self.retry.push(slice);
    }
    /// That slice was too large: it alone is cut.
    pub(super) fn halve_one(&mut self, slice: &'o [Op]) {
        let (first, second) = slice.split_at(slice.len() / 2);
        self.retry.extend([second, first]);
    }
}

/// Where the parts of a batch end, each of which changes so many rows at most, or is one operation.
pub(super) fn part_ends(ops: &[Op], most: usize) -> Vec<usize> {
    let mut ends = Vec::new();
    if most < usize::MAX {
        let mut rows = 0usize;
        for (i, op) in ops.iter().enumerate() {
            let more = rows_of(op);
            if rows > 0 && rows.saturating_add(more) > most {
                ends.push(i);
                rows = 0;
            }
            rows = rows.saturating_add(more);
        }
    }
    ends.push(ops.len());
    ends
}

/// About how many rows an operation changes, and pages of 4 KiB that its values take.
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
        // An engine for which it is much to clear many rows clears them in pieces.
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

/// How many bytes an operation can add to a transaction that writes. Names count more than values:
/// a row that is put has its name in the change and twice in the range of whom it conflicts with,
/// one that is deleted twice in both, and one that is read twice.
fn bytes_of(op: &Op) -> usize {
    const PUT: usize = 3;
    const DELETED: usize = 4;
    // A zero is written as two bytes; the rest is kinds, scores and stamps, and what is around it
    // in a transaction.
    let escaped = |name: &[u8]| name.len() + name.iter().filter(|byte| **byte == 0).count();
    let key = escaped(op.key()) + 64;
    let row = |member: &[u8]| key + escaped(member);
    // With the chunks of a long one.
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
        // Three rows go, and three come; a value that moves along is at most a short one.
        Write::ZAdd(ZAdd { member, value, .. }) => {
            let value = value.as_deref().unwrap_or_default();
            (2 + 3 * DELETED + 2 * PUT) * row(member) + value.len() + put(row(member), value)
        }
        Write::ZRem(ZRem { member, .. }) => (2 + 4 * DELETED) * row(member),
        Write::ZIncrBy(ZIncrBy { member, .. }) => (2 + 3 * DELETED + 3 * PUT) * row(member) + 4_096,
    }
}

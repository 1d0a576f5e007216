//! The four programs: one read, one write, a batch, an atomic write.

use super::engine::{EngineLimits, Program, Transaction, ends_transaction};
use super::read::read;
use super::write::{Company, Plan, check_names, plan};
use crate::op::*;
use crate::op::{Op, Range, Read, Reply, Write};
use crate::{Key, Outcome, Result};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::ops::Bound;

#[derive(Debug)]
pub(super) struct ReadOne {
    pub op: Read,
    pub limits: EngineLimits,
}

impl Program for ReadOne {
    type Output = Reply;
    fn most_rows(&self) -> usize {
        most_read(&self.op)
    }
    async fn run<T: Transaction>(&self, tx: &T) -> Result<Reply> {
        read_one(tx, &self.op, &self.limits).await
    }
}

#[derive(Debug)]
pub(crate) struct WriteOne {
    pub op: Write,
    pub limits: EngineLimits,
}

impl Program for WriteOne {
    type Output = Reply;
    fn most_rows(&self) -> usize {
        usize::MAX
    }
    async fn run<T: Transaction>(&self, tx: &T) -> Result<Reply> {
        write_one(tx, &self.op, &self.limits).await
    }
}

async fn read_one<T: Transaction>(tx: &T, op: &Read, limits: &EngineLimits) -> Result<Reply> {
    check_names(op.key(), longest_name_read(op), limits)?;
    read(tx, op).await
}

async fn write_one<T: Transaction>(tx: &T, op: &Write, limits: &EngineLimits) -> Result<Reply> {
    check_names(op.key(), longest_name_written(op), limits)?;
    match plan(tx, op, Company::Alone, limits).await? {
        Plan::ConditionFailed => Ok(Reply::Applied(false)),
        Plan::Apply { changes, reply } => {
            tx.apply(changes)?;
            Ok(reply)
        }
    }
}

/// All or nothing: everything is planned, all reads together, before anything is applied.
#[derive(Debug)]
pub(crate) struct Transact {
    pub writes: Vec<Write>,
    pub limits: EngineLimits,
}

impl Program for Transact {
    type Output = Outcome;
    fn most_rows(&self) -> usize {
        usize::MAX
    }
    async fn run<T: Transaction>(&self, tx: &T) -> Result<Outcome> {
        let plans = join_all(self.writes.iter().map(async |op| {
            check_names(op.key(), longest_name_written(op), &self.limits)?;
            plan(tx, op, Company::Others, &self.limits).await
        }))
        .await;
        let mut failed = Vec::new();
        let mut all = Vec::new();
        let mut error = None;
        for (i, plan) in plans.into_iter().enumerate() {
            match plan {
                Ok(Plan::ConditionFailed) => failed.push(i),
                Ok(Plan::Apply { changes, .. }) => all.extend(changes),
                Err(e) if ends_transaction(e.kind()) => return Err(e),
                Err(e) => drop(error.get_or_insert_with(|| e.of_write(i))),
            }
        }
        // A condition that failed is told before an error, as on every backend.
        if failed.is_empty() {
            error.map_or(Ok(()), Err)?;
            tx.apply(all)?;
        }
        Ok(Outcome::from_failed_conditions(failed))
    }
}

/// Operations of one key in their order, different keys at once, each with its own result.
#[derive(Debug)]
pub(super) struct Batch {
    pub ops: Vec<Op>,
    pub limits: EngineLimits,
}

impl Program for Batch {
    type Output = Vec<Result<Reply>>;
    fn most_rows(&self) -> usize {
        let rows = self.ops.iter().map(|op| match op {
            Op::Read(op) => most_read(op),
            Op::Write(_) => usize::MAX,
        });
        rows.fold(0, usize::saturating_add)
    }
    async fn run<T: Transaction>(&self, tx: &T) -> Result<Self::Output> {
        if self.ops.iter().all(|op| matches!(op, Op::Read(_))) {
            // Reads do not get in each other's way, whatever their keys.
            return whole(join_all(self.ops.iter().map(|op| self.run_one(tx, op))).await);
        }
        let mut by_key: HashMap<&Key, Vec<usize>> = HashMap::with_capacity(self.ops.len());
        for (i, op) in self.ops.iter().enumerate() {
            by_key.entry(op.key()).or_default().push(i);
        }
        let answered = join_all(by_key.into_values().map(async |ops| {
            let mut replies = Vec::with_capacity(ops.len());
            for i in ops {
                replies.push((i, self.run_one(tx, &self.ops[i]).await));
            }
            replies
        }))
        .await;
        let mut replies: Vec<_> = answered.into_iter().flatten().collect();
        replies.sort_unstable_by_key(|(i, _)| *i);
        whole(replies.into_iter().map(|(_, reply)| reply).collect())
    }
}

impl Batch {
    async fn run_one<T: Transaction>(&self, tx: &T, op: &Op) -> Result<Reply> {
        match op {
            Op::Read(op) => read_one(tx, op, &self.limits).await,
            Op::Write(op) => write_one(tx, op, &self.limits).await,
        }
    }
}

/// The results of a batch, unless one of them is an error that ends the transaction of all.
fn whole(mut replies: Vec<Result<Reply>>) -> Result<Vec<Result<Reply>>> {
    let ends = |reply: &Result<Reply>| reply.as_ref().is_err_and(|e| ends_transaction(e.kind()));
    match replies.iter().position(ends) {
        Some(at) => replies.swap_remove(at).map(|_| Vec::new()),
        None => Ok(replies),
    }
}

/// How many rows a read looks at, at most: what is found, and its long values.
fn most_read(op: &Read) -> usize {
    match op {
        Read::Get(_) | Read::HGet(_) | Read::ZScore(_) => 1,
        Read::ZHGet(_) => 2,
        Read::SMembers(_) | Read::HGetAll(_) | Read::ZCount(_) => usize::MAX,
        Read::ZRange(ZRange { limit, .. }) => limit.map_or(usize::MAX, |n| n.saturating_mul(3)),
    }
}

/// Cuts a batch into runs that fit into one transaction each, whatever their operations do, as far as that is known beforehand.
pub(super) fn chunks(ops: &[Op], transaction: usize) -> impl Iterator<Item = &[Op]> {
    let mut rest = ops;
    let writes = ops.iter().any(|op| matches!(op, Op::Write(_)));
    std::iter::from_fn(move || {
        let mut weight = 0usize;
        let fitting = rest
            .iter()
            .take_while(|op| {
                weight = weight.saturating_add(if writes { weight_of(op) } else { 0 });
                weight <= transaction
            })
            .count();
        // One that may be too large alone is tried alone.
        let (chunk, after) = rest.split_at(fitting.max(1).min(rest.len()));
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// How many bytes an operation can add to a transaction that writes. Names count more than values: a row that is put has its name in
/// the change and twice in the range of whom it conflicts with, one that is deleted twice in both, and one that is read twice.
fn weight_of(op: &Op) -> usize {
    const PUT: usize = 3;
    const DELETED: usize = 4;
    // A zero is written as two bytes; the rest is kinds, scores and stamps, and what is around it in a transaction.
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

fn longest_name_written(op: &Write) -> usize {
    let longest = |names: &mut dyn Iterator<Item = usize>| names.max().unwrap_or(0);
    match op {
        Write::Set(_) | Write::Delete(_) | Write::IncrBy(_) => 0,
        Write::SAdd(SAdd { members, .. }) => longest(&mut members.iter().map(|m| m.len())),
        Write::SRem(SRem { members, .. }) => longest(&mut members.iter().map(|m| m.len())),
        Write::HDel(HDel { fields, .. }) => longest(&mut fields.iter().map(|f| f.len())),
        Write::HSet(HSet { fields, .. }) => longest(&mut fields.iter().map(|(f, _)| f.len())),
        Write::HSetNx(HSetNx { field, .. }) => field.len(),
        Write::ZAdd(ZAdd { member, .. })
        | Write::ZRem(ZRem { member, .. })
        | Write::ZIncrBy(ZIncrBy { member, .. }) => member.len(),
    }
}

fn longest_name_read(op: &Read) -> usize {
    match op {
        Read::Get(_) | Read::SMembers(_) | Read::HGetAll(_) => 0,
        Read::HGet(HGet { field, .. }) | Read::ZHGet(ZHGet { field, .. }) => field.len(),
        Read::ZScore(ZScore { member, .. }) => member.len(),
        Read::ZCount(ZCount { range, .. }) | Read::ZRange(ZRange { range, .. }) => match range {
            Range::Score(_) => 0,
            Range::Lex(range) => {
                let len = |bound: &Bound<crate::Value>| match bound {
                    Bound::Included(end) | Bound::Excluded(end) => end.len(),
                    Bound::Unbounded => 0,
                };
                len(&range.min).max(len(&range.max))
            }
        },
    }
}

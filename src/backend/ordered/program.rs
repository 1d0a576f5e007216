//! The four programs: one read, one write, a batch, an atomic write.

use super::engine::{EngineLimits, Program, Transaction, ends_transaction, only};
use super::read::read;
use super::slices::{part_ends, rows_of, rows_written};
use super::write::{Mode, Plan, check_names, plan};
use crate::op::*;
use crate::{Error, Key, Outcome, Result};
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
    fn max_rows(&self) -> usize {
        most_read(&self.op)
    }
    fn parts(&self) -> Vec<usize> {
        vec![0]
    }
    fn join(&self, parts: Vec<Result<Reply>>) -> Result<Reply> {
        only(parts)
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
    fn max_rows(&self) -> usize {
        usize::MAX
    }
    fn parts(&self) -> Vec<usize> {
        vec![rows_written(&self.op)]
    }
    fn join(&self, parts: Vec<Result<Reply>>) -> Result<Reply> {
        only(parts)
    }
    async fn run<T: Transaction>(&self, tx: &T) -> Result<Reply> {
        write_one(tx, &self.op, &self.limits).await
    }
}

async fn read_one<T: Transaction>(tx: &T, op: &Read, limits: &EngineLimits) -> Result<Reply> {
    check_names(op.key(), longest_name_read(op), limits)?;
    read(tx, op, limits).await
}

async fn write_one<T: Transaction>(tx: &T, op: &Write, limits: &EngineLimits) -> Result<Reply> {
    check_names(op.key(), longest_name_written(op), limits)?;
    match plan(tx, op, Mode::Single, limits).await? {
        Plan::ConditionFailed => Ok(Reply::Applied(false)),
        Plan::Apply { changes, reply } => {
            tx.apply(changes)?;
            Ok(reply)
        }
    }
}

/// All or nothing. All writes are planned, with their reads issued together, before any is applied.
#[derive(Debug)]
pub(crate) struct Transact {
    pub writes: Vec<Write>,
    pub limits: EngineLimits,
}

impl Program for Transact {
    type Output = Outcome;
    fn max_rows(&self) -> usize {
        usize::MAX
    }
    fn parts(&self) -> Vec<usize> {
        vec![self.writes.iter().map(rows_written).sum()]
    }
    fn join(&self, parts: Vec<Result<Outcome>>) -> Result<Outcome> {
        only(parts)
    }
    async fn run<T: Transaction>(&self, tx: &T) -> Result<Outcome> {
        let plans = join_all(self.writes.iter().map(async |op| {
            check_names(op.key(), longest_name_written(op), &self.limits)?;
            plan(tx, op, Mode::Atomic, &self.limits).await
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
        // A failed condition takes precedence over an error, as on every backend.
        if failed.is_empty() {
            error.map_or(Ok(()), Err)?;
            tx.apply(all)?;
        }
        Ok(Outcome::from_failed_conditions(failed))
    }
}

/// Operations of one key run in order, those of different keys concurrently. Each has its own
/// result.
#[derive(Debug)]
pub(super) struct Batch {
    ops: Vec<Op>,
    /// The end of each part.
    ends: Vec<usize>,
    limits: EngineLimits,
}

impl Batch {
    pub(super) fn new(ops: &[Op], limits: EngineLimits) -> Self {
        Batch { ops: ops.to_vec(), ends: part_ends(ops, limits.max_part_rows), limits }
    }
    fn part(&self, part: usize) -> &[Op] {
        let start = part.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.ops[start..self.ends[part]]
    }
}

impl Program for Batch {
    type Output = Vec<Result<Reply>>;
    fn max_rows(&self) -> usize {
        let rows = self.ops.iter().map(|op| match op {
            Op::Read(op) => most_read(op),
            Op::Write(_) => usize::MAX,
        });
        rows.fold(0, usize::saturating_add)
    }
    fn is_divisible(&self) -> bool {
        self.ops.len() > 1
    }
    async fn run<T: Transaction>(&self, tx: &T) -> Result<Self::Output> {
        run_all(tx, &self.ops, &self.limits).await
    }
    fn parts(&self) -> Vec<usize> {
        let rows = |part| self.part(part).iter().map(rows_of).sum();
        (0..self.ends.len()).map(rows).collect()
    }
    async fn run_part<T: Transaction>(&self, tx: &T, part: usize) -> Result<Self::Output> {
        run_all(tx, self.part(part), &self.limits).await
    }
    fn join(&self, parts: Vec<Result<Self::Output>>) -> Result<Self::Output> {
        let mut replies = Vec::with_capacity(self.ops.len());
        for (part, result) in parts.into_iter().enumerate() {
            match result {
                Ok(part) => replies.extend(part),
                Err(e) => replies.extend(failed(self.part(part), &e)),
            }
        }
        Ok(replies)
    }
}

/// The results of operations that have all failed. A read never has an unknown outcome.
pub(super) fn failed(ops: &[Op], error: &Error) -> impl Iterator<Item = Result<Reply>> {
    ops.iter().map(|op| match op {
        Op::Read(_) => Err(error.clone().of_read()),
        Op::Write(_) => Err(error.clone()),
    })
}

async fn run_all<T: Transaction>(
    tx: &T,
    ops: &[Op],
    limits: &EngineLimits,
) -> Result<Vec<Result<Reply>>> {
    if ops.iter().all(|op| matches!(op, Op::Read(_))) {
        // Reads are independent, whatever their keys.
        return whole(join_all(ops.iter().map(|op| run_one(tx, op, limits))).await);
    }
    let mut by_key: HashMap<&Key, Vec<usize>> = HashMap::with_capacity(ops.len());
    for (i, op) in ops.iter().enumerate() {
        by_key.entry(op.key()).or_default().push(i);
    }
    let answered = join_all(by_key.into_values().map(async |of_key| {
        let mut replies = Vec::with_capacity(of_key.len());
        for i in of_key {
            replies.push((i, run_one(tx, &ops[i], limits).await));
        }
        replies
    }))
    .await;
    let mut replies: Vec<_> = answered.into_iter().flatten().collect();
    replies.sort_unstable_by_key(|(i, _)| *i);
    whole(replies.into_iter().map(|(_, reply)| reply).collect())
}

async fn run_one<T: Transaction>(tx: &T, op: &Op, limits: &EngineLimits) -> Result<Reply> {
    match op {
        Op::Read(op) => read_one(tx, op, limits).await,
        Op::Write(op) => write_one(tx, op, limits).await,
    }
}

/// The results of a batch, or the first error that ends the transaction.
fn whole(mut replies: Vec<Result<Reply>>) -> Result<Vec<Result<Reply>>> {
    let ends = |reply: &Result<Reply>| reply.as_ref().is_err_and(|e| ends_transaction(e.kind()));
    match replies.iter().position(ends) {
        Some(at) => replies.swap_remove(at).map(|_| Vec::new()),
        None => Ok(replies),
    }
}

/// An upper bound of the rows that a read visits: the rows found, and the chunks of long values.
fn most_read(op: &Read) -> usize {
    match op {
        Read::Get(_) | Read::Exists(_) | Read::HGet(_) | Read::ZScore(_) => 1,
        Read::ZHGet(_) => 2,
        Read::SMembers(_) | Read::HGetAll(_) | Read::ZCount(_) => usize::MAX,
        Read::ZRange(ZRange { limit, .. }) => limit.map_or(usize::MAX, |n| n.saturating_mul(3)),
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
        Read::Get(_) | Read::Exists(_) | Read::SMembers(_) | Read::HGetAll(_) => 0,
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

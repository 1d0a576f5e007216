//! Runs a program on the model and on the subject, and tells where they part.

use super::{Difference, Program, Step, Subject};
use crate::op::*;
use crate::{ErrorKind, Key, Limits, Memory, Outcome, Result, Store};
use std::collections::HashSet;
use std::fmt::Debug;

/// Runs programs on one subject, each with keys of its own.
pub(super) struct Runner<'s> {
    subject: &'s Store,
    sees_types: bool,
    number: u64,
    runs: u64,
}

impl<'s> Runner<'s> {
    pub(super) fn new(subject: &'s Subject, number: u64) -> Self {
        Runner { subject: &subject.store, sees_types: subject.sees_types, number, runs: 0 }
    }
    /// Runs `program` on keys that no run before has used.
    pub(super) async fn run(&mut self, program: &Program) -> Option<Difference> {
        self.runs += 1;
        let prefix = format!("{:x}.{:x}/", self.number, self.runs);
        let mut run = Run {
            subject: self.subject,
            sees_types: self.sees_types,
            model: Store::new(Memory::new()),
            prefix: prefix.into_bytes(),
            free: HashSet::new(),
        };
        for (step, what) in program.0.iter().enumerate() {
            if let Err((model, subject)) = run.step(what).await {
                return Some(Difference { step, model, subject });
            }
        }
        None
    }
}

/// The two answers that differ.
type Parted = (String, String);

struct Run<'s> {
    subject: &'s Store,
    /// Then a use as another type is compared like everything else.
    sees_types: bool,
    model: Store,
    prefix: Vec<u8>,
    /// Keys that were used as another type: what they hold is the backend's choice until they are
    /// deleted, alone.
    free: HashSet<Key>,
}

/// What a key holds in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Nothing,
    String,
    Set,
    Hash,
    Sorted,
}

impl Run<'_> {
    fn mine(&self, key: &mut Key) {
        *key = [&self.prefix[..], key].concat().into();
    }
    fn read_of(&self, op: &Read) -> Read {
        let mut op = op.clone();
        self.mine(op.key_mut());
        op
    }
    fn write_of(&self, op: &Write) -> Write {
        let mut op = op.clone();
        self.mine(op.key_mut());
        op
    }
    fn op_of(&self, op: &Op) -> Op {
        match op {
            Op::Read(op) => self.read_of(op).into(),
            Op::Write(op) => self.write_of(op).into(),
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), Parted> {
        match step {
            Step::One(op) => {
                let op = self.op_of(op);
                let subject = self.subject.run(op.clone()).await;
                self.compare(&op, subject).await?;
                if matches!(op, Op::Write(Write::Delete(_))) && self.free.remove(op.key()) {
                    // It may have held two types, each as though the other were absent: a delete
                    // removes one.
                    while self.subject.delete(op.key()).await.is_ok_and(|was_there| was_there) {}
                }
                Ok(())
            }
            Step::Batch(ops) => {
                let mut batch = self.subject.batch();
                let ops: Vec<Op> = ops.iter().map(|op| self.op_of(op)).collect();
                let handles: Vec<_> = ops.iter().map(|op| batch.push(op.clone())).collect();
                let mut replies = batch.exec_each().await;
                for (op, handle) in ops.iter().zip(handles) {
                    self.compare(op, replies.take(handle)).await?;
                }
                Ok(())
            }
            Step::Atomic(writes) => self.atomic(writes).await,
        }
    }

    /// Runs one operation on the model and compares.
    async fn compare(&mut self, op: &Op, subject: Result<Reply>) -> Result<(), Parted> {
        let misused = self.misuses(op).await;
        let model: Result<Reply> = self.model.run(op.clone()).await;
        // What is refused before it is sent is refused everywhere.
        let refused = model.as_ref().is_err_and(|e| e.kind() == ErrorKind::InvalidArgument);
        if !refused && (misused || self.free.contains(op.key())) {
            if misused && matches!(op, Op::Write(_)) {
                self.free.insert(op.key().clone());
            }
            return match subject {
                Err(e) if !matches!(e.kind(), ErrorKind::WrongType | ErrorKind::Overflow) => {
                    Err(("anything but harm".into(), format!("{e:?}")))
                }
                _ => Ok(()),
            };
        }
        if self.is_unspecified(op).await {
            return if subject.is_ok() { Ok(()) } else { same(model, subject) };
        }
        same(sorted(op, model), sorted(op, subject))
    }
    /// Whether it asks for a lexicographic range of members whose scores are not all equal.
    async fn is_unspecified(&self, op: &Op) -> bool {
        let by_lex = |range: &Range| matches!(range, Range::Lex(_));
        match op {
            Op::Read(Read::ZCount(op)) if by_lex(&op.range) => self.has_scores(&op.key).await,
            Op::Read(Read::ZRange(op)) if by_lex(&op.range) => self.has_scores(&op.key).await,
            _ => false,
        }
    }
    /// Whether two members of the key differ in their scores.
    async fn has_scores(&self, key: &Key) -> bool {
        let members = self.model.with_limits(Limits::NONE).zrange(key).with_scores().await;
        members.is_ok_and(|members| members.windows(2).any(|pair| pair[0].1 != pair[1].1))
    }

    async fn atomic(&mut self, writes: &[Write]) -> Result<(), Parted> {
        let writes: Vec<Write> = writes.iter().map(|op| self.write_of(op)).collect();
        let mut lenient = false;
        for op in &writes {
            lenient |= self.free.contains(op.key()) || self.misuses_in_atomic(op).await;
        }
        let model = exec(&self.model, &writes).await;
        let subject = exec(self.subject, &writes).await;
        let refused = model.as_ref().is_err_and(|e| e.kind() == ErrorKind::InvalidArgument);
        if refused || !lenient {
            return same(model, subject);
        }
        let applied = |outcome: &Result<Outcome>| matches!(outcome, Ok(Outcome::Committed));
        if applied(&model) || applied(&subject) {
            self.free.extend(writes.iter().map(|op| op.key().clone()));
        }
        match subject {
            Err(e)
                if !matches!(
                    e.kind(),
                    ErrorKind::WrongType | ErrorKind::Overflow | ErrorKind::InvalidArgument
                ) =>
            {
                Err(("anything but harm".into(), format!("{e:?}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether the operation uses its key as another type than it has, on a backend that may not
    /// see it.
    async fn misuses(&self, op: &Op) -> bool {
        if self.sees_types {
            return false;
        }
        let holds = self.holds(op.key()).await;
        let fits = match op {
            Op::Read(Read::Get(_)) | Op::Write(Write::IncrBy(_)) => holds == Holds::String,
            Op::Read(Read::SMembers(_)) => holds == Holds::Set,
            Op::Write(Write::SAdd(_) | Write::SRem(_)) => holds == Holds::Set,
            Op::Read(Read::HGet(_) | Read::HGetAll(_)) => holds == Holds::Hash,
            Op::Write(Write::HSet(_) | Write::HSetNx(_) | Write::HDel(_)) => holds == Holds::Hash,
            Op::Write(Write::Set(Set { condition: Condition::Equals(_), .. })) => {
                holds == Holds::String
            }
            Op::Write(Write::Set(_)) => holds != Holds::Sorted,
            Op::Write(Write::Delete(_)) => true,
            _ => holds == Holds::Sorted,
        };
        holds != Holds::Nothing && !fits
    }

    /// In an atomic write a delete is of no sorted set. Not every backend sees one.
    async fn misuses_in_atomic(&self, op: &Write) -> bool {
        match op {
            Write::Delete(_) => !self.sees_types && self.holds(op.key()).await == Holds::Sorted,
            op => self.misuses(&op.clone().into()).await,
        }
    }

    async fn holds(&self, key: &Key) -> Holds {
        let model = self.model.with_limits(Limits::NONE);
        if matches!(model.get(key).await, Ok(Some(_))) {
            Holds::String
        } else if model.smembers(key).await.is_ok_and(|members| !members.is_empty()) {
            Holds::Set
        } else if model.hgetall(key).await.is_ok_and(|fields| !fields.is_empty()) {
            Holds::Hash
        } else if model.zcount(key, ..).await.is_ok_and(|count| count > 0) {
            Holds::Sorted
        } else {
            Holds::Nothing
        }
    }
}

async fn exec(store: &Store, writes: &[Write]) -> Result<Outcome> {
    let mut tx = store.atomic_write();
    writes.iter().for_each(|op| {
        tx.push(op.clone());
    });
    tx.exec().await
}

/// Sets and hashes have no order.
fn sorted(op: &Op, mut reply: Result<Reply>) -> Result<Reply> {
    match (op, &mut reply) {
        (Op::Read(Read::SMembers(_)), Ok(Reply::Values(members))) => members.sort(),
        (Op::Read(Read::HGetAll(_)), Ok(Reply::Fields(fields))) => fields.sort(),
        _ => {}
    }
    reply
}

fn same<T: Debug + PartialEq>(model: Result<T>, subject: Result<T>) -> Result<(), Parted> {
    let same = match (&model, &subject) {
        (Ok(model), Ok(subject)) => model == subject,
        (Err(model), Err(subject)) => model.kind() == subject.kind(),
        _ => false,
    };
    if same { Ok(()) } else { Err((format!("{model:?}"), format!("{subject:?}"))) }
}

//! Runs a program on the model and on the subject, and returns the first difference.

use super::{Difference, Program, Step, Subject};
use crate::op::{Kind, *};
use crate::{ErrorKind, Key, Limits, Memory, Outcome, Result, Store};
use std::collections::HashSet;
use std::fmt::Debug;

/// Runs programs on one subject, each with its own keys.
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
    /// Runs `program` with a key prefix that no earlier run has used.
    pub(super) async fn run(&mut self, program: &Program) -> Option<Difference> {
        self.runs += 1;
        let prefix = format!("{:x}.{:x}/", self.number, self.runs);
        let mut run = Run {
            subject: self.subject,
            sees_types: self.sees_types,
            model: Store::new(Memory::new()),
            prefix: prefix.into_bytes(),
            unspecified: HashSet::new(),
        };
        for (step, what) in program.0.iter().enumerate() {
            if let Err((model, subject)) = run.step(what).await {
                return Some(Difference { step, model, subject });
            }
        }
        None
    }
}

/// The replies of the model and of the subject, which differ.
type Mismatch = (String, String);

struct Run<'s> {
    subject: &'s Store,
    /// If true, operations on keys of another type are compared, too.
    sees_types: bool,
    model: Store,
    prefix: Vec<u8>,
    /// Keys that were written as another type. Their content is unspecified until a `delete` that
    /// is not part of a batch or an atomic write.
    unspecified: HashSet<Key>,
}

impl Run<'_> {
    fn add_prefix(&self, key: &mut Key) {
        *key = [&self.prefix[..], key].concat().into();
    }
    fn prefixed_read(&self, op: &Read) -> Read {
        let mut op = op.clone();
        self.add_prefix(op.key_mut());
        op
    }
    fn prefixed_write(&self, op: &Write) -> Write {
        let mut op = op.clone();
        self.add_prefix(op.key_mut());
        op
    }
    fn prefixed_op(&self, op: &Op) -> Op {
        match op {
            Op::Read(op) => self.prefixed_read(op).into(),
            Op::Write(op) => self.prefixed_write(op).into(),
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), Mismatch> {
        match step {
            Step::One(op) => {
                let op = self.prefixed_op(op);
                let subject = self.subject.run(op.clone()).await;
                self.compare(&op, subject).await?;
                if matches!(op, Op::Write(Write::Delete(_))) && self.unspecified.remove(op.key()) {
                    // The key may have held two types, and a delete removes one of them.
                    while self.subject.delete(op.key()).await.is_ok_and(|was_there| was_there) {}
                }
                Ok(())
            }
            Step::Batch(ops) => {
                let mut batch = self.subject.batch();
                let ops: Vec<Op> = ops.iter().map(|op| self.prefixed_op(op)).collect();
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

    /// Runs one operation on the model and compares the replies.
    async fn compare(&mut self, op: &Op, subject: Result<Reply>) -> Result<(), Mismatch> {
        let misused = self.misuses(op).await;
        let model: Result<Reply> = self.model.run(op.clone()).await;
        // Every backend rejects invalid arguments.
        let refused = model.as_ref().is_err_and(|e| e.kind() == ErrorKind::InvalidArgument);
        if !refused && (misused || self.unspecified.contains(op.key())) {
            if misused && matches!(op, Op::Write(_)) {
                self.unspecified.insert(op.key().clone());
            }
            return match subject {
                Err(e) if !matches!(e.kind(), ErrorKind::WrongType | ErrorKind::Overflow) => {
                    Err(("success, WrongType or Overflow".into(), format!("{e:?}")))
                }
                _ => Ok(()),
            };
        }
        if self.is_unspecified(op).await {
            return if subject.is_ok() { Ok(()) } else { same(model, subject) };
        }
        same(sorted(op, model), sorted(op, subject))
    }
    /// Whether `op` reads a lexicographic range of members with different scores.
    async fn is_unspecified(&self, op: &Op) -> bool {
        let by_lex = |range: &Range| matches!(range, Range::Lex(_));
        match op {
            Op::Read(Read::ZCount(op)) if by_lex(&op.range) => self.has_mixed_scores(&op.key).await,
            Op::Read(Read::ZRange(op)) if by_lex(&op.range) => self.has_mixed_scores(&op.key).await,
            _ => false,
        }
    }
    /// Whether two members of the key have different scores.
    async fn has_mixed_scores(&self, key: &Key) -> bool {
        let members = self.model.with_limits(Limits::NONE).zrange(key).with_scores().await;
        members.is_ok_and(|members| members.windows(2).any(|pair| pair[0].1 != pair[1].1))
    }

    async fn atomic(&mut self, writes: &[Write]) -> Result<(), Mismatch> {
        let writes: Vec<Write> = writes.iter().map(|op| self.prefixed_write(op)).collect();
        let mut lenient = false;
        for op in &writes {
            lenient |= self.unspecified.contains(op.key()) || self.misuses_in_atomic(op).await;
        }
        let model = exec(&self.model, &writes).await;
        let subject = exec(self.subject, &writes).await;
        let refused = model.as_ref().is_err_and(|e| e.kind() == ErrorKind::InvalidArgument);
        if refused || !lenient {
            return same(model, subject);
        }
        let applied = |outcome: &Result<Outcome>| matches!(outcome, Ok(Outcome::Committed));
        if applied(&model) || applied(&subject) {
            self.unspecified.extend(writes.iter().map(|op| op.key().clone()));
        }
        match subject {
            Err(e)
                if !matches!(
                    e.kind(),
                    ErrorKind::WrongType | ErrorKind::Overflow | ErrorKind::InvalidArgument
                ) =>
            {
                Err(("success, WrongType, Overflow or InvalidArgument".into(), format!("{e:?}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether the key has another type than the operation works on, and the backend need not
    /// return `WrongType`.
    async fn misuses(&self, op: &Op) -> bool {
        if self.sees_types {
            return false;
        }
        let key_type = self.key_type(op.key()).await;
        let fits = match op {
            // A `set` that compares nothing replaces any type except a sorted set.
            Op::Write(Write::Set(Set { condition, .. }))
                if !matches!(condition, Condition::Equals(_)) =>
            {
                key_type != Some(Kind::Sorted)
            }
            op => op.kind() == Kind::Any || key_type == Some(op.kind()),
        };
        key_type.is_some() && !fits
    }

    /// As [`misuses`](Self::misuses), for an atomic write: a `delete` must not have a sorted set as
    /// its target, and not every backend returns `WrongType` for it.
    async fn misuses_in_atomic(&self, op: &Write) -> bool {
        match op {
            Write::Delete(_) => {
                !self.sees_types && self.key_type(op.key()).await == Some(Kind::Sorted)
            }
            op => self.misuses(&op.clone().into()).await,
        }
    }

    /// The type of the key; `None` if it does not exist.
    async fn key_type(&self, key: &Key) -> Option<Kind> {
        let model = self.model.with_limits(Limits::NONE);
        if matches!(model.get(key).await, Ok(Some(_))) {
            Some(Kind::String)
        } else if model.smembers(key).await.is_ok_and(|members| !members.is_empty()) {
            Some(Kind::Set)
        } else if model.hgetall(key).await.is_ok_and(|fields| !fields.is_empty()) {
            Some(Kind::Hash)
        } else if model.zcount(key, ..).await.is_ok_and(|count| count > 0) {
            Some(Kind::Sorted)
        } else {
            None
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

fn same<T: Debug + PartialEq>(model: Result<T>, subject: Result<T>) -> Result<(), Mismatch> {
    let same = match (&model, &subject) {
        (Ok(model), Ok(subject)) => model == subject,
        (Err(model), Err(subject)) => model.kind() == subject.kind(),
        _ => false,
    };
    if same { Ok(()) } else { Err((format!("{model:?}"), format!("{subject:?}"))) }
}

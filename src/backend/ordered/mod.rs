//! Every data type over one ordered, transactional engine.
//!
//! ```text
//!  Backend::write ─► program.rs   one transaction: plan, judge, apply
//!                      ├─ write.rs, strings.rs   what a write reads and changes
//!                      ├─ read.rs                how a read is put together
//!                      ├─ types.rs               one key, one type
//!                      └─ rows.rs, cell.rs       which rows hold what, and how
//!  Backend::batch ─► slices.rs    how much of it goes into one transaction
//!
//!  engine.rs   what an engine is: ../embedded/ (redb, durable), ../foundationdb/ (a cluster),
//!              simulated.rs (in memory, for tests)
//! ```
//!
//! The part of a backend that can go wrong (the layout of the rows, conditions, splitting, ranges)
//! is here, once for all engines, and is exercised on an engine in memory that conflicts, ages and
//! splits at tiny limits. An engine adds get, range, apply and commit, and knows nothing of data
//! types.
//!
//! It is private on purpose: a backend with types of its own (Redis, DynamoDB) has no use for it.

mod encoded_value;
mod engine;
#[cfg(any(test, feature = "conformance"))]
pub(crate) mod faulty_engine;
mod program;
mod read;
mod rows;
mod slices;
mod strings;
mod types;
mod write;

#[cfg(feature = "embedded")]
pub(crate) use engine::added;
pub(crate) use engine::{Access, AttemptError, Engine, Program};
#[cfg(any(feature = "embedded", feature = "foundationdb"))]
pub(crate) use engine::{Change, EngineLimits, Scan, Span, Transaction, Visit};

use super::{Backend, Context};
use crate::op::{Op, Read, Reply, Write};
use crate::{ErrorKind, Outcome, Result};
use program::{Batch, ReadOne};
pub(crate) use program::{Transact, WriteOne};
use slices::Slices;
use std::sync::Arc;

/// The backend that an engine makes.
#[derive(Clone, Debug)]
pub(crate) struct Ordered<E> {
    engine: E,
}

impl<E: Engine> Ordered<E> {
    pub(crate) fn new(engine: E) -> Self {
        Ordered { engine }
    }
    pub(crate) fn engine(&self) -> &E {
        &self.engine
    }

    /// Runs a program until it is committed, has failed, or has lost to others too often. The one
    /// place that tries retryable: only what the engine knows not to have been applied.
    async fn run<P: Program>(&self, cx: &Context, access: Access, program: P) -> Result<P::Output> {
        self.try_run(cx, access, program).await.map_err(|failure| failure.error)
    }

    async fn try_run<P: Program>(
        &self,
        cx: &Context,
        access: Access,
        program: P,
    ) -> Result<P::Output, AttemptError> {
        let (program, mut session) = (Arc::new(program), E::Session::default());
        let mut left = self.engine.limits().max_attempts;
        loop {
            let attempt = self.engine.attempt(cx, access, &program, &mut session);
            let mut failure = match attempt.await {
                Ok(output) => return Ok(output),
                Err(failure) => failure,
            };
            let AttemptError { error, retryable, too_old } = &failure;
            left = left.saturating_sub(1);
            // As a whole it would be too old again.
            if *too_old && program.is_divisible() {
                return Err(failure);
            }
            if !retryable || left == 0 {
                // A long value that was replaced while it was read is not so time after time.
                if matches!(access, Access::Read(_)) && error.kind() == ErrorKind::Conflict {
                    failure.error = encoded_value::missing_chunks().with_source(error.clone());
                }
                return Err(failure);
            }
            if let Some(observer) = &cx.observer {
                observer.on_retry(Some(E::NAME), error.kind());
            }
        }
    }
}

impl<E: Engine> Backend for Ordered<E> {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        let program = ReadOne { op: op.clone(), limits: self.engine.limits() };
        self.run(cx, Access::Read(cx.consistency), program).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        let program = WriteOne { op: op.clone(), limits: self.engine.limits() };
        self.run(cx, Access::Write, program).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        let limits = self.engine.limits();
        let mut replies = Vec::with_capacity(ops.len());
        let mut slices = Slices::new(ops, &limits);
        while let Some(slice) = slices.next() {
            let access = match slice.iter().all(|op| matches!(op, Op::Read(_))) {
                true => Access::Read(cx.consistency),
                false => Access::Write,
            };
            let program = Batch::new(slice, limits);
            match self.try_run(cx, access, program).await {
                Ok(slice) => replies.extend(slice),
                // Nothing of it was applied, and half of it may be quick enough, or fit.
                Err(AttemptError { too_old: true, .. }) if slice.len() > 1 => {
                    slices.halve_all(slice)
                }
                Err(AttemptError { error, .. })
                    if error.kind() == ErrorKind::TooLarge && slice.len() > 1 =>
                {
                    slices.halve_one(slice);
                }
                Err(AttemptError { error, .. }) => replies.extend(program::failed(slice, &error)),
            }
        }
        replies
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let program = Transact { writes: writes.to_vec(), limits: self.engine.limits() };
        self.run(cx, Access::Write, program).await
    }
}

#[cfg(test)]
mod tests;

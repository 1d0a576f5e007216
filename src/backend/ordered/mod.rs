//! The data types over any ordered, transactional engine.
//!
//! ```text
//!  Backend::write ─► program.rs   one transaction: plan, evaluate conditions, apply
//!                      ├─ write.rs, strings.rs      what a write reads and changes
//!                      ├─ read.rs                   how a read is assembled
//!                      ├─ types.rs                  which type a key has
//!                      ├─ rows.rs                   the names of rows
//!                      └─ encoded_value.rs          the encoding of values in rows
//!  Backend::batch ─► slices.rs    splits a batch into transactions
//!
//!  engine.rs   the contract of an engine: ../embedded/ (a file), ../foundationdb/ (a cluster),
//!              faulty_engine.rs (in memory, for tests)
//! ```
//!
//! All engines share the error-prone part of a backend: the row layout, conditions, splitting and
//! ranges. It is tested on an engine in memory with fault injection: conflicts, snapshots that age,
//! and tiny limits. An engine adds get, range, apply and commit. It knows no data types.
//!
//! This module is private. A backend with data types of its own (Redis, DynamoDB) does not need it.

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

/// The backend over an engine.
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

    /// Runs a program until it commits, fails, or runs out of attempts. All retries of the layer
    /// are here. An attempt is retried only if the engine knows that it was not applied.
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
            // The whole batch would be too old again.
            if *too_old && program.is_divisible() {
                return Err(failure);
            }
            if !retryable || left == 0 {
                // A concurrent write replaces a long value once, not on every attempt: chunks are
                // missing.
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
                // Nothing was applied. Half of the operations may finish in time.
                Err(AttemptError { too_old: true, .. }) if slice.len() > 1 => {
                    slices.halve_all(slice);
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

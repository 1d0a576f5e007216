//! The [`Backend`] trait, four functions over operations as data, and the backends.
//!
//! [`conformance`](crate::conformance) shows how to write and test a backend of your own.

mod dyn_backend;
mod fast_path;
mod memory;
#[cfg(feature = "__ordered")]
#[cfg_attr(
    not(all(feature = "embedded", feature = "foundationdb")),
    allow(dead_code, reason = "each engine uses a part of it")
)]
pub(crate) mod ordered;

#[cfg(feature = "embedded")]
mod embedded;

#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "dynamodb")]
mod dynamodb;

/// The SDK that the feature `dynamodb` is built on: its types are in the signatures of
/// [`DynamoApi`] and [`DynamoDb`].
#[cfg(feature = "dynamodb")]
pub use aws_sdk_dynamodb;
#[cfg(feature = "dynamodb")]
pub use dynamodb::{DynamoApi, DynamoClient, DynamoDb, DynamoDbOptions, DynamoError, DynamoResult};

#[cfg(feature = "foundationdb")]
mod foundationdb;

/// The client that the feature `foundationdb` is built on: its types are in the signatures of
/// [`FoundationDb`].
#[cfg(feature = "foundationdb")]
pub use ::foundationdb as foundationdb_client;
#[cfg(feature = "foundationdb")]
pub use foundationdb::{FoundationDb, FoundationDbOptions};

pub use crate::context::{Consistency, Context};
#[cfg(feature = "embedded")]
pub(crate) use dyn_backend::as_embedded;
pub(crate) use dyn_backend::local_name;
pub use dyn_backend::{BoxFuture, DynBackend};
#[cfg(feature = "embedded")]
pub use embedded::{Embedded, EmbeddedOptions};
pub(crate) use fast_path::FastPath;
pub use memory::Memory;
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisOptions};

use crate::op::{Op, Read, Reply, Write};
use crate::{Outcome, Result};
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

/// A storage system, or a wrapper around one.
///
/// # Contract
///
/// - Each operation does what its method of [`Store`](crate::Store) documents, and returns the
///   [`Reply`] that its payload documents.
/// - `batch` returns exactly one result per operation, in order. Operations on one key take effect
///   in that order. It is neither atomic nor isolated. A failed operation does not stop or hide the
///   others. An operation that could not be run is an error; none is dropped.
/// - `transact` evaluates every condition against the state before the write, reports all that
///   failed, and applies all of the writes or none, also on errors.
/// - A write is sent again only if it is known that the first attempt was not applied, or under an
///   idempotency token. If it is unknown whether the write was applied, the error's
///   [`outcome_is_unknown`](crate::Error::outcome_is_unknown) is true.
/// - If a future is dropped, its write is applied or not, but never in part.
/// - No response of the storage system causes a panic.
///
/// The backend can rely on the [façade](crate::Store): arguments are within the
/// [limits](crate::Limits) of the store, no score is NaN, and no two writes of a `transact` have
/// the same [`WriteTarget`](crate::op::WriteTarget) or use one key both as a sorted set and as
/// another type. The backend itself must find out that a key holds another type: it returns
/// `WrongType`, or behaves as if the key were absent, and never returns bytes of its own encoding.
///
/// Write each function as an `async fn`, without the lifetimes. None has a default: a wrapper that
/// forgot one would silently lose the inner backend's version. A storage system without batches
/// calls [`batch_sequentially`].
pub trait Backend: Debug + Send + Sync + 'static {
    /// Runs one read.
    fn read<'a>(
        &'a self,
        cx: &'a Context,
        op: &'a Read,
    ) -> impl Future<Output = Result<Reply>> + Send + use<'a, Self>;
    /// Runs one write.
    fn write<'a>(
        &'a self,
        cx: &'a Context,
        op: &'a Write,
    ) -> impl Future<Output = Result<Reply>> + Send + use<'a, Self>;
    /// Runs many operations, in as few round trips as it can.
    fn batch<'a>(
        &'a self,
        cx: &'a Context,
        ops: &'a [Op],
    ) -> impl Future<Output = Vec<Result<Reply>>> + Send + use<'a, Self>;
    /// Applies all of the writes or none.
    fn transact<'a>(
        &'a self,
        cx: &'a Context,
        writes: &'a [Write],
    ) -> impl Future<Output = Result<Outcome>> + Send + use<'a, Self>;
}

/// A [`Backend::batch`] for a storage system without batches: one operation after the other.
pub async fn batch_sequentially<B: Backend>(
    backend: &B,
    cx: &Context,
    ops: &[Op],
) -> Vec<Result<Reply>> {
    let mut replies = Vec::with_capacity(ops.len());
    for op in ops {
        replies.push(match op {
            Op::Read(op) => backend.read(cx, op).await,
            Op::Write(op) => backend.write(cx, op).await,
        });
    }
    replies
}

/// A shared backend is a backend.
impl<B: Backend> Backend for Arc<B> {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        B::read(self, cx, op).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        B::write(self, cx, op).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        B::batch(self, cx, ops).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        B::transact(self, cx, writes).await
    }
}

//! What a storage system must provide: four functions over data. And the storage systems that do.
//!
//! Writing a backend of your own takes [one page](crate::conformance).

mod dyn_backend;
pub(crate) mod fast_path;
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
/// - Each operation means what its method of [`Store`](crate::Store) says, and is answered by the
///   [`Reply`] that its payload names.
/// - `batch` answers exactly one result per operation, in their order. Operations on one key take
///   effect as though in that order; beyond that it promises neither atomicity nor isolation. One
///   that fails neither stops nor hides another. What could not be carried out is an error, never
///   dropped.
/// - `transact` judges every condition against the state before any of the writes, tells every one
///   that failed, and applies all of the writes or none, also on errors.
/// - A write is sent again only if the first one is known not to have been applied. Where that
///   cannot be known, the error says so ([`outcome_is_unknown`](crate::Error::outcome_is_unknown)).
/// - A dropped future may leave a write applied or not, never half of it.
/// - Nothing panics on what the storage system answers.
///
/// In return it may rely on the [façade](crate::Store): arguments are within the
/// [limits](crate::Limits) that the user chose, no score is NaN, and no two writes of a `transact`
/// are of one [`WriteTarget`](crate::op::WriteTarget) or use one key both as a sorted set and as
/// another type. That a key may hold another type than an operation works on is for the backend to
/// find: it answers `WrongType`, or as though the key were absent, and never hands out bytes of its
/// own encoding.
///
/// Each function is written as an `async fn`, without the lifetimes. None has a default: a wrapper
/// that forgot one would silently lose the inner backend's version of it. Storage systems without
/// batches call [`batch_sequentially`].
pub trait Backend: Debug + Send + Sync + 'static {
    /// Carries out one read.
    fn read<'a>(
        &'a self,
        cx: &'a Context,
        op: &'a Read,
    ) -> impl Future<Output = Result<Reply>> + Send + use<'a, Self>;
    /// Carries out one write.
    fn write<'a>(
        &'a self,
        cx: &'a Context,
        op: &'a Write,
    ) -> impl Future<Output = Result<Reply>> + Send + use<'a, Self>;
    /// Carries out many operations, in as few round trips as it can.
    fn batch<'a>(
        &'a self,
        cx: &'a Context,
        ops: &'a [Op],
    ) -> impl Future<Output = Vec<Result<Reply>>> + Send + use<'a, Self>;
    /// Carries out all of the writes or none.
    fn transact<'a>(
        &'a self,
        cx: &'a Context,
        writes: &'a [Write],
    ) -> impl Future<Output = Result<Outcome>> + Send + use<'a, Self>;
}

/// A [`Backend::batch`] for storage systems that have none.
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

/// Shared is as good as owned.
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

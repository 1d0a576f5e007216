//! One Redis-like API over interchangeable key-value backends: strings, counters, sets, hashes,
//! sorted sets and sorted hashes (sorted sets whose members carry a value), with batches and
//! conditional atomic writes. Every backend keeps one contract: [`Store`] documents each operation,
//! [`Backend`] the rules, and [`conformance`] tests them. The page of a backend lists its
//! exceptions.
//!
//! ```text
//!  store.zrange("board").by_score(1.0..).rev().limit(10).await?
//!    │
//!  Store          one documented method per operation; Batch and AtomicWrite return handles
//!    │            Read | Write: the operation as data
//!  wrap           Cache, Prefix, Retry, Metrics and others: around any backend, in any order
//!    │
//!  Backend        read, write, batch, transact: four functions
//!    ├── Memory       std collections: for unit tests
//!    ├── Embedded     one file, durable, no server
//!    ├── Redis        one server, or a cluster
//!    ├── DynamoDb     one table
//!    └── FoundationDb a cluster
//! ```
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use keyvaluestore::{Outcome, Store};
//!
//! // "file:users.kvs" keeps it in a file, "redis://localhost" on a server; nothing else changes.
//! let store = Store::open("memory:").await?;
//!
//! store.set("greeting", "hello").await?;
//! assert_eq!(store.get("greeting").await?.unwrap(), "hello");
//! assert_eq!(store.incr_by("visits", 1).await?, 1);
//!
//! // Sorted sets: by score, by member, reversed, limited.
//! store.zadd("board", "alice", 31.0).await?;
//! store.zadd("board", "bob", 8.0).await?;
//! assert_eq!(store.zrange("board").by_score(10.0..).await?, ["alice"]);
//!
//! // A batch: many operations, few round trips, each its own result.
//! let mut batch = store.batch();
//! let greeting = batch.get("greeting");
//! let top = batch.zrange("board").rev().limit(1).queue();
//! let mut replies = batch.exec().await?;
//! assert_eq!(replies.take(greeting)?.unwrap(), "hello");
//! assert_eq!(replies.take(top)?, ["alice"]);
//!
//! // An atomic write: all or nothing. Every condition that failed is reported.
//! let mut tx = store.atomic_write();
//! tx.set("user:42", r#"{"name":"carol"}"#);
//! let name = tx.set_nx("user_by_name:carol", 42);
//! match tx.exec().await? {
//!     Outcome::Committed => {}
//!     Outcome::ConditionFailed(failed) if failed.contains(name) => println!("the name is taken"),
//!     Outcome::ConditionFailed(_) => println!("another condition failed"),
//! }
//! # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
//! ```
//!
//! # Where to look
//!
//! - [`Store`]: every operation, by data type, with its limits, errors and cost.
//! - [`Batch`] and [`AtomicWrite`]: the same operations, together.
//! - [`ToValue`], [`FromValue`], [`Value`]: the types of arguments and results.
//! - [`Memory`], [`Embedded`], [`Redis`], [`DynamoDb`], [`FoundationDb`]: the backends: how to
//!   open, configure and test each, and what calls cost. [`Store::open`] selects one by URL.
//! - [`wrap`]: a cache, namespaces, retries, metrics: around any backend, in any order.
//! - [`Error`] and [`ErrorKind`]: one error type for all backends. [`Limits`]: the maximum sizes.
//! - [`Backend`]: the trait to implement for a storage system of your own. [`conformance`] tests
//!   it.
//!
//! # One key, one type
//!
//! A key holds a string, a counter, a set, a hash, or a sorted set or hash. Using it as another
//! type is a bug in the program: the backend returns `WrongType`, or behaves as if the key were
//! absent. A counter is a string that is the canonical decimal text of an `i64`. A collection is
//! removed with its last member.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `embedded` | yes | [`Embedded`]: the durable store in one file, `file:path` |
//! | `json` | yes | [`Json`]: values as JSON through `serde` |
//! | `msgpack` | yes | [`MsgPack`]: values as MessagePack through `serde` |
//! | `redis` | no | [`Redis`]: a server or a cluster, `redis://host` |
//! | `dynamodb` | no | [`DynamoDb`]: a table, `dynamodb://table` |
//! | `foundationdb` | no | [`FoundationDb`]: a cluster, `foundationdb:cluster-file` |
//! | `cache` | no | [`wrap::Cache`]: a read cache that writes invalidate |
//! | `retry`, `timeout` | no | [`wrap::Retry`] and [`wrap::Timeout`] |
//! | `metrics`, `tracing` | no | [`wrap::Metrics`] and [`wrap::Trace`], through the crates of the same names |
//! | `conformance` | no | [`conformance`]: the contract as tests, for a backend of your own |
//!
//! Memory, `embedded` and `foundationdb` run on any async runtime. `redis`, `dynamodb`, `retry` and
//! `timeout` need tokio. The library starts no runtime; only the tests of `conformance` do.

#![cfg_attr(docsrs, feature(doc_cfg))]
// Links to items of other features are only checked with all features.
#![cfg_attr(
    not(all(
        feature = "embedded",
        feature = "json",
        feature = "msgpack",
        feature = "redis",
        feature = "dynamodb",
        feature = "foundationdb",
        feature = "cache",
        feature = "retry",
        feature = "timeout",
        feature = "metrics",
        feature = "tracing",
        feature = "conformance"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

// Files of `tests/` that unit tests include name the crate.
#[cfg(test)]
extern crate self as keyvaluestore;

mod atomic;
#[cfg(any(feature = "redis", feature = "dynamodb", feature = "retry"))]
mod backoff;
mod batch;
mod byte_string;
#[cfg(any(feature = "json", feature = "msgpack"))]
mod codec;
mod context;
mod convert;
mod error;
mod handle;
mod limits;
mod range;
mod reply;
#[cfg(any(feature = "redis", feature = "dynamodb", feature = "retry", feature = "timeout"))]
mod runtime;
mod score;
mod store;
mod url;

pub mod backend;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(any(doc, doctest))]
pub mod documentation;
pub mod observe;
pub mod op;
pub mod wrap;

pub use atomic::{AtomicWrite, FailedConditions, Outcome};
#[cfg(feature = "dynamodb")]
pub use backend::DynamoDb;
#[cfg(feature = "embedded")]
pub use backend::Embedded;
#[cfg(feature = "foundationdb")]
pub use backend::FoundationDb;
#[cfg(feature = "redis")]
pub use backend::Redis;
pub use backend::{Backend, Memory};
pub use batch::{Batch, Replies};
pub use byte_string::{Key, Value};
#[cfg(feature = "json")]
pub use codec::Json;
#[cfg(feature = "msgpack")]
pub use codec::MsgPack;
pub use convert::{FromValue, ToValue};
pub use error::{Error, ErrorKind, Result};
pub use handle::{Conditional, Handle};
pub use limits::Limits;
pub use store::Store;

/// Runs the examples of the README.
#[cfg(all(doctest, feature = "json"))]
#[doc = include_str!("../README.md")]
struct Readme;

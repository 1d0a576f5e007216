//! The servers of the library's own tests.

#![allow(dead_code, reason = "the tests of the example use a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is how a test fails")]

#[cfg(feature = "dynamodb")]
#[path = "../../../../tests/support/dynamodb.rs"]
pub(crate) mod dynamodb;
#[cfg(feature = "foundationdb")]
#[path = "../../../../tests/support/foundationdb.rs"]
pub(crate) mod foundationdb;
#[path = "../../../../tests/support/process.rs"]
pub(crate) mod process;
#[cfg(feature = "redis")]
#[path = "../../../../tests/support/redis.rs"]
pub(crate) mod redis;

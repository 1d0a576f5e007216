//! Servers for the tests: found, started on a free loopback port or socket, and stopped with the
//! test.

#![allow(dead_code, unused_macros, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is how a test fails")]

#[cfg(feature = "dynamodb")]
pub(crate) mod doubles;
#[cfg(feature = "dynamodb")]
pub(crate) mod dynamodb;
#[cfg(feature = "dynamodb")]
pub(crate) mod dynamodb_work;
#[cfg(feature = "foundationdb")]
pub(crate) mod foundationdb;
#[cfg(feature = "foundationdb")]
pub(crate) mod foundationdb_work;
pub(crate) mod process;
pub(crate) mod redis;
#[cfg(feature = "redis")]
pub(crate) mod redis_work;
pub(crate) mod stacks;

//! Asserts how often calls allocate: absolutely in memory, compared with the bare client elsewhere.
//! In one binary, as each binary links all clients.

#[cfg(feature = "dynamodb")]
mod dynamodb;
mod memory;
#[cfg(feature = "redis")]
mod redis;
#[path = "../support/mod.rs"]
mod support;
#[cfg(all(
    feature = "cache",
    feature = "retry",
    feature = "timeout",
    feature = "metrics",
    feature = "tracing"
))]
mod wrap;

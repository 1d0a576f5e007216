//! The cases, grouped by data type or feature. Each runs on its own new, empty store.
//!
//! A case tests one rule of the contract. It is an `async fn` here and a line in `list.rs`. The
//! compiler reports a case that is missing from the list as unused.

// A case fails by panicking, or by returning the error of an operation that should have succeeded.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code")]

pub(crate) mod atomic;
pub(crate) mod atomic_types;
pub(crate) mod batches;
pub(crate) mod counters;
pub(crate) mod hashes;
pub(crate) mod limits;
pub(crate) mod ranges;
pub(crate) mod sets;
pub(crate) mod sorted_hashes;
pub(crate) mod sorted_sets;
pub(crate) mod strings;
pub(crate) mod types;

use crate::{Error, ErrorKind, Result, Store, Value};
use std::fmt::Debug;

/// The argument of a case. Most cases take only the store.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) store: Store,
    /// Whether every operation on a key of another type must return `WrongType`.
    pub(crate) sees_types: bool,
}

impl From<Given> for Store {
    fn from(given: Given) -> Self {
        given.store
    }
}

impl Given {
    /// Asserts what the contract allows for a key of another type: `WrongType`, or a reply as if
    /// the key did not exist.
    #[track_caller]
    fn wrong_type_or<T: Debug + PartialEq>(&self, result: Result<T>, as_if_absent: T) {
        match result {
            Ok(answer) if !self.sees_types => assert_eq!(answer, as_if_absent),
            result => drop(assert_kind(result, ErrorKind::WrongType)),
        }
    }
}

/// The members of a set, sorted.
async fn members(s: &Store, key: &str) -> Result<Vec<Value>> {
    let mut members = s.smembers(key).await?;
    members.sort();
    Ok(members)
}

/// Members and scores as a range returns them.
fn scored(members: &[(&str, f64)]) -> Vec<(Value, f64)> {
    members.iter().map(|(member, score)| ((*member).into(), *score)).collect()
}

/// Bytes without a repeating pattern.
fn patterned(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[track_caller]
fn assert_kind<T: Debug>(result: Result<T>, kind: ErrorKind) -> Error {
    let error = result.expect_err("the call should have failed");
    assert_eq!(error.kind(), kind, "{error:?}");
    error
}

/// Runs `n` tasks concurrently. Returns their results in order.
async fn together<T: Send + 'static, F>(n: usize, task: impl Fn(usize) -> F) -> Result<Vec<T>>
where
    F: Future<Output = Result<T>> + Send + 'static,
{
    let tasks: Vec<_> = (0..n).map(|i| tokio::spawn(task(i))).collect();
    let mut results = Vec::with_capacity(n);
    for task in tasks {
        results.push(task.await.expect("the task panicked")?);
    }
    Ok(results)
}

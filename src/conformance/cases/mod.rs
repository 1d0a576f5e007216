//! The cases, by what they are about. Each gets a store of its own, new and empty.
//!
//! A case is a sentence of the contract. It is an `async fn` here and a line of the list in
//! `list.rs`; one that is missing there is reported by the compiler as never used.

// A case fails by panicking, or with the error of an operation that should have worked.
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

/// What a case gets: most take the store alone.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) store: Store,
    /// Whether the backend answers every use as another type with `WrongType`.
    pub(crate) sees_types: bool,
}

impl From<Given> for Store {
    fn from(given: Given) -> Self {
        given.store
    }
}

impl Given {
    /// What the contract allows for a key of another type.
    #[track_caller]
    fn wrong_type_or<T: Debug + PartialEq>(&self, result: Result<T>, as_though_absent: T) {
        match result {
            Ok(answer) if !self.sees_types => assert_eq!(answer, as_though_absent),
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

/// Members and scores as a range answers them.
fn scored(members: &[(&str, f64)]) -> Vec<(Value, f64)> {
    members.iter().map(|(member, score)| ((*member).into(), *score)).collect()
}

/// Bytes of which no part is like another.
fn patterned(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[track_caller]
fn assert_kind<T: Debug>(result: Result<T>, kind: ErrorKind) -> Error {
    let error = result.expect_err("this has to be refused");
    assert_eq!(error.kind(), kind, "{error:?}");
    error
}

/// Runs `n` tasks at once, and gives their answers in order.
async fn together<T: Send + 'static, F>(n: usize, task: impl Fn(usize) -> F) -> Result<Vec<T>>
where
    F: Future<Output = Result<T>> + Send + 'static,
{
    let tasks: Vec<_> = (0..n).map(|i| tokio::spawn(task(i))).collect();
    let mut answers = Vec::with_capacity(n);
    for task in tasks {
        answers.push(task.await.expect("a task has panicked")?);
    }
    Ok(answers)
}

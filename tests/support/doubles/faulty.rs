//! Fault injection with the errors of the real service.

use super::{Call, Rules};
use keyvaluestore::backend::DynamoError;
use keyvaluestore::backend::aws_sdk_dynamodb::types::CancellationReason;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Injects every fault that the backend must hide from the caller, each with its own probability.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) calls: AtomicU64,
    /// Whether calls have a random latency, so that responses arrive in any order.
    pub(crate) slow: bool,
    /// Whether errors contain the items of failed conditions.
    pub(crate) returns_items: bool,
}

impl Faulty {
    pub(crate) fn new() -> Self {
        Faulty { calls: AtomicU64::new(0), slow: false, returns_items: true }
    }
    /// A pseudorandom number, so that no loop falls into step with the faults.
    fn next(&self) -> u64 {
        let n = self.calls.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (n ^ n >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
    }
}

impl Rules for Faulty {
    fn before(&self, call: Call<'_>) -> Result<(), DynamoError> {
        let of_write = !call.is_safe() && call.name() != "BatchWriteItem";
        match self.next() % 24 {
            0..=4 => Err(DynamoError::service("ThrottlingException", "")),
            5 => Err(DynamoError::service("ProvisionedThroughputExceededException", "")),
            6 | 7 if of_write => Err(DynamoError::service("TransactionConflictException", "")),
            6 | 7 if call.is_safe() => Err(DynamoError::service("InternalServerError", "")),
            8 if matches!(call, Call::TransactWriteItems(_)) => {
                Err(DynamoError::service("TransactionInProgressException", ""))
            }
            9 => match call {
                Call::TransactWriteItems(input) => {
                    let n = input.get_transact_items().as_ref().map_or(0, Vec::len);
                    let reason = |code: &str| CancellationReason::builder().code(code).build();
                    let mut reasons = vec![reason("None"); n];
                    reasons[n / 2] = reason("TransactionConflict");
                    Err(DynamoError::transaction_cancelled(reasons))
                }
                _ => Err(DynamoError::not_sent("refused")),
            },
            _ => Ok(()),
        }
    }
    fn delay(&self) -> Duration {
        let slow = self.slow && self.next().is_multiple_of(2);
        if slow { Duration::from_micros(self.next() % 3_000) } else { Duration::ZERO }
    }
    fn after(&self, call: &'static str) -> Result<(), DynamoError> {
        let safe = ["GetItem", "Query", "BatchGetItem", "TransactGetItems", "TransactWriteItems"];
        match self.next() % 16 {
            0 if safe.contains(&call) => {
                Err(DynamoError::response_lost("the connection was closed"))
            }
            1 if safe.contains(&call) => Err(DynamoError::service("InternalServerError", "")),
            2 if safe.contains(&call) => Err(DynamoError::timeout()),
            _ => Ok(()),
        }
    }
    fn map_error(&self, error: DynamoError) -> DynamoError {
        if self.returns_items { error } else { error.without_items() }
    }
    fn processed(&self, of: usize) -> usize {
        match self.next() % 3 {
            0 => of / 2,
            1 if self.next().is_multiple_of(4) => 0,
            _ => of,
        }
    }
}

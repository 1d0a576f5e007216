//! [`Retry`]: retries failed calls with exponential backoff, full jitter and a retry budget.
//!
//! # Why a budget
//!
//! In an outage every call fails, and every caller retries. With four attempts per call the backend
//! receives four times its load exactly when it can bear the least: a retry storm, which keeps it
//! down. A limit of attempts per call does not prevent that, as it does not depend on how many
//! calls fail. So all callers share a budget, as in `tower::retry::budget`: each success deposits a
//! fraction of a retry, and each retry withdraws a whole one. While everything fails, the backend
//! receives as many retries as the budget holds, and then only what the callers send. Once calls
//! succeed again, the deposits fill the budget.
//!
//! Unlike tower's budget, this one has no `min_per_sec` that refills it without successes.

use super::Wrapper;
use crate::backend::Context;
use crate::backoff::ExponentialBackoff;
use crate::op::{Op, Read, Reply, Write};
use crate::runtime::with_drivers;
use crate::{Backend, Error, Key, Outcome, Result};
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How often and for how long [`Retry`] retries.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct RetryPolicy {
    max_attempts: u32,
    max_elapsed: Duration,
    initial_backoff: Duration,
    max_backoff: Duration,
    budget: u32,
    budget_refill: f64,
    retry_unknown_outcome: bool,
}

impl Default for RetryPolicy {
    /// Four attempts within 10 seconds, a backoff of 50 ms doubling to 2 s, a budget of 100
    /// retries.
    fn default() -> Self {
        RetryPolicy {
            max_attempts: 4,
            max_elapsed: Duration::from_secs(10),
            initial_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(2),
            budget: 100,
            budget_refill: 0.1,
            retry_unknown_outcome: false,
        }
    }
}

impl RetryPolicy {
    /// The default policy.
    pub fn new() -> Self {
        RetryPolicy::default()
    }
    /// How many attempts a call has, including the first. 4 by default.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }
    /// How long after the first failure the last attempt may start. 10 seconds by default.
    pub fn max_elapsed(mut self, time: Duration) -> Self {
        self.max_elapsed = time;
        self
    }
    /// The upper bound of the first backoff. Each backoff has full jitter: it is random between
    /// zero and a bound that doubles with each attempt. 50 milliseconds by default.
    pub fn initial_backoff(mut self, time: Duration) -> Self {
        self.initial_backoff = time;
        self
    }
    /// The upper bound of every backoff. 2 seconds by default.
    pub fn max_backoff(mut self, time: Duration) -> Self {
        self.max_backoff = time;
        self
    }
    /// How many retries all callers together may make while nothing succeeds. Without a budget, an
    /// outage multiplies the load by the number of attempts (a retry storm). 100 by default.
    pub fn budget(mut self, retries: u32) -> Self {
        self.budget = retries;
        self
    }
    /// How many retries each success deposits in the budget. 0.1 by default: in a steady state
    /// there is at most one retry per ten successes.
    pub fn budget_refill(mut self, retries: f64) -> Self {
        self.budget_refill = retries;
        self
    }
    /// Whether an in-doubt write is retried if it is idempotent: an unconditional `set`, `sadd`,
    /// `srem`, `hset`, `hdel`, `zadd` or `zrem`. Off by default: the retry can overwrite what
    /// another writer wrote between the two attempts.
    ///
    /// Put a [`Cache`](super::Cache) below such a `Retry`, not above it. The first attempt may
    /// still be applied after the second, and only a wrapper below observes its unknown outcome.
    pub fn retry_unknown_outcome(mut self, retry: bool) -> Self {
        self.retry_unknown_outcome = retry;
        self
    }
}

/// The retry budget that all callers share, in thousandths of a retry.
#[derive(Debug)]
struct Budget {
    balance: AtomicU64,
    max: u64,
    deposit: u64,
}

/// What a retry withdraws.
const RETRY: u64 = 1_000;

impl Budget {
    #[inline]
    fn deposit(&self) {
        let balance = self.balance.load(Ordering::Relaxed);
        if balance < self.max {
            let more = balance.saturating_add(self.deposit).min(self.max);
            // A lost race loses a deposit, which is a fraction of a retry.
            let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
            let _ = self.balance.compare_exchange(balance, more, success, failure);
        }
    }
    fn withdraw(&self) -> bool {
        let less = |balance: u64| balance.checked_sub(RETRY);
        self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// Retries failed calls with backoff and a budget. See [`RetryPolicy`].
///
/// - A read is retried if its error is [retryable](Error::is_retryable).
/// - A write or an atomic write is retried if its error is retryable and it is known that it was
///   not applied, so no write is applied twice. For in-doubt writes see
///   [`retry_unknown_outcome`](RetryPolicy::retry_unknown_outcome).
/// - Of a batch, only the failed operations are retried, as one batch, and only if the operations
///   on each key still run in their order.
///
/// Clones share the budget. While everything fails, the backend receives as many retries as the
/// budget holds, and then only what the callers send. Without a budget, an outage becomes a retry
/// storm.
///
/// `DynamoDb` (10 attempts) and `FoundationDb` (100) retry by themselves, outside of this budget.
/// Around them, set `max_attempts` of one of the two to 1. `Redis` retries only commands that were
/// not run.
///
/// Needs a tokio runtime with a timer; without one, a call that is to be retried fails with
/// `Unsupported`. Feature `retry`. A call that succeeds at once costs about 150 instructions more.
/// Each retry calls [`on_retry`](crate::observe::Observer::on_retry); all attempts are one call for
/// observers above.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use keyvaluestore::wrap::{Retry, RetryPolicy};
/// use keyvaluestore::{Memory, Store};
///
/// let policy = RetryPolicy::new().max_attempts(3);
/// let store = Store::new(Retry::new(Memory::new(), policy));
/// store.set("k", "v").await?;
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Retry<B> {
    inner: B,
    policy: RetryPolicy,
    budget: Arc<Budget>,
}

/// The failed attempts of one call.
struct Attempts {
    failed: u32,
    first_failure: Instant,
}

impl<B> Retry<B> {
    /// Retries the calls of `inner` according to `policy`.
    pub fn new(inner: B, policy: RetryPolicy) -> Self {
        let max = u64::from(policy.budget) * RETRY;
        let deposit = (policy.budget_refill.max(0.0) * RETRY as f64) as u64;
        let budget = Arc::new(Budget { balance: AtomicU64::new(max), max, deposit });
        Retry { inner, policy, budget }
    }

    /// Waits before a retry. Returns `false` if the policy or the budget allows none.
    ///
    /// # Errors
    /// `Unsupported`, with `because` as its source, if the runtime has no timer.
    async fn backoff(
        &self,
        cx: &Context,
        attempts: &mut Option<Attempts>,
        because: &Error,
    ) -> Result<bool> {
        let attempts =
            attempts.get_or_insert_with(|| Attempts { failed: 0, first_failure: Instant::now() });
        attempts.failed += 1;
        let policy = &self.policy;
        let backoff = ExponentialBackoff::new(policy.initial_backoff, policy.max_backoff)
            .full_jitter(attempts.failed);
        let in_time = attempts.first_failure.elapsed() + backoff < policy.max_elapsed;
        if attempts.failed >= policy.max_attempts || !in_time || !self.budget.withdraw() {
            return Ok(false);
        }
        let wait = with_drivers(|| tokio::time::sleep(backoff));
        let wait = wait.map_err(|e| e.with_source(because.clone()))?;
        if let Some(observer) = &cx.observer {
            observer.on_retry(None, because.kind());
        }
        wait.await;
        Ok(true)
    }

    #[inline]
    async fn call<T, F: Future<Output = Result<T>>>(
        &self,
        cx: &Context,
        may_retry: impl Fn(&Error) -> bool,
        attempt: impl Fn() -> F,
    ) -> Result<T> {
        match attempt().await {
            Ok(reply) => {
                self.budget.deposit();
                Ok(reply)
            }
            Err(e) if may_retry(&e) => Box::pin(self.retry(cx, e, may_retry, attempt)).await,
            Err(e) => Err(e),
        }
    }
    async fn retry<T, F: Future<Output = Result<T>>>(
        &self,
        cx: &Context,
        mut error: Error,
        may_retry: impl Fn(&Error) -> bool,
        attempt: impl Fn() -> F,
    ) -> Result<T> {
        let mut attempts = None;
        let mut unknown = error.outcome_is_unknown();
        while may_retry(&error) {
            match self.backoff(cx, &mut attempts, &error).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => return Err(still_unknown(unknown, e)),
            }
            match attempt().await {
                Ok(reply) => {
                    self.budget.deposit();
                    return Ok(reply);
                }
                Err(e) => error = e,
            }
            unknown |= error.outcome_is_unknown();
        }
        Err(still_unknown(unknown, error))
    }
    fn may_retry(&self, op: &Op, error: &Error) -> bool {
        match op {
            Op::Read(_) => error.is_retryable(),
            Op::Write(op) => self.may_retry_write(op, error),
        }
    }
    fn may_retry_write(&self, op: &Write, error: &Error) -> bool {
        let is_in_doubt = error.outcome_is_unknown();
        error.is_retryable()
            && (!is_in_doubt || (self.policy.retry_unknown_outcome && op.is_idempotent()))
    }

    /// The positions of the operations of a batch to be retried. An operation is not retried if a
    /// later one on its key has been, or may have been, carried out: their order would change.
    /// Between reads the order does not matter.
    fn to_retry(&self, ops: &[Op], results: &[Result<Reply>]) -> Vec<usize> {
        let mut later: HashMap<&Key, Later> = HashMap::new();
        let mut retried = Vec::new();
        for (i, (op, result)) in ops.iter().zip(results).enumerate().rev() {
            let later = later.entry(op.key()).or_default();
            let is_write = matches!(op, Op::Write(_));
            let keeps_order = !(later.write || is_write && later.read);
            match result {
                Err(e) if keeps_order && self.may_retry(op, e) => retried.push(i),
                _ if is_write => later.write = true,
                _ => later.read = true,
            }
        }
        retried.reverse();
        retried
    }
}

/// Whether a later read, or a later write, of a key has been carried out.
#[derive(Default)]
struct Later {
    read: bool,
    write: bool,
}

/// If an earlier attempt may have applied a write, the outcome stays unknown when a later attempt
/// fails.
fn still_unknown(unknown: bool, error: Error) -> Error {
    if unknown { error.with_unknown_outcome() } else { error }
}

/// Replaces the result of a failed attempt by that of a later one.
fn replace(earlier: &mut Result<Reply>, later: Result<Reply>) {
    let unknown = earlier.as_ref().is_err_and(Error::outcome_is_unknown);
    *earlier = later.map_err(|e| still_unknown(unknown, e));
}

impl<B: Backend> Retry<B> {
    /// Sends some operations of a batch again, as one batch.
    async fn resend(
        &self,
        cx: &Context,
        ops: &[Op],
        positions: &[usize],
        results: &mut [Result<Reply>],
    ) {
        let ops: Vec<Op> = positions.iter().map(|i| ops[*i].clone()).collect();
        for (i, result) in positions.iter().zip(self.inner.batch(cx, &ops).await) {
            replace(&mut results[*i], result);
        }
    }
}

impl<B: Backend> Wrapper for Retry<B> {
    type Inner = B;
    fn inner(&self) -> &B {
        &self.inner
    }
}

impl<B: Backend> Backend for Retry<B> {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        self.call(cx, Error::is_retryable, || self.inner.read(cx, op)).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        self.call(cx, |e| self.may_retry_write(op, e), || self.inner.write(cx, op)).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        let mut results = self.inner.batch(cx, ops).await;
        let mut attempts = None;
        while results.len() == ops.len() {
            let retried = match results.iter().any(Result::is_err) {
                true => self.to_retry(ops, &results),
                false => Vec::new(),
            };
            let Some(Err(because)) = retried.first().map(|i| &results[*i]) else {
                if results.iter().any(Result::is_ok) {
                    self.budget.deposit();
                }
                break;
            };
            match self.backoff(cx, &mut attempts, because).await {
                Ok(true) => self.resend(cx, ops, &retried, &mut results).await,
                Ok(false) => break,
                Err(e) => {
                    retried.iter().for_each(|i| replace(&mut results[*i], Err(e.clone())));
                    break;
                }
            }
        }
        results
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let may_retry = |e: &Error| e.is_retryable() && !e.outcome_is_unknown();
        self.call(cx, may_retry, || self.inner.transact(cx, writes)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_withdrawn_is_withdrawn_while_others_deposit() {
        let retries = 20_000;
        let balance = AtomicU64::new(retries * RETRY + 1);
        let budget = Budget { balance, max: 2 * retries * RETRY, deposit: 0 };
        let (end, mut spent) = (std::sync::atomic::AtomicBool::new(false), 0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !end.load(Ordering::Relaxed) {
                        budget.deposit();
                    }
                });
            }
            while spent <= retries && budget.withdraw() {
                spent += 1;
            }
            end.store(true, Ordering::Relaxed);
        });
        assert_eq!(spent, retries);
    }
}

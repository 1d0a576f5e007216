//! [`Retry`]: tries again what may be tried again, and not more than the store can bear.
//!
//! Tried again is an error that says that it can help ([`Error::is_retryable`]), and of a write
//! only if it is known not to have been applied. The pauses double and are drawn at random. All
//! callers draw on one budget: a retry takes a whole token out of it and a success puts a part of
//! one in, so that when everything fails, the backend is sent a few retries and then what the
//! callers send, not a multiple of it.

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

/// How often and for how long [`Retry`] tries again.
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
    /// How many attempts a call has, the first included. 4 by default.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }
    /// How long after the first failure the last attempt may begin. 10 seconds by default.
    pub fn max_elapsed(mut self, time: Duration) -> Self {
        self.max_elapsed = time;
        self
    }
    /// The longest that the first backoff may be. Each backoff has full jitter: it is drawn between
    /// zero and a bound that doubles with each attempt. 50 milliseconds by default.
    pub fn initial_backoff(mut self, time: Duration) -> Self {
        self.initial_backoff = time;
        self
    }
    /// The longest that any backoff may be. 2 seconds by default.
    pub fn max_backoff(mut self, time: Duration) -> Self {
        self.max_backoff = time;
        self
    }
    /// How many retries all callers together may spend while nothing succeeds. Without a budget, an
    /// outage multiplies the load by the number of attempts, just when the backend can bear it
    /// least. 100 by default.
    pub fn budget(mut self, retries: u32) -> Self {
        self.budget = retries;
        self
    }
    /// How many retries each success puts back into the budget. 0.1 by default: in a steady state
    /// at most one call in ten is a retry.
    pub fn budget_refill(mut self, retries: f64) -> Self {
        self.budget_refill = retries;
        self
    }
    /// Whether a write whose outcome is unknown is sent again if it is idempotent: an unconditional
    /// `set`, `sadd`, `srem`, `hset`, `hdel`, `zadd` or `zrem`. Off by default: such a write can
    /// undo what another writer has written between the two attempts.
    ///
    /// Put a [`Cache`](super::Cache) below such a `Retry`, not above it. The first attempt may
    /// still be applied after the second, and only what is below sees that.
    pub fn retry_unknown_outcome(mut self, retry: bool) -> Self {
        self.retry_unknown_outcome = retry;
        self
    }
}

/// What all callers share, in thousandths of a retry.
#[derive(Debug)]
struct Budget {
    left: AtomicU64,
    most: u64,
    per_success: u64,
}

const ONE: u64 = 1_000;

impl Budget {
    #[inline]
    fn earn(&self) {
        let left = self.left.load(Ordering::Relaxed);
        if left < self.most {
            let more = left.saturating_add(self.per_success).min(self.most);
            // Who loses a race adds nothing: that is a part of a token.
            let _ = self.left.compare_exchange(left, more, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
    fn spend(&self) -> bool {
        let less = |left: u64| left.checked_sub(ONE);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// Tries again what has failed and may be tried again. See [`RetryPolicy`].
///
/// Only errors that [say](Error::is_retryable) that it can help; a write only if the backend can
/// tell that it was not applied (but for
/// [`retry_unknown_outcome`](RetryPolicy::retry_unknown_outcome)). Of a batch only what has failed,
/// and only as far as the order of the operations on a key is kept. Clones share the budget. Needs
/// a tokio runtime with a timer.
///
/// The backends try again by themselves where a service wants that (DynamoDB's throttling,
/// conflicts of transactions); this is for what gets past them.
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

/// The tries of one call.
struct Tries {
    made: u32,
    start: Instant,
}

impl<B> Retry<B> {
    /// Tries calls of `inner` again, as `policy` says.
    pub fn new(inner: B, policy: RetryPolicy) -> Self {
        let most = u64::from(policy.budget) * ONE;
        let per_success = (policy.budget_refill.max(0.0) * ONE as f64) as u64;
        let budget = Arc::new(Budget { left: AtomicU64::new(most), most, per_success });
        Retry { inner, policy, budget }
    }

    /// Waits before another try; `false` if there is to be none.
    ///
    /// # Errors
    /// `Unsupported`, with `because` as its source, if there is no timer to wait with.
    async fn again(
        &self,
        cx: &Context,
        tries: &mut Option<Tries>,
        because: &Error,
    ) -> Result<bool> {
        let tries = tries.get_or_insert_with(|| Tries { made: 0, start: Instant::now() });
        tries.made += 1;
        let policy = &self.policy;
        let backoff = ExponentialBackoff::new(policy.initial_backoff, policy.max_backoff)
            .full_jitter(tries.made);
        let in_time = tries.start.elapsed() + backoff < policy.max_elapsed;
        if tries.made >= policy.max_attempts || !in_time || !self.budget.spend() {
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
    async fn until_done<T, F: Future<Output = Result<T>>>(
        &self,
        cx: &Context,
        may: impl Fn(&Error) -> bool,
        call: impl Fn() -> F,
    ) -> Result<T> {
        match call().await {
            Ok(answer) => {
                self.budget.earn();
                Ok(answer)
            }
            Err(e) if may(&e) => Box::pin(self.again_until_done(cx, e, may, call)).await,
            Err(e) => Err(e),
        }
    }
    async fn again_until_done<T, F: Future<Output = Result<T>>>(
        &self,
        cx: &Context,
        mut error: Error,
        may: impl Fn(&Error) -> bool,
        call: impl Fn() -> F,
    ) -> Result<T> {
        let mut tries = None;
        let mut unknown = error.outcome_is_unknown();
        while may(&error) {
            match self.again(cx, &mut tries, &error).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => return Err(still_unknown(unknown, e)),
            }
            match call().await {
                Ok(answer) => {
                    self.budget.earn();
                    return Ok(answer);
                }
                Err(e) => error = e,
            }
            unknown |= error.outcome_is_unknown();
        }
        Err(still_unknown(unknown, error))
    }

    fn may_repeat(&self, op: &Op, error: &Error) -> bool {
        match op {
            Op::Read(_) => error.is_retryable(),
            Op::Write(op) => self.may_write_again(op, error),
        }
    }
    fn may_write_again(&self, op: &Write, error: &Error) -> bool {
        let applied_once = !error.outcome_is_unknown();
        error.is_retryable()
            && (applied_once || (self.policy.retry_unknown_outcome && op.is_idempotent()))
    }

    /// The operations of a batch to be sent again: those that may be, unless something behind them
    /// on the same key has been carried out, or may have been. (Reads do not mind reads.)
    fn failed(&self, ops: &[Op], results: &[Result<Reply>]) -> Vec<usize> {
        // By key: whether a read, or a write, behind has been carried out.
        let mut done: HashMap<&Key, (bool, bool)> = HashMap::new();
        let mut again = Vec::new();
        for (i, (op, result)) in ops.iter().zip(results).enumerate().rev() {
            let behind = done.entry(op.key()).or_default();
            let is_write = matches!(op, Op::Write(_));
            let in_order = !(behind.1 || is_write && behind.0);
            match result {
                Err(e) if in_order && self.may_repeat(op, e) => again.push(i),
                _ if is_write => behind.1 = true,
                _ => behind.0 = true,
            }
        }
        again.reverse();
        again
    }
}

/// Of a write that may have been applied by an earlier try, that is still all that is known when a
/// later one fails.
fn still_unknown(unknown: bool, error: Error) -> Error {
    if unknown { error.with_unknown_outcome() } else { error }
}

impl<B: Backend> Wrapper for Retry<B> {
    type Inner = B;
    fn inner(&self) -> &B {
        &self.inner
    }
}

impl<B: Backend> Backend for Retry<B> {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        self.until_done(cx, Error::is_retryable, || self.inner.read(cx, op)).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        self.until_done(cx, |e| self.may_write_again(op, e), || self.inner.write(cx, op)).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        let mut results = self.inner.batch(cx, ops).await;
        let mut tries = None;
        while results.len() == ops.len() {
            let failed = match results.iter().any(Result::is_err) {
                true => self.failed(ops, &results),
                false => Vec::new(),
            };
            let Some(Err(because)) = failed.first().map(|i| &results[*i]) else {
                if results.iter().any(Result::is_ok) {
                    self.budget.earn();
                }
                break;
            };
            match self.again(cx, &mut tries, because).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) => {
                    for i in failed {
                        let unknown =
                            results[i].as_ref().is_err_and(|before| before.outcome_is_unknown());
                        results[i] = Err(still_unknown(unknown, e.clone()));
                    }
                    break;
                }
            }
            let rest: Vec<Op> = failed.iter().map(|i| ops[*i].clone()).collect();
            for (i, result) in failed.into_iter().zip(self.inner.batch(cx, &rest).await) {
                let before = std::mem::replace(&mut results[i], Ok(Reply::Done));
                let unknown = before.is_err_and(|e| e.outcome_is_unknown());
                results[i] = result.map_err(|e| still_unknown(unknown, e));
            }
        }
        results
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let may = |e: &Error| e.is_retryable() && !e.outcome_is_unknown();
        self.until_done(cx, may, || self.inner.transact(cx, writes)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_spent_whoever_succeeds_meanwhile() {
        let most = 20_000;
        let budget =
            Budget { left: AtomicU64::new(most * ONE + 1), most: 2 * most * ONE, per_success: 0 };
        let (end, mut spent) = (std::sync::atomic::AtomicBool::new(false), 0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !end.load(Ordering::Relaxed) {
                        budget.earn();
                    }
                });
            }
            while spent <= most && budget.spend() {
                spent += 1;
            }
            end.store(true, Ordering::Relaxed);
        });
        assert_eq!(spent, most);
    }
}

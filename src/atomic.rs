//! [`AtomicWrite`]: all of several writes or none, under conditions; and its [`Outcome`].

use crate::handle::Ticket;
use crate::op::Write;
use crate::{Backend, Conditional, Error, ErrorKind, Handle, Result, Store};

/// Several writes that are applied all together or not at all. Made by [`Store::atomic_write`].
///
/// All conditions (`set_nx`, `set_xx`, `set_eq`, `delete_xx`, `hset_nx`, `zadd_nx`, `zhadd_nx`) are
/// evaluated against the state before the write. If any fails, nothing is written, and
/// [`Outcome::ConditionFailed`] lists every one that failed. Any other error changes nothing,
/// either.
///
/// At most 100 writes. Each changes another key, or another member of a sorted set or sorted hash.
/// [`delete`](Self::delete) and the conditions of `set*` do not see sorted sets here.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use keyvaluestore::Outcome;
/// # let store = keyvaluestore::Store::memory();
/// # store.set("user_by_email:a@b.c", "1").await?;
/// let mut tx = store.atomic_write();
/// tx.set("user:2", "{}");
/// let name = tx.set_nx("user_by_name:bob", "2");
/// let email = tx.set_nx("user_by_email:a@b.c", "2");
/// match tx.exec().await? {
///     Outcome::Committed => println!("welcome"),
///     Outcome::ConditionFailed(failed) if failed.contains(name) => println!("the name is taken"),
///     Outcome::ConditionFailed(failed) => assert!(failed.contains(email)),
/// }
/// assert_eq!(store.get("user:2").await?, None);
/// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "nothing is written until `exec`"]
pub struct AtomicWrite<'s, B = crate::backend::DynBackend> {
    store: &'s Store<B>,
    ticket: Ticket,
    writes: Vec<Write>,
    /// The first error of an argument.
    refused: Option<Error>,
}

/// The result of an atomic write. Contention is an error instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "if a condition failed, nothing was written"]
#[allow(clippy::exhaustive_enums)] // it is written or it is not
pub enum Outcome {
    /// Every write was applied.
    Committed,
    /// These conditions did not hold, and nothing was written.
    ConditionFailed(FailedConditions),
}

impl Outcome {
    /// For a backend: the outcome, given the positions of the writes whose conditions failed.
    /// `Committed` if there are none.
    pub fn from_failed_conditions(positions: impl IntoIterator<Item = usize>) -> Self {
        let mut writes: Vec<usize> = positions.into_iter().collect();
        if writes.is_empty() {
            return Outcome::Committed;
        }
        writes.sort_unstable();
        Outcome::ConditionFailed(FailedConditions { ticket: Ticket::NONE, writes })
    }
    /// Whether it was written.
    pub fn is_committed(&self) -> bool {
        matches!(self, Outcome::Committed)
    }
}

/// The conditions that failed, at least one.
#[derive(Clone, Debug)]
pub struct FailedConditions {
    ticket: Ticket,
    writes: Vec<usize>,
}

impl FailedConditions {
    /// Whether the condition of `handle` failed. `false` for a handle of another atomic write.
    pub fn contains(&self, handle: Handle<Conditional>) -> bool {
        handle.ticket == self.ticket && self.writes.contains(&handle.index)
    }
    /// The positions of the writes whose conditions failed: ascending, counted from 0 in the order
    /// in which the writes were added.
    pub fn indices(&self) -> &[usize] {
        &self.writes
    }
}
// Outcomes of two atomic writes are equal if the same positions failed.
impl PartialEq for FailedConditions {
    fn eq(&self, other: &Self) -> bool {
        self.writes == other.writes
    }
}
impl Eq for FailedConditions {}

impl<'s, B: Backend> AtomicWrite<'s, B> {
    pub(crate) fn new(store: &'s Store<B>) -> Self {
        AtomicWrite { store, ticket: Ticket::next(), writes: Vec::new(), refused: None }
    }
    /// Adds a write given as data.
    pub fn push(&mut self, write: impl Into<Write>) -> Handle<Conditional> {
        self.try_push(Ok(write))
    }
    #[inline]
    pub(crate) fn try_push(&mut self, write: Result<impl Into<Write>>) -> Handle<Conditional> {
        let index = self.writes.len();
        match write {
            Ok(write) => self.writes.push(write.into()),
            Err(e) => {
                self.refused.get_or_insert_with(|| e.of_write(index));
            }
        }
        Handle::new(self.ticket, index)
    }
    /// The number of writes.
    pub fn len(&self) -> usize {
        self.writes.len()
    }
    /// Whether it has no writes. An empty atomic write commits without a round trip.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Applies the writes.
    ///
    /// One round trip. Redis: one script. DynamoDB: `TransactWriteItems`. FoundationDB: one
    /// transaction.
    ///
    /// # Errors
    /// `InvalidArgument` for more than 100 writes, or for two of the same target, with the
    /// positions of both; `Conflict` if it conflicted with other writes more often than the backend
    /// retries; and the errors of the methods that added the writes. On an error nothing was
    /// written, unless its [`outcome_is_unknown`](Error::outcome_is_unknown).
    pub async fn exec(mut self) -> Result<Outcome> {
        if let Some(refused) = self.refused.take() {
            return Err(refused.in_operation("atomic_write"));
        }
        let outcome = self.send().await.map_err(|e| e.in_operation("atomic_write"))?;
        Ok(match outcome {
            Outcome::ConditionFailed(failed) => {
                Outcome::ConditionFailed(FailedConditions { ticket: self.ticket, ..failed })
            }
            committed => committed,
        })
    }
    /// Applies writes that have no condition. [`exec`](Self::exec) has the cost and the other
    /// errors.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let store = keyvaluestore::Store::memory();
    /// let mut tx = store.atomic_write();
    /// tx.incr_by("visits", 1);
    /// tx.zadd("visitors", "alice", 1.0);
    /// tx.commit().await?;
    ///
    /// let mut tx = store.atomic_write();
    /// tx.set_nx("name", "alice"); // a condition, which `commit` cannot report
    /// assert!(tx.commit().await.is_err());
    /// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `InvalidArgument` if a write has a condition, before anything is sent. Call
    /// [`exec`](Self::exec), which returns whether it held.
    pub async fn commit(self) -> Result<()> {
        if let Some(i) = self.writes.iter().position(Write::has_condition) {
            return Err(Error::invalid("it has a condition, so `exec` it").of_write(i))
                .map_err(|e| e.in_operation("atomic_write"));
        }
        match self.exec().await? {
            Outcome::Committed => Ok(()),
            Outcome::ConditionFailed(_) => Err(Error::new(
                ErrorKind::Other,
                "the backend reports a failed condition, and there was none",
            )
            .in_operation("atomic_write")),
        }
    }
    async fn send(&mut self) -> Result<Outcome> {
        // The only place of these checks. Backends rely on them.
        let limits = self.store.limits();
        limits.check_together(&self.writes)?;
        for (i, op) in self.writes.iter().enumerate() {
            limits.check_write(op).map_err(|e| e.of_write(i))?;
        }
        if self.writes.is_empty() {
            return Ok(Outcome::Committed);
        }
        self.store.send_atomic(&mut self.writes).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_condition_is_not_committed_without_its_outcome() {
        use futures_util::FutureExt;
        let store = Store::memory();
        let conditional: [fn(&mut AtomicWrite<'_>); 7] = [
            |tx| {
                tx.set_nx("k", 1);
            },
            |tx| {
                tx.set_xx("k", 1);
            },
            |tx| {
                tx.set_eq("k", 1, 2);
            },
            |tx| {
                tx.delete_xx("k");
            },
            |tx| {
                tx.hset_nx("k", "f", 1);
            },
            |tx| {
                tx.zadd_nx("k", "m", 1.0);
            },
            |tx| {
                tx.zhadd_nx("k", "m", 1, 1.0);
            },
        ];
        for add in conditional {
            let mut tx = store.atomic_write();
            tx.set("other", 1);
            add(&mut tx);
            let error = tx.commit().now_or_never().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains("write 1"), "{error}");
        }
        assert_eq!(store.get("other").now_or_never().unwrap().unwrap(), None);
        let mut tx = store.atomic_write();
        tx.set("k", 1);
        tx.delete("absent");
        tx.zadd("z", "m", f64::NAN);
        assert!(tx.commit().now_or_never().unwrap().is_err());
        let mut tx = store.atomic_write();
        tx.set("k", 1);
        tx.delete("absent");
        tx.hset("h", [("f", 1)]);
        tx.commit().now_or_never().unwrap().unwrap();
        assert_eq!(store.get("k").now_or_never().unwrap().unwrap().unwrap(), "1");
    }

    #[test]
    fn the_positions_of_failed_conditions_ascend_whatever_a_backend_says() {
        let Outcome::ConditionFailed(failed) = Outcome::from_failed_conditions([4, 0, 2]) else {
            panic!("three conditions failed");
        };
        assert_eq!(failed.indices(), [0, 2, 4]);
        assert_eq!(Outcome::from_failed_conditions([]), Outcome::Committed);
    }
}

//! Conditional atomic writes: all of the writes or none, and which conditions failed.

use crate::handle::Ticket;
use crate::op::Write;
use crate::{Backend, Conditional, Error, ErrorKind, Handle, Result, Store};

/// Writes that happen together or not at all. From [`Store::atomic_write`].
///
/// Conditions (`set_nx`, `set_xx`, `set_eq`, `delete_xx`, `hset_nx`, `zadd_nx`, `zhadd_nx`) are
/// judged against the state before the write, all of them; if any fails, nothing is written, and
/// [`Outcome::ConditionFailed`] tells every one that did. Any other error, too, leaves everything
/// as it was.
///
/// Up to 100 writes, each item at most once: a key, or in a sorted set or sorted hash a member.
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
    /// The first thing that was wrong with an argument.
    refused: Option<Error>,
}

/// How an atomic write ended. Contention is an error instead.
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
    /// What a backend answers: the positions of the writes whose conditions failed. It is committed
    /// if there are none.
    pub fn from_failed_conditions(positions: impl IntoIterator<Item = usize>) -> Self {
        let mut writes: Vec<usize> = positions.into_iter().collect();
        if writes.is_empty() {
            return Outcome::Committed;
        }
        writes.sort_unstable();
        Outcome::ConditionFailed(FailedConditions { ticket: Ticket::NONE, writes })
    }
    /// Whether it was written, for who does not need to know what stood in the way.
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
    /// Whether the condition behind `handle` is one of them. A handle of another atomic write never
    /// is.
    pub fn contains(&self, handle: Handle<Conditional>) -> bool {
        handle.ticket == self.ticket && self.writes.contains(&handle.index)
    }
    /// The positions of the writes whose conditions failed, from 0, in the order in which they were
    /// added.
    pub fn indices(&self) -> &[usize] {
        &self.writes
    }
}
// Which atomic write it was does not make two outcomes differ.
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
    /// Adds a write that you hold as data.
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
    /// How many writes it holds.
    pub fn len(&self) -> usize {
        self.writes.len()
    }
    /// Whether it holds none. Nothing at all can always be written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Carries it out.
    ///
    /// One round trip. Redis: one script. DynamoDB: `TransactWriteItems`.
    ///
    /// # Errors
    /// `InvalidArgument` for more than 100 writes, or two of the same item, naming the two; what
    /// the methods of its writes say; `Conflict` if other writes got in the way too often. Nothing
    /// was written then. Only an error whose [`outcome_is_unknown`](Error::outcome_is_unknown)
    /// leaves that open.
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
    /// Carries out writes that have no condition. See [`exec`](Self::exec) for its cost and the
    /// other errors.
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
    /// tx.set_nx("name", "alice"); // may fail, and `commit` could not report it
    /// assert!(tx.commit().await.is_err());
    /// # Ok::<_, keyvaluestore::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `InvalidArgument` if a write has a condition, before anything is sent: [`exec`](Self::exec)
    /// returns whether it held.
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
        // Every backend can rely on these checks, so they are made once and here.
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

//! [`Core`]: what the clones of a cache share. It reads a missed key once for all that wait for it
//! (single flight), stores the reply if the gate allows that, and invalidates keys at writes.

use super::CacheOptions;
use super::counters::HitCounters;
use super::gate::{Gate, PendingRead, PendingWrite, State};
use super::table::Table;
use crate::backend::{Consistency, Context};
use crate::op::{Read, Reply, Write};
use crate::{Backend, Key, Outcome, Result};
use std::time::Instant;
use tokio::sync::oneshot;

/// A read in flight, and the calls that wait for its reply. They receive `None` if it fails, and an
/// error of the channel if it is cancelled.
pub(super) struct InFlight {
    epoch: u64,
    consistency: Consistency,
    read: Read,
    waiters: Vec<oneshot::Sender<Option<Reply>>>,
}

type Waiter = oneshot::Receiver<Option<Reply>>;

/// What a miss finds under the lock of its key, if it does not have to read itself.
enum Lookup {
    /// The reply was stored in the meantime.
    Cached(Reply),
    /// The same read is in flight.
    Joined(Waiter),
}

pub(super) struct Core<T> {
    pub(super) table: T,
    counters: HitCounters,
    gate: Gate<InFlight>,
    options: CacheOptions,
}

impl<T: Table> Core<T> {
    pub(super) fn new(options: CacheOptions, table: T, stripes: usize, counters: usize) -> Self {
        let gate = Gate::new(stripes, options.settle_time);
        Core { table, counters: HitCounters::new(counters), gate, options }
    }

    /// The stored answer, if there is one. Counts a hit or a miss.
    #[inline]
    pub(super) fn get(&self, cx: &Context, read: &Read) -> Option<Reply> {
        let reply = self.table.get(cx.consistency, read);
        match reply {
            Some(_) => self.counters.hit(),
            None => self.counters.miss(),
        }
        reply
    }
    /// Counts a miss of a read that is not answered from the table.
    pub(super) fn count_miss(&self) {
        self.counters.miss();
    }
    /// Hits and misses.
    pub(super) fn counts(&self) -> (u64, u64) {
        self.counters.sums()
    }

    /// Reads from `inner`, or waits for the same read that is in flight.
    pub(super) async fn miss<B: Backend>(
        &self,
        inner: &B,
        cx: &Context,
        read: &Read,
    ) -> Result<Reply> {
        loop {
            let waiter = match self.join_or_lead(cx.consistency, read) {
                Ok(leader) => {
                    let result = inner.read(cx, read).await;
                    leader.finish(&result);
                    return result;
                }
                Err(Lookup::Cached(reply)) => return Ok(reply),
                Err(Lookup::Joined(waiter)) => waiter,
            };
            match waiter.await {
                Ok(Some(reply)) => return Ok(reply),
                // The leader failed. The waiters' own calls have not: all of them read at once.
                Ok(None) => return self.read_alone(inner, cx, read).await,
                // The leader was cancelled: one of the waiters becomes the leader.
                Err(_) => {}
            }
        }
    }
    async fn read_alone<B: Backend>(&self, inner: &B, cx: &Context, read: &Read) -> Result<Reply> {
        let pending = self.start_read(cx, read);
        let result = inner.read(cx, read).await;
        self.end_read(cx, read, pending, &result);
        result
    }

    fn join_or_lead<'c>(
        &'c self,
        consistency: Consistency,
        read: &'c Read,
    ) -> Result<Leader<'c, T>, Lookup> {
        let lookup = |state: &mut State<InFlight>, epoch: Option<u64>| {
            if let Some(reply) = self.table.get(consistency, read) {
                return Some(Lookup::Cached(reply));
            }
            // Nobody joins a read while a write is in flight: of two reads one may see the old
            // value and the other the new one, and nobody may see the old one after the new one.
            let epoch = epoch?;
            let is_same = |it: &&mut InFlight| it.is_same(epoch, consistency, read);
            if let Some(in_flight) = state.in_flight.iter_mut().find(is_same) {
                return Some(Lookup::Joined(in_flight.join()));
            }
            let (read, waiters) = (read.clone(), Vec::new());
            state.in_flight.push(InFlight { epoch, consistency, read, waiters });
            None
        };
        let eventual = consistency == Consistency::Eventual;
        let pending = self.gate.start_read(self.hash(read.key()), eventual, lookup)?;
        Ok(Leader { core: self, consistency, read, pending: Some(pending) })
    }

    /// Starts a read that nobody joins.
    pub(super) fn start_read(&self, cx: &Context, read: &Read) -> PendingRead<'_, InFlight> {
        let eventual = cx.consistency == Consistency::Eventual;
        let no_lookup = |_: &mut State<InFlight>, _| None::<std::convert::Infallible>;
        match self.gate.start_read(self.hash(read.key()), eventual, no_lookup) {
            Ok(pending) => pending,
            Err(never) => match never {},
        }
    }
    /// Ends such a read, and stores its reply if that is allowed.
    pub(super) fn end_read(
        &self,
        cx: &Context,
        read: &Read,
        pending: PendingRead<'_, InFlight>,
        result: &Result<Reply>,
    ) {
        pending.end(|_, may_cache| self.store(may_cache, cx.consistency, read, result));
    }
    /// Errors are never stored.
    fn store(
        &self,
        may_cache: bool,
        consistency: Consistency,
        read: &Read,
        result: &Result<Reply>,
    ) {
        if let (true, Ok(reply)) = (may_cache, result) {
            let expires = self.options.time_to_live.map(|time| Instant::now() + time);
            self.table.insert(consistency, read, reply, expires);
        }
    }

    pub(super) async fn write<B: Backend>(
        &self,
        inner: &B,
        cx: &Context,
        op: &Write,
    ) -> Result<Reply> {
        let mut pending = self.start_write(op.key());
        let result = inner.write(cx, op).await;
        if is_certain(&result) {
            pending.mark_certain();
        }
        result
    }
    pub(super) async fn transact<B: Backend>(
        &self,
        inner: &B,
        cx: &Context,
        writes: &[Write],
    ) -> Result<Outcome> {
        let mut pending: Vec<_> = writes.iter().map(|op| self.start_write(op.key())).collect();
        let outcome = inner.transact(cx, writes).await;
        if is_certain(&outcome) {
            pending.iter_mut().for_each(PendingWrite::mark_certain);
        }
        outcome
    }

    /// Starts a write to `key`, which invalidates it. The write ends when the guard is dropped.
    pub(super) fn start_write(&self, key: &Key) -> PendingWrite<'_, InFlight> {
        let grace = self.options.eventual_grace;
        self.gate.start_write(self.hash(key), || {
            let eventual_until = (!grace.is_zero()).then(|| Instant::now() + grace);
            self.table.invalidate(key, eventual_until);
        })
    }
    pub(super) fn invalidate(&self, key: &Key) {
        let invalidate = || self.table.invalidate(key, None);
        self.gate.start_write(self.hash(key), invalidate).mark_certain();
    }
    pub(super) fn invalidate_all(&self) {
        self.gate.write_all(|| self.table.clear());
    }
    /// The hash by which a batch notes the keys that it writes.
    pub(super) fn hash(&self, key: &Key) -> u64 {
        self.gate.hash(key)
    }
}

/// Whether it is known if a write was applied.
pub(super) fn is_certain<R>(result: &Result<R>) -> bool {
    result.as_ref().err().is_none_or(|e| !e.outcome_is_unknown())
}

impl InFlight {
    fn is_same(&self, epoch: u64, consistency: Consistency, read: &Read) -> bool {
        self.epoch == epoch && self.consistency == consistency && self.read == *read
    }
    fn join(&mut self) -> Waiter {
        let (sender, waiter) = oneshot::channel();
        // Cancelled waiters are removed before the list grows, so they take no memory.
        if self.waiters.len() == self.waiters.capacity() {
            self.waiters.retain(|waiter| !waiter.is_closed());
        }
        self.waiters.push(sender);
        waiter
    }
}

/// The read that all waiters share. If it is dropped without [`finish`](Self::finish), the read was
/// cancelled.
struct Leader<'c, T: Table> {
    core: &'c Core<T>,
    consistency: Consistency,
    read: &'c Read,
    pending: Option<PendingRead<'c, InFlight>>,
}

impl<T: Table> Leader<'_, T> {
    fn finish(mut self, result: &Result<Reply>) {
        self.end(Some(result));
    }
    fn end(&mut self, result: Option<&Result<Reply>>) {
        let Some(pending) = self.pending.take() else { return };
        let epoch = pending.epoch();
        let in_flight = pending.end(|state, may_cache| {
            if let Some(result) = result {
                self.core.store(may_cache, self.consistency, self.read, result);
            }
            self.take_in_flight(state, epoch?)
        });
        // Outside of the lock, as it wakes the waiters.
        if let (Some(in_flight), Some(result)) = (in_flight, result) {
            for waiter in in_flight.waiters {
                // An error means that the waiter was cancelled.
                let _ = waiter.send(result.as_ref().ok().cloned());
            }
        }
    }
    fn take_in_flight(&self, state: &mut State<InFlight>, epoch: u64) -> Option<InFlight> {
        let is_same = |it: &InFlight| it.is_same(epoch, self.consistency, self.read);
        let at = state.in_flight.iter().position(is_same)?;
        Some(state.in_flight.swap_remove(at))
    }
}

impl<T: Table> Drop for Leader<'_, T> {
    fn drop(&mut self) {
        self.end(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Get;
    use crate::wrap::Cache;
    use crate::{Memory, Store};
    use futures_util::FutureExt;

    /// Otherwise a call that misses just before the one read is stored would read a second time.
    #[test]
    fn a_miss_looks_again_under_the_lock() {
        let memory = Memory::new();
        let cache = Cache::shared(memory.clone(), CacheOptions::max_replies(10));
        let (cx, read) = (Context::default(), Read::from(Get::new("k")));
        cache.read(&cx, &read).now_or_never().unwrap().unwrap();
        Store::new(memory.clone()).set("k", "past the cache").now_or_never().unwrap().unwrap();
        let missed = cache.core.miss(&memory, &cx, &read).now_or_never().unwrap().unwrap();
        assert_eq!(missed, Reply::Value(None));
    }
}

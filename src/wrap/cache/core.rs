//! What the clones of a cache share: the table, the gate in front of it, and the reads that others
//! may join.

use super::copies::Room;
use super::counts::Counts;
use super::entry::Entry;
use super::gate::{Gate, Reading, State, Writing};
use super::table::Table;
use super::{CacheOptions, CacheStats};
use crate::backend::{Consistency, Context};
use crate::op::{Op, Read, Reply};
use crate::{Backend, Key, Result};
use std::time::Instant;
use tokio::sync::oneshot;

/// One read that is under way, and who waits for it. `None` tells them that it has failed; to be
/// dropped tells them that it was given up.
pub(super) struct Flight {
    noted: u64,
    how: Consistency,
    read: Read,
    waiting: Vec<oneshot::Sender<Option<Reply>>>,
}

type Landing = oneshot::Receiver<Option<Reply>>;

/// What a miss meets under the lock of its key.
enum Met {
    /// Somebody has kept it meanwhile.
    Known(Reply),
    /// Somebody reads it already.
    UnderWay(Landing),
}

pub(super) struct Core {
    table: Table,
    gate: Gate<Flight>,
    pub(super) counts: Counts,
    options: CacheOptions,
}

impl Core {
    pub(super) fn new(options: CacheOptions, table: Table, stripes: usize, places: usize) -> Self {
        let gate = Gate::new(stripes, options.settle_time);
        Core { table, gate, counts: Counts::new(places), options }
    }

    /// The answer, if it is known.
    #[inline]
    pub(super) fn look(&self, cx: &Context, read: &Read) -> Option<Reply> {
        self.table.with(read.key(), |entry, room| entry.answer(cx.consistency, read, room))
    }
    pub(super) fn contains(&self, key: &Key) -> bool {
        self.table.get(key).is_some_and(|entry| entry.is_alive())
    }
    pub(super) fn counted(&self) -> CacheStats {
        let (hits, misses) = self.counts.sums();
        CacheStats { hits, misses, evictions: self.table.evicted(), size: self.table.weight() }
    }

    /// Asks `inner`, or waits for whoever is asking it the same.
    pub(super) async fn miss<B: Backend>(
        &self,
        inner: &B,
        cx: &Context,
        read: &Read,
    ) -> Result<Reply> {
        let number = self.gate.number(read.key());
        loop {
            let landing = match self.meet(number, cx.consistency, read) {
                Ok(reading) => {
                    let leader =
                        Leader { core: self, how: cx.consistency, read, reading: Some(reading) };
                    let result = inner.read(cx, read).await;
                    leader.land(&result);
                    return result;
                }
                Err(Met::Known(reply)) => return Ok(reply),
                Err(Met::UnderWay(landing)) => landing,
            };
            match landing.await {
                Ok(Some(reply)) => return Ok(reply),
                // What has failed for one may work for another, and all of them try at once.
                Ok(None) => return self.alone(inner, cx, read).await,
                // It was given up: one of those who waited takes it over.
                Err(_) => {}
            }
        }
    }
    async fn alone<B: Backend>(&self, inner: &B, cx: &Context, read: &Read) -> Result<Reply> {
        let reading = self.reading(cx, read);
        let result = inner.read(cx, read).await;
        self.keep(cx, read, reading, &result);
        result
    }

    fn meet(&self, number: u64, how: Consistency, read: &Read) -> Result<Reading<'_, Flight>, Met> {
        self.gate.read(number, how == Consistency::Eventual, |state, noted| {
            let answer = |entry: &Entry, room: Option<Room<'_>>| entry.answer(how, read, room);
            if let Some(reply) = self.table.with(read.key(), answer) {
                return Some(Met::Known(reply));
            }
            // Whoever reads while a write is in flight reads alone: two of them may see different
            // things, and nobody may see the older one after the newer one.
            let noted = noted?;
            let same = |f: &&mut Flight| f.noted == noted && f.how == how && f.read == *read;
            if let Some(flight) = state.flights.iter_mut().find(same) {
                let (sender, landing) = oneshot::channel();
                // Whoever has given up takes no room, however many there are.
                if flight.waiting.len() == flight.waiting.capacity() {
                    flight.waiting.retain(|waiting| !waiting.is_closed());
                }
                flight.waiting.push(sender);
                return Some(Met::UnderWay(landing));
            }
            let read = read.clone();
            state.flights.push(Flight { noted, how, read, waiting: Vec::new() });
            None
        })
    }

    /// A read that nobody may join.
    pub(super) fn reading(&self, cx: &Context, read: &Read) -> Reading<'_, Flight> {
        let (number, eventual) =
            (self.gate.number(read.key()), cx.consistency == Consistency::Eventual);
        let started = self.gate.read(number, eventual, |_, _| None::<std::convert::Infallible>);
        match started {
            Ok(reading) => reading,
            Err(never) => match never {},
        }
    }
    /// Such a read has ended: its reply is kept, if it may be. Errors never are.
    pub(super) fn keep(
        &self,
        cx: &Context,
        read: &Read,
        reading: Reading<'_, Flight>,
        result: &Result<Reply>,
    ) {
        reading.end(|_, may| self.put(may, cx.consistency, read, result));
    }
    fn put(&self, may: bool, how: Consistency, read: &Read, result: &Result<Reply>) {
        if let (true, Ok(reply)) = (may, result) {
            let dies = self.options.time_to_live.map(|time| Instant::now() + time);
            let old = self.table.get(read.key());
            let entry = Entry::with(old.as_deref(), how, read, reply, dies);
            self.table.put(read.key(), entry, how);
        }
    }

    /// A write to `key` begins. It ends when the answer is dropped.
    pub(super) fn write(&self, key: &Key) -> Writing<'_, Flight> {
        self.gate.write(self.gate.number(key), || self.forget(key))
    }
    fn forget(&self, key: &Key) {
        let spared = match self.options.eventual_grace.is_zero() {
            true => None,
            false => self
                .table
                .get(key)
                .and_then(|old| old.outdated(Instant::now() + self.options.eventual_grace)),
        };
        match spared {
            None => self.table.remove(key),
            Some(entry) => self.table.put(key, entry, Consistency::Eventual),
        }
    }
    pub(super) fn invalidate(&self, key: &Key) {
        let mut writing = self.gate.write(self.gate.number(key), || self.table.remove(key));
        writing.mark_certain();
    }
    pub(super) fn invalidate_all(&self) {
        self.gate.write_all(|| self.table.clear());
    }
    /// Where the keys of earlier writes of a batch are noted.
    pub(super) fn number(&self, op: &Op) -> u64 {
        self.gate.number(op.key())
    }
}

/// Carries out a read for all that wait for it. Dropped without [`land`](Self::land), it was given
/// up.
struct Leader<'c> {
    core: &'c Core,
    how: Consistency,
    read: &'c Read,
    reading: Option<Reading<'c, Flight>>,
}

/// Takes the flight that was begun at `noted`.
fn take(state: &mut State<Flight>, noted: u64, how: Consistency, read: &Read) -> Option<Flight> {
    let same = |f: &Flight| f.noted == noted && f.how == how && f.read == *read;
    let at = state.flights.iter().position(same)?;
    Some(state.flights.swap_remove(at))
}

impl Leader<'_> {
    fn land(mut self, result: &Result<Reply>) {
        self.end(Some(result));
    }
    fn end(&mut self, result: Option<&Result<Reply>>) {
        let Some(reading) = self.reading.take() else { return };
        let noted = reading.noted();
        let flight = reading.end(|state, may| {
            if let Some(result) = result {
                self.core.put(may, self.how, self.read, result);
            }
            take(state, noted?, self.how, self.read)
        });
        // Outside of the lock, as it wakes whoever waits.
        if let (Some(flight), Some(result)) = (flight, result) {
            for waiting in flight.waiting {
                // Whoever has gone does not mind.
                let _ = waiting.send(result.as_ref().ok().cloned());
            }
        }
    }
}

impl Drop for Leader<'_> {
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

    /// Who misses just before the one read is kept would read a second time.
    #[test]
    fn whoever_has_missed_looks_again_under_the_lock() {
        let memory = Memory::new();
        let cache = Cache::shared(memory.clone(), CacheOptions::max_replies(10));
        let (cx, read) = (Context::default(), Read::from(Get::new("k")));
        cache.read(&cx, &read).now_or_never().unwrap().unwrap();
        Store::new(memory.clone()).set("k", "past the cache").now_or_never().unwrap().unwrap();
        let missed = cache.core.miss(&memory, &cx, &read).now_or_never().unwrap().unwrap();
        assert_eq!(missed, Reply::Value(None));
    }
}

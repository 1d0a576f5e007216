//! How much of a batch is under way at once: so many requests, and so many bytes, that each has its
//! share of the network and is answered in time.
//!
//! What is written has a known size, so groups are cut by bytes and wait for one another. What is
//! read has not: a group of 100 items is 400 bytes or 16 MB. So few groups begin, and after the
//! first answers each asks for as many items as came in [`AIM`]; one that has timed out asks for
//! far fewer.

use super::call::Trip;
use super::read::GROUP;
use crate::backend::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Bytes under way at once. With base64 they take five seconds of 9 Mbit/s.
const IN_FLIGHT: usize = 4 << 20;
/// Bytes of one group of writes.
pub(super) const OF_GROUP: usize = 1 << 20;
/// A group of reads of which nothing is known, and one of which something is.
const UNKNOWN: usize = IN_FLIGHT / 4;
const KNOWN: usize = IN_FLIGHT / 64;
/// How long a group of reads should take.
const AIM: Duration = Duration::from_secs(2);

/// What the requests of one batch have learned of the network.
#[derive(Debug)]
pub(super) struct Flow {
    /// How many items a read asks for. 0 until one was answered.
    items: AtomicUsize,
}

impl Flow {
    pub(super) fn new() -> Self {
        Flow { items: AtomicUsize::new(0) }
    }
    /// How many of the items that are left the next read asks for.
    pub(super) fn share(&self, left: usize) -> usize {
        match self.items.load(Ordering::Relaxed) {
            0 => left,
            items => left.min(items),
        }
    }
    pub(super) fn answered(&self, items: usize, after: Duration) {
        let fit = AIM.as_secs_f64() / after.as_secs_f64() * items as f64;
        // In range, and an infinity is the most that there is.
        let fit = fit.clamp(1.0, GROUP as f64) as usize;
        self.items.store(fit, Ordering::Relaxed);
    }
    pub(super) fn timed_out(&self, asked: usize) {
        self.items.store((asked / 10).max(1), Ordering::Relaxed);
    }
    fn weight(&self, size: Size) -> usize {
        match size {
            Size::Bytes(bytes) => bytes,
            Size::Items if self.items.load(Ordering::Relaxed) == 0 => UNKNOWN,
            Size::Items => KNOWN,
        }
    }
}

/// What a job takes of the network.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    Bytes(usize),
    /// A group of items to be read.
    Items,
}

/// What is sent by itself: one request after another, if it takes several.
pub(super) struct Job<'j, T> {
    size: Size,
    run: BoxFuture<'j, T>,
}

impl<'j, T> Job<'j, T> {
    pub(super) fn new(size: Size, run: impl Future<Output = T> + Send + 'j) -> Self {
        Job { size, run: Box::pin(run) }
    }
}

/// Runs jobs at once, but not more than the options allow, and not more than [`IN_FLIGHT`]; one is
/// always run.
pub(super) async fn at_once<T>(trip: &Trip<'_>, flow: &Flow, jobs: Vec<Job<'_, T>>) -> Vec<T> {
    let mut done = Vec::with_capacity(jobs.len());
    let mut jobs = jobs.into_iter().peekable();
    if jobs.len() == 1
        && let Some(job) = jobs.next()
    {
        // Nothing to run beside it.
        done.push(job.run.await);
        return done;
    }
    let (mut running, mut bytes) = (FuturesUnordered::new(), 0);
    loop {
        while running.len() < trip.width
            && let Some(job) =
                jobs.next_if(|job| running.is_empty() || bytes + flow.weight(job.size) <= IN_FLIGHT)
        {
            let weight = flow.weight(job.size);
            bytes += weight;
            running.push(async move { (weight, job.run.await) });
        }
        let Some((weight, one)) = running.next().await else { return done };
        bytes -= weight;
        done.push(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ask_for_as_many_items_as_come_in_time() {
        let flow = Flow::new();
        assert_eq!(flow.share(70), 70);
        flow.answered(100, Duration::from_secs(8));
        assert_eq!((flow.share(70), flow.share(7)), (25, 7));
        flow.answered(25, Duration::ZERO);
        assert_eq!(flow.share(1_000), GROUP);
        flow.timed_out(100);
        assert_eq!(flow.share(100), 10);
        flow.timed_out(1);
        assert_eq!(flow.share(100), 1);
        flow.answered(1, Duration::from_secs(1_000));
        assert_eq!(flow.share(100), 1);
        flow.answered(0, Duration::from_secs(1));
        assert_eq!(flow.share(100), 1);
    }
}

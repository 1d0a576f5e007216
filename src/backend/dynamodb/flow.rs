//! Flow control of a batch: limits the requests and bytes in flight, so that each response arrives
//! before its timeout also over a slow network.
//!
//! The size of a write is known: groups are cut by bytes. The size of a read is not: a group of 100
//! items has 400 bytes or 16 MB. So few groups start at once. After the first response, a request
//! asks for as many items as arrive in [`TARGET_LATENCY`]; after a timeout, for a tenth.

use super::call::RequestContext;
use crate::backend::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The limit of `BatchGetItem`.
pub(super) const MAX_GET_ITEMS: usize = 100;
/// With base64, five seconds at 9 Mbit/s.
const MAX_BYTES_IN_FLIGHT: usize = 4 << 20;
pub(super) const MAX_WRITE_GROUP_BYTES: usize = 1 << 20;
/// The assumed size of a group of reads before and after the first response.
const UNMEASURED_READ_BYTES: usize = MAX_BYTES_IN_FLIGHT / 4;
const MEASURED_READ_BYTES: usize = MAX_BYTES_IN_FLIGHT / 64;
/// How long a group of reads should take.
const TARGET_LATENCY: Duration = Duration::from_secs(2);

/// What the requests of one batch have measured.
#[derive(Debug)]
pub(super) struct FlowControl {
    /// How many items a read asks for. 0 until the first response.
    items: AtomicUsize,
}

impl FlowControl {
    pub(super) fn new() -> Self {
        FlowControl { items: AtomicUsize::new(0) }
    }
    /// How many of the remaining items the next read asks for.
    pub(super) fn next_read_size(&self, left: usize) -> usize {
        match self.items.load(Ordering::Relaxed) {
            0 => left,
            items => left.min(items),
        }
    }
    pub(super) fn on_response(&self, items: usize, after: Duration) {
        let fit = TARGET_LATENCY.as_secs_f64() / after.as_secs_f64() * items as f64;
        // A latency of zero gives infinity, which is clamped.
        let fit = fit.clamp(1.0, MAX_GET_ITEMS as f64) as usize;
        self.items.store(fit, Ordering::Relaxed);
    }
    pub(super) fn on_timeout(&self, requested: usize) {
        self.items.store((requested / 10).max(1), Ordering::Relaxed);
    }
    fn estimate(&self, size: Size) -> usize {
        match size {
            Size::Bytes(bytes) => bytes,
            Size::Read if self.items.load(Ordering::Relaxed) == 0 => UNMEASURED_READ_BYTES,
            Size::Read => MEASURED_READ_BYTES,
        }
    }
}

/// The network traffic of a job.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    Bytes(usize),
    /// A group of items that are read. Their size is unknown.
    Read,
}

/// One request, or several that depend on each other.
pub(super) struct Job<'j, T> {
    size: Size,
    run: BoxFuture<'j, T>,
}

impl<'j, T> Job<'j, T> {
    pub(super) fn new(size: Size, run: impl Future<Output = T> + Send + 'j) -> Self {
        Job { size, run: Box::pin(run) }
    }
}

/// Runs jobs concurrently, up to `max_concurrency` and [`MAX_BYTES_IN_FLIGHT`]. A job larger than
/// that runs alone.
pub(super) async fn run_concurrently<T>(
    cx: &RequestContext<'_>,
    flow: &FlowControl,
    jobs: Vec<Job<'_, T>>,
) -> Vec<T> {
    let mut done = Vec::with_capacity(jobs.len());
    let mut jobs = jobs.into_iter().peekable();
    if jobs.len() == 1
        && let Some(job) = jobs.next()
    {
        done.push(job.run.await);
        return done;
    }
    let (mut running, mut bytes) = (FuturesUnordered::new(), 0);
    loop {
        while running.len() < cx.max_concurrency
            && let Some(job) = jobs.next_if(|job| {
                running.is_empty() || bytes + flow.estimate(job.size) <= MAX_BYTES_IN_FLIGHT
            })
        {
            let size = flow.estimate(job.size);
            bytes += size;
            running.push(async move { (size, job.run.await) });
        }
        let Some((size, result)) = running.next().await else { return done };
        bytes -= size;
        done.push(result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ask_for_as_many_items_as_come_in_time() {
        let flow = FlowControl::new();
        assert_eq!(flow.next_read_size(70), 70);
        flow.on_response(100, Duration::from_secs(8));
        assert_eq!((flow.next_read_size(70), flow.next_read_size(7)), (25, 7));
        flow.on_response(25, Duration::ZERO);
        assert_eq!(flow.next_read_size(1_000), MAX_GET_ITEMS);
        flow.on_timeout(100);
        assert_eq!(flow.next_read_size(100), 10);
        flow.on_timeout(1);
        assert_eq!(flow.next_read_size(100), 1);
        flow.on_response(1, Duration::from_secs(1_000));
        assert_eq!(flow.next_read_size(100), 1);
        flow.on_response(0, Duration::from_secs(1));
        assert_eq!(flow.next_read_size(100), 1);
    }
}

//! The queue of the writing thread: group commit and fairness.
//!
//! - A short job runs as soon as it arrives, in the open transaction. It waits for at most one part
//!   of a long job, and for a commit.
//! - Long jobs take turns, one part at a time.
//! - The transaction is committed if a caller waits for a reply, or if it is so large that the next
//!   caller would wait for its commit. So a batch without competition has few and large commits,
//!   which cost far less than many small ones.

use super::commit_job::CommitJob;
use super::shared::Message;
use super::tx::WriteTx;
use crate::Result;
use crossbeam_channel::Receiver;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Maximum rows that a part of a batch changes. A job that changes as many is a long one.
pub(super) const MAX_PART_ROWS: usize = 200;

/// A transaction with a waiting caller is committed after this many changed rows.
const MAX_SHARED_COMMIT_ROWS: usize = 500;

/// Any transaction is committed after this many changed rows.
const MAX_COMMIT_ROWS: usize = 8_000;

/// Maximum short jobs in a commit.
const MAX_GROUP_JOBS: usize = 1_024;

/// Maximum wait for more jobs to join a commit.
const MAX_GATHER_TIME: Duration = Duration::from_millis(2);

pub(super) type Jobs = Receiver<Message<Box<dyn CommitJob>>>;

/// The queued jobs, and those that have run in the open transaction.
///
/// Callers that write in a loop come back right after their reply, but not within the same
/// microsecond. A commit that started with the first of them would leave the others to the next
/// one, and every second commit would be nearly empty. So after a group of several jobs, the queue
/// waits briefly for as many. A single writer never waits.
#[derive(Default)]
pub(super) struct CommitQueue {
    /// Short jobs that have not run.
    short: Vec<Box<dyn CommitJob>>,
    short_rows: usize,
    /// Long jobs that have not finished.
    long: VecDeque<Box<dyn CommitJob>>,
    /// Jobs that have finished. They get their replies after the commit.
    ready: Vec<Box<dyn CommitJob>>,
    /// Whether the store is being closed.
    pub(super) stopped: bool,
    last_group: usize,
    last_commit: Duration,
}

impl CommitQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.short.is_empty() && self.long.is_empty()
    }

    pub(super) fn push(&mut self, message: Message<Box<dyn CommitJob>>) {
        match message {
            Message::Do(job)
                if job.is_long() || job.next().is_some_and(|rows| rows >= MAX_PART_ROWS) =>
            {
                self.long.push_back(job);
            }
            Message::Do(job) => {
                self.short_rows += job.next().unwrap_or_default();
                self.short.push(job);
            }
            Message::Stop => self.stopped = true,
        }
    }
    /// Receives queued jobs, up to the size of a group.
    fn take_in(&mut self, jobs: &Jobs) {
        while !self.stopped
            && self.short.len() < MAX_GROUP_JOBS
            && self.short_rows < MAX_COMMIT_ROWS
            && let Ok(message) = jobs.try_recv()
        {
            self.push(message);
        }
    }
    /// Waits briefly for callers whose last writes shared a commit.
    pub(super) fn gather(&mut self, jobs: &Jobs) {
        self.take_in(jobs);
        let timeout = (self.last_commit / 4).min(MAX_GATHER_TIME);
        let until = Instant::now() + timeout;
        while self.last_group > 1
            && self.short.len() < self.last_group.min(MAX_GROUP_JOBS)
            && self.short_rows < MAX_COMMIT_ROWS
            && self.long.is_empty()
            && !self.stopped
            && let Ok(message) = jobs.recv_deadline(until)
        {
            self.push(message);
        }
    }

    /// Runs the jobs that share the next commit.
    pub(super) fn run(&mut self, tx: &WriteTx<'_>, jobs: &Jobs) {
        let mut rows = self.run_short(tx);
        // At least one part of a long job runs in each commit, to prevent starvation.
        while !tx.broken()
            && let Some(mut job) = self.long.pop_front()
        {
            rows = rows.saturating_add(job.next().unwrap_or_default());
            job.run(tx);
            match job.next() {
                None => self.ready.push(job),
                Some(_) => self.long.push_back(job),
            }
            self.take_in(jobs);
            rows = rows.saturating_add(self.run_short(tx));
            let max_rows =
                if self.ready.is_empty() { MAX_COMMIT_ROWS } else { MAX_SHARED_COMMIT_ROWS };
            if rows >= max_rows {
                break;
            }
        }
    }
    /// Returns the number of changed rows.
    fn run_short(&mut self, tx: &WriteTx<'_>) -> usize {
        for mut job in self.short.drain(..) {
            job.run(tx);
            self.ready.push(job);
        }
        std::mem::take(&mut self.short_rows)
    }

    /// Called after the commit, with its result and duration.
    pub(super) fn finish(&mut self, committed: &Result<()>, took: Duration) {
        let nothing_has_run = self.ready.is_empty() && !self.long.iter().any(|job| job.is_open());
        self.last_group = self.ready.len();
        self.last_commit = took;
        let committed = committed.as_ref().copied();
        self.ready.drain(..).for_each(|mut job| job.finish(committed));
        self.long.retain_mut(|job| {
            job.finish(committed);
            job.next().is_some()
        });
        if let Err(e) = committed {
            // If nothing could run, queued jobs fail now instead of waiting for ever.
            let waiting = if nothing_has_run { self.long.len() } else { 0 };
            let waiting = self.long.drain(..waiting).chain(self.short.drain(..));
            waiting.for_each(|mut job| job.fail(e));
            self.short_rows = 0;
        }
    }
}

//! Who goes next: what shares a commit, and when there is one.
//!
//! A short program waits for one part of a long one, and a commit, at most: it runs as soon as it
//! comes, in the transaction that is open. Long programs take turns, a part at a time. The
//! transaction is committed when a caller waits for an answer, or when it has become so large that
//! the next caller would wait for its commit. An undisturbed batch goes on in few and large
//! commits, which cost far less than many small ones.

use super::commit_job::CommitJob;
use super::shared::Message;
use super::tx::WriteTx;
use crate::Result;
use crossbeam_channel::Receiver;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most rows of a batch that are changed at once. A program that changes as many is long.
pub(super) const MAX_PART_ROWS: usize = 200;

/// With so many rows changed, a transaction in which anybody waits for an answer is committed.
const MAX_SHARED_COMMIT_ROWS: usize = 500;

/// With so many rows changed, a transaction is committed in any case.
const MAX_COMMIT_ROWS: usize = 8_000;

/// The most programs that are short and share a commit.
const MAX_GROUP_JOBS: usize = 1_024;

/// The longest wait for more programs that share a commit.
const MAX_GATHER_TIME: Duration = Duration::from_millis(2);

pub(super) type Jobs = Receiver<Message<Box<dyn CommitJob>>>;

/// The programs that wait, and those that have run in the transaction that is open.
///
/// Callers who write one thing after another come back as soon as they are answered, but not all in
/// the same microsecond: a commit that began with the first of them would leave the others to the
/// next, and half of the commits would be nearly empty. So after a group of many there is a short
/// wait for as many again. A lone writer never waits.
#[derive(Default)]
pub(super) struct CommitQueue {
    /// What is short, and has not run.
    short: Vec<Box<dyn CommitJob>>,
    short_rows: usize,
    /// What is long, and has not run, or not to its end.
    long: VecDeque<Box<dyn CommitJob>>,
    /// What has run, and is answered with the next commit.
    ready: Vec<Box<dyn CommitJob>>,
    /// Whether there is nothing more to come.
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
    /// Takes in what has come, up to a group.
    fn take_in(&mut self, jobs: &Jobs) {
        while !self.stopped
            && self.short.len() < MAX_GROUP_JOBS
            && self.short_rows < MAX_COMMIT_ROWS
            && let Ok(message) = jobs.try_recv()
        {
            self.push(message);
        }
    }
    /// Waits a moment for those who were answered together.
    pub(super) fn gather(&mut self, jobs: &Jobs) {
        self.take_in(jobs);
        let patience = (self.last_commit / 4).min(MAX_GATHER_TIME);
        let until = Instant::now() + patience;
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

    /// Runs what shares the next commit.
    pub(super) fn run(&mut self, tx: &WriteTx<'_>, jobs: &Jobs) {
        let mut rows = self.run_short(tx);
        // One of the long ones goes along in any case: they would never get on otherwise.
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
            let most = if self.ready.is_empty() { MAX_COMMIT_ROWS } else { MAX_SHARED_COMMIT_ROWS };
            if rows >= most {
                break;
            }
        }
    }
    /// How many rows it has changed.
    fn run_short(&mut self, tx: &WriteTx<'_>) -> usize {
        for mut job in self.short.drain(..) {
            job.run(tx);
            self.ready.push(job);
        }
        std::mem::take(&mut self.short_rows)
    }

    /// The transaction has ended, which took so long.
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
            // Nothing could be tried: what waits fails now, and is not tried for ever.
            let waiting = if nothing_has_run { self.long.len() } else { 0 };
            let waiting = self.long.drain(..waiting).chain(self.short.drain(..));
            waiting.for_each(|mut job| job.fail(e));
            self.short_rows = 0;
        }
    }
}

//! What shares a commit: programs, and their callers.

use super::errors::closed;
use super::shared::run_part;
use super::tx::WriteTx;
use crate::backend::ordered::Program;
use crate::{Error, Result};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A program that shares commits, and its caller.
pub(super) trait CommitJob: Send {
    /// About how many rows its next part changes; `None` if all of it has run.
    fn next(&self) -> Option<usize>;
    /// Whether it has more parts than the next one.
    fn is_long(&self) -> bool;
    /// Whether some of it has run since the last commit.
    fn is_open(&self) -> bool;
    /// Runs the next part.
    fn run(&mut self, tx: &WriteTx<'_>);
    /// The commit has ended, of what has run since the last one. Answers if that was all.
    fn finish(&mut self, committed: Result<(), &Error>);
    /// Answers that what is not committed has failed.
    fn fail(&mut self, error: &Error);
}

pub(super) struct ProgramJob<P: Program> {
    program: Arc<P>,
    /// How many rows each part changes.
    parts: Vec<usize>,
    /// What the parts have answered, and how many of those are committed, or have failed.
    outputs: Vec<Result<P::Output>>,
    settled: usize,
    reply: Option<oneshot::Sender<Result<P::Output>>>,
}

impl<P: Program> ProgramJob<P> {
    pub(super) fn new(program: Arc<P>, reply: oneshot::Sender<Result<P::Output>>) -> Self {
        let parts = program.parts();
        let outputs = Vec::with_capacity(parts.len());
        ProgramJob { program, parts, outputs, settled: 0, reply: Some(reply) }
    }
    fn answer(&mut self) {
        if let Some(reply) = self.reply.take() {
            let result = self.program.join(std::mem::take(&mut self.outputs));
            let _ = reply.send(result); // nobody waits any more
        }
    }
}

impl<P: Program> CommitJob for ProgramJob<P> {
    fn next(&self) -> Option<usize> {
        self.parts.get(self.outputs.len()).copied()
    }
    fn is_long(&self) -> bool {
        self.outputs.len() + 1 < self.parts.len()
    }
    fn is_open(&self) -> bool {
        self.settled < self.outputs.len()
    }
    fn run(&mut self, tx: &WriteTx<'_>) {
        self.outputs.push(run_part(&*self.program, tx, self.outputs.len()));
    }
    fn finish(&mut self, committed: Result<(), &Error>) {
        match committed {
            // What a part answered rests on a state that a failed commit has made void.
            Err(e) if self.is_open() => self.fail(e),
            _ => self.settled = self.outputs.len(),
        }
        if self.next().is_none() {
            self.answer();
        }
    }
    fn fail(&mut self, error: &Error) {
        let failed = |output: &mut Result<P::Output>| *output = Err(error.clone());
        self.outputs.iter_mut().skip(self.settled).for_each(failed);
        // What has not run is known not to be applied.
        self.outputs.resize_with(self.parts.len(), || Err(error.clone().of_read()));
        self.settled = self.outputs.len();
        self.answer();
    }
}

/// What still stands in the queue when the store is closed is known not to be applied.
impl<P: Program> Drop for ProgramJob<P> {
    fn drop(&mut self) {
        self.fail(&closed().with_unknown_outcome());
    }
}

/// A program that changes nothing. That it is in a group has the file opened again if need be.
pub(super) struct ReopenJob(pub(super) Option<oneshot::Sender<()>>);

impl CommitJob for ReopenJob {
    fn next(&self) -> Option<usize> {
        Some(0)
    }
    fn is_long(&self) -> bool {
        false
    }
    fn is_open(&self) -> bool {
        false
    }
    fn run(&mut self, _: &WriteTx<'_>) {}
    fn finish(&mut self, _: Result<(), &Error>) {
        if let Some(reply) = self.0.take() {
            let _ = reply.send(()); // nobody waits any more
        }
    }
    fn fail(&mut self, error: &Error) {
        self.finish(Err(error));
    }
}

//! A job of the writing thread: a program, and the caller that waits for its result.

use super::errors::closed;
use super::shared::run_part;
use super::tx::WriteTx;
use crate::backend::ordered::Program;
use crate::{Error, Result};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A job that shares commits with others.
pub(super) trait CommitJob: Send {
    /// The approximate number of rows that the next part changes; `None` if all parts have run.
    fn next(&self) -> Option<usize>;
    /// Whether more than one part is left.
    fn is_long(&self) -> bool;
    /// Whether a part has run since the last commit.
    fn is_open(&self) -> bool;
    /// Runs the next part.
    fn run(&mut self, tx: &WriteTx<'_>);
    /// Reports the result of the commit to the parts that have run since the last one. Sends the
    /// reply if all parts have run.
    fn finish(&mut self, committed: Result<(), &Error>);
    /// Fails everything that is not committed.
    fn fail(&mut self, error: &Error);
}

pub(super) struct ProgramJob<P: Program> {
    program: Arc<P>,
    /// The approximate number of rows that each part changes.
    parts: Vec<usize>,
    /// The results of the parts so far. The first `settled` of them are committed or failed.
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
            let _ = reply.send(result); // fails if the call was cancelled
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
            // The results of these parts are void: they saw a state that was not committed.
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
        // A part that has not run is known not to be applied.
        self.outputs.resize_with(self.parts.len(), || Err(error.clone().of_read()));
        self.settled = self.outputs.len();
        self.answer();
    }
}

/// When the store is closed, a job in the queue is known not to be applied.
impl<P: Program> Drop for ProgramJob<P> {
    fn drop(&mut self) {
        self.fail(&closed().with_unknown_outcome());
    }
}

/// A job that changes nothing. It makes the writing thread reopen the file if necessary.
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
            let _ = reply.send(()); // fails if the call was cancelled
        }
    }
    fn fail(&mut self, error: &Error) {
        self.finish(Err(error));
    }
}

//! Random programs on a backend and on a model, compared answer by answer.
//!
//! ```text
//!  seed ─► generate.rs ─► Program ─┬─► model: Memory, one operation after another ─┐
//!                                  └─► subject: the backend, as it would be used ──┴─► run.rs: same answers?
//!                                                       no: shrink.rs ─► calls.rs: the program as Rust
//! ```
//!
//! The model takes a batch apart and runs it one operation after another, so that what a batch
//! means is part of the comparison. Where the contract leaves a choice (a key used as another
//! type), any choice is accepted, and the key is left out of the comparison until it is deleted; on
//! a backend that [sees types](Subject::sees_types) there is no choice, and that is compared, too.
//!
//! ```
//! use keyvaluestore::conformance::differential::{Plan, check};
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! check(async || keyvaluestore::Memory::new(), Plan::new(20)).await;
//! # });
//! ```

mod calls;
mod generate;
mod run;
mod shrink;

use super::Subject;
use crate::op::{Op, Write};
use std::fmt;

/// How much is tried.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// How many programs.
    pub programs: u64,
    /// How many steps in each, before four that read its keys whole, empty them, and see that they
    /// are gone.
    pub steps: usize,
    /// Where the random numbers start. The same seed makes the same programs.
    pub seed: u64,
    /// How many programs share a backend before a new one is made. Each uses keys of its own.
    pub per_backend: u64,
}

impl Plan {
    /// Programs of 50 steps, 100 on each backend.
    pub fn new(programs: u64) -> Self {
        Plan { programs, steps: 50, seed: 1, per_backend: 100 }
    }
    /// Sets [`seed`](Self::seed).
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
    /// Sets [`steps`](Self::steps).
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }
}

/// One step of a program.
#[derive(Clone, Debug)]
enum Step {
    One(Op),
    Batch(Vec<Op>),
    Atomic(Vec<Write>),
}

/// What is run on both sides.
#[derive(Clone, Debug, Default)]
struct Program(Vec<Step>);

/// Where the two sides part.
#[derive(Clone, Debug)]
struct Difference {
    step: usize,
    model: String,
    subject: String,
}

/// Runs programs on backends from `factory`.
///
/// # Panics
/// At the first difference, with the seed and the shortest program found that shows one, as Rust
/// calls.
#[allow(clippy::panic, reason = "this is how a test fails")]
pub async fn check<S: Into<Subject>>(factory: impl AsyncFn() -> S, plan: Plan) {
    let mut done = 0;
    while done < plan.programs {
        let subject = factory().await.into();
        for n in done..plan.programs.min(done + plan.per_backend) {
            let seed = plan.seed.wrapping_add(n);
            let program = generate::program(seed, plan.steps);
            let mut runner = run::Runner::new(&subject, n);
            if let Some(found) = runner.run(&program).await {
                let (program, found) = shrink::shrink(&mut runner, program, found).await;
                panic!("seed {seed}:\n{}", Report(&program, &found));
            }
        }
        done += plan.per_backend;
    }
}

struct Report<'a>(&'a Program, &'a Difference);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0.0[..=self.1.step] {
            writeln!(f, "{}", calls::Calls(step))?;
        }
        writeln!(f, "// the model answers  {}", self.1.model)?;
        writeln!(f, "// the backend answers {}", self.1.subject)
    }
}

#[cfg(test)]
mod tests;

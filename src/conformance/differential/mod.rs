//! Differential test: random programs run on a backend and on a model, and every reply is compared.
//!
//! ```text
//!  seed ─► generate.rs ─► Program ─┬─► model: Memory, one by one ─┐
//!                                  └─► subject: the backend ──────┴─► run.rs: same replies?
//!                                                                       │ no
//!                       the program as Rust calls ◄─ calls.rs ◄─ shrink.rs
//! ```
//!
//! The model runs the operations of a batch one by one, so that the test also checks the semantics
//! of batches. If the contract allows several replies (an operation on a key of another type), the
//! test accepts all of them, and does not compare the key until it is deleted. For a backend that
//! [sees types](Subject::sees_types) the contract requires `WrongType`, and the test compares it.
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

/// The number and the size of the programs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// The number of programs.
    pub programs: u64,
    /// The number of random steps per program. Four more steps then read all keys, empty them, and
    /// check that they do not exist.
    pub steps: usize,
    /// The seed of the first program; the others follow it. The same seed makes the same program.
    pub seed: u64,
    /// The number of programs that share a backend. Each program uses its own keys.
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

/// The steps that run on the model and on the subject.
#[derive(Clone, Debug, Default)]
struct Program(Vec<Step>);

/// The first step with different replies.
#[derive(Clone, Debug)]
struct Difference {
    step: usize,
    model: String,
    subject: String,
}

/// Runs programs on backends from `factory`.
///
/// # Panics
/// At the first difference. The message has the seed, and the shortest program that shrinking
/// found, as Rust calls.
#[allow(clippy::panic, reason = "tests fail by panicking")]
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
        writeln!(f, "// the model returns   {}", self.1.model)?;
        writeln!(f, "// the backend returns {}", self.1.subject)
    }
}

#[cfg(test)]
mod tests;

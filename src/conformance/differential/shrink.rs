//! Shrinks a program: removes steps and operations as long as the program still shows a difference.

use super::run::Runner;
use super::{Difference, Program, Step};

/// The maximum number of runs.
const MAX_RUNS: u32 = 3_000;

pub(super) async fn shrink(
    runner: &mut Runner<'_>,
    program: Program,
    found: Difference,
) -> (Program, Difference) {
    let mut best = Best { program, found, runs_left: MAX_RUNS };
    best.cut();
    loop {
        let before = best.runs_left;
        let shorter = best.without_steps(runner).await | best.without_operations(runner).await;
        if !shorter || best.runs_left == 0 || best.runs_left == before {
            return (best.program, best.found);
        }
    }
}

/// The shortest program so far.
struct Best {
    program: Program,
    found: Difference,
    runs_left: u32,
}

impl Best {
    /// Removes the steps after the difference.
    fn cut(&mut self) {
        self.program.0.truncate(self.found.step + 1);
    }
    /// Keeps `program` if it still shows a difference.
    async fn try_out(&mut self, runner: &mut Runner<'_>, program: Program) -> bool {
        if self.runs_left == 0 {
            return false;
        }
        self.runs_left -= 1;
        let Some(found) = runner.run(&program).await else { return false };
        (self.program, self.found) = (program, found);
        self.cut();
        true
    }

    /// Removes sequences of steps, long ones first.
    async fn without_steps(&mut self, runner: &mut Runner<'_>) -> bool {
        let mut shorter = false;
        let mut len = self.program.0.len();
        while len > 0 {
            let mut at = 0;
            while at < self.program.0.len() {
                let mut program = self.program.clone();
                program.0.drain(at..(at + len).min(program.0.len()));
                match self.try_out(runner, program).await {
                    true => shorter = true,
                    false => at += len,
                }
            }
            len /= 2;
        }
        shorter
    }

    /// Removes operations from batches and atomic writes. One with a single operation becomes that
    /// operation.
    async fn without_operations(&mut self, runner: &mut Runner<'_>) -> bool {
        let mut shorter = false;
        let mut step = 0;
        while step < self.program.0.len() {
            let mut at = 0;
            while let Some(smaller) = self.program.0.get(step).and_then(|step| without(step, at)) {
                let mut program = self.program.clone();
                program.0[step] = smaller;
                match self.try_out(runner, program).await {
                    true => shorter = true,
                    false => at += 1,
                }
            }
            step += 1;
        }
        shorter
    }
}

fn without(step: &Step, at: usize) -> Option<Step> {
    match step {
        Step::One(_) => None,
        Step::Batch(ops) if ops.len() == 1 && at == 0 => Some(Step::One(ops[0].clone())),
        Step::Atomic(ops) if ops.len() == 1 && at == 0 => Some(Step::One(ops[0].clone().into())),
        Step::Batch(ops) => removed(ops, at).map(Step::Batch),
        Step::Atomic(ops) => removed(ops, at).map(Step::Atomic),
    }
}

fn removed<T: Clone>(ops: &[T], at: usize) -> Option<Vec<T>> {
    let mut ops = ops.to_vec();
    (at < ops.len() && ops.len() > 1).then(|| {
        ops.remove(at);
        ops
    })
}

//! Makes a program that shows a difference shorter, as long as it still shows one.

use super::run::Runner;
use super::{Difference, Program, Step};

/// How many runs it may take.
const PATIENCE: u32 = 3_000;

pub(super) async fn shrink(
    runner: &mut Runner<'_>,
    program: Program,
    found: Difference,
) -> (Program, Difference) {
    let mut best = Best { program, found, patience: PATIENCE };
    best.cut();
    loop {
        let before = best.patience;
        let shorter = best.without_steps(runner).await | best.without_operations(runner).await;
        if !shorter || best.patience == 0 || best.patience == before {
            return (best.program, best.found);
        }
    }
}

struct Best {
    program: Program,
    found: Difference,
    patience: u32,
}

impl Best {
    /// Nothing after the difference matters.
    fn cut(&mut self) {
        self.program.0.truncate(self.found.step + 1);
    }
    /// Takes `program` if it, too, shows a difference.
    async fn try_out(&mut self, runner: &mut Runner<'_>, program: Program) -> bool {
        if self.patience == 0 {
            return false;
        }
        self.patience -= 1;
        let Some(found) = runner.run(&program).await else { return false };
        (self.program, self.found) = (program, found);
        self.cut();
        true
    }

    /// Leaves out runs of steps, long ones first.
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

    /// Leaves out operations of batches and atomic writes, and takes apart those that hold one.
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

//! A backend in memory that does what it is told: parks inside of a call, fails, and counts.

#![allow(dead_code, reason = "what is not asked for without some feature")]

use keyvaluestore::backend::Context;
use keyvaluestore::op::{Op, Read, Reply, Write};
use keyvaluestore::{Backend, Error, ErrorKind, Memory, Outcome, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// What is to become of one call.
#[derive(Debug, Default)]
struct Plan {
    /// Waits for this before it does anything.
    before: Option<oneshot::Receiver<()>>,
    /// Waits for this with its answer.
    after: Option<oneshot::Receiver<()>>,
    /// Fails so, and does nothing.
    error: Option<(ErrorKind, bool)>,
}

#[derive(Debug, Default)]
struct Told {
    plans: VecDeque<Plan>,
    calls: Vec<String>,
}

/// See the module. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParkingBackend {
    pub(crate) memory: Memory,
    told: Arc<Mutex<Told>>,
}

/// Lets a parked call go on. Dropped, it does so, too.
pub(crate) type Parked = oneshot::Sender<()>;

impl ParkingBackend {
    /// The next call parks before it does anything.
    pub(crate) fn park_before(&self) -> Parked {
        let (parked, before) = oneshot::channel();
        self.plan(Plan { before: Some(before), ..Plan::default() });
        parked
    }
    /// The next call is carried out, and parks with its answer.
    pub(crate) fn park_after(&self) -> Parked {
        let (parked, after) = oneshot::channel();
        self.plan(Plan { after: Some(after), ..Plan::default() });
        parked
    }
    /// The next call fails.
    pub(crate) fn fail(&self, kind: ErrorKind) {
        self.plan(Plan { error: Some((kind, false)), ..Plan::default() });
    }
    /// The next call parks, and fails then.
    pub(crate) fn park_and_fail(&self, kind: ErrorKind) -> Parked {
        let (parked, before) = oneshot::channel();
        self.plan(Plan { before: Some(before), error: Some((kind, false)), ..Plan::default() });
        parked
    }
    /// The next call is carried out, and its answer lost: its outcome is unknown.
    pub(crate) fn lose(&self, kind: ErrorKind) {
        self.plan(Plan { error: Some((kind, true)), ..Plan::default() });
    }
    /// The next call is as ever.
    pub(crate) fn pass(&self) {
        self.plan(Plan::default());
    }
    fn plan(&self, plan: Plan) {
        self.told.lock().unwrap().plans.push_back(plan);
    }
    /// The calls until now, by name; then begins anew.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap().calls)
    }
    fn next(&self, call: String) -> Plan {
        let mut told = self.told.lock().unwrap();
        told.calls.push(call);
        told.plans.pop_front().unwrap_or_default()
    }
}

impl Plan {
    async fn run<T>(self, call: impl Future<Output = T>, fail: impl Fn(Error) -> T) -> T {
        if let Some(before) = self.before {
            let _ = before.await;
        }
        match self.error {
            Some((kind, false)) => return fail(Error::new(kind, "as planned")),
            Some((kind, true)) => {
                call.await;
                return fail(Error::new(kind, "as planned").with_unknown_outcome());
            }
            None => {}
        }
        let answer = call.await;
        if let Some(after) = self.after {
            let _ = after.await;
        }
        answer
    }
}

impl Backend for ParkingBackend {
    async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        let plan = self.next(op.name().into());
        plan.run(self.memory.read(cx, op), Err).await
    }
    async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        let plan = self.next(op.name().into());
        plan.run(self.memory.write(cx, op), Err).await
    }
    async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
        let names: Vec<&str> = ops.iter().map(Op::name).collect();
        let plan = self.next(format!("batch {}", names.join(" ")));
        let fail = |e: Error| {
            let again = || {
                let error = Error::new(e.kind(), "as planned");
                if e.outcome_is_unknown() { error.with_unknown_outcome() } else { error }
            };
            ops.iter().map(|_| Err(again())).collect()
        };
        plan.run(self.memory.batch(cx, ops), fail).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let plan = self.next("atomic_write".into());
        plan.run(self.memory.transact(cx, writes), Err).await
    }
}

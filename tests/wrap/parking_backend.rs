//! [`ParkingBackend`]: a test double over [`Memory`]. A test plans for each call whether it parks
//! before or after it runs, fails, or loses its reply; the backend records the calls.

#![allow(dead_code, reason = "some features leave out the tests that use a function")]

use keyvaluestore::backend::Context;
use keyvaluestore::op::{Op, Read, Reply, Write};
use keyvaluestore::{Backend, Error, ErrorKind, Memory, Outcome, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// The behaviour of one call. By default it runs as usual.
#[derive(Debug, Default)]
struct Plan {
    /// Waits for this before it runs.
    before: Option<oneshot::Receiver<()>>,
    /// Waits for this before it returns.
    after: Option<oneshot::Receiver<()>>,
    failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug)]
enum Failure {
    /// Fails without running.
    NotApplied(ErrorKind),
    /// Runs, and loses the reply.
    ReplyLost(ErrorKind),
}

#[derive(Debug, Default)]
struct State {
    plans: VecDeque<Plan>,
    calls: Vec<String>,
}

/// See the module. Clones share their plans and calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParkingBackend {
    pub(crate) memory: Memory,
    state: Arc<Mutex<State>>,
}

/// Lets a parked call continue, when it is sent or dropped.
pub(crate) type Parked = oneshot::Sender<()>;

impl ParkingBackend {
    /// The next unplanned call parks before it runs.
    pub(crate) fn park_before(&self) -> Parked {
        let (parked, before) = oneshot::channel();
        self.plan(Plan { before: Some(before), ..Plan::default() });
        parked
    }
    /// The next unplanned call parks after it ran.
    pub(crate) fn park_after(&self) -> Parked {
        let (parked, after) = oneshot::channel();
        self.plan(Plan { after: Some(after), ..Plan::default() });
        parked
    }
    /// The next unplanned call fails without running.
    pub(crate) fn fail(&self, kind: ErrorKind) {
        self.plan(Plan { failure: Some(Failure::NotApplied(kind)), ..Plan::default() });
    }
    /// The next unplanned call parks, and then fails without running.
    pub(crate) fn park_and_fail(&self, kind: ErrorKind) -> Parked {
        let (parked, before) = oneshot::channel();
        let failure = Some(Failure::NotApplied(kind));
        self.plan(Plan { before: Some(before), failure, ..Plan::default() });
        parked
    }
    /// The next unplanned call runs and loses its reply: its outcome is unknown.
    pub(crate) fn lose(&self, kind: ErrorKind) {
        self.plan(Plan { failure: Some(Failure::ReplyLost(kind)), ..Plan::default() });
    }
    /// The next unplanned call runs as usual.
    pub(crate) fn pass(&self) {
        self.plan(Plan::default());
    }
    fn plan(&self, plan: Plan) {
        self.state.lock().unwrap().plans.push_back(plan);
    }
    /// Returns the names of the calls so far, and clears them.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }
    fn next(&self, call: String) -> Plan {
        let mut state = self.state.lock().unwrap();
        state.calls.push(call);
        state.plans.pop_front().unwrap_or_default()
    }
}

impl Plan {
    async fn run<T>(self, call: impl Future<Output = T>, fail: impl Fn(Error) -> T) -> T {
        if let Some(before) = self.before {
            let _ = before.await;
        }
        match self.failure {
            Some(Failure::NotApplied(kind)) => return fail(Error::new(kind, "as planned")),
            Some(Failure::ReplyLost(kind)) => {
                call.await;
                return fail(Error::new(kind, "as planned").with_unknown_outcome());
            }
            None => {}
        }
        let result = call.await;
        if let Some(after) = self.after {
            let _ = after.await;
        }
        result
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
        let fail = |e: Error| ops.iter().map(|_| Err(e.clone())).collect();
        plan.run(self.memory.batch(cx, ops), fail).await
    }
    async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let plan = self.next("atomic_write".into());
        plan.run(self.memory.transact(cx, writes), Err).await
    }
}

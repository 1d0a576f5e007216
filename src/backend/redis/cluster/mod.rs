//! [`Cluster`]: sends each command to the server that has its slot, and follows redirections.
//!
//! The client library's own cluster connection is not used: it resends a command after a lost
//! connection, even if the server has run it, and has no pipelines across slots. Here a command is
//! resent only if a server has not received it, or has answered that it did not run it: `MOVED`,
//! `ASK`, `TRYAGAIN`, `CLUSTERDOWN`, and `READONLY` after a failover.

mod pipeline;
mod slot_map;
mod topology;

use super::command::{Command, CommandContext, Target};
use super::connect::Timeouts;
use super::connection::next_usable;
use super::connection::{Connection, Failure};
use super::errors;
use super::keys::slot;
use crate::backoff::ExponentialBackoff;
use crate::{Error, ErrorKind};
use ::redis::{Cmd, ConnectionInfo, Pipeline, Value as RespValue};
use rustls::ClientConfig;
use slot_map::SlotMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use topology::Topology;

/// Reads from replicas refresh an older map in the background: a new replica is not announced by
/// any redirection.
const MAX_MAP_AGE: Duration = Duration::from_secs(10);

/// A call fails after this many redirections.
const MAX_REDIRECTIONS: u32 = 16;

/// Before a command is sent again to the server that has its slot.
const DELAYS: ExponentialBackoff =
    ExponentialBackoff::new(Duration::from_millis(10), Duration::from_millis(320));

#[derive(Debug)]
pub(super) struct Cluster {
    topology: Arc<Topology>,
    /// Picks the next replica, round robin.
    turn: AtomicUsize,
}

/// Where a command that was not run has to go.
#[derive(Clone, Debug)]
enum Redirect {
    /// To this server; with `ASKING` if the slot is being moved to it.
    To { connection: Arc<Connection>, asking: bool },
    /// To the server that has the slot after a delay.
    Later,
}

/// The next attempt of one command.
struct Hop {
    connection: Arc<Connection>,
    asking: bool,
}

/// One command, until it is answered.
struct Attempts {
    slot: u16,
    target: Target,
    redirections: Redirections,
    /// Whether an unreachable server has been replaced once.
    relocated: bool,
}

impl Cluster {
    pub(super) fn new(
        seeds: Vec<ConnectionInfo>,
        tls: Option<Arc<ClientConfig>>,
        timeouts: Timeouts,
    ) -> Self {
        Cluster { topology: Topology::new(seeds, tls, timeouts), turn: AtomicUsize::new(0) }
    }

    /// Loads the slot map.
    pub(super) async fn connect(&self) -> Result<(), Failure> {
        self.topology.refreshed().await.map(drop)
    }

    /// Sends one command to the server that has the slot of its key.
    pub(super) async fn send(
        &self,
        call: CommandContext<'_>,
        command: &Command<'_>,
    ) -> Result<RespValue, Failure> {
        let mut attempts = Attempts {
            slot: slot(command.key),
            target: call.target,
            redirections: Redirections::new(self.topology.timeouts.response),
            relocated: false,
        };
        let mut hop = self.route(attempts.slot, attempts.target).await?;
        loop {
            let round_trip = call.round_trip();
            let answer = hop.send(&command.cmd).await;
            drop(round_trip);
            let next = match answer {
                Ok(answer) => match self.after_answer(&mut attempts, &answer, &hop).await? {
                    Some(next) => next,
                    None => return hop.connection.check(answer),
                },
                Err(failure) => self.after_failure(&mut attempts, failure, &hop).await?,
            };
            hop = next;
            call.report_retry();
        }
    }

    /// Follows a redirection. `None` if the answer is final.
    async fn after_answer(
        &self,
        attempts: &mut Attempts,
        answer: &RespValue,
        hop: &Hop,
    ) -> Result<Option<Hop>, Failure> {
        let Some(redirect) = self.redirect(answer, &hop.connection) else { return Ok(None) };
        if attempts.redirections.are_exhausted() {
            return Ok(None);
        }
        match redirect {
            Redirect::To { connection, asking } => {
                attempts.redirections.count += 1;
                Ok(Some(Hop { connection, asking }))
            }
            Redirect::Later => {
                attempts.target = Target::Primary;
                attempts.redirections.wait().await;
                self.route(attempts.slot, Target::Primary).await.map(Some)
            }
        }
    }

    /// Reads from a replica fall back to the primary. A command that an unreachable server has not
    /// received goes to its successor, once.
    async fn after_failure(
        &self,
        attempts: &mut Attempts,
        failure: Failure,
        hop: &Hop,
    ) -> Result<Hop, Failure> {
        self.topology.mark_stale();
        if attempts.target == Target::Replica {
            attempts.target = Target::Primary;
            return self.route(attempts.slot, Target::Primary).await;
        }
        if !matches!(failure, Failure::NotSent(_)) || attempts.relocated {
            return Err(failure);
        }
        attempts.relocated = true;
        let map = Box::pin(self.topology.refreshed()).await.ok();
        let connection = map.and_then(|map| self.successor(&map, attempts.slot, &hop.connection));
        Ok(Hop { connection: connection.ok_or(failure)?, asking: false })
    }

    /// The redirection in an answer, if the command was not run.
    fn redirect(&self, answer: &RespValue, from: &Connection) -> Option<Redirect> {
        let RespValue::ServerError(e) = answer else { return None };
        let asking = match errors::code(e) {
            "MOVED" => {
                self.topology.mark_stale();
                false
            }
            "ASK" => true,
            "READONLY" | "CLUSTERDOWN" | "MASTERDOWN" | "LOADING" => {
                self.topology.mark_stale();
                return Some(Redirect::Later);
            }
            "TRYAGAIN" => return Some(Redirect::Later),
            _ => return None,
        };
        // "3999 127.0.0.1:6381". Without a host it is the host of the server that answered.
        let address = e.details()?.split(' ').nth(1)?;
        let (host, port) = address.rsplit_once(':')?;
        let host = if host.is_empty() { from.host() } else { host.to_owned() };
        let connection = self.topology.connection(host, port.parse().ok()?, false)?;
        Some(Redirect::To { connection, asking })
    }

    /// The server that has the slot. Waits for a new map only if the last one has no server for it.
    async fn route(&self, slot: u16, target: Target) -> Result<Hop, Failure> {
        let map = self.topology.map();
        if target == Target::Replica && map.age().is_none_or(|age| age > MAX_MAP_AGE) {
            // This call uses the last map; later calls use the new one.
            self.topology.mark_stale();
        }
        if let Some(connection) = self.pick(&map, slot, target) {
            return Ok(Hop { connection, asking: false });
        }
        let map = Box::pin(self.topology.refreshed()).await?;
        match self.pick(&map, slot, target) {
            Some(connection) => Ok(Hop { connection, asking: false }),
            None => Err(Failure::NotSent(Error::new(
                ErrorKind::Unavailable,
                "no server of the cluster has the slot of the key",
            ))),
        }
    }

    fn pick(&self, map: &SlotMap, slot: u16, target: Target) -> Option<Arc<Connection>> {
        let shard = map.shard(slot)?;
        if target == Target::Replica
            && let Some(replica) = next_usable(&shard.replicas, &self.turn)
        {
            return Some(Arc::clone(replica));
        }
        Some(Arc::clone(&shard.primary))
    }

    /// Adds the address of the server that has the slot.
    pub(super) fn with_address(&self, slot: u16, error: Error) -> Error {
        match self.pick(&self.topology.map(), slot, Target::Primary) {
            Some(connection) => connection.with_address(error),
            None => error,
        }
    }

    /// The new primary of the slot, if it is not the unreachable server.
    fn successor(
        &self,
        map: &SlotMap,
        slot: u16,
        unreachable: &Arc<Connection>,
    ) -> Option<Arc<Connection>> {
        let primary = self.pick(map, slot, Target::Primary)?;
        (!Arc::ptr_eq(&primary, unreachable)).then_some(primary)
    }
}

impl Hop {
    async fn send(&self, cmd: &Cmd) -> Result<RespValue, Failure> {
        if !self.asking {
            return self.connection.send(cmd).await;
        }
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.cmd("ASKING").add_command(cmd.clone());
        let mut answers = self.connection.send_all(&pipeline).await?;
        Ok(answers.pop().unwrap_or(RespValue::Nil))
    }
}

/// The limits of following redirections: their number, and the response timeout.
struct Redirections {
    /// `None` if the deadline is too far away for an `Instant`.
    deadline: Option<Instant>,
    count: u32,
}

impl Redirections {
    fn new(timeout: Duration) -> Self {
        Redirections { deadline: Instant::now().checked_add(timeout), count: 0 }
    }
    fn are_exhausted(&self) -> bool {
        self.count >= MAX_REDIRECTIONS
            || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
    /// Waits before the next attempt.
    async fn wait(&mut self) {
        self.count += 1;
        tokio::time::sleep(DELAYS.equal_jitter(self.count)).await;
    }
}

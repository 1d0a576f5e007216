//! [`Topology`]: the slot map of a cluster, refreshed in the background, and the connections to all
//! its servers.
//!
//! Calls keep using the last map while a task loads a new one. They wait for that task only if the
//! last map has no server for their slot, or one that cannot be reached.

use super::slot_map::SlotMap;
use crate::backend::redis::backoff::Backoff;
use crate::backend::redis::connect::{Connector, Timeouts};
use crate::backend::redis::connection::{Connection, Failure};
use crate::backend::redis::handshake::Role;
use crate::runtime::{require_timer, with_drivers};
use crate::{Error, ErrorKind, Result};
use ::redis::{Cmd, ConnectionAddr, ConnectionInfo};
use futures_util::stream::{self, StreamExt};
use rustls::ClientConfig;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::watch;

/// The number of nodes that are asked for the map at the same time.
const CONCURRENT_REQUESTS: usize = 4;

pub(super) struct Topology {
    /// The servers of the URL: how to sign in, and which to ask first.
    seeds: Vec<ConnectionInfo>,
    tls: Option<Arc<ClientConfig>>,
    pub(super) timeouts: Timeouts,
    /// One connection per address, and a second one per replica, for reads.
    connections: Mutex<HashMap<(String, u16, bool), Arc<Connection>>>,
    map: RwLock<Arc<SlotMap>>,
    /// Whether the map is known to be wrong.
    stale: AtomicBool,
    refresh: Mutex<Refresh>,
}

#[derive(Default)]
struct Refresh {
    /// Closed when the task has ended, also if its runtime has shut down.
    task: Option<Task>,
    /// Between refreshes that change nothing.
    backoff: Backoff,
}

/// Becomes an error if the refresh fails.
type Task = watch::Receiver<Result<()>>;

impl Topology {
    pub(super) fn new(
        seeds: Vec<ConnectionInfo>,
        tls: Option<Arc<ClientConfig>>,
        timeouts: Timeouts,
    ) -> Arc<Self> {
        Arc::new(Topology {
            seeds,
            tls,
            timeouts,
            connections: Mutex::default(),
            map: RwLock::default(),
            stale: AtomicBool::new(true),
            refresh: Mutex::default(),
        })
    }

    pub(super) fn mark_stale(&self) {
        self.stale.store(true, Ordering::Release);
    }

    /// The last map. If it is stale, starts a refresh in the background.
    pub(super) fn map(self: &Arc<Self>) -> Arc<SlotMap> {
        if self.stale.load(Ordering::Acquire) {
            let _in_the_background = self.start_refresh();
        }
        self.last_map()
    }

    fn last_map(&self) -> Arc<SlotMap> {
        Arc::clone(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The map after a refresh. It is the last one if no node returns a better one within the
    /// connect timeout, or during the backoff after a refresh that has changed nothing.
    ///
    /// # Errors
    /// Why there is no map at all.
    pub(super) async fn refreshed(self: &Arc<Self>) -> Result<Arc<SlotMap>, Failure> {
        self.mark_stale();
        let is_first = self.last_map().covered() == 0;
        let result = match self.start_refresh().map_err(Failure::NotSent)? {
            Some(task) => self.wait_for(task, is_first).await?,
            None => Ok(()),
        };
        let map = self.last_map();
        if map.covered() == 0 {
            return Err(Failure::NotSent(result.err().unwrap_or_else(no_answer)));
        }
        Ok(map)
    }

    /// Waits until the task ends; if there is a map already, at most for the connect timeout.
    async fn wait_for(&self, mut task: Task, is_first: bool) -> Result<Result<()>, Failure> {
        let done = async {
            while task.changed().await.is_ok() {}
            task.borrow().clone()
        };
        if is_first {
            return Ok(done.await);
        }
        let limited = with_drivers(|| tokio::time::timeout(self.timeouts.connect, Box::pin(done)));
        Ok(limited.map_err(Failure::NotSent)?.await.unwrap_or(Ok(())))
    }

    /// The refresh task: the running one, or a new one; `None` during the backoff.
    fn start_refresh(self: &Arc<Self>) -> Result<Option<Task>> {
        let mut refresh = lock(&self.refresh);
        if let Some(task) = &refresh.task
            && task.has_changed().is_ok()
        {
            return Ok(Some(task.clone()));
        }
        if refresh.backoff.remaining().is_some() {
            return Ok(None);
        }
        require_timer()?;
        let (sender, task) = watch::channel(Ok(()));
        let topology = Arc::clone(self);
        tokio::spawn(async move {
            let last = topology.last_map();
            let found = topology.load(&last).await;
            let mut refresh = lock(&topology.refresh);
            match found {
                Ok(map) if !last.has_same_primaries(&map) => {
                    refresh.backoff.reset();
                    topology.replace(map);
                }
                Ok(map) => {
                    refresh.backoff.failed();
                    topology.replace(map);
                }
                Err(e) => {
                    refresh.backoff.failed();
                    let _no_receiver = sender.send(Err(e));
                }
            }
        });
        refresh.task = Some(task.clone());
        Ok(Some(task))
    }

    fn replace(&self, map: SlotMap) {
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(map);
        self.stale.store(false, Ordering::Release);
    }

    /// Asks several nodes at once, until one has a complete map.
    ///
    /// A node that was removed, or has lost its cluster configuration, returns no slots, or few. So
    /// a map with gaps is used only after all nodes were asked, and only if it covers as many slots
    /// as the last one, or if most primaries of the last one have answered.
    async fn load(self: &Arc<Self>, last: &SlotMap) -> Result<SlotMap> {
        let primaries = last.primaries();
        let (mut best, mut error, mut answered) = (None::<SlotMap>, None::<Error>, 0);
        let requests = self.candidates(&primaries).into_iter().map(|connection| async {
            let map = self.cluster_slots(&connection).await;
            (connection, map)
        });
        let mut answers = stream::iter(requests).buffer_unordered(CONCURRENT_REQUESTS);
        while let Some((connection, answer)) = answers.next().await {
            match answer {
                Ok(map) if map.is_complete() => return Ok(map),
                Ok(map) => {
                    let is_primary = primaries.iter().any(|other| Arc::ptr_eq(other, &connection));
                    answered += usize::from(is_primary);
                    if best.as_ref().is_none_or(|best| best.covered() < map.covered()) {
                        best = Some(map);
                    }
                }
                // Prefer an error that needs action to an outage.
                Err(e) if error.as_ref().is_none_or(|old| old.is_retryable()) => error = Some(e),
                Err(_) => {}
            }
        }
        let is_usable = |map: &SlotMap| {
            map.covered() > 0 && (map.covered() >= last.covered() || answered * 2 > primaries.len())
        };
        match best {
            Some(map) if is_usable(&map) => Ok(map),
            Some(_) => Err(error.unwrap_or_else(no_slots)),
            None => Err(error.unwrap_or_else(no_answer)),
        }
    }

    /// Asks one node for its map, with the connect timeout.
    async fn cluster_slots(&self, connection: &Arc<Connection>) -> Result<SlotMap> {
        let mut cmd = Cmd::new();
        cmd.arg("CLUSTER").arg("SLOTS");
        let answer = tokio::time::timeout(self.timeouts.connect, connection.send(&cmd)).await;
        let timed_out = |_| {
            let message = "the answer to `CLUSTER SLOTS` did not come in time";
            connection.with_address(Error::new(ErrorKind::Timeout, message))
        };
        let answer = answer.map_err(timed_out)?.map_err(|failure| failure.into_error(false))?;
        SlotMap::decode(answer, connection, |host, port, replica| {
            self.connection(host, port, replica)
        })
        .map_err(|e| connection.with_address(e))
    }

    /// The primaries of the last map, in random order, then the servers of the URL.
    fn candidates(&self, primaries: &[Arc<Connection>]) -> Vec<Arc<Connection>> {
        let mut candidates = primaries.to_vec();
        fastrand::shuffle(&mut candidates);
        for seed in &self.seeds {
            if let ConnectionAddr::Tcp(host, port) = seed.addr()
                && let Some(connection) = self.connection(host.clone(), *port, false)
                && !candidates.iter().any(|other| Arc::ptr_eq(other, &connection))
            {
                candidates.push(connection);
            }
        }
        candidates
    }

    /// The connection to an address; for reads from a `replica` it is a separate one.
    pub(super) fn connection(
        &self,
        host: String,
        port: u16,
        replica: bool,
    ) -> Option<Arc<Connection>> {
        let template = self.seeds.first()?;
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let address = (host, port, replica);
        if let Some(connection) = connections.get(&address) {
            return Some(Arc::clone(connection));
        }
        let info = template.clone().set_addr(ConnectionAddr::Tcp(address.0.clone(), port));
        let role = if replica { Role::ClusterReader } else { Role::ClusterNode };
        let connector = Connector::new(info, self.tls.clone(), self.timeouts, role);
        let connection = Arc::new(Connection::new(connector));
        connections.insert(address, Arc::clone(&connection));
        Some(connection)
    }
}

fn no_answer() -> Error {
    Error::new(ErrorKind::Unavailable, "no server of the cluster answers")
}

fn no_slots() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "no server of the cluster knows which server has which slots",
    )
}

fn lock(refresh: &Mutex<Refresh>) -> MutexGuard<'_, Refresh> {
    refresh.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topology").field(&self.last_map()).finish()
    }
}

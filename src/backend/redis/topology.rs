//! [`Topology`]: which server of a cluster has which slot, kept up to date beside the calls.
//!
//! The last map goes on serving while a task asks for a new one. Calls wait for that task only if
//! the last map names no server for them, or one that cannot be reached.

use super::backoff::Backoff;
use super::connect::{Connector, Role, Timeouts};
use super::link::{Failure, Link};
use super::slots::Map;
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

/// How many nodes are asked for the map at the same time.
const ASKED: usize = 4;

pub(super) struct Topology {
    /// How to sign in, and whom to ask first.
    seeds: Vec<ConnectionInfo>,
    tls: Option<Arc<ClientConfig>>,
    pub(super) timeouts: Timeouts,
    /// A link for every address that was ever named, and whether it is for reads from a replica.
    links: Mutex<HashMap<(String, u16, bool), Arc<Link>>>,
    map: RwLock<Arc<Map>>,
    /// Whether the map is known to be wrong.
    stale: AtomicBool,
    refresh: Mutex<Refresh>,
}

#[derive(Default)]
struct Refresh {
    /// Closed when the task has ended, also with its runtime.
    task: Option<Task>,
    /// Between refreshes that change nothing.
    backoff: Backoff,
}

/// Changes to an error if the refresh fails.
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
            links: Mutex::default(),
            map: RwLock::default(),
            stale: AtomicBool::new(true),
            refresh: Mutex::default(),
        })
    }

    pub(super) fn distrust(&self) {
        self.stale.store(true, Ordering::Release);
    }

    /// The last map. If it is known to be wrong, a refresh is under way from now on.
    pub(super) fn map(self: &Arc<Self>) -> Arc<Map> {
        if self.stale.load(Ordering::Acquire) {
            let _in_the_background = self.refresh();
        }
        self.last()
    }

    fn last(&self) -> Arc<Map> {
        Arc::clone(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The map after a refresh. It is the last one if no node has a better one in the time that a
    /// connection may take, or in the pause after a refresh that has changed nothing.
    ///
    /// # Errors
    /// Why there is no map at all.
    pub(super) async fn refreshed(self: &Arc<Self>) -> Result<Arc<Map>, Failure> {
        self.distrust();
        let is_first = self.last().known() == 0;
        let mut failed = Ok(());
        if let Some(mut task) = self.refresh().map_err(Failure::NotSent)? {
            let done = async {
                while task.changed().await.is_ok() {}
                task.borrow().clone()
            };
            failed = match is_first {
                true => done.await,
                false => {
                    let limited = with_drivers(|| {
                        tokio::time::timeout(self.timeouts.connect, Box::pin(done))
                    });
                    limited.map_err(Failure::NotSent)?.await.unwrap_or(Ok(()))
                }
            };
        }
        let map = self.last();
        if map.known() == 0 {
            let nobody = || Error::new(ErrorKind::Unavailable, "no server of the cluster answers");
            return Err(Failure::NotSent(failed.err().unwrap_or_else(nobody)));
        }
        Ok(map)
    }

    /// The task that asks for a new map: the one that is under way, or a new one; `None` in the
    /// pause.
    fn refresh(self: &Arc<Self>) -> Result<Option<Task>> {
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
            let known = topology.last();
            let found = topology.ask_around(&known).await;
            let mut refresh = lock(&topology.refresh);
            match found {
                Ok(map) if !known.is_same(&map) => {
                    refresh.backoff.reset();
                    topology.keep(map);
                }
                Ok(map) => {
                    refresh.backoff.failed();
                    topology.keep(map);
                }
                Err(e) => {
                    refresh.backoff.failed();
                    let _nobody_waits = sender.send(Err(e));
                }
            }
        });
        refresh.task = Some(task.clone());
        Ok(Some(task))
    }

    fn keep(&self, map: Map) {
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(map);
        self.stale.store(false, Ordering::Release);
    }

    /// Asks several nodes at once, until one knows who has every slot.
    ///
    /// A node that was taken out, or has forgotten its cluster, knows of no slots, or of few. So a
    /// map with gaps is used only after all nodes were asked, and only if it has no more gaps than
    /// the last one, or most of the primaries that the last one named have answered.
    async fn ask_around(self: &Arc<Self>, known: &Map) -> Result<Map> {
        let primaries = known.primaries();
        let (mut best, mut failure, mut answered) = (None::<Map>, None::<Error>, 0);
        let asked = self.candidates(&primaries).into_iter().map(|link| async {
            let map = self.ask(&link).await;
            (link, map)
        });
        let mut answers = stream::iter(asked).buffer_unordered(ASKED);
        while let Some((link, answer)) = answers.next().await {
            match answer {
                Ok(map) if map.is_whole() => return Ok(map),
                Ok(map) => {
                    answered += usize::from(primaries.iter().any(|one| Arc::ptr_eq(one, &link)));
                    if best.as_ref().is_none_or(|best| best.known() < map.known()) {
                        best = Some(map);
                    }
                }
                // An error that somebody has to act on says more than an outage.
                Err(e) if failure.as_ref().is_none_or(|old| old.is_retryable()) => {
                    failure = Some(e);
                }
                Err(_) => {}
            }
        }
        let is_map = |map: &Map| {
            map.known() > 0 && (map.known() >= known.known() || answered * 2 > primaries.len())
        };
        match best {
            Some(map) if is_map(&map) => Ok(map),
            Some(_) => Err(failure.unwrap_or_else(|| {
                Error::new(
                    ErrorKind::Unavailable,
                    "no server of the cluster knows who has the slots",
                )
            })),
            None => Err(failure.unwrap_or_else(|| {
                Error::new(ErrorKind::Unavailable, "no server of the cluster answers")
            })),
        }
    }

    /// What one node knows, if it says so in the time that a connection may take.
    async fn ask(&self, link: &Arc<Link>) -> Result<Map> {
        let mut cmd = Cmd::new();
        cmd.arg("CLUSTER").arg("SLOTS");
        let asked = tokio::time::timeout(self.timeouts.connect, link.call(&cmd)).await;
        let timed_out = |_| {
            link.named(Error::new(
                ErrorKind::Timeout,
                "the map of the cluster did not come in time",
            ))
        };
        let answer = asked.map_err(timed_out)?.map_err(|failure| failure.into_error(false))?;
        Map::read(answer, link, |host, port, readonly| self.link(host, port, readonly))
            .map_err(|e| link.named(e))
    }

    /// The servers that the last map names, at random, and behind them those of the URL.
    fn candidates(&self, primaries: &[Arc<Link>]) -> Vec<Arc<Link>> {
        let mut links = primaries.to_vec();
        fastrand::shuffle(&mut links);
        for seed in &self.seeds {
            if let ConnectionAddr::Tcp(host, port) = seed.addr()
                && let Some(link) = self.link(host.clone(), *port, false)
                && !links.iter().any(|other| Arc::ptr_eq(other, &link))
            {
                links.push(link);
            }
        }
        links
    }

    /// The link to an address.
    pub(super) fn link(&self, host: String, port: u16, readonly: bool) -> Option<Arc<Link>> {
        let template = self.seeds.first()?;
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let address = (host, port, readonly);
        if let Some(link) = links.get(&address) {
            return Some(Arc::clone(link));
        }
        let info = template.clone().set_addr(ConnectionAddr::Tcp(address.0.clone(), port));
        let role = if readonly { Role::Reader } else { Role::Node };
        let connector = Connector::new(info, self.tls.clone(), self.timeouts, role);
        let link = Arc::new(Link::new(connector));
        links.insert(address, Arc::clone(&link));
        Some(link)
    }
}

fn lock(refresh: &Mutex<Refresh>) -> MutexGuard<'_, Refresh> {
    refresh.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topology").field(&self.last()).finish()
    }
}

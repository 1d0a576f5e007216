//! [`Cluster`]: sends commands to the servers that have their slots, and follows redirections.
//!
//! The client library's own cluster connection is not used: it sends a command again after a lost
//! connection, whether or not that has been carried out, and takes no pipeline across slots. Here a
//! command is sent again only if a server has not seen it, or has answered that it did not run it:
//! `MOVED`, `ASK`, `TRYAGAIN`, `CLUSTERDOWN`, and `READONLY` after a failover.

use super::connect::Timeouts;
use super::keys::slot;
use super::link::{Failure, Link};
use super::slots::Map;
use super::topology::Topology;
use super::{Access, Trip, errors, pick};
use crate::{Error, ErrorKind};
use ::redis::{Cmd, ConnectionInfo, Pipeline, Value as Answer};
use rustls::ClientConfig;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

/// How old the map may be that names the replicas: new ones announce themselves to nobody.
const AGE: Duration = Duration::from_secs(10);

/// How often one call follows a redirection before it gives up.
const REDIRECTIONS: usize = 16;

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) topology: Arc<Topology>,
    turn: AtomicUsize,
}

/// Where else a command has to go.
#[derive(Clone, Debug)]
pub(super) enum Redirect {
    /// To this server; and only this once, if it says so.
    To { link: Arc<Link>, asking: bool },
    /// To the server that has the slot after a while.
    Later,
}

impl Cluster {
    pub(super) fn new(
        seeds: Vec<ConnectionInfo>,
        tls: Option<Arc<ClientConfig>>,
        timeouts: Timeouts,
    ) -> Self {
        Cluster { topology: Topology::new(seeds, tls, timeouts), turn: AtomicUsize::new(0) }
    }

    /// Learns which server has which slot.
    pub(super) async fn connect(&self) -> Result<(), Failure> {
        self.topology.refreshed().await.map(drop)
    }

    /// Sends one command to the server that has the slot of `key`.
    pub(super) async fn call(&self, trip: Trip<'_>, cmd: &Cmd) -> Result<Answer, Failure> {
        let slot = slot(trip.key);
        let mut redirections = Redirections::new(self.topology.timeouts.answer);
        let mut access = trip.access;
        let mut next = (self.route(slot, access).await?, false);
        let (mut sent, mut relocated) = (false, false);
        loop {
            let (link, asking) = &next;
            if sent {
                trip.again();
            }
            sent = true;
            let heard = trip.start();
            let answer = send(link, *asking, cmd).await;
            drop(heard);
            let answer = match answer {
                Ok(answer) => answer,
                Err(failure) => {
                    self.topology.distrust();
                    if access == Access::Replica {
                        access = Access::Primary;
                        next = (self.route(slot, access).await?, false);
                    } else if matches!(failure, Failure::NotSent(_)) && !relocated {
                        relocated = true;
                        let map = Box::pin(self.topology.refreshed()).await.ok();
                        let link = map.and_then(|map| self.successor(&map, slot, link));
                        next = (link.ok_or(failure)?, false);
                    } else {
                        return Err(failure);
                    }
                    continue;
                }
            };
            next = match self.redirect(&answer, link) {
                None => return link.judge(answer),
                Some(_) if redirections.are_over() => return link.judge(answer),
                Some(Redirect::To { link, asking }) => {
                    redirections.tries += 1;
                    (link, asking)
                }
                Some(Redirect::Later) => {
                    access = Access::Primary;
                    redirections.wait().await;
                    (self.route(slot, access).await?, false)
                }
            };
        }
    }

    /// Where the answer sends its command, if it was not carried out.
    pub(super) fn redirect(&self, answer: &Answer, from: &Link) -> Option<Redirect> {
        let Answer::ServerError(e) = answer else { return None };
        let asking = match errors::code(e) {
            "MOVED" => {
                self.topology.distrust();
                false
            }
            "ASK" => true,
            "READONLY" | "CLUSTERDOWN" | "MASTERDOWN" | "LOADING" => {
                self.topology.distrust();
                return Some(Redirect::Later);
            }
            "TRYAGAIN" => return Some(Redirect::Later),
            _ => return None,
        };
        // "3999 127.0.0.1:6381", where no host is the host that says so.
        let address = e.details()?.split(' ').nth(1)?;
        let (host, port) = address.rsplit_once(':')?;
        let host = if host.is_empty() { from.host() } else { host.to_owned() };
        let link = self.topology.link(host, port.parse().ok()?, false)?;
        Some(Redirect::To { link, asking })
    }

    /// The server that has the slot. Only where none is known, it waits for a new map.
    pub(super) async fn route(&self, slot: u16, access: Access) -> Result<Arc<Link>, Failure> {
        let map = self.topology.map();
        if access == Access::Replica && map.made.is_none_or(|made| made.elapsed() > AGE) {
            // For those who come after the new map has.
            self.topology.distrust();
        }
        if let Some(link) = self.find(&map, slot, access) {
            return Ok(link);
        }
        let map = Box::pin(self.topology.refreshed()).await?;
        self.find(&map, slot, access).ok_or_else(|| {
            Failure::NotSent(Error::new(
                ErrorKind::Unavailable,
                "no server of the cluster has the slot of the key",
            ))
        })
    }

    fn find(&self, map: &Map, slot: u16, access: Access) -> Option<Arc<Link>> {
        let shard = map.shard(slot)?;
        if access == Access::Replica
            && let Some(replica) = pick(&shard.replicas, &self.turn)
        {
            return Some(Arc::clone(replica));
        }
        Some(Arc::clone(&shard.primary))
    }

    /// Names the server that has the slot.
    pub(super) fn named(&self, slot: u16, error: Error) -> Error {
        match self.find(&self.topology.map(), slot, Access::Primary) {
            Some(link) => link.named(error),
            None => error,
        }
    }

    /// The server that has taken over from one that cannot be reached, if there is one.
    pub(super) fn successor(
        &self,
        map: &Map,
        slot: u16,
        unreachable: &Arc<Link>,
    ) -> Option<Arc<Link>> {
        let link = self.find(map, slot, Access::Primary)?;
        (!Arc::ptr_eq(&link, unreachable)).then_some(link)
    }
}

async fn send(link: &Link, asking: bool, cmd: &Cmd) -> Result<Answer, Failure> {
    if !asking {
        return link.call(cmd).await;
    }
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd("ASKING").add_command(cmd.clone());
    let mut answers = link.call_all(&pipeline).await?;
    Ok(answers.pop().unwrap_or(Answer::Nil))
}

/// How long to follow redirections.
pub(super) struct Redirections {
    /// None if that is too far away to be written down.
    until: Option<Instant>,
    pub(super) tries: usize,
}

impl Redirections {
    pub(super) fn new(most: Duration) -> Self {
        Redirections { until: Instant::now().checked_add(most), tries: 0 }
    }
    pub(super) fn are_over(&self) -> bool {
        self.tries >= REDIRECTIONS || self.until.is_some_and(|until| Instant::now() >= until)
    }
    pub(super) async fn wait(&mut self) {
        self.tries += 1;
        // Not all at the same moment.
        let most = 5_000 << self.tries.min(6);
        tokio::time::sleep(Duration::from_micros(fastrand::u64(most / 2..=most))).await;
    }
}

//! [`Cluster`]: sends commands to the servers that have their slots, and after them when slots move.
//!
//! The client library's own cluster connection is not used: it sends a command again after a lost connection, whether or
//! not that has been carried out, and takes no pipeline across slots. Here nothing is sent again but what a server has
//! answered that it did not do: `MOVED`, `ASK`, `TRYAGAIN`, `CLUSTERDOWN`, and `READONLY` after a failover.

use super::keys::slot;
use super::link::{Failure, Link, Patience};
use super::scripts;
use super::slots::Map;
use super::{Access, Trip, errors, pick};
use crate::backend::Context;
use crate::{Error, ErrorKind};
use ::redis::{Client, Cmd, ConnectionAddr, ConnectionInfo, Pipeline, Value as Answer};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How old the map may be that tells the replicas: new ones announce themselves to nobody.
const AGE: Duration = Duration::from_secs(10);

/// How often one call follows a redirection before it gives up.
const REDIRECTIONS: usize = 16;

#[derive(Debug)]
pub(super) struct Cluster {
    /// How to sign in, and whom to ask first.
    seeds: Vec<ConnectionInfo>,
    patience: Patience,
    /// A link for every address that was ever named, and whether it is for reads from a replica.
    links: Mutex<HashMap<(String, u16, bool), Arc<Link>>>,
    map: RwLock<Arc<Map>>,
    /// Whether the map is known to be wrong.
    stale: AtomicBool,
    refreshing: tokio::sync::Mutex<()>,
    turn: AtomicUsize,
}

/// Where else a command has to go.
#[derive(Clone, Debug)]
enum Redirect {
    /// To this server; and only this once, if it says so.
    To { link: Arc<Link>, asking: bool },
    /// To whoever has the slot after a while.
    Later,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<ConnectionInfo>, patience: Patience) -> Self {
        Cluster {
            seeds,
            patience,
            links: Mutex::default(),
            map: RwLock::default(),
            stale: AtomicBool::new(true),
            refreshing: tokio::sync::Mutex::default(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Learns which server has which slot.
    pub(super) async fn connect(&self) -> Result<(), Failure> {
        self.current().await.map(drop)
    }

    /// Sends one command to whoever has the slot of `key`.
    pub(super) async fn call(&self, trip: Trip<'_>, cmd: &Cmd) -> Result<Answer, Failure> {
        let mut patience = Backoff::new(self.patience.answer);
        let mut redirect = None;
        let mut relocated = false;
        let mut sent = false;
        let mut access = trip.access;
        loop {
            let (link, asking) = match redirect.take() {
                Some((link, asking)) => (link, asking),
                None => (self.route(slot(trip.key), access).await?, false),
            };
            if sent {
                trip.again();
            }
            sent = true;
            let heard = trip.start();
            let answer = if asking {
                let mut pipeline = Pipeline::with_capacity(2);
                pipeline.cmd("ASKING").add_command(cmd.clone());
                let answers = link.call_all(&pipeline).await;
                answers.map(|mut answers| answers.pop().unwrap_or(Answer::Nil))
            } else {
                link.call(cmd).await
            };
            drop(heard);
            let answer = match answer {
                Ok(answer) => answer,
                Err(failure) => {
                    self.stale.store(true, Ordering::Release);
                    if access == Access::Replica {
                        access = Access::Primary;
                        continue;
                    }
                    // Another server may have taken over, and this one has seen nothing.
                    if matches!(failure, Failure::NotSent(_)) && !relocated {
                        relocated = true;
                        continue;
                    }
                    return Err(failure);
                }
            };
            match self.redirect(&answer, &link) {
                None => return Ok(answer),
                Some(_) if patience.is_over() => return Ok(answer),
                Some(Redirect::To { link, asking }) => {
                    patience.tries += 1;
                    redirect = Some((link, asking));
                }
                Some(Redirect::Later) => {
                    access = Access::Primary;
                    patience.wait().await;
                }
            }
        }
    }

    /// Sends many commands, each about one key, to all servers at once. Those about one key keep their order.
    pub(super) async fn call_all(
        &self,
        cx: &Context,
        access: Access,
        cmds: Vec<(&[u8], Cmd)>,
    ) -> Vec<Result<Answer, Failure>> {
        let keys: Vec<&[u8]> = cmds.iter().map(|(key, _)| *key).collect();
        let mut answers: Vec<Option<Result<Answer, Failure>>> = keys.iter().map(|_| None).collect();
        let mut pending: Vec<(usize, Cmd, Option<Redirect>)> =
            cmds.into_iter().enumerate().map(|(i, (_, cmd))| (i, cmd, None)).collect();
        let mut patience = Backoff::new(self.patience.answer);
        let mut access = access;
        let mut sent = false;
        while !pending.is_empty() {
            let mut groups: Vec<Group> = Vec::new();
            for (i, cmd, redirect) in pending.drain(..) {
                let (link, asking) = match redirect {
                    Some(Redirect::To { link, asking }) => (link, asking),
                    _ => match self.route(slot(keys[i]), access).await {
                        Ok(link) => (link, false),
                        Err(failure) => {
                            answers[i] = Some(Err(failure));
                            continue;
                        }
                    },
                };
                let group = match groups.iter_mut().position(|g| Arc::ptr_eq(&g.link, &link)) {
                    Some(at) => &mut groups[at],
                    None => {
                        groups.push(Group { link, pipeline: Pipeline::new(), places: Vec::new() });
                        match groups.last_mut() {
                            Some(group) => group,
                            None => continue,
                        }
                    }
                };
                if asking {
                    group.pipeline.cmd("ASKING");
                }
                group.places.push((i, group.pipeline.len()));
                group.pipeline.add_command(cmd);
            }
            let trip = Trip { cx, name: "batch", key: &[], access };
            if sent {
                trip.again();
            }
            sent = true;
            let calls = groups.iter().map(async |group| {
                let _heard = trip.start();
                group.link.call_all(&group.pipeline).await
            });
            let (mut wait, mut fall_back) = (false, false);
            let results = join_all(calls).await;
            for (group, result) in groups.iter().zip(results) {
                let mut result = match result {
                    Ok(found) => found,
                    Err(failure) => {
                        self.stale.store(true, Ordering::Release);
                        if access == Access::Replica {
                            fall_back = true;
                            let cmds: Vec<&Cmd> = group.pipeline.cmd_iter().collect();
                            let again =
                                group.places.iter().map(|(i, at)| (*i, cmds[*at].clone(), None));
                            pending.extend(again);
                            continue;
                        }
                        for (i, _) in &group.places {
                            answers[*i] = Some(Err(failure.clone()));
                        }
                        continue;
                    }
                };
                // Whatever follows a command that was sent elsewhere, and is about the same key, follows it there if it
                // was not carried out either; and as servers may have changed their minds in between, all go where the last
                // was sent. A read that was carried out is asked again: it may have come too early.
                let mut elsewhere: HashMap<&[u8], Redirect> = HashMap::new();
                let mut again = Vec::new();
                let sent: Vec<&Cmd> = group.pipeline.cmd_iter().collect();
                for (i, at) in &group.places {
                    let answer = std::mem::take(&mut result[*at]);
                    let redirect = self.redirect(&answer, &group.link);
                    let early = elsewhere.contains_key(keys[*i]) && is_read(sent[*at]);
                    if (redirect.is_none() && !early) || patience.is_over() {
                        answers[*i] = Some(Ok(answer));
                        continue;
                    }
                    if let Some(redirect) = redirect {
                        elsewhere.insert(keys[*i], redirect);
                    }
                    again.push((*i, sent[*at].clone()));
                }
                wait |= elsewhere.values().any(|redirect| matches!(redirect, Redirect::Later));
                pending.extend(
                    again.into_iter().map(|(i, cmd)| (i, cmd, elsewhere.get(keys[i]).cloned())),
                );
            }
            pending.sort_unstable_by_key(|(i, ..)| *i);
            if wait || fall_back {
                access = Access::Primary;
            }
            if wait {
                patience.wait().await;
            } else {
                patience.tries += 1;
            }
        }
        let lost = || Err(Failure::Lost(errors::unexpected()));
        answers.into_iter().map(|answer| answer.unwrap_or_else(lost)).collect()
    }

    /// Where the answer sends its command, if it was not carried out.
    fn redirect(&self, answer: &Answer, from: &Link) -> Option<Redirect> {
        let Answer::ServerError(e) = answer else { return None };
        let asking = match errors::code(e) {
            "MOVED" => {
                self.stale.store(true, Ordering::Release);
                false
            }
            "ASK" => true,
            "READONLY" | "CLUSTERDOWN" | "MASTERDOWN" | "LOADING" => {
                self.stale.store(true, Ordering::Release);
                return Some(Redirect::Later);
            }
            "TRYAGAIN" => return Some(Redirect::Later),
            _ => return None,
        };
        // "3999 127.0.0.1:6381", where no host is the host that says so.
        let address = e.details()?.split(' ').nth(1)?;
        let (host, port) = address.rsplit_once(':')?;
        let host = if host.is_empty() { from.host() } else { host.to_owned() };
        let link = self.link(host, port.parse().ok()?, false)?;
        Some(Redirect::To { link, asking })
    }

    async fn route(&self, slot: u16, access: Access) -> Result<Arc<Link>, Failure> {
        let mut map = self.current().await?;
        if access == Access::Replica && map.made.is_none_or(|made| made.elapsed() > AGE) {
            self.stale.store(true, Ordering::Release);
            map = self.current().await?;
        }
        let shard = map.slots.get(usize::from(slot)).copied().flatten();
        let Some(shard) = shard.and_then(|shard| map.shards.get(usize::from(shard))) else {
            self.stale.store(true, Ordering::Release);
            return Err(Failure::NotSent(Error::new(
                ErrorKind::Unavailable,
                "no server of the cluster has the slot of the key",
            )));
        };
        if access == Access::Replica
            && let Some(replica) = pick(&shard.replicas, &self.turn)
        {
            return Ok(Arc::clone(replica));
        }
        Ok(Arc::clone(&shard.primary))
    }

    /// The map; a new one, if the last is known to be wrong.
    async fn current(&self) -> Result<Arc<Map>, Failure> {
        let map = || Arc::clone(&self.map.read().unwrap_or_else(PoisonError::into_inner));
        if !self.stale.load(Ordering::Acquire) {
            return Ok(map());
        }
        let _one_at_a_time = self.refreshing.lock().await;
        if !self.stale.load(Ordering::Acquire) {
            return Ok(map());
        }
        let known = map();
        let mut links: Vec<Arc<Link>> =
            known.shards.iter().map(|shard| Arc::clone(&shard.primary)).collect();
        links.extend(self.seeds.iter().filter_map(|seed| match seed.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                self.link(host.clone(), *port, false)
            }
            _ => None,
        }));
        let mut cmd = Cmd::new();
        cmd.arg("CLUSTER").arg("SLOTS");
        let mut failure = None;
        for link in links {
            match link.call(&cmd).await {
                Ok(answer) => match Map::read(answer, &link, |host, port, readonly| {
                    self.link(host, port, readonly)
                }) {
                    Ok(map) => {
                        let map = Arc::new(map);
                        *self.map.write().unwrap_or_else(PoisonError::into_inner) =
                            Arc::clone(&map);
                        self.stale.store(false, Ordering::Release);
                        return Ok(map);
                    }
                    Err(e) => failure = Some(Failure::NotSent(e)),
                },
                Err(Failure::NotSent(e) | Failure::Lost(e)) => failure = Some(Failure::NotSent(e)),
            }
        }
        let nobody = || {
            Failure::NotSent(Error::new(ErrorKind::Unavailable, "no server of the cluster answers"))
        };
        Err(failure.unwrap_or_else(nobody))
    }

    /// The link to an address.
    fn link(&self, host: String, port: u16, readonly: bool) -> Option<Arc<Link>> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(&(host.clone(), port, readonly)) {
            return Some(Arc::clone(link));
        }
        let template = self.seeds.first()?;
        let addr = match template.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
                host: host.clone(),
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host.clone(), port),
        };
        let client = Client::open(template.clone().set_addr(addr)).ok()?;
        let link = Arc::new(Link::new(client, self.patience, readonly));
        links.insert((host, port, readonly), Arc::clone(&link));
        Some(link)
    }
}

/// What goes to one server.
struct Group {
    link: Arc<Link>,
    pipeline: Pipeline,
    /// Which of the commands, and where in the pipeline.
    places: Vec<(usize, usize)>,
}

fn is_read(cmd: &Cmd) -> bool {
    let mut args = cmd.args_iter();
    let Some(::redis::Arg::Simple(name)) = args.next() else { return false };
    if let (b"EVAL" | b"EVALSHA", Some(::redis::Arg::Simple(script))) = (name, args.next()) {
        return scripts::is_read(script);
    }
    matches!(
        name,
        b"GET"
            | b"MGET"
            | b"SMEMBERS"
            | b"HGET"
            | b"HMGET"
            | b"HGETALL"
            | b"ZSCORE"
            | b"ZMSCORE"
            | b"ZCOUNT"
            | b"ZLEXCOUNT"
            | b"ZRANGE"
    )
}

/// How long to go on.
struct Backoff {
    /// None if that is too far away to be written down.
    until: Option<Instant>,
    tries: usize,
}

impl Backoff {
    fn new(most: Duration) -> Self {
        Backoff { until: Instant::now().checked_add(most), tries: 0 }
    }
    fn is_over(&self) -> bool {
        self.tries >= REDIRECTIONS || self.until.is_some_and(|until| Instant::now() >= until)
    }
    async fn wait(&mut self) {
        self.tries += 1;
        // Not all at the same moment.
        let most = 5_000 << self.tries.min(6);
        tokio::time::sleep(Duration::from_micros(fastrand::u64(most / 2..=most))).await;
    }
}

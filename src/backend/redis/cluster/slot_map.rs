//! [`SlotMap`]: which servers of a cluster have which slots, from the answer to `CLUSTER SLOTS`.

use crate::Error;
use crate::backend::redis::connection::Connection;
use crate::backend::redis::errors::{self, unexpected};
use crate::backend::redis::keys::SLOTS;
use crate::backend::redis::replies::entries;
use ::redis::Value as RespValue;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Which shard has which slot.
#[derive(Debug, Default)]
pub(super) struct SlotMap {
    loaded: Option<Instant>,
    shards: Vec<Shard>,
    /// The shard of each slot.
    slots: Vec<Option<u16>>,
    /// The number of slots that have a shard.
    covered: usize,
}

/// A primary and its replicas.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) primary: Arc<Connection>,
    pub(super) replicas: Vec<Arc<Connection>>,
}

impl SlotMap {
    /// Decodes the answer to `CLUSTER SLOTS`: ranges of slots, each with its servers, the primary
    /// first. `connection` returns that of a host and port, and whether it is to a replica.
    pub(super) fn decode(
        answer: RespValue,
        from: &Connection,
        connection: impl Fn(String, u16, bool) -> Option<Arc<Connection>>,
    ) -> Result<SlotMap, Error> {
        if let RespValue::ServerError(e) = &answer {
            return Err(match e.details() {
                Some(details) if details.contains("cluster support disabled") => {
                    Error::invalid("the server is not part of a cluster; use `redis://`")
                }
                _ => errors::refused(e),
            });
        }
        let mut map = SlotMap {
            loaded: Some(Instant::now()),
            slots: vec![None; usize::from(SLOTS)],
            ..SlotMap::default()
        };
        for range in entries(answer)? {
            let RespValue::Array(range) = range else { return Err(unexpected()) };
            let mut range = range.into_iter();
            let (first, last) = (slot_number(range.next())?, slot_number(range.next())?);
            let mut servers = range.filter_map(|server| address(server, from));
            let primary = servers.next().and_then(|(host, port)| connection(host, port, false));
            let Some(primary) = primary else { continue };
            let replicas =
                servers.filter_map(|(host, port)| connection(host, port, true)).collect();
            let shard = u16::try_from(map.shards.len()).map_err(|_| unexpected())?;
            map.slots.get_mut(first..=last).ok_or_else(unexpected)?.fill(Some(shard));
            map.shards.push(Shard { primary, replicas });
        }
        map.covered = map.slots.iter().flatten().count();
        Ok(map)
    }

    /// How long ago it was loaded; `None` if it never was.
    pub(super) fn age(&self) -> Option<Duration> {
        self.loaded.map(|loaded| loaded.elapsed())
    }
    /// The number of slots that have a server.
    pub(super) fn covered(&self) -> usize {
        self.covered
    }
    pub(super) fn is_complete(&self) -> bool {
        self.covered == usize::from(SLOTS)
    }
    pub(super) fn shard(&self, slot: u16) -> Option<&Shard> {
        let shard = self.slots.get(usize::from(slot)).copied().flatten()?;
        self.shards.get(usize::from(shard))
    }
    /// All primaries, without duplicates.
    pub(super) fn primaries(&self) -> Vec<Arc<Connection>> {
        let mut primaries: Vec<Arc<Connection>> = Vec::new();
        for shard in &self.shards {
            if !primaries.iter().any(|other| Arc::ptr_eq(other, &shard.primary)) {
                primaries.push(Arc::clone(&shard.primary));
            }
        }
        primaries
    }
    /// Whether every slot has the same primary in both.
    pub(super) fn has_same_primaries(&self, other: &SlotMap) -> bool {
        let primary =
            |map: &SlotMap, slot| map.shard(slot).map(|shard| Arc::as_ptr(&shard.primary));
        (0..SLOTS).all(|slot| primary(self, slot) == primary(other, slot))
    }
}

fn slot_number(value: Option<RespValue>) -> Result<usize, Error> {
    match value {
        Some(RespValue::Int(slot)) => usize::try_from(slot).map_err(|_| unexpected()),
        _ => Err(unexpected()),
    }
}

/// Host and port of a server in the answer to `CLUSTER SLOTS`.
fn address(server: RespValue, from: &Connection) -> Option<(String, u16)> {
    let RespValue::Array(parts) = server else { return None };
    let mut parts = parts.into_iter();
    let host = match parts.next()? {
        RespValue::BulkString(host) if host.is_empty() => from.host(),
        RespValue::BulkString(host) => String::from_utf8(host).ok().filter(|host| host != "?")?,
        // The server does not know its own host.
        RespValue::Nil => from.host(),
        _ => return None,
    };
    let RespValue::Int(port) = parts.next()? else { return None };
    Some((host, u16::try_from(port).ok()?))
}

//! [`Map`]: which servers of a cluster have which slots, as one of them tells it.

use super::errors;
use super::keys::SLOTS;
use super::link::Link;
use super::replies::entries;
use crate::Error;
use ::redis::Value as Answer;
use std::sync::Arc;
use std::time::Instant;

/// Which shard has which slot.
#[derive(Debug, Default)]
pub(super) struct Map {
    pub(super) made: Option<Instant>,
    pub(super) shards: Vec<Shard>,
    /// The shard of each slot.
    pub(super) slots: Vec<Option<u16>>,
    /// How many slots have one.
    known: usize,
}

#[derive(Debug)]
pub(super) struct Shard {
    pub(super) primary: Arc<Link>,
    pub(super) replicas: Vec<Arc<Link>>,
}

impl Map {
    /// Reads what `CLUSTER SLOTS` answers: ranges of slots, each with its servers, the primary
    /// first.
    pub(super) fn read(
        answer: Answer,
        from: &Link,
        link: impl Fn(String, u16, bool) -> Option<Arc<Link>>,
    ) -> Result<Map, Error> {
        if let Answer::ServerError(e) = &answer {
            return Err(match e.details() {
                Some(details) if details.contains("cluster support disabled") => {
                    Error::invalid("the server is not part of a cluster; use `redis://`")
                }
                _ => errors::refused(e),
            });
        }
        let slots = vec![None; usize::from(SLOTS)];
        let mut map = Map { made: Some(Instant::now()), shards: Vec::new(), slots, known: 0 };
        for range in entries(answer)? {
            let Answer::Array(range) = range else { return Err(errors::unexpected()) };
            let mut range = range.into_iter();
            let (Some(Answer::Int(first)), Some(Answer::Int(last))) = (range.next(), range.next())
            else {
                return Err(errors::unexpected());
            };
            let (first, last) = (usize::try_from(first), usize::try_from(last));
            let (Ok(first), Ok(last)) = (first, last) else { return Err(errors::unexpected()) };
            let mut servers = range.filter_map(|server| address(server, from));
            let Some(primary) = servers.next().and_then(|(host, port)| link(host, port, false))
            else {
                continue;
            };
            let replicas = servers.filter_map(|(host, port)| link(host, port, true)).collect();
            let shard = u16::try_from(map.shards.len()).map_err(|_| errors::unexpected())?;
            let slots = map.slots.get_mut(first..=last).ok_or_else(errors::unexpected)?;
            slots.fill(Some(shard));
            map.shards.push(Shard { primary, replicas });
        }
        map.known = map.slots.iter().flatten().count();
        Ok(map)
    }

    pub(super) fn known(&self) -> usize {
        self.known
    }
    pub(super) fn is_whole(&self) -> bool {
        self.known == usize::from(SLOTS)
    }
    pub(super) fn shard(&self, slot: u16) -> Option<&Shard> {
        let shard = self.slots.get(usize::from(slot)).copied().flatten()?;
        self.shards.get(usize::from(shard))
    }
    /// All primaries, each once.
    pub(super) fn primaries(&self) -> Vec<Arc<Link>> {
        let mut primaries: Vec<Arc<Link>> = Vec::new();
        for shard in &self.shards {
            if !primaries.iter().any(|other| Arc::ptr_eq(other, &shard.primary)) {
                primaries.push(Arc::clone(&shard.primary));
            }
        }
        primaries
    }
    /// Whether every slot has the same primary.
    pub(super) fn is_same(&self, other: &Map) -> bool {
        let primary = |map: &Map, slot| map.shard(slot).map(|shard| Arc::as_ptr(&shard.primary));
        (0..SLOTS).all(|slot| primary(self, slot) == primary(other, slot))
    }
}

/// Host and port of a server in the answer to `CLUSTER SLOTS`.
fn address(server: Answer, from: &Link) -> Option<(String, u16)> {
    let Answer::Array(parts) = server else { return None };
    let mut parts = parts.into_iter();
    let host = match parts.next()? {
        Answer::BulkString(host) if host.is_empty() => from.host(),
        Answer::BulkString(host) => String::from_utf8(host).ok().filter(|host| host != "?")?,
        // It does not know its own.
        Answer::Nil => from.host(),
        _ => return None,
    };
    let Answer::Int(port) = parts.next()? else { return None };
    Some((host, u16::try_from(port).ok()?))
}

//! Atomic writes: one `TransactWriteItems`, and another one if what its conditions have found asks
//! for that.

use super::action::unbuildable;
use super::api::Item;
use super::call::{Again, Tries, Trip, contention};
use super::codes::by_code;
use super::error::{DynamoError, Found, Told, What};
use super::flow::Flow;
use super::items::{PLAIN, primary};
use super::write::{Step, first, informed, marking};
use super::{read, rk_of};
use crate::op::Write;
use crate::{Error, ErrorKind, Outcome, Result};
use aws_sdk_dynamodb::operation::transact_get_items::builders::TransactGetItemsInputBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::builders::TransactWriteItemsInputBuilder;
use aws_sdk_dynamodb::types::{CancellationReason, Get, TransactGetItem, TransactWriteItem};
use std::collections::BTreeMap;

/// As many items are written in one transaction.
const ITEMS: usize = 100;

/// Why a transaction was not applied: for each of its items that did not agree.
struct Refused {
    /// Conditions that have failed, by the number of the write, and what they have found.
    conditions: Vec<(usize, Option<Item>)>,
    error: Option<Error>,
}

/// The parts of a transaction. Sending consumes them, and it is mostly sent once: so they are made
/// from the writes, and made again, in the same way to the byte, if they are needed again. Kept are
/// only those that could not.
struct Parts<'w> {
    writes: &'w [Write],
    /// What a write has to do with the transaction, if anything, where that is kept.
    kept: BTreeMap<usize, Option<TransactWriteItem>>,
    /// Ready to be sent.
    made: Option<Vec<TransactWriteItem>>,
    /// The numbers of the writes that they are of.
    at: Vec<usize>,
}

impl<'w> Parts<'w> {
    fn new(writes: &'w [Write]) -> Self {
        Parts { writes, kept: BTreeMap::new(), made: None, at: Vec::new() }
    }
    fn keep(&mut self, i: usize, part: Option<TransactWriteItem>) {
        self.kept.insert(i, part);
        self.made = None;
    }
    /// Makes them ready, but for those of writes that have something to do before, which this
    /// answers. An error is that of one write.
    fn make(&mut self, table: &str) -> Result<Vec<(usize, Step)>> {
        let (mut made, mut open) = (Vec::with_capacity(self.writes.len()), Vec::new());
        self.at.clear();
        for (i, op) in self.writes.iter().enumerate() {
            let part = match self.kept.get(&i) {
                Some(kept) => kept.clone(),
                None => match first(op).map_err(|e| e.of_write(i))? {
                    Step::Do(action, _) => Some(action.into_part(table)?),
                    Step::Nothing(check) => check.map(|c| c.into_part(table)).transpose()?,
                    step => {
                        open.push((i, step));
                        continue;
                    }
                },
            };
            // It bears a mark, which is another one each time.
            if matches!(op, Write::HDel(_)) {
                self.kept.entry(i).or_insert_with(|| part.clone());
            }
            if let Some(part) = part {
                made.push(part);
                self.at.push(i);
            }
        }
        self.made = Some(made);
        Ok(open)
    }
    fn take(&mut self, table: &str) -> Result<Vec<TransactWriteItem>> {
        if self.made.is_none() {
            self.make(table)?;
        }
        Ok(self.made.take().unwrap_or_default())
    }
}

pub(super) async fn transact(trip: &Trip<'_>, writes: &[Write]) -> Result<Outcome> {
    if writes.len() > ITEMS {
        return Err(Error::invalid(format!("{} writes, and DynamoDB takes {ITEMS}", writes.len())));
    }
    let mut parts = Parts::new(writes);
    if let Err(error) = prepare(trip, &mut parts).await? {
        return refuse(trip, writes, error).await;
    }
    let mut tries = None;
    loop {
        let Some(refused) = send(trip, &mut parts).await? else {
            return Ok(Outcome::Committed);
        };
        let steps = judge(writes, refused)?;
        let failed = steps.iter().filter(|(_, step)| matches!(step, Step::Failed));
        let failed: Vec<usize> = failed.map(|(i, _)| *i).collect();
        if !failed.is_empty() {
            return Ok(Outcome::from_failed_conditions(failed));
        }
        for (i, step) in steps {
            parts.keep(i, settle(trip, &writes[i], step).await?.map_err(|e| e.of_write(i))?);
        }
        // What was found is no longer so, again.
        if let Some(tries) = &mut tries
            && !trip.give_way(tries).await
        {
            return Err(contention());
        }
        tries.get_or_insert_default();
    }
}

/// Makes the parts of all writes. What those that depend on what is there have to read, they read
/// all at once. The inner error is the contract's: it gives way to conditions that have failed.
async fn prepare(trip: &Trip<'_>, parts: &mut Parts<'_>) -> Result<Result<()>> {
    let writes = parts.writes;
    let mut open = match parts.make(trip.table()) {
        Ok(open) if open.is_empty() => return Ok(Ok(())),
        Ok(open) => open,
        Err(e) => return Ok(Err(e)),
    };
    let looks = open.iter().filter(|(_, step)| matches!(step, Step::Look(_)));
    let looks: Vec<usize> = looks.map(|(i, _)| *i).collect();
    let items: Vec<_> = looks.iter().map(|i| (&writes[*i].key()[..], rk_of(&writes[*i]))).collect();
    let found = match *looks {
        [] => Vec::new(),
        [i] => vec![read::strong(trip, writes[i].key(), rk_of(&writes[i])).await],
        _ => read::group(trip, &Flow::new(), trip.writer(), true, &items).await,
    };
    let looking = open.iter_mut().filter(|(_, step)| matches!(step, Step::Look(_)));
    for ((i, step), item) in looking.zip(found) {
        *step = match informed(&writes[*i], item?.as_ref()) {
            Ok(step) => step,
            Err(e) => return Ok(Err(e.of_write(*i))),
        };
    }
    for (i, step) in open {
        match settle(trip, &writes[i], step).await? {
            Ok(part) => parts.keep(i, part),
            Err(e) => return Ok(Err(e.of_write(i))),
        }
    }
    Ok(parts.make(trip.table()).map(drop))
}

/// Makes a step a part of the transaction.
async fn settle(
    trip: &Trip<'_>,
    op: &Write,
    mut step: Step,
) -> Result<Result<Option<TransactWriteItem>>> {
    let mut tries = Tries::default();
    loop {
        step = match step {
            Step::Do(action, _) => return Ok(Ok(Some(action.into_part(trip.table())?))),
            Step::Nothing(None) => return Ok(Ok(None)),
            Step::Nothing(Some(check)) => return Ok(Ok(Some(check.into_part(trip.table())?))),
            // It holds no longer what it held: let the transaction judge it, with all others.
            Step::Failed => first(op)?,
            Step::Look(_) => {
                return Err(Error::new(ErrorKind::Other, "a write cannot be settled so"));
            }
            Step::Mark if tries.is_first() || trip.give_way(&mut tries).await => {
                tries.count();
                let next = match marking(op.key()).apply(trip).await {
                    Ok(Ok(item)) => informed(op, item.as_ref()),
                    Ok(Err(Found::Item(item))) => informed(op, Some(&item)),
                    Ok(Err(Found::Nothing)) => informed(op, None),
                    Ok(Err(Found::Untold)) => {
                        informed(op, read::strong(trip, op.key(), PLAIN).await?.as_ref())
                    }
                    Err(e) => return Err(trip.read_error(e)),
                };
                match next {
                    Ok(step) => step,
                    Err(e) => return Ok(Err(e)),
                }
            }
            Step::Mark => return Err(contention()),
        }
    }
}

/// One of the writes cannot be done. If the condition of another one has failed, that is told
/// instead.
async fn refuse(trip: &Trip<'_>, writes: &[Write], error: Error) -> Result<Outcome> {
    let mut checks = Parts::new(writes);
    for (i, op) in writes.iter().enumerate() {
        checks.keep(
            i,
            match first(op) {
                Ok(Step::Do(action, _)) => match action.into_check() {
                    Some(check) => Some(check.into_part(trip.table())?),
                    None => None,
                },
                _ => None,
            },
        );
    }
    if checks.kept.values().all(Option::is_none) {
        return Err(error);
    }
    checks.make(trip.table())?;
    // If it cannot be judged, the error stands: it is known, and nothing was written.
    let Ok(Some(refused)) = send(trip, &mut checks).await else { return Err(error) };
    let failed = refused
        .conditions
        .iter()
        .filter(|(i, item)| matches!(informed(&writes[*i], item.as_ref()), Ok(Step::Failed)));
    let failed: Vec<usize> = failed.map(|(i, _)| *i).collect();
    if failed.is_empty() { Err(error) } else { Ok(Outcome::from_failed_conditions(failed)) }
}

/// What to do for the writes whose conditions have failed. Conditions of the contract come before
/// errors.
fn judge(writes: &[Write], refused: Refused) -> Result<Vec<(usize, Step)>> {
    let (mut steps, mut error) = (Vec::with_capacity(refused.conditions.len()), refused.error);
    for (i, item) in refused.conditions {
        match informed(&writes[i], item.as_ref()) {
            Ok(step) => steps.push((i, step)),
            Err(e) => drop(error.get_or_insert_with(|| e.of_write(i))),
        }
    }
    let failed = steps.iter().any(|(_, step)| matches!(step, Step::Failed));
    match error {
        Some(error) if !failed => Err(error),
        _ => Ok(steps),
    }
}

/// Sends the transaction until it is applied, for which this answers `None`, or refused. All tries
/// of it bear one token, under which it is applied once, so that it can be sent again after a lost
/// answer, too.
async fn send(trip: &Trip<'_>, parts: &mut Parts<'_>) -> Result<Option<Refused>> {
    if parts.at.is_empty() {
        return Ok(None);
    }
    let (api, writes, at, token) = (trip.writer(), parts.writes, parts.at.clone(), token());
    let mut tries = Tries::default();
    loop {
        let send = || match parts.take(trip.table()) {
            Ok(parts) => api.transact_write_items(
                TransactWriteItemsInputBuilder::default()
                    .set_transact_items(Some(parts))
                    .client_request_token(&token)
                    .set_return_consumed_capacity(trip.capacity()),
            ),
            Err(e) => DynamoError::unmade(e),
        };
        let sent = trip.send_counting("TransactWriteItems", Again::Safe, send, &mut tries).await;
        let (reasons, told) = match sent {
            Ok(_) => return Ok(None),
            Err(error) if !matches!(error.what(), What::Cancelled(..)) => {
                return Err(trip.write_error(error));
            }
            Err(error) => match error.take().0 {
                What::Cancelled(reasons, told) => (reasons, told),
                _ => continue,
            },
        };
        match passing(&reasons) {
            Some(kind) if trip.pause(&mut tries, kind).await => {}
            Some(ErrorKind::Throttled) => {
                let error = trip.throttled("DynamoDB throttles, as often as it was tried");
                return Err(tries.end(error));
            }
            Some(kind) => {
                let message = "other transactions had the items, as often as it was tried";
                return Err(tries.end(Error::new(kind, message)));
            }
            None => return refused(trip, writes, &at, reasons, told).await.map(Some),
        }
    }
}

/// A name for one transaction, unlike any other: half of it is as random as the system can make it.
fn token() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:016x}{:016x}", RandomState::new().hash_one(0), fastrand::u64(..))
}

/// A reason that has gone when the transaction is tried again.
fn passing(reasons: &[CancellationReason]) -> Option<ErrorKind> {
    reasons.iter().find_map(|reason| match by_code(reason.code().unwrap_or("None"), "") {
        What::Failed(failed) if failed.kind == ErrorKind::Conflict => Some(failed.kind),
        What::Failed(failed) if failed.kind == ErrorKind::Throttled => Some(failed.kind),
        _ => None,
    })
}

async fn refused(
    trip: &Trip<'_>,
    writes: &[Write],
    at: &[usize],
    reasons: Vec<CancellationReason>,
    told: Told,
) -> Result<Refused> {
    let mut refused = Refused { conditions: Vec::new(), error: None };
    if reasons.len() != at.len() {
        // The client does not tell them apart: any condition may have failed.
        refused.conditions = at.iter().map(|i| (*i, None)).collect();
        read_all(trip, writes, &mut refused.conditions).await?;
        return Ok(refused);
    }
    for (i, reason) in at.iter().zip(reasons) {
        match reason.code().unwrap_or("None") {
            "None" => {}
            "ConditionalCheckFailed" => refused.conditions.push((*i, reason.item)),
            code => {
                let message = reason.message().unwrap_or_default();
                let error = trip.write_error(DynamoError::service(code, message));
                refused.error.get_or_insert_with(|| error.of_write(*i));
            }
        }
    }
    if told == Told::None && !refused.conditions.is_empty() {
        read_all(trip, writes, &mut refused.conditions).await?;
    }
    Ok(refused)
}

/// Reads what conditions have found, where the client does not hand it on: all at one moment, as
/// they were judged.
async fn read_all(
    trip: &Trip<'_>,
    writes: &[Write],
    conditions: &mut [(usize, Option<Item>)],
) -> Result<()> {
    let mut gets = Vec::with_capacity(conditions.len());
    for (i, _) in &*conditions {
        let key = primary(writes[*i].key(), rk_of(&writes[*i]));
        let get = Get::builder().table_name(trip.table()).set_key(Some(key)).build();
        gets.push(TransactGetItem::builder().get(get.map_err(unbuildable)?).build());
    }
    let input = TransactGetItemsInputBuilder::default()
        .set_transact_items(Some(gets))
        .set_return_consumed_capacity(trip.capacity());
    let (api, mut tries) = (trip.writer(), Tries::default());
    let output = loop {
        let get = || api.transact_get_items(input.clone());
        match trip.send("TransactGetItems", Again::Safe, get).await {
            Ok(output) => break output,
            // Somebody writes one of them just now.
            Err(error) if matches!(error.what(), What::Cancelled(..)) => {
                if !trip.pause(&mut tries, ErrorKind::Conflict).await {
                    return Err(contention());
                }
            }
            Err(error) => return Err(trip.read_error(error)),
        }
    };
    let items = output.responses.into_iter().flatten().map(|response| response.item);
    for ((_, found), item) in conditions.iter_mut().zip(items) {
        *found = item;
    }
    Ok(())
}

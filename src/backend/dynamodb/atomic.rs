//! Atomic writes: one `TransactWriteItems`, and a second one if the items that failed its
//! conditions require other requests.

use super::call::{Attempts, Idempotent, RequestContext, contention};
use super::codes::by_code;
use super::error::{ConflictingItem, DynamoError, DynamoErrorKind, build_error};
use super::flow::FlowControl;
use super::items::{Item, PLAIN, primary_key};
use super::read;
use super::write::{NextRequest, initial_request, mark_for_update, next_request, range_key};
use crate::op::Write;
use crate::{Error, ErrorKind, Outcome, Result};
use aws_sdk_dynamodb::operation::transact_get_items::builders::TransactGetItemsInputBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::builders::TransactWriteItemsInputBuilder;
use aws_sdk_dynamodb::types::{CancellationReason, Get, TransactGetItem, TransactWriteItem};
use std::collections::BTreeMap;

/// The limit of `TransactWriteItems`.
const MAX_TRANSACT_ITEMS: usize = 100;

/// Why a transaction was cancelled.
struct Cancelled {
    /// The writes whose conditions failed, by index, with their items.
    failed_conditions: Vec<(usize, Option<Item>)>,
    error: Option<Error>,
}

/// The items of a transaction. Sending consumes them, and most are sent once. So they are built
/// from the writes when they are needed, and are the same to the byte each time. Only items that
/// depend on something else than their write are kept.
struct TransactItems<'w> {
    writes: &'w [Write],
    /// By the index of the write. `None` if the write needs no item.
    kept: BTreeMap<usize, Option<TransactWriteItem>>,
    /// The items, if they are built.
    built: Option<Vec<TransactWriteItem>>,
    /// For each item, the index of its write.
    indexes: Vec<usize>,
}

impl<'w> TransactItems<'w> {
    fn new(writes: &'w [Write]) -> Self {
        TransactItems { writes, kept: BTreeMap::new(), built: None, indexes: Vec::new() }
    }
    fn keep(&mut self, i: usize, item: Option<TransactWriteItem>) {
        self.kept.insert(i, item);
        self.built = None;
    }
    /// Builds the items. Returns the writes that need another request first.
    fn build(&mut self, table: &str) -> Result<Vec<(usize, NextRequest)>> {
        let (mut built, mut open) = (Vec::with_capacity(self.writes.len()), Vec::new());
        self.indexes.clear();
        for (i, op) in self.writes.iter().enumerate() {
            let item = match self.kept.get(&i) {
                Some(kept) => kept.clone(),
                None => match initial_request(op).map_err(|e| e.of_write(i))? {
                    NextRequest::Send(action, _) => Some(action.into_transact_item(table)?),
                    NextRequest::NoOp(check) => {
                        check.map(|check| check.into_transact_item(table)).transpose()?
                    }
                    next => {
                        open.push((i, next));
                        continue;
                    }
                },
            };
            // It contains a random mark.
            if matches!(op, Write::HDel(_)) {
                self.kept.entry(i).or_insert_with(|| item.clone());
            }
            if let Some(item) = item {
                built.push(item);
                self.indexes.push(i);
            }
        }
        self.built = Some(built);
        Ok(open)
    }
    fn take(&mut self, table: &str) -> Result<Vec<TransactWriteItem>> {
        if self.built.is_none() {
            self.build(table)?;
        }
        Ok(self.built.take().unwrap_or_default())
    }
}

pub(super) async fn transact(cx: &RequestContext<'_>, writes: &[Write]) -> Result<Outcome> {
    if writes.len() > MAX_TRANSACT_ITEMS {
        return Err(Error::invalid(format!(
            "{} writes, and a transaction of DynamoDB has at most {MAX_TRANSACT_ITEMS}",
            writes.len()
        )));
    }
    let mut items = TransactItems::new(writes);
    if let Err(error) = prepare(cx, &mut items).await? {
        return check_other_conditions(cx, writes, error).await;
    }
    let mut conflicts = None;
    loop {
        let Some(cancelled) = send(cx, &mut items).await? else {
            return Ok(Outcome::Committed);
        };
        let next = next_requests(writes, cancelled)?;
        let failed = failed_conditions(&next);
        if !failed.is_empty() {
            return Ok(Outcome::from_failed_conditions(failed));
        }
        for (i, next) in next {
            let item = resolve(cx, &writes[i], next).await?;
            items.keep(i, item.map_err(|e| e.of_write(i))?);
        }
        // Waits before the third transaction and every further one: an item has changed since it
        // was read.
        if let Some(conflicts) = &mut conflicts
            && !cx.backoff_after_conflict(conflicts).await
        {
            return Err(contention());
        }
        conflicts.get_or_insert_default();
    }
}

fn failed_conditions(next: &[(usize, NextRequest)]) -> Vec<usize> {
    let failed = next.iter().filter(|(_, next)| matches!(next, NextRequest::ConditionFailed));
    failed.map(|(i, _)| *i).collect()
}

/// Builds the items of all writes. Those that need a read are read together. The inner error is
/// that of one write; a failed condition of another write has precedence over it.
async fn prepare(cx: &RequestContext<'_>, items: &mut TransactItems<'_>) -> Result<Result<()>> {
    let writes = items.writes;
    let open = match items.build(cx.table()) {
        Ok(open) if open.is_empty() => return Ok(Ok(())),
        Ok(open) => open,
        Err(e) => return Ok(Err(e)),
    };
    let open = match read_first(cx, writes, open).await? {
        Ok(open) => open,
        Err(e) => return Ok(Err(e)),
    };
    for (i, next) in open {
        match resolve(cx, &writes[i], next).await? {
            Ok(item) => items.keep(i, item),
            Err(e) => return Ok(Err(e.of_write(i))),
        }
    }
    Ok(items.build(cx.table()).map(drop))
}

type NextRequests = Vec<(usize, NextRequest)>;

/// Reads the items of all `ReadFirst`, and replaces each with the request after it.
async fn read_first(
    cx: &RequestContext<'_>,
    writes: &[Write],
    mut open: NextRequests,
) -> Result<Result<NextRequests>> {
    let reads = || open.iter().filter(|(_, next)| matches!(next, NextRequest::ReadFirst(_)));
    let indexes: Vec<usize> = reads().map(|(i, _)| *i).collect();
    let found = match *indexes {
        [] => Vec::new(),
        [i] => vec![read::get_consistent(cx, writes[i].key(), range_key(&writes[i])).await],
        _ => {
            let keys = indexes.iter().map(|i| (&writes[*i].key()[..], range_key(&writes[*i])));
            let keys: Vec<_> = keys.collect();
            read::batch_get(cx, &FlowControl::new(), cx.writer(), true, &keys).await
        }
    };
    let reads = open.iter_mut().filter(|(_, next)| matches!(next, NextRequest::ReadFirst(_)));
    for ((i, next), item) in reads.zip(found) {
        *next = match next_request(&writes[*i], item?.as_ref()) {
            Ok(next) => next,
            Err(e) => return Ok(Err(e.of_write(*i))),
        };
    }
    Ok(Ok(open))
}

/// Turns the next request of a write into an item of the transaction. Marks hashes. The inner error
/// is that of the write.
async fn resolve(
    cx: &RequestContext<'_>,
    op: &Write,
    mut next: NextRequest,
) -> Result<Result<Option<TransactWriteItem>>> {
    let mut attempts = Attempts::default();
    loop {
        next = match next {
            NextRequest::Send(action, _) => {
                return Ok(Ok(Some(action.into_transact_item(cx.table())?)));
            }
            NextRequest::NoOp(check) => {
                let check = check.map(|check| check.into_transact_item(cx.table()));
                return Ok(Ok(check.transpose()?));
            }
            // Leaves the decision to the transaction, which checks all conditions together.
            NextRequest::ConditionFailed => initial_request(op)?,
            NextRequest::ReadFirst(_) => {
                return Err(Error::new(ErrorKind::Other, "the write needs another read"));
            }
            NextRequest::MarkFirst => {
                if !attempts.is_first() && !cx.backoff_after_conflict(&mut attempts).await {
                    return Err(contention());
                }
                attempts.count();
                match mark(cx, op).await? {
                    Ok(next) => next,
                    Err(e) => return Ok(Err(e)),
                }
            }
        }
    }
}

/// Marks a hash. Returns the next request for the hash as it is stored.
async fn mark(cx: &RequestContext<'_>, op: &Write) -> Result<Result<NextRequest>> {
    Ok(match mark_for_update(op.key()).apply(cx).await {
        Ok(Ok(item)) => next_request(op, item.as_ref()),
        Ok(Err(ConflictingItem::Present(item))) => next_request(op, Some(&item)),
        Ok(Err(ConflictingItem::Absent)) => next_request(op, None),
        Ok(Err(ConflictingItem::NotReturned)) => {
            next_request(op, read::get_consistent(cx, op.key(), PLAIN).await?.as_ref())
        }
        Err(e) => return Err(cx.read_error(e)),
    })
}

/// One of the writes is an error. If the condition of another write does not hold, returns that
/// instead. Sends only the conditions, so nothing is written.
async fn check_other_conditions(
    cx: &RequestContext<'_>,
    writes: &[Write],
    error: Error,
) -> Result<Outcome> {
    let mut checks = TransactItems::new(writes);
    for (i, op) in writes.iter().enumerate() {
        let check = match initial_request(op) {
            Ok(NextRequest::Send(action, _)) => action.into_condition_check(),
            _ => None,
        };
        checks.keep(i, check.map(|check| check.into_transact_item(cx.table())).transpose()?);
    }
    if checks.kept.values().all(Option::is_none) {
        return Err(error);
    }
    checks.build(cx.table())?;
    let Ok(Some(cancelled)) = send(cx, &mut checks).await else { return Err(error) };
    let failed = cancelled.failed_conditions.iter().filter(|(i, item)| {
        matches!(next_request(&writes[*i], item.as_ref()), Ok(NextRequest::ConditionFailed))
    });
    let failed: Vec<usize> = failed.map(|(i, _)| *i).collect();
    if failed.is_empty() { Err(error) } else { Ok(Outcome::from_failed_conditions(failed)) }
}

/// The next requests of the writes that cancelled a transaction. Failed conditions of the caller
/// have precedence over errors.
fn next_requests(writes: &[Write], cancelled: Cancelled) -> Result<NextRequests> {
    let mut next = Vec::with_capacity(cancelled.failed_conditions.len());
    let mut error = cancelled.error;
    for (i, item) in cancelled.failed_conditions {
        match next_request(&writes[i], item.as_ref()) {
            Ok(request) => next.push((i, request)),
            Err(e) => drop(error.get_or_insert_with(|| e.of_write(i))),
        }
    }
    match error {
        Some(error) if failed_conditions(&next).is_empty() => Err(error),
        _ => Ok(next),
    }
}

/// Sends the transaction until it is applied or cancelled. `None` means applied. All attempts have
/// the same idempotency token, so a retry after a lost response does not apply it twice.
async fn send(cx: &RequestContext<'_>, items: &mut TransactItems<'_>) -> Result<Option<Cancelled>> {
    if items.indexes.is_empty() {
        return Ok(None);
    }
    let (api, writes, token) = (cx.writer(), items.writes, idempotency_token());
    let indexes = items.indexes.clone();
    let mut attempts = Attempts::default();
    loop {
        let send = || match items.take(cx.table()) {
            Ok(items) => api.transact_write_items(
                TransactWriteItemsInputBuilder::default()
                    .set_transact_items(Some(items))
                    .client_request_token(&token)
                    .set_return_consumed_capacity(cx.return_capacity()),
            ),
            Err(e) => DynamoError::build_failed(e),
        };
        let sent = cx.send_counted("TransactWriteItems", Idempotent::Yes, send, &mut attempts);
        let Err(error) = sent.await else { return Ok(None) };
        let (reasons, have_items) = match error.into_parts() {
            (DynamoErrorKind::TransactionCancelled { reasons, have_items }, _) => {
                (reasons, have_items)
            }
            (kind, source) => {
                return Err(cx.write_error(DynamoError::from_parts(kind, source)));
            }
        };
        let Some(kind) = transient_reason(&reasons) else {
            return decode_cancellation(cx, writes, &indexes, reasons, have_items).await.map(Some);
        };
        if !cx.backoff(&mut attempts, kind).await {
            return Err(attempts.final_error(transient_error(cx, kind)));
        }
    }
}

/// Unique per transaction. Half of it is as random as the system can make it.
fn idempotency_token() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:016x}{:016x}", RandomState::new().hash_one(0), fastrand::u64(..))
}

/// A reason that does not recur: a conflict with another transaction, or throttling.
fn transient_reason(reasons: &[CancellationReason]) -> Option<ErrorKind> {
    reasons.iter().find_map(|reason| match by_code(reason.code().unwrap_or("None"), "") {
        DynamoErrorKind::CallFailed(failure)
            if matches!(failure.kind, ErrorKind::Conflict | ErrorKind::Throttled) =>
        {
            Some(failure.kind)
        }
        _ => None,
    })
}

fn transient_error(cx: &RequestContext<'_>, kind: ErrorKind) -> Error {
    if kind == ErrorKind::Throttled {
        return cx.throttled("DynamoDB throttles every attempt");
    }
    Error::new(kind, "every attempt conflicts with other transactions")
}

async fn decode_cancellation(
    cx: &RequestContext<'_>,
    writes: &[Write],
    indexes: &[usize],
    reasons: Vec<CancellationReason>,
    have_items: bool,
) -> Result<Cancelled> {
    let mut cancelled = Cancelled { failed_conditions: Vec::new(), error: None };
    if reasons.len() != indexes.len() {
        // The client does not return a reason per item: any condition may have failed.
        cancelled.failed_conditions = indexes.iter().map(|i| (*i, None)).collect();
        read_items(cx, writes, &mut cancelled.failed_conditions).await?;
        return Ok(cancelled);
    }
    for (i, reason) in indexes.iter().zip(reasons) {
        match reason.code().unwrap_or("None") {
            "None" => {}
            "ConditionalCheckFailed" => cancelled.failed_conditions.push((*i, reason.item)),
            code => {
                let message = reason.message().unwrap_or_default();
                let error = cx.write_error(DynamoError::service(code, message));
                cancelled.error.get_or_insert_with(|| error.of_write(*i));
            }
        }
    }
    if !have_items && !cancelled.failed_conditions.is_empty() {
        read_items(cx, writes, &mut cancelled.failed_conditions).await?;
    }
    Ok(cancelled)
}

/// Reads the items of failed conditions if the client does not return them. Uses one
/// `TransactGetItems`, as the conditions were checked at one moment, too.
async fn read_items(
    cx: &RequestContext<'_>,
    writes: &[Write],
    failed_conditions: &mut [(usize, Option<Item>)],
) -> Result<()> {
    let mut gets = Vec::with_capacity(failed_conditions.len());
    for (i, _) in &*failed_conditions {
        let key = primary_key(writes[*i].key(), range_key(&writes[*i]));
        let get = Get::builder().table_name(cx.table()).set_key(Some(key)).build();
        gets.push(TransactGetItem::builder().get(get.map_err(build_error)?).build());
    }
    let input = TransactGetItemsInputBuilder::default()
        .set_transact_items(Some(gets))
        .set_return_consumed_capacity(cx.return_capacity());
    let (api, mut attempts) = (cx.writer(), Attempts::default());
    let output = loop {
        let get = || api.transact_get_items(input.clone());
        let error = match cx.send("TransactGetItems", Idempotent::Yes, get).await {
            Ok(output) => break output,
            Err(error) => error,
        };
        // Another write of one of the items is in progress.
        if !matches!(error.kind(), DynamoErrorKind::TransactionCancelled { .. }) {
            return Err(cx.read_error(error));
        }
        if !cx.backoff(&mut attempts, ErrorKind::Conflict).await {
            return Err(contention());
        }
    };
    let items = output.responses.into_iter().flatten().map(|response| response.item);
    for ((_, item), read) in failed_conditions.iter_mut().zip(items) {
        *item = read;
    }
    Ok(())
}

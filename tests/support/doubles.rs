//! Doubles at the seam: `Strict` refuses what the service refuses and the stand-ins accept, `Faulty` fails as the service
//! fails, `Counting` notes what is called.

use keyvaluestore::backend::aws_sdk_dynamodb::operation as aws;
use keyvaluestore::backend::aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, TransactWriteItem, WriteRequest,
};
use keyvaluestore::backend::{DynamoAnswer, DynamoApi, DynamoError};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Item = HashMap<String, AttributeValue>;

/// What stands between the backend and an API. Each part may be left out.
pub(crate) trait Rules: Debug + Send + Sync + 'static {
    /// Before a call: an error is its answer, and nothing is carried out.
    fn before(&self, call: Call<'_>) -> Result<(), DynamoError> {
        let _ = call;
        Ok(())
    }
    /// How long a call takes in addition.
    fn delay(&self) -> Duration {
        Duration::ZERO
    }
    /// After a call that was carried out: an error is its answer.
    fn after(&self, call: &'static str) -> Result<(), DynamoError> {
        let _ = call;
        Ok(())
    }
    /// How an error of the API is told.
    fn told(&self, error: DynamoError) -> DynamoError {
        error
    }
    /// How many of the items of a group are carried out; the rest is left unprocessed.
    fn processed(&self, of: usize) -> usize {
        of
    }
}

/// A call, as its input has it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call<'c> {
    GetItem(&'c aws::get_item::builders::GetItemInputBuilder),
    PutItem(&'c aws::put_item::builders::PutItemInputBuilder),
    UpdateItem(&'c aws::update_item::builders::UpdateItemInputBuilder),
    DeleteItem(&'c aws::delete_item::builders::DeleteItemInputBuilder),
    Query(&'c aws::query::builders::QueryInputBuilder),
    BatchGetItem(&'c aws::batch_get_item::builders::BatchGetItemInputBuilder),
    BatchWriteItem(&'c aws::batch_write_item::builders::BatchWriteItemInputBuilder),
    TransactGetItems(&'c aws::transact_get_items::builders::TransactGetItemsInputBuilder),
    TransactWriteItems(&'c aws::transact_write_items::builders::TransactWriteItemsInputBuilder),
}

impl Call<'_> {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Call::GetItem(_) => "GetItem",
            Call::PutItem(_) => "PutItem",
            Call::UpdateItem(_) => "UpdateItem",
            Call::DeleteItem(_) => "DeleteItem",
            Call::Query(_) => "Query",
            Call::BatchGetItem(_) => "BatchGetItem",
            Call::BatchWriteItem(_) => "BatchWriteItem",
            Call::TransactGetItems(_) => "TransactGetItems",
            Call::TransactWriteItems(_) => "TransactWriteItems",
        }
    }
    /// Whether it is done once however often it is sent.
    pub(crate) fn is_safe(self) -> bool {
        matches!(
            self.name(),
            "GetItem" | "Query" | "BatchGetItem" | "TransactGetItems" | "TransactWriteItems"
        )
    }
}

/// An API under rules.
#[derive(Debug)]
pub(crate) struct Double<A, R> {
    pub(crate) api: A,
    pub(crate) rules: Arc<R>,
}

macro_rules! calls {
    ($($call:ident, $variant:ident, $input:ident => $output:ident;)*) => {
        impl<A: DynamoApi, R: Rules> DynamoApi for Double<A, R> {
            $(fn $call(
                &self,
                input: aws::$call::builders::$input,
            ) -> DynamoAnswer<'_, aws::$call::$output> {
                Box::pin(async move {
                    let delay = self.rules.delay();
                    if !delay.is_zero() {
                        tokio::time::sleep(delay).await;
                    }
                    self.rules.before(Call::$variant(&input))?;
                    let answer = run!($call, self, input);
                    let answer = answer.map_err(|e| self.rules.told(e))?;
                    self.rules.after(Call::$variant(&Default::default()).name())?;
                    Ok(answer)
                })
            })*
        }
    };
}
macro_rules! run {
    (batch_get_item, $self:ident, $input:ident) => {
        $self.get_some($input).await
    };
    (batch_write_item, $self:ident, $input:ident) => {
        $self.write_some($input).await
    };
    ($call:ident, $self:ident, $input:ident) => {
        $self.api.$call($input).await
    };
}
calls! {
    get_item, GetItem, GetItemInputBuilder => GetItemOutput;
    put_item, PutItem, PutItemInputBuilder => PutItemOutput;
    update_item, UpdateItem, UpdateItemInputBuilder => UpdateItemOutput;
    delete_item, DeleteItem, DeleteItemInputBuilder => DeleteItemOutput;
    query, Query, QueryInputBuilder => QueryOutput;
    batch_get_item, BatchGetItem, BatchGetItemInputBuilder => BatchGetItemOutput;
    batch_write_item, BatchWriteItem, BatchWriteItemInputBuilder => BatchWriteItemOutput;
    transact_get_items, TransactGetItems, TransactGetItemsInputBuilder => TransactGetItemsOutput;
    transact_write_items, TransactWriteItems, TransactWriteItemsInputBuilder => TransactWriteItemsOutput;
}

impl<A: DynamoApi, R: Rules> Double<A, R> {
    async fn get_some(
        &self,
        input: aws::batch_get_item::builders::BatchGetItemInputBuilder,
    ) -> Result<aws::batch_get_item::BatchGetItemOutput, DynamoError> {
        let tables = input.get_request_items().clone().unwrap_or_default();
        let (mut now, mut left) = (HashMap::new(), HashMap::new());
        for (table, mut keys) in tables {
            let some = self.rules.processed(keys.keys.len());
            let rest = keys.keys.split_off(some);
            if !rest.is_empty() {
                let mut keys = keys.clone();
                keys.keys = rest;
                left.insert(table.clone(), keys);
            }
            if !keys.keys.is_empty() {
                now.insert(table, keys);
            }
        }
        let left = (!left.is_empty()).then_some(left);
        if now.is_empty() {
            let output = aws::batch_get_item::BatchGetItemOutput::builder();
            return Ok(output.set_unprocessed_keys(left).build());
        }
        let mut output = self.api.batch_get_item(input.set_request_items(Some(now))).await?;
        if left.is_some() {
            output.unprocessed_keys = left;
        }
        Ok(output)
    }

    async fn write_some(
        &self,
        input: aws::batch_write_item::builders::BatchWriteItemInputBuilder,
    ) -> Result<aws::batch_write_item::BatchWriteItemOutput, DynamoError> {
        let tables = input.get_request_items().clone().unwrap_or_default();
        let (mut now, mut left) = (HashMap::new(), HashMap::new());
        for (table, mut requests) in tables {
            let rest = requests.split_off(self.rules.processed(requests.len()));
            if !rest.is_empty() {
                left.insert(table.clone(), rest);
            }
            if !requests.is_empty() {
                now.insert(table, requests);
            }
        }
        let left = (!left.is_empty()).then_some(left);
        if now.is_empty() {
            let output = aws::batch_write_item::BatchWriteItemOutput::builder();
            return Ok(output.set_unprocessed_items(left).build());
        }
        let mut output = self.api.batch_write_item(input.set_request_items(Some(now))).await?;
        if left.is_some() {
            output.unprocessed_items = left;
        }
        Ok(output)
    }
}

/// Notes every call.
#[derive(Debug, Default)]
pub(crate) struct Counting(Mutex<BTreeMap<&'static str, usize>>);

impl Counting {
    pub(crate) fn take(&self) -> BTreeMap<&'static str, usize> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
    pub(crate) fn total(&self) -> usize {
        self.take().values().sum()
    }
}

impl Rules for Counting {
    fn before(&self, call: Call<'_>) -> Result<(), DynamoError> {
        *self.0.lock().unwrap().entry(call.name()).or_default() += 1;
        Ok(())
    }
}

type Before = dyn Fn(Call<'_>) -> Result<(), DynamoError> + Send + Sync;
type After = dyn Fn(&'static str) -> Result<(), DynamoError> + Send + Sync;

/// Rules that a test makes for itself. Every call is counted, too.
#[derive(Default)]
pub(crate) struct Script {
    before: Option<Box<Before>>,
    after: Option<Box<After>>,
    processed: Option<Box<dyn Fn(usize) -> usize + Send + Sync>>,
    delay: Option<Box<dyn Fn() -> Duration + Send + Sync>>,
    calls: Counting,
}

impl Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    /// What [`Rules::before`] answers.
    pub(crate) fn before(
        mut self,
        rule: impl Fn(Call<'_>) -> Result<(), DynamoError> + Send + Sync + 'static,
    ) -> Self {
        self.before = Some(Box::new(rule));
        self
    }
    /// What [`Rules::after`] answers.
    pub(crate) fn after(
        mut self,
        rule: impl Fn(&'static str) -> Result<(), DynamoError> + Send + Sync + 'static,
    ) -> Self {
        self.after = Some(Box::new(rule));
        self
    }
    /// What [`Rules::processed`] answers.
    pub(crate) fn processing(
        mut self,
        rule: impl Fn(usize) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.processed = Some(Box::new(rule));
        self
    }
    /// Calls take a random time, of up to `most`, so that they come in any order.
    pub(crate) fn slow(mut self, most: Duration) -> Self {
        self.delay = Some(Box::new(move || most.mul_f64(fastrand::f64())));
        self
    }
    pub(crate) fn take(&self) -> BTreeMap<&'static str, usize> {
        self.calls.take()
    }
}

impl Rules for Script {
    fn before(&self, call: Call<'_>) -> Result<(), DynamoError> {
        self.calls.before(call)?;
        self.before.as_ref().map_or(Ok(()), |rule| rule(call))
    }
    fn delay(&self) -> Duration {
        self.delay.as_ref().map_or(Duration::ZERO, |rule| rule())
    }
    fn after(&self, call: &'static str) -> Result<(), DynamoError> {
        self.after.as_ref().map_or(Ok(()), |rule| rule(call))
    }
    fn processed(&self, of: usize) -> usize {
        self.processed.as_ref().map_or(of, |rule| rule(of))
    }
}

/// What may go wrong without an answer being another one: all of it at once, one call in so many each.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) calls: AtomicU64,
    /// Whether calls take a moment, so that answers come in another order.
    pub(crate) slow: bool,
    /// Whether the client hands on what conditions have found.
    pub(crate) tells: bool,
}

impl Faulty {
    pub(crate) fn new() -> Self {
        Faulty { calls: AtomicU64::new(0), slow: false, tells: true }
    }
    /// The next number, without a pattern that a loop could fall into step with.
    fn next(&self) -> u64 {
        let n = self.calls.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (n ^ n >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
    }
}

impl Rules for Faulty {
    fn before(&self, call: Call<'_>) -> Result<(), DynamoError> {
        let of_write = !call.is_safe() && call.name() != "BatchWriteItem";
        match self.next() % 24 {
            0..=4 => Err(DynamoError::service("ThrottlingException", "")),
            5 => Err(DynamoError::service("ProvisionedThroughputExceededException", "")),
            6 | 7 if of_write => Err(DynamoError::service("TransactionConflictException", "")),
            6 | 7 if call.is_safe() => Err(DynamoError::service("InternalServerError", "")),
            8 if matches!(call, Call::TransactWriteItems(_)) => {
                Err(DynamoError::service("TransactionInProgressException", ""))
            }
            9 => match call {
                Call::TransactWriteItems(input) => {
                    let n = input.get_transact_items().as_ref().map_or(0, Vec::len);
                    let reason = |code: &str| CancellationReason::builder().code(code).build();
                    let mut reasons = vec![reason("None"); n];
                    reasons[n / 2] = reason("TransactionConflict");
                    Err(DynamoError::transaction_cancelled(reasons))
                }
                _ => Err(DynamoError::not_sent("refused")),
            },
            _ => Ok(()),
        }
    }
    fn delay(&self) -> Duration {
        let slow = self.slow && self.next().is_multiple_of(2);
        if slow { Duration::from_micros(self.next() % 3_000) } else { Duration::ZERO }
    }
    fn after(&self, call: &'static str) -> Result<(), DynamoError> {
        let safe = ["GetItem", "Query", "BatchGetItem", "TransactGetItems", "TransactWriteItems"];
        match self.next() % 16 {
            0 if safe.contains(&call) => Err(DynamoError::lost("the connection was closed")),
            1 if safe.contains(&call) => Err(DynamoError::service("InternalServerError", "")),
            2 if safe.contains(&call) => Err(DynamoError::timeout()),
            _ => Ok(()),
        }
    }
    fn told(&self, error: DynamoError) -> DynamoError {
        if self.tells { error } else { error.without_items() }
    }
    fn processed(&self, of: usize) -> usize {
        match self.next() % 3 {
            0 => of / 2,
            1 if self.next().is_multiple_of(4) => 0,
            _ => of,
        }
    }
}

/// Refuses what the service refuses by its documentation, and a stand-in takes.
#[derive(Debug, Default)]
pub(crate) struct Strict;

impl Rules for Strict {
    fn before(&self, call: Call<'_>) -> Result<(), DynamoError> {
        refusal(call).map_or(Ok(()), |why| {
            // Also into the log: a test may not look at the message.
            eprintln!("Strict refuses {}: {why}", call.name());
            Err(DynamoError::service("ValidationException", why))
        })
    }
    fn processed(&self, of: usize) -> usize {
        of
    }
}

struct Expressions<'e> {
    all: [Option<&'e String>; 5],
    names: Option<&'e HashMap<String, String>>,
    values: Option<&'e Item>,
}

impl Expressions<'_> {
    fn refusal(&self) -> Option<String> {
        let text: Vec<&str> = self.all.iter().flatten().map(|text| text.as_str()).collect();
        for text in &text {
            if text.is_empty() || text.len() > 4_096 {
                return Some(format!("an expression of {} bytes", text.len()));
            }
            let operators = [" OR ", " AND ", "=", "<", ">", "(", " IN "];
            let count: usize = operators.iter().map(|o| text.matches(o).count()).sum();
            if count > 300 {
                return Some(format!("{count} operators"));
            }
        }
        let used = |name: &String| {
            text.iter().any(|text| {
                text.match_indices(name.as_str()).any(|(at, _)| {
                    let next = text[at + name.len()..].chars().next();
                    next.is_none_or(|next| !next.is_ascii_alphanumeric())
                })
            })
        };
        let names = self.names.into_iter().flatten().map(|(name, _)| name);
        let values = self.values.into_iter().flatten().map(|(name, _)| name);
        if let Some(unused) = names.chain(values).find(|name| !used(name)) {
            return Some(format!("{unused} is not used in any expression"));
        }
        if self.names.is_some_and(HashMap::is_empty) || self.values.is_some_and(HashMap::is_empty) {
            return Some("expression attributes must not be empty".into());
        }
        self.values.into_iter().flatten().find_map(|(_, value)| of_value(value))
    }
}

fn of_value(value: &AttributeValue) -> Option<String> {
    match value {
        AttributeValue::Bs(members) if members.is_empty() => Some("an empty set".into()),
        AttributeValue::Bs(members) => {
            let distinct: HashSet<&[u8]> = members.iter().map(AsRef::as_ref).collect();
            (distinct.len() < members.len()).then(|| "a set with duplicates".into())
        }
        AttributeValue::N(number) if number.trim_start_matches('-').len() > 38 => {
            Some("a number of more than 38 digits".into())
        }
        _ => None,
    }
}

fn of_item(item: &Item) -> Option<String> {
    let size = |value: &AttributeValue| match value {
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::N(number) => number.len() / 2 + 2,
        AttributeValue::Bs(members) => members.iter().map(|m| m.as_ref().len()).sum(),
        other => panic!("the backend writes no {other:?}"),
    };
    let total: usize = item.iter().map(|(name, value)| name.len() + size(value)).sum();
    if total > 400 * 1_024 {
        return Some("Item size has exceeded the maximum allowed size".into());
    }
    if let Some(AttributeValue::B(key)) = item.get("rk2")
        && !(1..=1_024).contains(&key.as_ref().len())
    {
        return Some(
            "Aggregated size of all range keys has exceeded the size limit of 1024 bytes".into(),
        );
    }
    of_key(item).or_else(|| item.values().find_map(of_value))
}

fn of_key(key: &Item) -> Option<String> {
    for (name, most) in [("hk", 2_048), ("rk", 1_024)] {
        match key.get(name) {
            Some(AttributeValue::B(bytes)) if (1..=most).contains(&bytes.as_ref().len()) => {}
            _ => return Some(format!("the key {name}: size limit of {most}")),
        }
    }
    None
}

fn primary(key: &Item) -> (Vec<u8>, Vec<u8>) {
    let of = |name| key[name].as_b().map(|bytes| bytes.as_ref().to_vec()).unwrap_or_default();
    (of("hk"), of("rk"))
}

fn of_keys(keys: Vec<&Item>, most: usize) -> Option<String> {
    if keys.is_empty() || keys.len() > most {
        return Some(format!("{} items", keys.len()));
    }
    if let Some(why) = keys.iter().find_map(|key| of_key(key)) {
        return Some(why);
    }
    let distinct: HashSet<_> = keys.iter().map(|key| primary(key)).collect();
    (distinct.len() < keys.len()).then(|| "Provided list of item keys contains duplicates".into())
}

fn refusal(call: Call<'_>) -> Option<String> {
    match call {
        Call::GetItem(input) => {
            let all = [input.get_projection_expression().as_ref(), None, None, None, None];
            let names = input.get_expression_attribute_names().as_ref();
            of_key(input.get_key().as_ref()?)
                .or_else(|| Expressions { all, names, values: None }.refusal())
        }
        Call::PutItem(input) => {
            let all = [input.get_condition_expression().as_ref(), None, None, None, None];
            let names = input.get_expression_attribute_names().as_ref();
            let values = input.get_expression_attribute_values().as_ref();
            of_item(input.get_item().as_ref()?)
                .or_else(|| Expressions { all, names, values }.refusal())
        }
        Call::UpdateItem(input) => {
            let (update, condition) =
                (input.get_update_expression(), input.get_condition_expression());
            let all = [update.as_ref(), condition.as_ref(), None, None, None];
            let names = input.get_expression_attribute_names().as_ref();
            let values = input.get_expression_attribute_values().as_ref();
            of_key(input.get_key().as_ref()?)
                .or_else(|| of_index_key(values))
                .or_else(|| Expressions { all, names, values }.refusal())
        }
        Call::DeleteItem(input) => {
            let all = [input.get_condition_expression().as_ref(), None, None, None, None];
            let names = input.get_expression_attribute_names().as_ref();
            let values = input.get_expression_attribute_values().as_ref();
            of_key(input.get_key().as_ref()?)
                .or_else(|| Expressions { all, names, values }.refusal())
        }
        Call::Query(input) => {
            let (key, filter) =
                (input.get_key_condition_expression(), input.get_filter_expression());
            let all = [
                key.as_ref(),
                filter.as_ref(),
                input.get_projection_expression().as_ref(),
                None,
                None,
            ];
            let names = input.get_expression_attribute_names().as_ref();
            let values = input.get_expression_attribute_values().as_ref()?;
            of_condition(key.as_ref()?, values)
                .or_else(|| Expressions { all, names, values: Some(values) }.refusal())
        }
        Call::BatchGetItem(input) => {
            let tables = input.get_request_items().as_ref()?;
            of_keys(tables.values().flat_map(|keys| &keys.keys).collect(), 100)
        }
        Call::BatchWriteItem(input) => {
            let requests: Vec<&WriteRequest> =
                input.get_request_items().as_ref()?.values().flatten().collect();
            let put = |r: &&WriteRequest| r.put_request().and_then(|put| of_item(put.item()));
            let key = |r: &&'_ WriteRequest| -> Item {
                match r.put_request() {
                    Some(put) => put.item().clone(),
                    None => r.delete_request().unwrap().key().clone(),
                }
            };
            let keys: Vec<Item> = requests.iter().map(key).collect();
            of_keys(keys.iter().collect(), 25).or_else(|| requests.iter().find_map(put))
        }
        Call::TransactGetItems(input) => {
            let gets = input.get_transact_items().as_ref()?;
            of_keys(gets.iter().filter_map(|get| get.get()).map(|get| get.key()).collect(), 100)
        }
        Call::TransactWriteItems(input) => {
            if input
                .get_client_request_token()
                .as_ref()
                .is_none_or(|t| !(1..=36).contains(&t.len()))
            {
                return Some("a token has 1 to 36 characters".into());
            }
            let parts = input.get_transact_items().as_ref()?;
            let keys: Vec<&Item> = parts.iter().map(key_of).collect();
            of_keys(keys, 100).or_else(|| parts.iter().find_map(of_part))
        }
    }
}

fn key_of(part: &TransactWriteItem) -> &Item {
    match (part.put(), part.update(), part.delete(), part.condition_check()) {
        (Some(put), ..) => put.item(),
        (_, Some(update), ..) => update.key(),
        (.., Some(delete), _) => delete.key(),
        (.., Some(check)) => check.key(),
        _ => panic!("a part of nothing"),
    }
}

fn of_part(part: &TransactWriteItem) -> Option<String> {
    let own = |text: Option<&str>| text.map(str::to_owned);
    let (item, update, condition, names, values) =
        match (part.put(), part.update(), part.delete(), part.condition_check()) {
            (Some(p), ..) => (
                of_item(p.item()),
                None,
                own(p.condition_expression()),
                p.expression_attribute_names(),
                p.expression_attribute_values(),
            ),
            (_, Some(u), ..) => (
                of_index_key(u.expression_attribute_values()),
                Some(u.update_expression().to_owned()),
                own(u.condition_expression()),
                u.expression_attribute_names(),
                u.expression_attribute_values(),
            ),
            (.., Some(d), _) => (
                None,
                None,
                own(d.condition_expression()),
                d.expression_attribute_names(),
                d.expression_attribute_values(),
            ),
            (.., Some(c)) => (
                None,
                None,
                Some(c.condition_expression().to_owned()),
                c.expression_attribute_names(),
                c.expression_attribute_values(),
            ),
            _ => panic!("a part of nothing"),
        };
    let all = [update.as_ref(), condition.as_ref(), None, None, None];
    item.or_else(|| Expressions { all, names, values }.refusal())
}

/// `SET rk2 = :new` is the one way in which an update writes an index key.
fn of_index_key(values: Option<&Item>) -> Option<String> {
    let new = values?.get(":new")?.as_b().ok()?.as_ref().len();
    (!(1..=1_024).contains(&new)).then(|| "size limit of 1024 bytes".into())
}

fn of_condition(condition: &str, values: &Item) -> Option<String> {
    let value = |name: &str| values.get(name).and_then(|value| value.as_b().ok());
    for name in [":k", ":a", ":z"] {
        let Some(bytes) = value(name) else { continue };
        let most = if name == ":k" { 2_048 } else { 1_024 };
        if !(1..=most).contains(&bytes.as_ref().len()) {
            return Some(format!("{name} is empty or too long for a key"));
        }
    }
    let (Some(low), Some(high)) = (value(":a"), value(":z")) else { return None };
    (condition.contains("BETWEEN") && low.as_ref() > high.as_ref())
        .then(|| "The BETWEEN operator requires upper bound to be greater".into())
}

//! Test doubles of `DynamoApi`. `Strict` enforces limits of the service that the emulators do not,
//! `Faulty` injects faults, `Counting` counts calls, and a test configures `Script`.

mod faulty;
mod strict;

#[allow(unused_imports, reason = "every test file uses a part of it")]
pub(crate) use {faulty::Faulty, strict::Strict};

use keyvaluestore::backend::aws_sdk_dynamodb::operation as aws;
use keyvaluestore::backend::aws_sdk_dynamodb::types::AttributeValue;
use keyvaluestore::backend::{DynamoApi, DynamoError, DynamoResult};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Item = HashMap<String, AttributeValue>;

/// What a test double does around each call. Every method has a default.
pub(crate) trait Rules: Debug + Send + Sync + 'static {
    /// Before a call. An error is the result, and the call is not made.
    fn before(&self, call: Call<'_>) -> Result<(), DynamoError> {
        let _ = call;
        Ok(())
    }
    /// An additional latency.
    fn delay(&self) -> Duration {
        Duration::ZERO
    }
    /// After a successful call. An error is the result, although the call was made.
    fn after(&self, call: &'static str) -> Result<(), DynamoError> {
        let _ = call;
        Ok(())
    }
    /// Changes an error of the API.
    fn map_error(&self, error: DynamoError) -> DynamoError {
        error
    }
    /// How many of the items of a group are processed.
    fn processed(&self, of: usize) -> usize {
        of
    }
}

/// A call with its input.
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
    /// Whether it can be repeated without being applied twice.
    pub(crate) fn is_safe(self) -> bool {
        matches!(
            self.name(),
            "GetItem" | "Query" | "BatchGetItem" | "TransactGetItems" | "TransactWriteItems"
        )
    }
}

/// An API with `Rules` around it.
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
            ) -> DynamoResult<'_, aws::$call::$output> {
                Box::pin(async move {
                    let delay = self.rules.delay();
                    if !delay.is_zero() {
                        tokio::time::sleep(delay).await;
                    }
                    self.rules.before(Call::$variant(&input))?;
                    let answer = run!($call, self, input);
                    let answer = answer.map_err(|e| self.rules.map_error(e))?;
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
    transact_write_items, TransactWriteItems,
        TransactWriteItemsInputBuilder => TransactWriteItemsOutput;
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

/// Counts calls by name.
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

/// Rules that a test configures. Counts calls, too.
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
    /// Sets [`Rules::before`].
    pub(crate) fn before(
        mut self,
        rule: impl Fn(Call<'_>) -> Result<(), DynamoError> + Send + Sync + 'static,
    ) -> Self {
        self.before = Some(Box::new(rule));
        self
    }
    /// Sets [`Rules::after`].
    pub(crate) fn after(
        mut self,
        rule: impl Fn(&'static str) -> Result<(), DynamoError> + Send + Sync + 'static,
    ) -> Self {
        self.after = Some(Box::new(rule));
        self
    }
    /// Sets [`Rules::processed`].
    pub(crate) fn processing(
        mut self,
        rule: impl Fn(usize) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.processed = Some(Box::new(rule));
        self
    }
    /// Adds a random latency of up to `most`, so that responses arrive in any order.
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

//! The seam: the nine calls that the backend makes. What can go wrong with them is in `error.rs`.

use super::error::{DynamoError, Found, Told, What};
use super::translate::{Tells, translate};
use super::watch::{Address, Sending, Watch};
use crate::backend::BoxFuture;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation as aws;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::{Pin, pin};

/// An item as the SDK has it: attributes by name.
pub(super) type Item = HashMap<String, AttributeValue>;

/// What a call of [`DynamoApi`] answers.
pub type DynamoResult<'a, T> = BoxFuture<'a, Result<T, DynamoError>>;

/// A client of the SDK as a [`DynamoApi`].
///
/// All of its settings are kept except two. Its retries are turned off: they do not know what may
/// be sent twice. Its stalled stream protection is turned off: it ends a slow answer before
/// [`attempt_timeout`](super::DynamoDbOptions::attempt_timeout) does.
///
/// A write is known not to be applied only after a status of 4xx, or if its request was never sent,
/// because there were no credentials or no connection. An answer that cannot be read or does not
/// come in time leaves its outcome unknown.
#[derive(Clone, Debug)]
pub struct DynamoClient {
    client: Client,
    address: Address,
}

impl DynamoClient {
    /// Takes the client.
    pub fn new(client: Client) -> Self {
        DynamoClient::without_retries(client, false)
    }
    /// Takes a client whose connections are hyper's.
    pub(super) fn of_hyper(client: Client) -> Self {
        DynamoClient::without_retries(client, true)
    }
    fn without_retries(client: Client, tells_connection: bool) -> Self {
        let config = client
            .config()
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        DynamoClient::on(config, tells_connection)
    }
    /// The client with its retries, for calls that are none of the nine.
    pub(super) fn watching(client: &Client) -> Self {
        DynamoClient::on(client.config().to_builder(), false)
    }
    fn on(config: Builder, tells_connection: bool) -> Self {
        let address = Address::default();
        let sending = Sending { address: Address::clone(&address), tells_connection };
        DynamoClient { client: Client::from_conf(config.interceptor(sending).build()), address }
    }
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for the answer to a request, and says what its failure means.
    pub(super) async fn ask<T, E>(
        &self,
        mut request: Pin<&mut impl Future<Output = Result<T, SdkError<E>>>>,
    ) -> Result<T, DynamoError>
    where
        E: Tells + ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let mut watch = Watch::new(&self.address);
        let error = match std::future::poll_fn(|cx| watch.poll(request.as_mut(), cx)).await? {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        Err(translate(error, watch.maybe_sent()).sent(watch.maybe_sent(), &self.address))
    }
}

macro_rules! calls {
    ($($(#[$doc:meta])* $call:ident: $module:ident, $input:ident => $output:ident, $error:ident;)*) => {
        /// The nine calls that the backend makes, and no others: what the SDK's client, a client of
        /// DAX or a double of a test stands behind.
        ///
        /// Each takes the SDK's own input and answers the SDK's own output, so that a wrapper
        /// passes on what it does not care about. It sends the request **once**: the backend
        /// decides what is sent again, as it knows what may have been applied. Table creation is no
        /// part of it.
        ///
        /// ```
        /// # #[cfg(feature = "dynamodb")] {
        /// use keyvaluestore::backend::aws_sdk_dynamodb::operation as aws;
        /// use keyvaluestore::backend::{DynamoResult, DynamoApi, DynamoClient, DynamoDb};
        /// use std::sync::atomic::{AtomicU64, Ordering};
        ///
        /// /// Counts the queries on their way to the client.
        /// #[derive(Debug)]
        /// struct Counting<A>(A, AtomicU64);
        ///
        /// impl<A: DynamoApi> DynamoApi for Counting<A> {
        ///     fn query(&self, input: aws::query::builders::QueryInputBuilder) -> DynamoResult<'_, aws::query::QueryOutput> {
        ///         self.1.fetch_add(1, Ordering::Relaxed);
        ///         self.0.query(input)
        ///     }
        ///     // The others pass their input on.
        ///     fn get_item(&self, input: aws::get_item::builders::GetItemInputBuilder) -> DynamoResult<'_, aws::get_item::GetItemOutput> {
        ///         self.0.get_item(input)
        ///     }
        /// #   fn put_item(&self, input: aws::put_item::builders::PutItemInputBuilder) -> DynamoResult<'_, aws::put_item::PutItemOutput> { self.0.put_item(input) }
        /// #   fn update_item(&self, input: aws::update_item::builders::UpdateItemInputBuilder) -> DynamoResult<'_, aws::update_item::UpdateItemOutput> { self.0.update_item(input) }
        /// #   fn delete_item(&self, input: aws::delete_item::builders::DeleteItemInputBuilder) -> DynamoResult<'_, aws::delete_item::DeleteItemOutput> { self.0.delete_item(input) }
        /// #   fn batch_get_item(&self, input: aws::batch_get_item::builders::BatchGetItemInputBuilder) -> DynamoResult<'_, aws::batch_get_item::BatchGetItemOutput> { self.0.batch_get_item(input) }
        /// #   fn batch_write_item(&self, input: aws::batch_write_item::builders::BatchWriteItemInputBuilder) -> DynamoResult<'_, aws::batch_write_item::BatchWriteItemOutput> { self.0.batch_write_item(input) }
        /// #   fn transact_get_items(&self, input: aws::transact_get_items::builders::TransactGetItemsInputBuilder) -> DynamoResult<'_, aws::transact_get_items::TransactGetItemsOutput> { self.0.transact_get_items(input) }
        /// #   fn transact_write_items(&self, input: aws::transact_write_items::builders::TransactWriteItemsInputBuilder) -> DynamoResult<'_, aws::transact_write_items::TransactWriteItemsOutput> { self.0.transact_write_items(input) }
        /// }
        /// # fn example(client: keyvaluestore::backend::aws_sdk_dynamodb::Client) {
        /// let client = DynamoClient::new(client);
        /// let backend = DynamoDb::with_api(Counting(client, AtomicU64::new(0)), "table");
        /// # }
        /// # }
        /// ```
        ///
        /// # DAX
        ///
        /// A client of DAX goes in here, too; [`DynamoDb::with_reads`](super::DynamoDb::with_reads)
        /// gives it the reads alone. Know before that DAX answers from its cache only what asks for
        /// eventual consistency (see
        /// [`eventually_consistent`](crate::Store::eventually_consistent)), that its query cache
        /// does not see writes, so that a range may be old for as long as its entries live, and
        /// that it remembers every attribute name it has ever seen: as hash fields are attribute
        /// names, hashes with unbounded fields exhaust its memory.
        pub trait DynamoApi: Debug + Send + Sync + 'static {
            $($(#[$doc])* fn $call(
                &self,
                input: aws::$module::builders::$input,
            ) -> DynamoResult<'_, aws::$module::$output>;)*
        }

        impl DynamoApi for DynamoClient {
            $(fn $call(
                &self,
                input: aws::$module::builders::$input,
            ) -> DynamoResult<'_, aws::$module::$output> {
                Box::pin(async move { self.ask(pin!(input.send_with(&self.client))).await })
            })*
        }

        $(impl Tells for aws::$module::$error {
            fn told(&self) -> Option<What> {
                told!($call, self)
            }
        })*
    };
}

/// What an error of a call tells beyond its code.
macro_rules! told {
    (put_item, $error:expr) => {
        condition!($error, aws::put_item::PutItemError)
    };
    (update_item, $error:expr) => {
        condition!($error, aws::update_item::UpdateItemError)
    };
    (delete_item, $error:expr) => {
        condition!($error, aws::delete_item::DeleteItemError)
    };
    (transact_write_items, $error:expr) => {
        reasons!($error, aws::transact_write_items::TransactWriteItemsError)
    };
    (transact_get_items, $error:expr) => {
        reasons!($error, aws::transact_get_items::TransactGetItemsError)
    };
    ($call:ident, $error:expr) => {
        None
    };
}
macro_rules! condition {
    ($error:expr, $of:path) => {{
        use $of as Of;
        match $error {
            Of::ConditionalCheckFailedException(e) => {
                Some(What::ConditionFailed(e.item().cloned().map_or(Found::Nothing, Found::Item)))
            }
            _ => None,
        }
    }};
}
macro_rules! reasons {
    ($error:expr, $of:path) => {{
        use $of as Of;
        match $error {
            Of::TransactionCanceledException(e) => {
                Some(What::Cancelled(e.cancellation_reasons().to_vec(), Told::All))
            }
            _ => None,
        }
    }};
}

calls! {
    /// [`GetItem`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetItem.html).
    get_item: get_item, GetItemInputBuilder => GetItemOutput, GetItemError;
    /// [`PutItem`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html).
    put_item: put_item, PutItemInputBuilder => PutItemOutput, PutItemError;
    /// [`UpdateItem`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html).
    update_item: update_item, UpdateItemInputBuilder => UpdateItemOutput, UpdateItemError;
    /// [`DeleteItem`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DeleteItem.html).
    delete_item: delete_item, DeleteItemInputBuilder => DeleteItemOutput, DeleteItemError;
    /// [`Query`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html).
    query: query, QueryInputBuilder => QueryOutput, QueryError;
    /// [`BatchGetItem`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html).
    batch_get_item: batch_get_item, BatchGetItemInputBuilder => BatchGetItemOutput, BatchGetItemError;
    /// [`BatchWriteItem`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html).
    batch_write_item: batch_write_item, BatchWriteItemInputBuilder => BatchWriteItemOutput, BatchWriteItemError;
    /// [`TransactGetItems`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactGetItems.html).
    transact_get_items: transact_get_items, TransactGetItemsInputBuilder => TransactGetItemsOutput, TransactGetItemsError;
    /// [`TransactWriteItems`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html).
    transact_write_items: transact_write_items, TransactWriteItemsInputBuilder => TransactWriteItemsOutput, TransactWriteItemsError;
}

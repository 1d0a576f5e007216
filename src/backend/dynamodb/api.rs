//! [`DynamoApi`]: the nine calls of DynamoDB that the backend makes, as a trait; and
//! [`DynamoClient`], which implements it with the SDK's client.

use super::error::{ConflictingItem, DynamoError, DynamoErrorKind, DynamoResult};
use super::send_tracker::{Address, SendInterceptor, SendTracker};
use super::translate::{DecodeError, translate};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation as aws;
use std::fmt::Debug;
use std::pin::{Pin, pin};

/// The SDK's client as a [`DynamoApi`].
///
/// It keeps all settings of the client except two:
///
/// - The SDK's retries are off. They would repeat writes that may have been applied.
/// - The SDK's stalled stream protection is off. It would cut off a slow response before
///   [`attempt_timeout`](super::DynamoDbOptions::attempt_timeout).
///
/// A write is known not to be applied only after a status of 4xx, or if its request was never sent
/// for lack of credentials or of a connection. After a response that cannot be parsed or does not
/// arrive in time, its outcome is unknown.
#[derive(Clone, Debug)]
pub struct DynamoClient {
    client: Client,
    address: Address,
}

impl DynamoClient {
    /// Wraps a client of the SDK. Not covered by semver, as
    /// [`DynamoDb::new`](super::DynamoDb::new).
    pub fn new(client: Client) -> Self {
        DynamoClient::without_retries(client, false)
    }
    /// Wraps a client with hyper's connector, which reports its connections.
    pub(super) fn with_hyper(client: Client) -> Self {
        DynamoClient::without_retries(client, true)
    }
    fn without_retries(client: Client, reports_connection: bool) -> Self {
        let config = client
            .config()
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        DynamoClient::from_config(config, reports_connection)
    }
    /// Wraps a client for other calls than the nine: with the SDK's retries.
    pub(super) fn with_retries(client: &Client) -> Self {
        DynamoClient::from_config(client.config().to_builder(), false)
    }
    fn from_config(config: Builder, reports_connection: bool) -> Self {
        let address = Address::default();
        let interceptor = SendInterceptor { address: Address::clone(&address), reports_connection };
        DynamoClient { client: Client::from_conf(config.interceptor(interceptor).build()), address }
    }
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a request, and translates its error.
    pub(super) async fn send<T, E>(
        &self,
        mut request: Pin<&mut impl Future<Output = Result<T, SdkError<E>>>>,
    ) -> Result<T, DynamoError>
    where
        E: DecodeError + ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let mut tracker = SendTracker::new(&self.address);
        let error = match std::future::poll_fn(|cx| tracker.poll(request.as_mut(), cx)).await? {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let maybe_sent = tracker.maybe_sent();
        Err(translate(error, maybe_sent).sent(maybe_sent, &self.address))
    }
}

macro_rules! calls {
    ($($call:ident, $name:literal: $input:ident => $output:ident, $error:ident;)*) => {
        /// The nine calls of DynamoDB that the backend makes. Implement it to put a wrapper, a
        /// client of DAX or a test double between the backend and the service.
        ///
        /// Each call takes the SDK's input and returns the SDK's output, so a wrapper can pass them
        /// on unchanged. It sends the request **once**: the backend retries, because it knows which
        /// requests may be repeated. Table creation is not part of it.
        ///
        /// Not covered by semver: the types are those of `aws-sdk-dynamodb`, and a minor version
        /// may move to another major version of it, or need a tenth call.
        ///
        /// ```
        /// # #[cfg(feature = "dynamodb")] {
        /// use keyvaluestore::backend::aws_sdk_dynamodb::operation as aws;
        /// use keyvaluestore::backend::{DynamoResult, DynamoApi, DynamoClient, DynamoDb};
        /// use std::sync::atomic::{AtomicU64, Ordering};
        ///
        /// /// Counts queries.
        /// #[derive(Debug)]
        /// struct Counting<A>(A, AtomicU64);
        ///
        /// impl<A: DynamoApi> DynamoApi for Counting<A> {
        ///     fn query(
        ///         &self,
        ///         input: aws::query::builders::QueryInputBuilder,
        ///     ) -> DynamoResult<'_, aws::query::QueryOutput> {
        ///         self.1.fetch_add(1, Ordering::Relaxed);
        ///         self.0.query(input)
        ///     }
        ///     // The other calls pass their input on.
        ///     fn get_item(
        ///         &self,
        ///         input: aws::get_item::builders::GetItemInputBuilder,
        ///     ) -> DynamoResult<'_, aws::get_item::GetItemOutput> {
        ///         self.0.get_item(input)
        ///     }
        /// #   fn put_item(
        /// #       &self,
        /// #       input: aws::put_item::builders::PutItemInputBuilder,
        /// #   ) -> DynamoResult<'_, aws::put_item::PutItemOutput> {
        /// #       self.0.put_item(input)
        /// #   }
        /// #   fn update_item(
        /// #       &self,
        /// #       input: aws::update_item::builders::UpdateItemInputBuilder,
        /// #   ) -> DynamoResult<'_, aws::update_item::UpdateItemOutput> {
        /// #       self.0.update_item(input)
        /// #   }
        /// #   fn delete_item(
        /// #       &self,
        /// #       input: aws::delete_item::builders::DeleteItemInputBuilder,
        /// #   ) -> DynamoResult<'_, aws::delete_item::DeleteItemOutput> {
        /// #       self.0.delete_item(input)
        /// #   }
        /// #   fn batch_get_item(
        /// #       &self,
        /// #       input: aws::batch_get_item::builders::BatchGetItemInputBuilder,
        /// #   ) -> DynamoResult<'_, aws::batch_get_item::BatchGetItemOutput> {
        /// #       self.0.batch_get_item(input)
        /// #   }
        /// #   fn batch_write_item(
        /// #       &self,
        /// #       input: aws::batch_write_item::builders::BatchWriteItemInputBuilder,
        /// #   ) -> DynamoResult<'_, aws::batch_write_item::BatchWriteItemOutput> {
        /// #       self.0.batch_write_item(input)
        /// #   }
        /// #   fn transact_get_items(
        /// #       &self,
        /// #       input: aws::transact_get_items::builders::TransactGetItemsInputBuilder,
        /// #   ) -> DynamoResult<'_, aws::transact_get_items::TransactGetItemsOutput> {
        /// #       self.0.transact_get_items(input)
        /// #   }
        /// #   fn transact_write_items(
        /// #       &self,
        /// #       input: aws::transact_write_items::builders::TransactWriteItemsInputBuilder,
        /// #   ) -> DynamoResult<'_, aws::transact_write_items::TransactWriteItemsOutput> {
        /// #       self.0.transact_write_items(input)
        /// #   }
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
        /// A client of DAX can implement this trait.
        /// [`DynamoDb::with_reads`](super::DynamoDb::with_reads) uses it for reads only. Before you
        /// use DAX, consider:
        ///
        /// - It serves only eventually consistent reads from its cache (see
        ///   [`eventually_consistent`](crate::Store::eventually_consistent)).
        /// - Writes do not invalidate its query cache. A range may be stale until its entry
        ///   expires.
        /// - It keeps every attribute name that it has seen. Hash fields are attribute names, so
        ///   hashes with an unbounded number of different fields exhaust its memory.
        pub trait DynamoApi: Debug + Send + Sync + 'static {
            $(
                #[doc = concat!(
                    "[`", $name, "`](https://docs.aws.amazon.com/amazondynamodb/latest/",
                    "APIReference/API_", $name, ".html).",
                )]
                fn $call(
                    &self,
                    input: aws::$call::builders::$input,
                ) -> DynamoResult<'_, aws::$call::$output>;
            )*
        }

        impl DynamoApi for DynamoClient {
            $(fn $call(
                &self,
                input: aws::$call::builders::$input,
            ) -> DynamoResult<'_, aws::$call::$output> {
                Box::pin(async move { self.send(pin!(input.send_with(&self.client))).await })
            })*
        }

        $(impl DecodeError for aws::$call::$error {
            fn decode(&self) -> Option<DynamoErrorKind> {
                decode!($call, self)
            }
        })*
    };
}

/// The details of an error that its code does not contain: the items of failed conditions.
macro_rules! decode {
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
                let item = e.item().cloned();
                let item = item.map_or(ConflictingItem::Absent, ConflictingItem::Present);
                Some(DynamoErrorKind::ConditionFailed(item))
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
                let reasons = e.cancellation_reasons().to_vec();
                Some(DynamoErrorKind::TransactionCancelled { reasons, have_items: true })
            }
            _ => None,
        }
    }};
}

calls! {
    get_item, "GetItem": GetItemInputBuilder => GetItemOutput, GetItemError;
    put_item, "PutItem": PutItemInputBuilder => PutItemOutput, PutItemError;
    update_item, "UpdateItem": UpdateItemInputBuilder => UpdateItemOutput, UpdateItemError;
    delete_item, "DeleteItem": DeleteItemInputBuilder => DeleteItemOutput, DeleteItemError;
    query, "Query": QueryInputBuilder => QueryOutput, QueryError;
    batch_get_item, "BatchGetItem":
        BatchGetItemInputBuilder => BatchGetItemOutput, BatchGetItemError;
    batch_write_item, "BatchWriteItem":
        BatchWriteItemInputBuilder => BatchWriteItemOutput, BatchWriteItemError;
    transact_get_items, "TransactGetItems":
        TransactGetItemsInputBuilder => TransactGetItemsOutput, TransactGetItemsError;
    transact_write_items, "TransactWriteItems":
        TransactWriteItemsInputBuilder => TransactWriteItemsOutput, TransactWriteItemsError;
}

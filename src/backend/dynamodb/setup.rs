//! The table: `create_table`, templates for CloudFormation and Terraform, and the IAM policy.

use super::DynamoDb;
use super::api::DynamoClient;
use super::error::{DynamoError, DynamoErrorKind, build_error};
use super::items::{HK, RK, RK2};
use super::options::check_table_name;
use super::translate::DecodeError;
use crate::runtime::with_drivers;
use crate::{Error, ErrorKind, Result};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableInputBuilder;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::operation::describe_table::builders::DescribeTableInputBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, LocalSecondaryIndex, Projection,
    ProjectionType, ScalarAttributeType, TableDescription, TableStatus,
};
use std::pin::pin;
use std::time::Duration;

/// How long a table may take to become active. Normally it takes seconds.
const ACTIVE_TIMEOUT: Duration = Duration::from_secs(180);
/// The first and the longest interval between two `DescribeTable`.
const POLL_INTERVAL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

impl DynamoDb {
    /// The table as a CloudFormation template.
    #[doc = concat!("\n```json\n", include_str!("setup/cloudformation.json"), "```")]
    pub const CLOUDFORMATION: &'static str = include_str!("setup/cloudformation.json");
    /// The table as a Terraform resource.
    #[doc = concat!("\n```text\n", include_str!("setup/terraform.tf"), "```")]
    pub const TERRAFORM: &'static str = include_str!("setup/terraform.tf");
    /// An IAM policy with the permissions that the backend needs on the table `keyvaluestore`.
    /// [`create_table`](Self::create_table) also needs `dynamodb:CreateTable` and
    /// `dynamodb:DescribeTable`.
    #[doc = concat!("\n```json\n", include_str!("setup/policy.json"), "```")]
    pub const IAM_POLICY: &'static str = include_str!("setup/policy.json");

    /// Creates the table with on-demand billing if it does not exist, and waits until it is
    /// `ACTIVE`. Returns whether it was created. If the table exists, checks its keys and its
    /// index.
    ///
    /// Calls `CreateTable`, and polls `DescribeTable`: after 20 ms at first, later twice a second.
    ///
    /// Not covered by semver, as [`DynamoDb::new`].
    ///
    /// # Errors
    /// `InvalidArgument` if the name is invalid, or if the table has other keys or lacks the index
    /// (DynamoDB cannot add either to a table); `Timeout` if the table is not active within three
    /// minutes; `Unsupported` without a tokio runtime with timers and I/O; and the errors of the
    /// service.
    pub async fn create_table(client: &Client, table: &str) -> Result<bool> {
        check_table_name(table)?;
        let create = Box::pin(create_and_wait(client, table));
        let create = with_drivers(|| tokio::time::timeout(ACTIVE_TIMEOUT, create))?;
        let timeout = |_| Error::new(ErrorKind::Timeout, "the table does not become active");
        create.await.map_err(timeout)?
    }
}

async fn create_and_wait(client: &Client, table: &str) -> Result<bool> {
    let client = DynamoClient::with_retries(client);
    let (mut created, mut interval) = (false, POLL_INTERVAL.0);
    loop {
        let describe = DescribeTableInputBuilder::default().table_name(table);
        match client.send(pin!(describe.send_with(client.client()))).await {
            Ok(output) => match output.table {
                Some(found) if found.table_status == Some(TableStatus::Active) => {
                    check_schema(&found)?;
                    return Ok(created);
                }
                Some(found) if found.table_status != Some(TableStatus::Deleting) => {
                    check_schema(&found)?;
                }
                _ => {}
            },
            Err(e) if e.code() == Some("ResourceNotFoundException") => {
                created |= Box::pin(create(&client, table)).await?;
            }
            Err(e) => return Err(service_error("the table cannot be described", table, e)),
        }
        tokio::time::sleep(interval).await;
        interval = (interval * 2).min(POLL_INTERVAL.1);
    }
}

/// Creates the table. `false` if another caller was faster.
async fn create(client: &DynamoClient, table: &str) -> Result<bool> {
    match client.send(pin!(schema(table)?.send_with(client.client()))).await {
        Ok(_) => Ok(true),
        Err(e) if e.code() == Some("ResourceInUseException") => Ok(false),
        Err(e) => Err(service_error("the table cannot be created", table, e)),
    }
}

impl DecodeError for DescribeTableError {}
impl DecodeError for CreateTableError {}

#[cold]
fn service_error(message: &str, table: &str, error: DynamoError) -> Error {
    let message = format!("{message}: {}", error.describe(table));
    let (kind, source) = error.into_parts();
    let kind = match kind {
        DynamoErrorKind::CallFailed(failure) => failure.kind,
        _ => ErrorKind::Other,
    };
    let error = Error::new(kind, message);
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

/// The input of `CreateTable`.
pub(super) fn schema(table: &str) -> Result<CreateTableInputBuilder> {
    let attribute = |name| {
        let binary = AttributeDefinition::builder().attribute_name(name);
        binary.attribute_type(ScalarAttributeType::B).build().map_err(build_error)
    };
    let element = |name, kind| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(build_error)
    };
    let index = LocalSecondaryIndex::builder()
        .index_name(RK2)
        .key_schema(element(HK, KeyType::Hash)?)
        .key_schema(element(RK2, KeyType::Range)?)
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()
        .map_err(build_error)?;
    Ok(CreateTableInputBuilder::default()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute(HK)?)
        .attribute_definitions(attribute(RK)?)
        .attribute_definitions(attribute(RK2)?)
        .key_schema(element(HK, KeyType::Hash)?)
        .key_schema(element(RK, KeyType::Range)?)
        .local_secondary_indexes(index))
}

/// Compares an existing table with [`schema`].
fn check_schema(found: &TableDescription) -> Result<()> {
    let wrong = |what: &str| {
        let name = found.table_name().unwrap_or_default();
        Err(Error::invalid(format!("the table `{name}` exists, but {what}")))
    };
    let is = |keys: &[KeySchemaElement], range: &str| match keys {
        [hash, sort] => hash.attribute_name() == HK && sort.attribute_name() == range,
        _ => false,
    };
    if !is(found.key_schema(), RK) {
        return wrong("its keys are not `hk` and `rk`");
    }
    let attributes = found.attribute_definitions();
    for name in [HK, RK, RK2] {
        let attribute = attributes.iter().find(|attribute| attribute.attribute_name() == name);
        if attribute.is_none_or(|found| *found.attribute_type() != ScalarAttributeType::B) {
            return wrong(&format!("its attribute `{name}` is not binary, or no key"));
        }
    }
    let indexes = found.local_secondary_indexes();
    let Some(index) = indexes.iter().find(|index| index.index_name() == Some(RK2)) else {
        return wrong("it has no local secondary index `rk2`");
    };
    let projects = index.projection().and_then(|projection| projection.projection_type());
    if !is(index.key_schema(), RK2) || projects != Some(&ProjectionType::All) {
        return wrong("its index `rk2` has other keys, or does not project all attributes");
    }
    Ok(())
}

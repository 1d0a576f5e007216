//! The table: how it is made, and what whoever uses it must be allowed to do.

use super::DynamoDb;
use super::action::unbuildable;
use super::api::DynamoClient;
use super::error::{DynamoError, What};
use super::items::{HK, RK, RK2};
use super::translate::Tells;
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

/// How long a table may take to become active. It is a matter of seconds.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long to wait before looking at it again: longer each time, up to the second of these.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

impl DynamoDb {
    /// The table as a template of CloudFormation.
    #[doc = concat!("\n```json\n", include_str!("setup/cloudformation.json"), "```")]
    pub const CLOUDFORMATION: &'static str = include_str!("setup/cloudformation.json");
    /// The table as a resource of Terraform.
    #[doc = concat!("\n```text\n", include_str!("setup/terraform.tf"), "```")]
    pub const TERRAFORM: &'static str = include_str!("setup/terraform.tf");
    /// All that a program needs to be allowed to use the table `keyvaluestore`, as an IAM policy.
    /// To make the table with [`create_table`](Self::create_table) takes `dynamodb:CreateTable` and
    /// `dynamodb:DescribeTable`, too.
    #[doc = concat!("\n```json\n", include_str!("setup/policy.json"), "```")]
    pub const IAM_POLICY: &'static str = include_str!("setup/policy.json");

    /// Makes the table, billed on demand, if there is none, and waits until it is `ACTIVE`; whether
    /// it was made. Where there is one already, its keys and its index are compared with what they
    /// should be.
    ///
    /// The calls are `DescribeTable`, at last twice a second, and `CreateTable`.
    ///
    /// # Errors
    /// `InvalidArgument` if no table can have such a name, or if a table of that name has other
    /// keys or no such index, which cannot be changed in a table that is there; `Timeout` if it
    /// does not become active within three minutes; `Unsupported` without a tokio runtime that has
    /// timers and I/O; what the service says.
    pub async fn create_table(client: &Client, table: &str) -> Result<bool> {
        check_name(table)?;
        let made = with_drivers(|| tokio::time::timeout(PATIENCE, Box::pin(make(client, table))))?;
        let late = |_| Error::new(ErrorKind::Timeout, "the table does not become active");
        made.await.map_err(late)?
    }
}

async fn make(client: &Client, table: &str) -> Result<bool> {
    let client = DynamoClient::watching(client);
    let (mut made, mut pause) = (false, LOOK_AGAIN.0);
    loop {
        let look = DescribeTableInputBuilder::default().table_name(table);
        match client.ask(pin!(look.send_with(client.client()))).await {
            Ok(output) => match output.table {
                Some(found) if found.table_status == Some(TableStatus::Active) => {
                    check(&found)?;
                    return Ok(made);
                }
                Some(found) if found.table_status != Some(TableStatus::Deleting) => {
                    check(&found)?;
                }
                _ => {}
            },
            Err(e) if e.code() == Some("ResourceNotFoundException") => {
                made |= Box::pin(create(&client, table)).await?;
            }
            Err(e) => return Err(said("the table cannot be looked at", table, e)),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK_AGAIN.1);
    }
}

/// Makes the table; `false` if somebody else was faster.
async fn create(client: &DynamoClient, table: &str) -> Result<bool> {
    match client.ask(pin!(schema(table)?.send_with(client.client()))).await {
        Ok(_) => Ok(true),
        Err(e) if e.code() == Some("ResourceInUseException") => Ok(false),
        Err(e) => Err(said("the table cannot be made", table, e)),
    }
}

impl Tells for DescribeTableError {}
impl Tells for CreateTableError {}

#[cold]
fn said(what: &str, table: &str, error: DynamoError) -> Error {
    let message = format!("{what}: {}", error.told(table));
    let (failure, source) = error.take();
    let kind = match failure {
        What::Failed(failed) => failed.kind,
        _ => ErrorKind::Other,
    };
    let error = Error::new(kind, message);
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

/// The rule of the service for the name of a table, or the ARN in place of it.
///
/// # Errors
/// `InvalidArgument`, which says the rule.
pub(super) fn check_name(table: &str) -> Result<()> {
    let is_arn = table.starts_with("arn:");
    let longest = if is_arn { 1_024 } else { 255 };
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let fits_arn = |c: char| fits(c) || (is_arn && ":/".contains(c));
    if (3..=longest).contains(&table.len()) && table.chars().all(fits_arn) {
        return Ok(());
    }
    Err(Error::invalid(
        "a table has a name of 3 to 255 letters, digits and `_-.`: `dynamodb://users`",
    ))
}

/// What is asked for when the table is made.
pub(super) fn schema(table: &str) -> Result<CreateTableInputBuilder> {
    let attribute = |name| {
        let binary = AttributeDefinition::builder().attribute_name(name);
        binary.attribute_type(ScalarAttributeType::B).build().map_err(unbuildable)
    };
    let element = |name, kind| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(unbuildable)
    };
    let index = LocalSecondaryIndex::builder()
        .index_name(RK2)
        .key_schema(element(HK, KeyType::Hash)?)
        .key_schema(element(RK2, KeyType::Range)?)
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()
        .map_err(unbuildable)?;
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

/// Whether a table that is there is the one that [`schema`] would have made.
fn check(found: &TableDescription) -> Result<()> {
    let wrong = |what: &str| {
        let name = found.table_name().unwrap_or_default();
        Err(Error::invalid(format!("the table `{name}` is there already, and {what}")))
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
        return wrong("has no local secondary index `rk2`");
    };
    let projects = index.projection().and_then(|projection| projection.projection_type());
    if !is(index.key_schema(), RK2) || projects != Some(&ProjectionType::All) {
        return wrong("its index `rk2` has other keys, or does not project all attributes");
    }
    Ok(())
}

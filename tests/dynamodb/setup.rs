//! The table, its templates and the policy: they match the requests of the backend.

use super::{TABLE, quick, store_on};
use crate::support::doubles::{Call, Script};
use crate::support::dynamodb::{client_with, database, dispatch, in_process, in_process_with};
use keyvaluestore::backend::DynamoDbOptions;
use keyvaluestore::backend::aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use keyvaluestore::{DynamoDb, ErrorKind};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// The input of `CreateTable`.
async fn sent() -> Json {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sent);
    let client = in_process_with(&database(), move |db, call, body| {
        if call == "CreateTable" {
            seen.lock().unwrap().push(serde_json::from_slice::<Json>(body).unwrap());
        }
        dispatch(db, call, body)
    });
    assert!(DynamoDb::create_table(&client, TABLE).await.unwrap());
    let mut sent = std::mem::take(&mut *sent.lock().unwrap());
    assert_eq!(sent.len(), 1);
    sent.remove(0)
}

#[tokio::test]
async fn the_table_is_made_once() {
    let client = in_process(&database());
    assert!(DynamoDb::create_table(&client, TABLE).await.unwrap());
    assert!(!DynamoDb::create_table(&client, TABLE).await.unwrap());
    // Two concurrent calls: one creates the table, and both wait for it.
    let (a, b) = tokio::join!(
        DynamoDb::create_table(&client, "other"),
        DynamoDb::create_table(&client, "other")
    );
    assert_eq!(u8::from(a.unwrap()) + u8::from(b.unwrap()), 1);
}

#[tokio::test(start_paused = true)]
async fn the_table_is_active_when_it_is_said_to_be_made() {
    let looks = Mutex::new(0);
    let client = in_process_with(&database(), move |db, call, body| {
        let (status, answer) = dispatch(db, call, body);
        let mut looks = looks.lock().unwrap();
        *looks += usize::from(call == "DescribeTable");
        // The table is absent, then being created, then being deleted.
        let shown = ["", "", "CREATING", "DELETING", "ACTIVE"][(*looks).min(4)];
        (status, answer.replace("\"ACTIVE\"", &format!("\"{shown}\"")))
    });
    let start = tokio::time::Instant::now();
    assert!(DynamoDb::create_table(&client, TABLE).await.unwrap());
    assert!(start.elapsed().as_millis() >= 140);
}

#[tokio::test]
async fn a_table_of_another_schema_is_refused() {
    let client = in_process(&database());
    let attribute = |name| {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        attribute.attribute_type(ScalarAttributeType::B).build().unwrap()
    };
    let key = |name, kind| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
    };
    let make = |name: &'static str, sort: &'static str| {
        let make = client.create_table().table_name(name);
        let make = make.billing_mode(BillingMode::PayPerRequest);
        let make = make.attribute_definitions(attribute("hk"));
        let make = make.attribute_definitions(attribute(sort));
        make.key_schema(key("hk", KeyType::Hash)).key_schema(key(sort, KeyType::Range)).send()
    };
    make("keys", "sort").await.unwrap();
    make("index", "rk").await.unwrap();
    for (table, says) in [("keys", "its keys are not"), ("index", "is not binary, or no key")] {
        let error = DynamoDb::create_table(&client, table).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.to_string().contains(table), "{error}");
    }
}

#[tokio::test]
async fn what_the_service_says_when_a_table_cannot_be_made_is_passed_on() {
    let client = in_process_with(&database(), |_, _, _| {
        (400, json!({"__type": "x#AccessDeniedException", "message": "no"}).to_string())
    });
    let error = DynamoDb::create_table(&client, TABLE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}");
    assert!(error.to_string().contains("AccessDeniedException"), "{error}");
    // A port on which nothing listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = DynamoDb::create_table(&client_with(None, &url), TABLE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn cloudformation_makes_the_same_table() {
    let template: Json = serde_json::from_str(DynamoDb::CLOUDFORMATION).unwrap();
    let resource = &template["Resources"]["KeyValueStore"];
    assert_eq!(resource["Type"], "AWS::DynamoDB::Table");
    let mut properties = resource["Properties"].clone();
    assert_eq!(properties["TableName"], json!({"Ref": "TableName"}));
    properties["TableName"] = json!(TABLE);
    assert_eq!(properties, sent().await);
}

#[tokio::test]
async fn terraform_makes_the_same_table() {
    // Parses blocks of `name = "value"`.
    let mut blocks: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for line in DynamoDb::TERRAFORM.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_suffix('{') {
            open.push(blocks.len());
            blocks.push((name.trim().to_owned(), vec![]));
        } else if line == "}" {
            open.pop().unwrap();
        } else {
            let (name, value) = line.split_once('=').unwrap();
            let pair = (name.trim().to_owned(), value.trim().trim_matches('"').to_owned());
            blocks[*open.last().unwrap()].1.push(pair);
        }
    }
    assert!(open.is_empty());
    let table = sent().await;
    let text = |json: &Json| json.as_str().unwrap().to_owned();
    let pair = |name: &str, value: &Json| (name.to_owned(), text(value));
    let mut expected = vec![(
        "resource \"aws_dynamodb_table\" \"keyvaluestore\"".to_owned(),
        vec![
            ("name".to_owned(), "keyvaluestore".to_owned()),
            pair("billing_mode", &table["BillingMode"]),
            pair("hash_key", &table["KeySchema"][0]["AttributeName"]),
            pair("range_key", &table["KeySchema"][1]["AttributeName"]),
        ],
    )];
    for attribute in table["AttributeDefinitions"].as_array().unwrap() {
        expected.push((
            "attribute".to_owned(),
            vec![
                pair("name", &attribute["AttributeName"]),
                pair("type", &attribute["AttributeType"]),
            ],
        ));
    }
    for index in table["LocalSecondaryIndexes"].as_array().unwrap() {
        expected.push((
            "local_secondary_index".to_owned(),
            vec![
                pair("name", &index["IndexName"]),
                pair("range_key", &index["KeySchema"][1]["AttributeName"]),
                pair("projection_type", &index["Projection"]["ProjectionType"]),
            ],
        ));
    }
    assert_eq!(blocks, expected);
}

/// The IAM actions of a call. Each item of a transaction has its own.
fn actions(call: Call<'_>) -> Vec<&'static str> {
    match call {
        Call::TransactGetItems(_) => vec!["GetItem"],
        Call::TransactWriteItems(input) => {
            let parts = input.get_transact_items().as_ref().unwrap().iter();
            parts
                .map(|part| match () {
                    () if part.put().is_some() => "PutItem",
                    () if part.update().is_some() => "UpdateItem",
                    () if part.delete().is_some() => "DeleteItem",
                    () => "ConditionCheckItem",
                })
                .collect()
        }
        call => vec![call.name()],
    }
}

#[tokio::test]
async fn the_policy_allows_what_is_called_and_nothing_else() {
    let called = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&called);
    let rules = Script::default().before(move |call| {
        seen.lock().unwrap().extend(actions(call).iter().map(|name| format!("dynamodb:{name}")));
        Ok(())
    });
    let client = super::client().await;
    let store = store_on(&client, &Arc::new(rules), quick());
    // Every call, in single operations, batches and atomic writes.
    store.set("k", "v").await.unwrap();
    store.get("k").await.unwrap();
    store.delete("k").await.unwrap();
    store.incr_by("n", 1).await.unwrap();
    store.sadd("s", ["m"]).await.unwrap();
    store.zincr_by("z", "m", 1.0).await.unwrap();
    store.zrange("z").await.unwrap();
    let mut batch = store.batch();
    let _ = (batch.get("a"), batch.get("b"), batch.set("c", "v"), batch.zadd("z", "o", 1.0));
    let _ = batch.exec().await.unwrap();
    let mut tx = store.atomic_write();
    tx.set("a", "v");
    tx.incr_by("n", 1);
    tx.delete("b");
    tx.srem("nothing", ["m"]);
    assert!(tx.exec().await.unwrap().is_committed());

    let policy: Json = serde_json::from_str(DynamoDb::IAM_POLICY).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    assert_eq!((statements.len(), &statements[0]["Effect"]), (1, &json!("Allow")));
    let allowed = statements[0]["Action"].as_array().unwrap();
    let allowed: BTreeSet<String> =
        allowed.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(*called.lock().unwrap(), allowed);
    let table = "arn:aws:dynamodb:*:*:table/keyvaluestore";
    assert_eq!(statements[0]["Resource"], json!([table, format!("{table}/index/rk2")]));
}

#[tokio::test]
async fn a_url_that_names_no_table_is_refused_before_anything_is_sent() {
    let error = DynamoDbOptions::new().open("dynamodb://?region=eu-west-1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    // `Store::open` returns the same error.
    let error = keyvaluestore::Store::open("dynamodb://table?zone=a").await.unwrap_err();
    assert!(error.to_string().contains("`zone` is no option"), "{error}");
}

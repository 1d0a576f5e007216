//! The differential test on every backend: 10,000 random programs of 50 steps each, or as many as
//! `KVS_PROGRAMS` sets.

mod support;

use keyvaluestore::Memory;
use keyvaluestore::conformance::differential::{Plan, check};
use keyvaluestore::conformance::{Faults, SimulatedBackend, Subject};

/// One in `share` of the programs, for slow backends.
fn plan(share: u64) -> Plan {
    let programs = match std::env::var("KVS_PROGRAMS") {
        Ok(n) => n.parse().expect("KVS_PROGRAMS is a number"),
        Err(_) => 10_000,
    };
    // Different seeds for different shares.
    Plan::new((programs / share).max(1)).seed(share * 1_000_000)
}

#[tokio::test]
async fn memory_agrees_with_itself_one_operation_at_a_time() {
    check(async || Subject::new(Memory::new()).sees_types(), plan(4)).await;
}

#[tokio::test]
async fn the_ordered_layer_agrees_with_memory() {
    check(async || SimulatedBackend::new(Faults::default()), plan(1)).await;
}

#[tokio::test]
async fn the_ordered_layer_agrees_with_memory_on_every_use_as_another_type() {
    let typed = Faults { typed: true, value: 64, page: 2, ..Faults::NONE };
    check(async || Subject::new(SimulatedBackend::new(typed)).sees_types(), plan(5)).await;
}

/// Rows of 64 bytes, pages of 2 rows, a conflict at every third commit, and snapshots that are
/// replaced by newer ones during a read.
#[tokio::test]
async fn the_ordered_layer_agrees_with_memory_on_an_unkind_engine() {
    let unkind = Faults {
        value: 64,
        transaction: 2_000_000,
        page: 2,
        conflict_every: 3,
        age: 3,
        ..Faults::default()
    };
    check(async || SimulatedBackend::new(unkind), plan(5)).await;
}

/// Write transactions that expire after a few reads and changes, so that nearly every batch is
/// split in half.
#[tokio::test]
async fn the_ordered_layer_agrees_with_memory_where_batches_are_too_old() {
    let short_lived = Faults { lifetime: 10, ..Faults::NONE };
    check(async || SimulatedBackend::new(short_lived), plan(10)).await;
}

/// Small transactions, so that many batches need several.
#[tokio::test]
async fn the_ordered_layer_agrees_with_memory_where_batches_are_cut() {
    let small = Faults { value: 2_000, transaction: 120_000, page: 5, ..Faults::default() };
    check(async || SimulatedBackend::new(small), plan(10)).await;
}

#[cfg(feature = "embedded")]
#[tokio::test]
async fn embedded_agrees_with_memory() {
    use keyvaluestore::backend::EmbeddedOptions;
    let subject =
        async || Subject::new(EmbeddedOptions::default().in_memory().await.unwrap()).sees_types();
    check(subject, plan(1)).await;
}

/// Without a cache every read runs on another thread.
#[cfg(feature = "embedded")]
#[tokio::test]
async fn embedded_agrees_with_memory_when_every_read_changes_threads() {
    use keyvaluestore::backend::EmbeddedOptions;
    let options = EmbeddedOptions::default().cache(0);
    check(async || Subject::new(options.in_memory().await.unwrap()).sees_types(), plan(10)).await;
}

#[cfg(feature = "embedded")]
#[tokio::test]
async fn embedded_agrees_with_memory_in_a_file() {
    use keyvaluestore::Embedded;
    use keyvaluestore::conformance::Subject;
    let subject = async || {
        let dir = tempfile::tempdir().unwrap();
        let file = Embedded::open(dir.path().join("store")).await.unwrap();
        Subject::new(file).sees_types().keep(dir)
    };
    check(subject, plan(100)).await;
}

/// Redis is an independent implementation, so this checks the memory backend, too.
#[cfg(feature = "redis")]
#[tokio::test]
async fn redis_agrees_with_memory() {
    let url = support::redis::database();
    let empty = async || {
        support::redis::flush(&url);
        keyvaluestore::Redis::open(&url).await.unwrap()
    };
    check(empty, plan(4)).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_redis_cluster_agrees_with_memory() {
    let (url, n) = support::redis::cluster();
    let program = std::sync::atomic::AtomicU32::new(0);
    let empty = async || {
        let program = program.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let inner = keyvaluestore::Redis::open(&url).await.unwrap();
        // A hash tag per backend, because an atomic write is limited to one slot.
        keyvaluestore::wrap::Prefix::new(inner, format!("{{{n}:{program}}}"))
    };
    check(empty, plan(20)).await;
}

#[cfg(feature = "foundationdb")]
#[tokio::test]
async fn foundationdb_agrees_with_memory() {
    use keyvaluestore::FoundationDb;
    let empty = async || FoundationDb::open(support::foundationdb::subspace()).await.unwrap();
    check(empty, plan(10)).await;
}

/// DynamoDB on dynoxide in this process, or on the server at `KVS_DYNAMODB_ENDPOINT`. `Strict`
/// rejects requests that both accept and the AWS service does not.
#[cfg(feature = "dynamodb")]
#[tokio::test]
async fn dynamodb_agrees_with_memory() {
    use support::doubles::Strict;
    check(async || on_dynamodb(Strict).await, plan(10)).await;
}

/// With fault injection: failures that the backend handles must not change a reply.
#[cfg(feature = "dynamodb")]
#[tokio::test]
async fn dynamodb_agrees_with_memory_whatever_goes_wrong() {
    use support::doubles::Faulty;
    if support::dynamodb::endpoint().is_none() {
        // Skips the backoff between attempts. A server on a network needs the real time.
        tokio::time::pause();
    }
    let n = std::sync::atomic::AtomicU64::new(0);
    let empty = async || {
        let returns_items = n.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(2);
        on_dynamodb(Faulty { returns_items, slow: true, ..Faulty::new() }).await
    };
    check(empty, plan(10)).await;
}

#[cfg(feature = "dynamodb")]
async fn on_dynamodb(rules: impl support::doubles::Rules) -> Subject {
    use keyvaluestore::DynamoDb;
    use keyvaluestore::backend::{DynamoClient, DynamoDbOptions};
    use std::time::Duration;
    let (place, prefix) = support::dynamodb::shared().await;
    let api =
        support::doubles::Double { api: DynamoClient::new(place.client), rules: rules.into() };
    let (initial, max) = (Duration::from_micros(100), Duration::from_millis(5));
    let options = DynamoDbOptions::new().max_attempts(1_000).backoff(initial, max);
    let inner = DynamoDb::with_api(api, place.table).with_options(options);
    let backend = keyvaluestore::wrap::Prefix::new(inner, prefix);
    Subject::new(backend).keep(place.kept)
}

/// Every wrapper, and all wrappers in both orders, on each backend, with a share of the programs.
mod wrapped {
    #[cfg(any(feature = "redis", feature = "dynamodb"))]
    use super::support;
    use super::support::stacks::{self, every_stack};
    use super::{check, plan};
    use keyvaluestore::backend::DynBackend;
    use keyvaluestore::conformance::Subject;
    use keyvaluestore::{Backend, Memory};

    /// Defines a test per stack. `$fresh` makes a new, empty backend, and a guard that must
    /// outlive it.
    macro_rules! on {
        ({ $fresh:ident, $subject:path, share $share:literal }
            $($stack:ident [$($feature:literal),*] $($prefixed:ident)?;)*) => {$(
            #[cfg(all($(feature = $feature),*))]
            #[tokio::test]
            async fn $stack() {
                let empty = async || {
                    let (backend, kept) = $fresh().await;
                    $subject(stacks::$stack(DynBackend::new(backend))).keep(kept)
                };
                check(empty, plan($share)).await;
            }
        )*};
    }

    fn sees_types(stack: impl Backend) -> Subject {
        Subject::new(stack).sees_types()
    }

    mod memory {
        use super::*;

        async fn fresh() -> (Memory, ()) {
            (Memory::new(), ())
        }
        every_stack!(on! { fresh, sees_types, share 20 });
    }

    #[cfg(feature = "embedded")]
    mod embedded {
        use super::*;
        use keyvaluestore::Embedded;
        use keyvaluestore::backend::EmbeddedOptions;

        async fn fresh() -> (Embedded, ()) {
            (EmbeddedOptions::default().in_memory().await.expect("it is in memory"), ())
        }
        every_stack!(on! { fresh, sees_types, share 40 });
    }

    #[cfg(feature = "redis")]
    mod redis {
        use super::*;
        use keyvaluestore::Redis;

        async fn fresh() -> (Redis, ()) {
            (Redis::open(support::redis::database()).await.expect("a database"), ())
        }
        every_stack!(on! { fresh, Subject::new, share 100 });
    }

    #[cfg(feature = "dynamodb")]
    mod dynamodb {
        use super::support::doubles::{Double, Strict};
        use super::support::dynamodb::{self, Table};
        use super::*;
        use keyvaluestore::DynamoDb;
        use keyvaluestore::backend::DynamoClient;
        use keyvaluestore::wrap::Prefix;
        use std::sync::Arc;

        async fn fresh() -> (Prefix<DynamoDb>, Option<Arc<Table>>) {
            let (place, prefix) = dynamodb::shared().await;
            let api = Double { api: DynamoClient::new(place.client), rules: Strict.into() };
            (Prefix::new(DynamoDb::with_api(api, place.table), prefix), place.kept)
        }
        every_stack!(on! { fresh, Subject::new, share 200 });
    }
    #[cfg(feature = "foundationdb")]
    mod foundationdb {
        use super::support::foundationdb;
        use super::*;
        use keyvaluestore::FoundationDb;

        async fn fresh() -> (FoundationDb, ()) {
            (FoundationDb::open(foundationdb::subspace()).await.expect("a subspace"), ())
        }
        every_stack!(on! { fresh, Subject::new, share 400 });
    }
}

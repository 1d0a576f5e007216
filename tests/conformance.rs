//! The conformance suite on every backend. One module per backend: `cargo xtask test` makes its table of them.

mod support;

mod memory {
    keyvaluestore::conformance::tests!(async || keyvaluestore::Memory::new());
}

#[cfg(feature = "embedded")]
mod embedded {
    use keyvaluestore::Embedded;
    use keyvaluestore::conformance::Subject;

    async fn subject() -> Subject {
        let dir = tempfile::tempdir().expect("a directory");
        let backend = Embedded::open(dir.path().join("store")).await.expect("a new file");
        Subject::new(backend).keep(dir)
    }
    keyvaluestore::conformance::tests!(subject);
}

/// The ordered layer on an engine in memory that only does what it is told.
mod ordered {
    use keyvaluestore::conformance::{SimulatedBackend, Unkindness};
    keyvaluestore::conformance::tests!(async || SimulatedBackend::new(Unkindness::default()));
}

/// The same on an engine that conflicts, splits and ages.
mod ordered_unkind {
    use keyvaluestore::conformance::{SimulatedBackend, Unkindness};

    const UNKIND: Unkindness = Unkindness {
        value: 5_000,
        transaction: 2_000_000,
        page: 7,
        conflict_every: 3,
        lose_every: 0,
        age: 5,
    };
    keyvaluestore::conformance::tests!(async || SimulatedBackend::new(UNKIND));
}

/// On dynoxide in process, or on the server that `KVS_DYNAMODB_ENDPOINT` names; what both take, and the service itself
/// does not, is refused on the way.
#[cfg(feature = "dynamodb")]
mod dynamodb {
    use super::support::doubles::{Double, Strict};
    use super::support::dynamodb;
    use keyvaluestore::DynamoDb;
    use keyvaluestore::backend::DynamoClient;
    use keyvaluestore::conformance::Subject;

    async fn subject() -> Subject {
        let place = dynamodb::place().await;
        let api = Double { api: DynamoClient::new(place.client), rules: Strict.into() };
        Subject::new(DynamoDb::with_api(api, place.table)).keep(place.kept)
    }
    keyvaluestore::conformance::tests!(subject);
}

/// A client that does not tell what a condition has found, over a service that throttles, conflicts, loses answers and
/// leaves items unprocessed.
#[cfg(feature = "dynamodb")]
mod dynamodb_faulty {
    use super::support::doubles::{Double, Faulty};
    use super::support::dynamodb;
    use keyvaluestore::DynamoDb;
    use keyvaluestore::backend::{DynamoClient, DynamoDbOptions};
    use keyvaluestore::conformance::Subject;
    use std::time::Duration;

    async fn subject() -> Subject {
        let place = dynamodb::place().await;
        let rules = Faulty { slow: true, tells: false, ..Faulty::new() };
        let api = Double { api: DynamoClient::new(place.client), rules: rules.into() };
        // As often as in production, but not as long.
        let short = (Duration::from_micros(100), Duration::from_millis(5));
        let patient = DynamoDbOptions::new().attempts(100).pauses(short.0, short.1);
        Subject::new(DynamoDb::with_api(api, place.table).with_options(patient)).keep(place.kept)
    }
    keyvaluestore::conformance::tests!(subject);
}

#[cfg(feature = "foundationdb")]
mod foundationdb {
    use super::support::foundationdb;
    use keyvaluestore::FoundationDb;

    keyvaluestore::conformance::tests!(async || {
        FoundationDb::open(foundationdb::subspace()).await.expect("a subspace")
    });
}

#[cfg(feature = "redis")]
mod redis {
    use super::support::redis;
    use keyvaluestore::Redis;

    keyvaluestore::conformance::tests!(async || {
        Redis::open(redis::database()).await.expect("a database")
    });
}

/// A cluster of three, each case in a slot of its own.
#[cfg(feature = "redis")]
mod redis_cluster {
    use super::support::redis;
    use keyvaluestore::Redis;
    use keyvaluestore::wrap::Prefix;

    keyvaluestore::conformance::tests!(async || {
        let (url, n) = redis::cluster();
        let inner = Redis::open(url).await.expect("a cluster");
        Prefix::new(inner, format!("{{{n}}}"))
    });
}

/// The same with the keys of each case all over the cluster.
#[cfg(feature = "redis")]
mod redis_cluster_spread {
    use super::support::redis;
    use keyvaluestore::Redis;
    use keyvaluestore::wrap::Prefix;

    async fn subject() -> Prefix<Redis> {
        let (url, n) = redis::cluster();
        let inner = Redis::open(url).await.expect("a cluster");
        Prefix::new(inner, n.to_string())
    }
    keyvaluestore::conformance::tests!(
        subject,
        opt_out: {
            a_dropped_call_leaves_a_whole_write_or_none => "an atomic write stays in one slot",
            a_failed_condition_is_told_before_an_error => "an atomic write stays in one slot",
            a_hundred_writes_are_atomic => "an atomic write stays in one slot",
            a_wrong_type_in_an_atomic_write_applies_nothing => "an atomic write stays in one slot",
            an_atomic_delete_does_not_see_sorted_sets => "an atomic write stays in one slot",
            an_atomic_write_changes_what_is_there => "an atomic write stays in one slot",
            an_error_in_the_middle_applies_nothing => "an atomic write stays in one slot",
            conditions_are_judged_before_any_write => "an atomic write stays in one slot",
            conditions_of_set_do_not_see_sorted_sets => "an atomic write stays in one slot",
            conditions_see_strings_counters_sets_and_hashes => "an atomic write stays in one slot",
            errors_tell_the_operation_and_no_data => "an atomic write stays in one slot",
            every_failed_condition_is_told => "an atomic write stays in one slot",
            every_kind_of_condition_can_fail_and_writes_nothing => "an atomic write stays in one slot",
            every_kind_of_condition_can_hold => "an atomic write stays in one slot",
            every_kind_of_write_is_applied => "an atomic write stays in one slot",
            long_values_are_written_atomically => "an atomic write stays in one slot",
            nothing_is_left_of_long_values => "an atomic write stays in one slot",
            of_many_who_claim_two_names_one_gets_both => "an atomic write stays in one slot",
            one_write_may_be_of_many_members => "an atomic write stays in one slot",
            transfers_at_once_keep_the_sum => "an atomic write stays in one slot",
        }
    );
}

/// What the wrappers are put around: new and empty, and what has to live as long.
mod on {
    #[cfg(any(feature = "redis", feature = "dynamodb"))]
    use super::support;
    use keyvaluestore::Memory;

    pub(super) async fn memory() -> (Memory, ()) {
        (Memory::new(), ())
    }
    #[cfg(feature = "embedded")]
    pub(super) async fn embedded() -> (keyvaluestore::Embedded, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a directory");
        let store = keyvaluestore::Embedded::open(dir.path().join("store")).await;
        (store.expect("a new file"), dir)
    }
    #[cfg(feature = "redis")]
    pub(super) async fn redis() -> (keyvaluestore::Redis, ()) {
        let store = keyvaluestore::Redis::open(support::redis::database()).await;
        (store.expect("a database"), ())
    }
    #[cfg(feature = "dynamodb")]
    pub(super) async fn dynamodb()
    -> (keyvaluestore::DynamoDb, Option<std::sync::Arc<support::dynamodb::Table>>) {
        use support::doubles::{Double, Strict};
        let place = support::dynamodb::place().await;
        let client = keyvaluestore::backend::DynamoClient::new(place.client);
        let api = Double { api: client, rules: Strict.into() };
        (keyvaluestore::DynamoDb::with_api(api, place.table), place.kept)
    }
}

/// A module per wrapper, and one for all of them in either order, on each backend.
macro_rules! wrapped {
    (on $backend:ident: $($row:ident = $stack:ident $({ $feature:literal })*
        $(opt_out $out:tt)?;)*) => {$(
        #[cfg(all($(feature = $feature),*))]
        mod $row {
            use super::support::stacks;
            use keyvaluestore::backend::DynBackend;
            use keyvaluestore::conformance::Subject;

            async fn subject() -> Subject {
                let (backend, kept) = super::on::$backend().await;
                Subject::new(stacks::$stack(DynBackend::new(backend))).keep(kept)
            }
            keyvaluestore::conformance::tests!(subject $(, opt_out: $out)?);
        }
    )*};
}

wrapped! {
    on memory:
    prefix_on_memory = prefix;
    invalidate_on_memory = invalidate;
    observed_on_memory = observed;
    cache_on_memory = cache { "cache" };
    cache_of_a_request_on_memory = cache_of_a_request { "cache" };
    retry_on_memory = retry { "retry" };
    timeout_on_memory = timeout { "retry" };
    metrics_on_memory = metrics { "metrics" };
    trace_on_memory = trace { "tracing" };
    nested_on_memory = nested { "cache" } { "retry" } { "metrics" } { "tracing" };
    nested_inside_out_on_memory = nested_inside_out { "cache" } { "retry" } { "metrics" } { "tracing" };
}

#[cfg(feature = "embedded")]
wrapped! {
    on embedded:
    prefix_on_embedded = prefix;
    invalidate_on_embedded = invalidate;
    observed_on_embedded = observed;
    cache_on_embedded = cache { "cache" };
    cache_of_a_request_on_embedded = cache_of_a_request { "cache" };
    retry_on_embedded = retry { "retry" };
    timeout_on_embedded = timeout { "retry" };
    metrics_on_embedded = metrics { "metrics" };
    trace_on_embedded = trace { "tracing" };
    nested_on_embedded = nested { "cache" } { "retry" } { "metrics" } { "tracing" };
    nested_inside_out_on_embedded = nested_inside_out { "cache" } { "retry" } { "metrics" } { "tracing" };
}

#[cfg(feature = "redis")]
wrapped! {
    on redis:
    prefix_on_redis = prefix;
    invalidate_on_redis = invalidate;
    observed_on_redis = observed;
    cache_on_redis = cache { "cache" };
    cache_of_a_request_on_redis = cache_of_a_request { "cache" };
    retry_on_redis = retry { "retry" };
    timeout_on_redis = timeout { "retry" };
    metrics_on_redis = metrics { "metrics" };
    trace_on_redis = trace { "tracing" };
    nested_on_redis = nested { "cache" } { "retry" } { "metrics" } { "tracing" };
    nested_inside_out_on_redis = nested_inside_out { "cache" } { "retry" } { "metrics" } { "tracing" };
}

#[cfg(feature = "dynamodb")]
wrapped! {
    on dynamodb:
    prefix_on_dynamodb = prefix opt_out {
        what_is_at_its_limit_is_taken => "the prefix takes its part of DynamoDB's 2,048 bytes of a key",
        keys_are_any_bytes_and_neighbours_are_strangers => "the prefix takes its part of DynamoDB's 2,048 bytes of a key",
    };
    invalidate_on_dynamodb = invalidate;
    observed_on_dynamodb = observed;
    cache_on_dynamodb = cache { "cache" };
    cache_of_a_request_on_dynamodb = cache_of_a_request { "cache" };
    retry_on_dynamodb = retry { "retry" };
    timeout_on_dynamodb = timeout { "retry" };
    metrics_on_dynamodb = metrics { "metrics" };
    trace_on_dynamodb = trace { "tracing" };
    nested_on_dynamodb = nested { "cache" } { "retry" } { "metrics" } { "tracing" } opt_out {
        what_is_at_its_limit_is_taken => "the prefix takes its part of DynamoDB's 2,048 bytes of a key",
        keys_are_any_bytes_and_neighbours_are_strangers => "the prefix takes its part of DynamoDB's 2,048 bytes of a key",
    };
    nested_inside_out_on_dynamodb = nested_inside_out { "cache" } { "retry" } { "metrics" } { "tracing" } opt_out {
        what_is_at_its_limit_is_taken => "the prefix takes its part of DynamoDB's 2,048 bytes of a key",
        keys_are_any_bytes_and_neighbours_are_strangers => "the prefix takes its part of DynamoDB's 2,048 bytes of a key",
    };
}

//! The conformance suite on every backend, one module per backend. The modules are the rows of the
//! table that `cargo xtask test` prints.

mod support;

mod memory {
    use keyvaluestore::Memory;
    use keyvaluestore::conformance::Subject;

    keyvaluestore::conformance::tests!(async || Subject::new(Memory::new()).sees_types());
}

#[cfg(feature = "embedded")]
mod embedded {
    use keyvaluestore::Embedded;
    use keyvaluestore::conformance::Subject;

    async fn subject() -> Subject {
        let dir = tempfile::tempdir().expect("a directory");
        let backend = Embedded::open(dir.path().join("store")).await.expect("a new file");
        Subject::new(backend).sees_types().keep(dir)
    }
    keyvaluestore::conformance::tests!(subject);
}

/// The ordered layer on an engine in memory, without fault injection.
mod ordered {
    use keyvaluestore::conformance::{Faults, SimulatedBackend};
    keyvaluestore::conformance::tests!(async || SimulatedBackend::new(Faults::default()));
}

/// The ordered layer with checks of the type of a key, as the embedded file has them.
mod ordered_typed {
    use keyvaluestore::conformance::{Faults, SimulatedBackend, Subject};

    const TYPED: Faults = Faults { typed: true, ..Faults::NONE };
    keyvaluestore::conformance::tests!(async || {
        Subject::new(SimulatedBackend::new(TYPED)).sees_types()
    });
}

/// The ordered layer with fault injection: conflicts, small rows, pages and transactions, and
/// snapshots that are replaced by newer ones during a read.
mod ordered_unkind {
    use keyvaluestore::conformance::{Faults, SimulatedBackend};

    const UNKIND: Faults = Faults {
        value: 5_000,
        transaction: 2_000_000,
        page: 7,
        conflict_every: 3,
        age: 5,
        ..Faults::NONE
    };
    keyvaluestore::conformance::tests!(async || SimulatedBackend::new(UNKIND));
}

/// DynamoDB on dynoxide in this process, or on the server at `KVS_DYNAMODB_ENDPOINT`. `Strict`
/// rejects requests that both accept and the AWS service does not.
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
    keyvaluestore::conformance::tests!(subject, opt_out: {
        an_atomic_delete_of_a_sorted_set_is_wrong_type =>
            "a table has no item for a sorted set as a whole",
    });
}

/// DynamoDB with fault injection: a service that throttles, conflicts, drops replies and leaves
/// items unprocessed, and a client that does not return the item of a failed condition.
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
        let rules = Faulty { slow: true, returns_items: false, ..Faulty::new() };
        let api = Double { api: DynamoClient::new(place.client), rules: rules.into() };
        // A short backoff, so that the tests are fast.
        let (initial, max) = (Duration::from_micros(100), Duration::from_millis(5));
        let options = DynamoDbOptions::new().max_attempts(100).backoff(initial, max);
        Subject::new(DynamoDb::with_api(api, place.table).with_options(options)).keep(place.kept)
    }
    keyvaluestore::conformance::tests!(subject, opt_out: {
        an_atomic_delete_of_a_sorted_set_is_wrong_type =>
            "a table has no item for a sorted set as a whole",
    });
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

/// Redis as an ACL user that has only the permissions in the docs of `Redis`.
#[cfg(feature = "redis")]
mod redis_user {
    use super::support::redis;
    use keyvaluestore::Redis;

    keyvaluestore::conformance::tests!(async || {
        Redis::open(redis::database_of_user("app", &["~*"])).await.expect("a database")
    });
}

/// Redis as an ACL user that may access only the keys of a prefix.
#[cfg(feature = "redis")]
mod redis_user_prefix {
    use super::support::redis;
    use keyvaluestore::Redis;
    use keyvaluestore::wrap::Prefix;

    async fn subject() -> Prefix<Redis> {
        let url = redis::database_of_user("prefixed", &["~app:*", "~__kvs_zh:app:*"]);
        Prefix::new(Redis::open(url).await.expect("a database"), "app")
    }
    keyvaluestore::conformance::tests!(subject);
}

/// A Redis cluster of three nodes. A hash tag puts all keys of a case into one slot.
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

/// A Redis cluster of three nodes, with the keys of each case in different slots.
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
            a_dropped_call_leaves_a_whole_write_or_none => "an atomic write is limited to one slot",
            a_failed_condition_is_told_before_an_error => "an atomic write is limited to one slot",
            a_hundred_writes_are_atomic => "an atomic write is limited to one slot",
            a_wrong_type_in_an_atomic_write_applies_nothing =>
                "an atomic write is limited to one slot",
            an_atomic_delete_leaves_a_sorted_set => "an atomic write is limited to one slot",
            an_atomic_delete_of_a_sorted_set_is_wrong_type =>
                "an atomic write is limited to one slot",
            an_atomic_write_changes_what_is_there => "an atomic write is limited to one slot",
            an_error_in_the_middle_applies_nothing => "an atomic write is limited to one slot",
            conditions_are_judged_before_any_write => "an atomic write is limited to one slot",
            conditions_of_set_do_not_see_sorted_sets => "an atomic write is limited to one slot",
            conditions_see_strings_counters_sets_and_hashes =>
                "an atomic write is limited to one slot",
            every_failed_condition_is_told => "an atomic write is limited to one slot",
            every_kind_of_condition_can_fail_and_writes_nothing =>
                "an atomic write is limited to one slot",
            every_kind_of_condition_can_hold => "an atomic write is limited to one slot",
            every_kind_of_write_is_applied => "an atomic write is limited to one slot",
            long_values_are_written_atomically => "an atomic write is limited to one slot",
            nothing_is_left_of_long_values => "an atomic write is limited to one slot",
            of_many_who_claim_two_names_one_gets_both => "an atomic write is limited to one slot",
            one_write_may_be_of_many_members => "an atomic write is limited to one slot",
            transfers_at_once_keep_the_sum => "an atomic write is limited to one slot",
        }
    );
}

/// Every wrapper, and all wrappers in both orders, on each backend.
mod wrapped {
    #[cfg(any(feature = "redis", feature = "dynamodb"))]
    use super::support;
    use super::support::stacks::{self, every_stack};
    use keyvaluestore::backend::DynBackend;
    use keyvaluestore::conformance::Subject;
    use keyvaluestore::{Backend, Memory};

    /// Defines a module per stack. `$fresh` makes a new, empty backend, and a guard that must
    /// outlive it.
    macro_rules! on {
        ({ $fresh:ident, $subject:path, out $out:tt, prefixed $prefixed_out:tt }
            $($stack:ident [$($feature:literal),*] $($prefixed:ident)?;)*) => {$(
            #[cfg(all($(feature = $feature),*))]
            mod $stack {
                async fn subject() -> super::Subject {
                    let (backend, kept) = super::$fresh().await;
                    let stack = super::stacks::$stack(super::DynBackend::new(backend));
                    $subject(stack).keep(kept)
                }
                super::super::cases!($out $($prefixed $prefixed_out)?);
            }
        )*};
    }
    macro_rules! cases {
        ({ $($out:tt)* } $(prefixed { $($more:tt)* })?) => {
            keyvaluestore::conformance::tests!(subject, opt_out: { $($out)* $($($more)*)? });
        };
    }
    use cases;

    fn sees_types(stack: impl Backend) -> Subject {
        Subject::new(stack).sees_types()
    }

    mod memory {
        use super::*;

        async fn fresh() -> (Memory, ()) {
            (Memory::new(), ())
        }
        every_stack!(on! { fresh, crate::wrapped::sees_types, out {}, prefixed {} });
    }

    #[cfg(feature = "embedded")]
    mod embedded {
        use super::*;
        use keyvaluestore::Embedded;

        async fn fresh() -> (Embedded, tempfile::TempDir) {
            let dir = tempfile::tempdir().expect("a directory");
            (Embedded::open(dir.path().join("store")).await.expect("a new file"), dir)
        }
        every_stack!(on! { fresh, crate::wrapped::sees_types, out {}, prefixed {} });
    }

    #[cfg(feature = "redis")]
    mod redis {
        use super::*;
        use keyvaluestore::Redis;

        async fn fresh() -> (Redis, ()) {
            (Redis::open(support::redis::database()).await.expect("a database"), ())
        }
        every_stack!(on! { fresh, crate::wrapped::Subject::new, out {}, prefixed {} });
    }

    #[cfg(feature = "dynamodb")]
    mod dynamodb {
        use super::support::doubles::{Double, Strict};
        use super::support::dynamodb::{self, Table};
        use super::*;
        use keyvaluestore::DynamoDb;
        use keyvaluestore::backend::DynamoClient;
        use std::sync::Arc;

        async fn fresh() -> (DynamoDb, Option<Arc<Table>>) {
            let place = dynamodb::place().await;
            let api = Double { api: DynamoClient::new(place.client), rules: Strict.into() };
            (DynamoDb::with_api(api, place.table), place.kept)
        }
        every_stack!(on! { fresh, crate::wrapped::Subject::new, out {
            an_atomic_delete_of_a_sorted_set_is_wrong_type =>
                "a table has no item for a sorted set as a whole",
        }, prefixed {
            what_is_at_its_limit_is_taken =>
                "the prefix counts towards the 2,048 bytes of a key of DynamoDB",
            keys_are_any_bytes_and_neighbours_are_strangers =>
                "the prefix counts towards the 2,048 bytes of a key of DynamoDB",
        } });
    }
    #[cfg(feature = "foundationdb")]
    mod foundationdb {
        use super::support::foundationdb;
        use super::*;
        use keyvaluestore::FoundationDb;

        async fn fresh() -> (FoundationDb, ()) {
            (FoundationDb::open(foundationdb::subspace()).await.expect("a subspace"), ())
        }
        every_stack!(on! { fresh, crate::wrapped::Subject::new, out {}, prefixed {} });
    }
}

//! The guides and decision records of the repository, as pages of rustdoc. So their links are
//! checked, and their examples run.
//!
//! A guide links with reference definitions at its end, which lead to files. Here
//! `docs/rustdoc-links.md` comes first, and the first definition of a label counts: the same links
//! lead to items. A new guide gets a line below and one there.

macro_rules! pages {
    ($($(#[$attribute:meta])* $name:ident: $file:literal;)*) => {$(
        $(#[$attribute])*
        #[doc = include_str!("../docs/rustdoc-links.md")]
        #[doc = include_str!(concat!("../", $file))]
        pub mod $name {}
    )*};
}

pages! {
    architecture: "ARCHITECTURE.md";
    changelog: "CHANGELOG.md";
    file_format: "docs/file-format.md";
    foundationdb: "docs/foundationdb.md";
    from_redis: "docs/from-redis.md";
    migrating_from_go: "docs/migrating-from-go.md";
    operating: "docs/operating.md";
    performance: "docs/performance.md";
    #[cfg(feature = "dynamodb")] // its examples use the SDK
    testing: "docs/testing.md";
}

#[doc = include_str!("../docs/rustdoc-links.md")]
#[doc = include_str!("../docs/decisions/README.md")]
pub mod decisions {
    pages! {
        d0001_operations_as_data: "docs/decisions/0001-operations-as-data.md";
        d0002_byte_strings: "docs/decisions/0002-byte-strings.md";
        d0003_futures_of_the_facade: "docs/decisions/0003-futures-of-the-facade.md";
        d0004_memory_fast_path: "docs/decisions/0004-memory-fast-path.md";
        d0005_reply_types: "docs/decisions/0005-reply-types.md";
        d0006_one_key_one_type_in_atomic_writes:
            "docs/decisions/0006-one-key-one-type-in-atomic-writes.md";
        d0007_redb_for_the_file: "docs/decisions/0007-redb-for-the-file.md";
        d0008_threads_of_the_file: "docs/decisions/0008-threads-of-the-file.md";
        d0009_ordered_layer: "docs/decisions/0009-ordered-layer.md";
        d0010_ordered_rows: "docs/decisions/0010-ordered-rows.md";
        d0011_counters: "docs/decisions/0011-counters.md";
        d0012_unsafe_and_foundationdb: "docs/decisions/0012-unsafe-and-foundationdb.md";
        d0013_redis_client: "docs/decisions/0013-redis-client.md";
        d0014_redis_connections: "docs/decisions/0014-redis-connections.md";
        d0015_redis_scripts: "docs/decisions/0015-redis-scripts.md";
        d0016_dynamodb_requests: "docs/decisions/0016-dynamodb-requests.md";
        d0017_dynamodb_writes: "docs/decisions/0017-dynamodb-writes.md";
        d0018_dynamodb_stand_ins: "docs/decisions/0018-dynamodb-stand-ins.md";
        d0019_differential_test: "docs/decisions/0019-differential-test.md";
        d0020_cache_protocol: "docs/decisions/0020-cache-protocol.md";
        d0021_cache_table: "docs/decisions/0021-cache-table.md";
        d0022_wrappers: "docs/decisions/0022-wrappers.md";
        d0023_left_out: "docs/decisions/0023-left-out.md";
    }
}

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

#[cfg(feature = "redis")]
mod redis {
    use super::support::redis;
    use keyvaluestore::Redis;

    keyvaluestore::conformance::tests!(async || {
        Redis::open(redis::database()).await.expect("a database")
    });
}

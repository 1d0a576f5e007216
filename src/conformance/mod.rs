//! The contract as tests: for whoever writes a [`Backend`], or a wrapper around one.
//!
//! Every sentence of the contract is a case, and all cases stand in one list, so no backend can
//! leave one out without saying so. In `tests/conformance.rs` of your crate, with the feature
//! `conformance` among the dev-dependencies:
//!
//! ```
//! mod my_backend {
//! #   use keyvaluestore::Memory as MyBackend;
//!     keyvaluestore::conformance::tests!(async || MyBackend::new());
//! }
//! # // What the macro makes are tests, which a doc example cannot run; these three lines run one of them.
//! # fn main() { keyvaluestore::conformance::run("a_missing_key_reads_as_none",
//! #     async || keyvaluestore::Memory::new()) }
//! ```
//!
//! The factory makes a new, empty backend for every case; what has to outlive it (a server, a
//! directory) goes along with [`Subject::keep`]. Each case is a `#[test]` of its own. One that your
//! backend cannot keep is opted out of by name with a reason, which the run prints beside it as
//! *ignored*:
//!
//! ```
//! mod my_backend {
//! #   use keyvaluestore::Memory as MyBackend;
//!     keyvaluestore::conformance::tests!(
//!         async || MyBackend::new(),
//!         opt_out: {
//!             values_up_to_390_kib_read_back => "the server takes at most 256 KiB",
//!         }
//!     );
//! }
//! ```
//!
//! [`differential`] goes further: it runs random programs on your backend and on
//! [`Memory`](crate::Memory), compares every answer, and prints the shortest program on which they
//! differ.
//!
//! # How to write a backend
//!
//! 1. Implement the four functions of [`Backend`]. Match on [`Read`](crate::op::Read) and
//!    [`Write`](crate::op::Write); each payload in [`ops`](crate::op) tells which
//!    [`Reply`](crate::op::Reply) answers it. Arguments have been checked before: see what the
//!    [trait](Backend) says you may rely on.
//! 2. Without a batch of your own, call [`batch_sequentially`](crate::backend::batch_sequentially).
//! 3. Answer `WrongType`, or as though the key were absent, where a key holds another type. A
//!    backend that always sees it says so with [`Subject::sees_types`], and is then held to
//!    `WrongType`. Refuse as `Unsupported` what you do not know: operations and conditions are
//!    `non_exhaustive`.
//! 4. Map the errors of your storage system to an [`ErrorKind`](crate::ErrorKind), keep them as the
//!    source, and say [`with_unknown_outcome`](crate::Error::with_unknown_outcome) where a write
//!    may have been applied.
//! 5. Run this suite, then the differential test.
//!
//! Operations that you have no use for can be refused as `Unsupported`. A complete backend of
//! strings alone:
//!
//! ```
//! use keyvaluestore::backend::{Context, batch_sequentially};
//! use keyvaluestore::op::*;
//! use keyvaluestore::*;
//! use std::collections::HashMap;
//! use std::sync::Mutex;
//!
//! #[derive(Debug, Default)]
//! struct Strings(Mutex<HashMap<Key, Value>>);
//!
//! fn unsupported() -> Error {
//!     Error::new(ErrorKind::Unsupported, "this backend keeps strings alone")
//! }
//!
//! fn holds(now: Option<&Value>, condition: &Condition) -> Result<bool> {
//!     Ok(match condition {
//!         Condition::Always => true,
//!         Condition::NotExists => now.is_none(),
//!         Condition::Exists => now.is_some(),
//!         Condition::Equals(old) => now == Some(old),
//!         // A condition of a later version: to guess would write what must not be written.
//!         _ => return Err(unsupported()),
//!     })
//! }
//!
//! impl Strings {
//!     /// Whether the condition of a write holds.
//!     fn judge(map: &HashMap<Key, Value>, op: &Write) -> Result<bool> {
//!         match op {
//!             Write::Set(op) => holds(map.get(&op.key), &op.condition),
//!             Write::Delete(op) => Ok(!op.must_exist || map.contains_key(&op.key)),
//!             _ => Err(unsupported()),
//!         }
//!     }
//!     fn apply(map: &mut HashMap<Key, Value>, op: &Write) -> bool {
//!         match op {
//!             Write::Set(op) => {
//!                 map.insert(op.key.clone(), op.value.clone());
//!                 true
//!             }
//!             op => map.remove(op.key()).is_some(),
//!         }
//!     }
//! }
//!
//! impl Backend for Strings {
//!     async fn read(&self, _: &Context, op: &Read) -> Result<Reply> {
//!         match op {
//!             Read::Get(op) => Ok(Reply::Value(self.0.lock().unwrap().get(&op.key).cloned())),
//!             _ => Err(unsupported()),
//!         }
//!     }
//!     async fn write(&self, _: &Context, op: &Write) -> Result<Reply> {
//!         let mut map = self.0.lock().unwrap();
//!         let applied = Strings::judge(&map, op)? && Strings::apply(&mut map, op);
//!         Ok(Reply::Applied(applied))
//!     }
//!     async fn batch(&self, cx: &Context, ops: &[Op]) -> Vec<Result<Reply>> {
//!         batch_sequentially(self, cx, ops).await
//!     }
//!     async fn transact(&self, _: &Context, writes: &[Write]) -> Result<Outcome> {
//!         let mut map = self.0.lock().unwrap();
//!         let mut failed = Vec::new();
//!         for (i, op) in writes.iter().enumerate() {
//!             if !Strings::judge(&map, op)? {
//!                 failed.push(i);
//!             }
//!         }
//!         if failed.is_empty() {
//!             for op in writes {
//!                 Strings::apply(&mut map, op);
//!             }
//!         }
//!         Ok(Outcome::from_failed_conditions(failed)) // committed if none failed
//!     }
//! }
//!
//! // What it claims to do, it does as the contract says.
//! for case in ["get_returns_what_set_stored", "set_nx_sets_only_where_nothing_is", "set_eq_compares_and_swaps"] {
//!     keyvaluestore::conformance::run(case, async || Strings::default());
//! }
//! ```

mod cases;
pub mod differential;
mod list;

#[doc(inline)]
pub use crate::__conformance_tests as tests;
#[doc(hidden)]
pub use crate::backend::ordered::faulty_engine::{Faults, SimulatedBackend};

use crate::backend::BoxFuture;
use crate::{Backend, Result, Store};
use cases::Given;
use std::any::Any;
use std::time::Duration;

/// How long a case may take. One that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A backend under test, and what has to live as long as it.
#[derive(Debug)]
pub struct Subject {
    store: Store,
    sees_types: bool,
    kept: Vec<Box<dyn Any + Send>>,
}

impl Subject {
    /// Takes the backend.
    pub fn new(backend: impl Backend) -> Self {
        Subject { store: Store::new(backend), sees_types: false, kept: Vec::new() }
    }
    /// Holds the backend to `WrongType` for every use of a key as another type, with nothing
    /// changed, as [`Memory`](crate::Memory) and `Embedded` answer it. Without this the suite also
    /// accepts an answer as though the key were absent, and the differential test leaves such keys
    /// out of the comparison.
    #[must_use]
    pub fn sees_types(mut self) -> Self {
        self.sees_types = true;
        self
    }
    /// Keeps `guard` until the backend is dropped.
    #[must_use]
    pub fn keep(mut self, guard: impl Any + Send) -> Self {
        self.kept.push(Box::new(guard));
        self
    }
    /// The store on it.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl<B: Backend> From<B> for Subject {
    fn from(backend: B) -> Self {
        Subject::new(backend)
    }
}

type Case = fn(Given) -> BoxFuture<'static, Result<()>>;

macro_rules! table {
    ($(($module:ident, $case:ident))*) => {
        /// The names of all cases, in the order of the list.
        pub const CASES: &[&str] = &[$(stringify!($case)),*];

        const TABLE: &[Case] = &[$(|given| Box::pin(cases::$module::$case(given.into()))),*];
    };
}
crate::__conformance_cases!(table);

/// Runs one case on a backend from `factory`, on a runtime of its own. [`tests!`] makes a test of
/// each.
///
/// # Panics
/// If the case fails, hangs, or does not exist.
#[allow(clippy::panic, clippy::expect_used, reason = "this is how a test fails")]
pub fn run<S: Into<Subject>>(name: &str, factory: impl AsyncFn() -> S) {
    let Some(index) = CASES.iter().position(|case| *case == name) else {
        panic!("there is no case `{name}`");
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be started");
    runtime.block_on(async {
        let subject = factory().await.into();
        let given = Given { store: subject.store.clone(), sees_types: subject.sees_types };
        let case = TABLE[index](given);
        match tokio::time::timeout(PATIENCE, case).await {
            Ok(Ok(())) => drop(subject),
            Ok(Err(e)) => panic!("{name}: an operation failed: {e:?}"),
            Err(_) => panic!("{name}: no end after {PATIENCE:?}"),
        }
    });
}

/// Whether `name` is a case; for [`tests!`], so that an opt-out of nothing does not compile.
#[doc(hidden)]
pub const fn is_case(name: &str) -> bool {
    let mut i = 0;
    while i < CASES.len() {
        if equal(CASES[i].as_bytes(), name.as_bytes()) {
            return true;
        }
        i += 1;
    }
    false
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// Makes a `#[test]` of every case, on backends from a factory: see the [module](self).
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($factory:expr $(, opt_out: { $($name:ident => $reason:literal),* $(,)? })? $(,)?) => {
        $crate::__conformance_tests! { @define ($) $factory, { $($($name => $reason,)*)? } }
    };
    // The dollar sign comes in as a token, so that it can stand in the macro that is defined here.
    (@define ($d:tt) $factory:expr, { $($name:ident => $reason:literal,)* }) => {
        $(const _: () = assert!(
            $crate::conformance::is_case(stringify!($name)),
            concat!("there is no case `", stringify!($name), "` to opt out of"),
        );)*

        // The factory is written out once: as a closure it would be of another type in every test.
        fn __kvs_run(case: &str) {
            $crate::conformance::run(case, $factory);
        }
        macro_rules! __kvs_case {
            $(($name) => {
                #[test]
                #[ignore = $reason]
                fn $name() {
                    __kvs_run(stringify!($name));
                }
            };)*
            ($d case:ident) => {
                #[test]
                fn $d case() {
                    __kvs_run(stringify!($d case));
                }
            };
        }
        macro_rules! __kvs_cases {
            ($d(($d module:ident, $d case:ident))*) => {
                $d(__kvs_case!($d case);)*
            };
        }
        $crate::__conformance_cases!(__kvs_cases);
    };
}

#[cfg(test)]
mod tests_of_the_list {
    use super::*;

    #[test]
    fn no_case_is_listed_twice() {
        let mut names = CASES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
        assert!(is_case(CASES[0]) && !is_case("a_case") && !is_case(""));
    }
}

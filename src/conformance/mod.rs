//! The conformance suite: tests for your own [`Backend`], or for a wrapper around one.
//!
//! The suite has one case for each rule of the contract. All cases are in one list, so a backend
//! cannot omit one silently. Enable the feature `conformance` in your dev-dependencies, and write
//! in `tests/conformance.rs` of your crate:
//!
//! ```
//! mod my_backend {
//! #   use keyvaluestore::Memory as MyBackend;
//!     keyvaluestore::conformance::tests!(async || MyBackend::new());
//! }
//! # // A doc example cannot run the tests that the macro defines. This runs one of the cases.
//! # fn main() { keyvaluestore::conformance::run("a_missing_key_reads_as_none",
//! #     async || keyvaluestore::Memory::new()) }
//! ```
//!
//! The factory makes a new, empty backend for every case. Use [`Subject::keep`] for a resource that
//! must outlive the backend, such as a server or a directory. Each case is a `#[test]` of its own.
//! If your backend cannot pass a case, opt out of it by name, with a reason. The test run reports
//! such a case as *ignored*, with the reason:
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
//! [`differential`] runs random programs on your backend and on [`Memory`](crate::Memory), compares
//! every reply, and prints the shortest program that it finds with a difference.
//!
//! # Versions
//!
//! A minor version may add cases, and a backend outside of this crate may fail them without a
//! change of its own. Pin the minor version in your dev-dependencies (`keyvaluestore = "~0.1"`), or
//! expect new cases with each update.
//!
//! # How to write a backend
//!
//! 1. Implement the four functions of [`Backend`]. Match on [`Read`](crate::op::Read) and
//!    [`Write`](crate::op::Write). Each payload in [`op`](crate::op) documents its
//!    [`Reply`](crate::op::Reply). The store has already checked the arguments: see the contract in
//!    the docs of the [trait](Backend).
//! 2. If your storage system has no batches, call
//!    [`batch_sequentially`](crate::backend::batch_sequentially).
//! 3. If a key holds another type, return `WrongType`, or reply as if the key did not exist. If
//!    your backend always returns `WrongType`, call [`Subject::sees_types`], and the suite requires
//!    it. Return `Unsupported` for unknown operations and conditions: both are `non_exhaustive`.
//! 4. Map the errors of your storage system to an [`ErrorKind`](crate::ErrorKind) and set them as
//!    the source. If a write may have been applied, call
//!    [`with_unknown_outcome`](crate::Error::with_unknown_outcome).
//! 5. Run this suite, then the differential test.
//!
//! A backend may return `Unsupported` for operations that it does not implement. This is a complete
//! backend with strings only:
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
//!     Error::new(ErrorKind::Unsupported, "this backend has only strings")
//! }
//!
//! fn holds(now: Option<&Value>, condition: &Condition) -> Result<bool> {
//!     Ok(match condition {
//!         Condition::Always => true,
//!         Condition::NotExists => now.is_none(),
//!         Condition::Exists => now.is_some(),
//!         Condition::Equals(old) => now == Some(old),
//!         // A condition of a later version. `true` would apply the write unconditionally.
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
//! // The cases of the operations that it implements.
//! for case in [
//!     "get_returns_what_set_stored",
//!     "set_nx_sets_only_where_nothing_is",
//!     "set_eq_compares_and_swaps",
//! ] {
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

/// The timeout of a case.
const CASE_TIMEOUT: Duration = Duration::from_secs(60);

/// A backend under test, and the resources that must outlive it.
#[derive(Debug)]
pub struct Subject {
    store: Store,
    sees_types: bool,
    kept: Vec<Box<dyn Any + Send>>,
}

impl Subject {
    /// Makes a subject of a backend.
    pub fn new(backend: impl Backend) -> Self {
        Subject { store: Store::new(backend), sees_types: false, kept: Vec::new() }
    }
    /// Requires that every operation on a key of another type returns `WrongType` and changes
    /// nothing, as with [`Memory`](crate::Memory) and `Embedded`. Without this call, the suite also
    /// accepts a reply as if the key did not exist, and the differential test does not compare such
    /// keys.
    #[must_use]
    pub fn sees_types(mut self) -> Self {
        self.sees_types = true;
        self
    }
    /// Drops `guard` only after the backend.
    #[must_use]
    pub fn keep(mut self, guard: impl Any + Send) -> Self {
        self.kept.push(Box::new(guard));
        self
    }
    /// A store on the backend.
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
        /// The names of all cases.
        pub const CASES: &[&str] = &[$(stringify!($case)),*];

        const TABLE: &[Case] = &[$(|given| Box::pin(cases::$module::$case(given.into()))),*];
    };
}
crate::__conformance_cases!(table);

/// Runs one case on a backend from `factory`, on its own tokio runtime. [`tests!`] defines a test
/// for each case.
///
/// # Panics
/// If the case fails, takes longer than 60 seconds, or does not exist.
#[allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]
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
        match tokio::time::timeout(CASE_TIMEOUT, case).await {
            Ok(Ok(())) => drop(subject),
            Ok(Err(e)) => panic!("{name}: an operation failed: {e:?}"),
            Err(_) => panic!("{name}: did not finish within {CASE_TIMEOUT:?}"),
        }
    });
}

/// Whether `name` is a case. With it, [`tests!`] rejects an unknown opt-out at compile time.
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

/// Defines a `#[test]` for every case, on backends from a factory: see the [module](self).
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($factory:expr $(, opt_out: { $($name:ident => $reason:literal),* $(,)? })? $(,)?) => {
        $crate::__conformance_tests! { @define ($) $factory, { $($($name => $reason,)*)? } }
    };
    // The dollar sign is an argument, because a macro cannot contain one in the macros that it
    // defines.
    (@define ($d:tt) $factory:expr, { $($name:ident => $reason:literal,)* }) => {
        $(const _: () = assert!(
            $crate::conformance::is_case(stringify!($name)),
            concat!("there is no case `", stringify!($name), "` to opt out of"),
        );)*

        // The factory is expanded once: as a closure it would have another type in every test, and
        // `run` would be instantiated for each.
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

//! The network thread of the client library. The C library can be started once per process, and
//! must be stopped before the process exits.
//!
//! The first store that is opened by URL starts it. A program that passes a database of its own has
//! already started it.

use super::errors::{API_VERSION_UNSET, NETWORK_NOT_SETUP, translate};
use crate::{Error, ErrorKind, Result};
use foundationdb::api::{FdbApiBuilder, NetworkStop};
use foundationdb::options::TransactionOption;
use foundationdb::{Database, FdbResult};
use std::panic::catch_unwind;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{Builder, JoinHandle};

/// The network thread, while it runs.
static NETWORK: Mutex<Option<(NetworkStop, JoinHandle<FdbResult<()>>)>> = Mutex::new(None);

/// The timeout of a first request. The multi-version client asks the cluster first, which may be
/// unreachable.
const NETWORK_ROUND_TIMEOUT_MS: i32 = 500;

/// Whether the exit handler is registered.
static STOPS: Once = Once::new();

fn lock() -> MutexGuard<'static, Option<(NetworkStop, JoinHandle<FdbResult<()>>)>> {
    NETWORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the database of a cluster file, or the default one. Starts the network if necessary.
pub(super) async fn database(cluster_file: Option<&str>) -> Result<Database> {
    if cluster_file.is_some_and(|path| path.contains('\0')) {
        return Err(Error::invalid("the path of a cluster file has no zero byte"));
    }
    let database = create(cluster_file)?;
    if !STOPS.is_completed() && lock().is_some() {
        // Exit handlers run in reverse order. During its first requests the library registers
        // destructors of objects that it still needs when the network is stopped. So our handler is
        // registered after two requests.
        for _ in 0..2 {
            let transaction = database.create_trx().map_err(translate)?;
            transaction
                .set_option(TransactionOption::Timeout(NETWORK_ROUND_TIMEOUT_MS))
                .map_err(translate)?;
            // A timeout is fine: the request was made.
            let _ = transaction.get_approximate_size().await;
        }
        STOPS.call_once(|| {
            // SAFETY: `stop` has the required signature, and is never unloaded.
            #[allow(unsafe_code, reason = "see SAFETY")]
            let _ = unsafe { libc::atexit(stop) };
        });
    }
    Ok(database)
}

fn create(cluster_file: Option<&str>) -> Result<Database> {
    // Held during the start: two threads must not both start the network.
    let mut network = lock();
    match Database::new(cluster_file) {
        Err(e) if matches!(e.code(), NETWORK_NOT_SETUP | API_VERSION_UNSET) => {
            *network = Some(start()?);
            Database::new(cluster_file).map_err(translate)
        }
        result => result.map_err(translate),
    }
}

fn start() -> Result<(NetworkStop, JoinHandle<FdbResult<()>>)> {
    // Panics if the program has chosen another API version.
    let api = catch_unwind(|| FdbApiBuilder::default().build()).map_err(|_| {
        Error::invalid(
            "this program has set up the client of FoundationDB, but not started its network",
        )
    })?;
    let (runner, started) = api.and_then(|network| network.build()).map_err(translate)?;
    let thread = Builder::new().name("kvs-foundationdb".into());
    // SAFETY: the network must be stopped before the process exits. `stop` is registered before the
    // first store is returned. An aborted process does not need it.
    #[allow(unsafe_code, reason = "see SAFETY")]
    let thread = thread.spawn(move || unsafe { runner.run() }).map_err(|e| {
        Error::new(ErrorKind::Unavailable, "no thread can be started").with_source(e)
    })?;
    Ok((started.wait(), thread))
}

/// Stops the network when the process exits. Pending calls are never answered.
///
/// Runs on a thread of its own. The exiting thread has already destroyed its thread-local
/// variables, including those that the C library would use.
extern "C" fn stop() {
    let Some((stop, network)) = lock().take() else { return };
    // The process may exit from within a callback, which runs on the network thread.
    let on_it = network.thread().id() == std::thread::current().id();
    let stopping = Builder::new().spawn(move || {
        if stop.stop().is_ok() && !on_it {
            let _ = network.join();
        }
    });
    if let Ok(stopping) = stopping {
        let _ = stopping.join();
    }
}

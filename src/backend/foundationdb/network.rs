//! The network thread of the client library, of which there is one per process, for good: the C
//! library can be started once, and has to be stopped before the process ends.
//!
//! It starts with the first store that is opened by URL. Whoever hands over a database of their own
//! has started it already.

use super::errors::{API_VERSION_UNSET, NETWORK_NOT_SETUP, translate};
use crate::{Error, ErrorKind, Result};
use foundationdb::api::{FdbApiBuilder, NetworkStop};
use foundationdb::options::TransactionOption;
use foundationdb::{Database, FdbResult};
use std::panic::catch_unwind;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{Builder, JoinHandle};

/// The thread, while it runs.
static NETWORK: Mutex<Option<(NetworkStop, JoinHandle<FdbResult<()>>)>> = Mutex::new(None);

/// The longest that a round of the network is waited for, in milliseconds: a client that loads
/// other versions of itself asks the cluster first, which may not be there.
const NETWORK_ROUND_TIMEOUT_MS: i32 = 500;

/// Whether the end is registered.
static STOPS: Once = Once::new();

fn lock() -> MutexGuard<'static, Option<(NetworkStop, JoinHandle<FdbResult<()>>)>> {
    NETWORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The database that a cluster file names, or the default one. Starts the network if nobody has.
pub(super) async fn database(cluster_file: Option<&str>) -> Result<Database> {
    if cluster_file.is_some_and(|path| path.contains('\0')) {
        return Err(Error::invalid("the path of a cluster file has no zero byte"));
    }
    let database = create(cluster_file)?;
    if !STOPS.is_completed() && lock().is_some() {
        // What the library makes for itself in its first rounds is destroyed at the exit, and is
        // used when the network is stopped: so the end is registered after that, and comes before.
        // Each of these is answered by a round of its own.
        for _ in 0..2 {
            let transaction = database.create_trx().map_err(translate)?;
            transaction
                .set_option(TransactionOption::Timeout(NETWORK_ROUND_TIMEOUT_MS))
                .map_err(translate)?;
            // Whether it is answered or given up does not matter: the round was made.
            let _ = transaction.get_approximate_size().await;
        }
        STOPS.call_once(|| {
            // SAFETY: `stop` has the type that is asked for, and is never unloaded.
            #[allow(unsafe_code, reason = "see SAFETY")]
            let _ = unsafe { libc::atexit(stop) };
        });
    }
    Ok(database)
}

fn create(cluster_file: Option<&str>) -> Result<Database> {
    // Two who open at once must not both start it.
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
    // It panics where the program has chosen a version of the API itself.
    let api = catch_unwind(|| FdbApiBuilder::default().build()).map_err(|_| {
        Error::invalid(
            "this program has set up FoundationDB's client itself, and not started its network yet",
        )
    })?;
    let (runner, started) = api.and_then(|network| network.build()).map_err(translate)?;
    let thread = Builder::new().name("kvs-foundationdb".into());
    // SAFETY: the network has to be stopped before the process ends, and is: `stop` is registered
    // before the first store is handed out. A process that is aborted needs none of it.
    #[allow(unsafe_code, reason = "see SAFETY")]
    let thread = thread.spawn(move || unsafe { runner.run() }).map_err(|e| {
        Error::new(ErrorKind::Unavailable, "no thread can be started").with_source(e)
    })?;
    Ok((started.wait(), thread))
}

/// Stops the network when the process exits. Calls that are pending then are never answered, and
/// nobody waits for them.
///
/// From a thread of its own: the one that exits has destroyed its thread-local variables already,
/// those of the C library among them, which it goes on to use.
extern "C" fn stop() {
    let Some((stop, network)) = lock().take() else { return };
    // Whoever ends the process from inside of a callback is on that very thread.
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

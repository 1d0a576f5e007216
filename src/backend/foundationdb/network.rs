//! The network thread of the client library, of which there is one per process, for good: the C library can be started
//! once, and has to be stopped before the process ends.
//!
//! It starts with the first store that is opened by URL. Whoever hands over a database of their own has started it already.

use super::errors::{API_VERSION_UNSET, NETWORK_NOT_SETUP, translate};
use crate::{Error, ErrorKind, Result};
use foundationdb::api::{FdbApiBuilder, NetworkStop};
use foundationdb::{Database, FdbResult};
use std::panic::catch_unwind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

/// The thread, while it runs.
static NETWORK: Mutex<Option<(NetworkStop, JoinHandle<FdbResult<()>>)>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<(NetworkStop, JoinHandle<FdbResult<()>>)>> {
    NETWORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The database that a cluster file names, or the default one. Starts the network if nobody has.
pub(super) fn database(cluster_file: Option<&str>) -> Result<Database> {
    if cluster_file.is_some_and(|path| path.contains('\0')) {
        return Err(Error::invalid("the path of a cluster file has no zero byte"));
    }
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
    // SAFETY: the network has to be stopped before the process ends, and is: `stop` is registered below, and runs before the
    // library's own destructors, which were registered when it was loaded. A process that is aborted needs none of it.
    #[allow(unsafe_code, reason = "see SAFETY")]
    let thread = thread.spawn(move || unsafe { runner.run() }).map_err(|e| {
        Error::new(ErrorKind::Unavailable, "no thread can be started").with_source(e)
    })?;
    // SAFETY: `stop` has the type that is asked for, and is never unloaded.
    #[allow(unsafe_code, reason = "see SAFETY")]
    let _ = unsafe { libc::atexit(stop) };
    Ok((started.wait(), thread))
}

/// Stops the network when the process exits. Calls that are pending then are never answered, and nobody waits for them.
extern "C" fn stop() {
    let running = lock().take();
    if let Some((stop, thread)) = running {
        let stopped = stop.stop().is_ok();
        // Whoever ends the process from inside of a callback is on that very thread.
        if stopped && thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

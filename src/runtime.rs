//! Returns an error if the tokio runtime lacks a timer or I/O driver, where tokio would panic.
//!
//! Tokio has no API to query the drivers of a runtime. Without a driver it panics when a timer or a
//! socket is created, and [`with_drivers`] catches that panic. With `panic = "abort"` it cannot.

use crate::{Error, ErrorKind, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `make`, which creates a timer or a socket of tokio.
///
/// # Errors
/// `Unsupported` if no tokio runtime is running on this thread, or if it lacks the driver.
#[inline]
pub(crate) fn with_drivers<T>(make: impl FnOnce() -> T) -> Result<T> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(missing("a tokio runtime, and none is running here"));
    }
    // Unwind safe: the unwinding drops everything that `make` has created.
    catch_unwind(AssertUnwindSafe(make)).map_err(|_| without_drivers())
}

/// The error for a runtime that lacks a driver.
#[cold]
pub(crate) fn without_drivers() -> Error {
    missing("a tokio runtime with timers and I/O: `Builder::enable_all`")
}

/// Checks that the runtime has timers and sockets.
///
/// # Errors
/// As for [`with_drivers`].
#[cfg(feature = "dynamodb")]
pub(crate) fn require_drivers() -> Result<()> {
    require_timer()?;
    // The only way to test for the I/O driver is to register a socket. If no socket can be
    // created, the check is skipped.
    let Ok(socket) = std::net::UdpSocket::bind("127.0.0.1:0") else { return Ok(()) };
    if socket.set_nonblocking(true).is_err() {
        return Ok(());
    }
    with_drivers(|| drop(tokio::net::UdpSocket::from_std(socket)))
}

/// Checks that the runtime has timers.
///
/// # Errors
/// As for [`with_drivers`].
#[allow(dead_code)]
pub(crate) fn require_timer() -> Result<()> {
    with_drivers(|| drop(tokio::time::sleep(std::time::Duration::ZERO)))
}

#[cold]
fn missing(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("this needs {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_missing_runtime_and_a_missing_timer_are_errors_that_name_them() {
        let error = require_timer().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("a tokio runtime, and none is running"), "{error}");

        let bare = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let error = bare.block_on(async { require_timer() }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("enable_all"), "{error}");

        let whole = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        assert!(whole.block_on(async { require_timer() }).is_ok());
        #[cfg(feature = "dynamodb")]
        {
            let error = whole.block_on(async { require_drivers() }).unwrap_err();
            assert!(error.to_string().contains("enable_all"), "{error}");
            let io = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            assert!(io.block_on(async { require_drivers() }).is_err());
            let all = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            assert!(all.block_on(async { require_drivers() }).is_ok());
        }
        assert!(async { require_timer() }.now_or_never().unwrap().is_err());
    }
}

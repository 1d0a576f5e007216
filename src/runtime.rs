//! Tokio's drivers, where they may be missing: tokio panics without them, and this makes that an
//! error.
//!
//! Tokio offers no way to ask whether a runtime has a timer or an I/O driver. It panics when a
//! timer or a socket is made, so [`with_drivers`] catches that. Where `panic = "abort"` is set,
//! nothing can.

use crate::{Error, ErrorKind, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `make`, which makes a timer or a socket of tokio's.
///
/// # Errors
/// `Unsupported` if there is no tokio runtime here, or if it lacks the driver.
#[inline]
pub(crate) fn with_drivers<T>(make: impl FnOnce() -> T) -> Result<T> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(missing("a tokio runtime, and there is none here"));
    }
    // What `make` has begun is dropped with its panic, and nothing else sees it.
    catch_unwind(AssertUnwindSafe(make)).map_err(|_| without_drivers())
}

/// The error for a runtime that lacks a driver.
#[cold]
pub(crate) fn without_drivers() -> Error {
    missing("a tokio runtime with timers and I/O: `Builder::enable_all`")
}

/// Whether timers and sockets work here.
///
/// # Errors
/// `Unsupported` if they do not, as [`with_drivers`] says it.
#[cfg(feature = "dynamodb")]
pub(crate) fn require_drivers() -> Result<()> {
    require_timer()?;
    // The I/O driver can only be asked by giving it a socket. Where none is to be had, nothing is
    // known.
    let Ok(socket) = std::net::UdpSocket::bind("127.0.0.1:0") else { return Ok(()) };
    if socket.set_nonblocking(true).is_err() {
        return Ok(());
    }
    with_drivers(|| drop(tokio::net::UdpSocket::from_std(socket)))
}

/// Whether timers work here.
///
/// # Errors
/// `Unsupported` if they do not, as [`with_drivers`] says it.
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
        assert!(error.to_string().contains("a tokio runtime, and there is none"), "{error}");

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

//! TLS to a server.
//!
//! Not the client library's: it takes the provider of cryptography from rustls's process-wide
//! default, and installs one if there is none. This file installs nothing.

use crate::{Error, ErrorKind, Result};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// A stream to a server, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Trusts the system's certificates. Uses the default provider of the process, or ring if there is
/// none.
///
/// # Errors
/// `Unsupported` if the system has no trusted certificate, or if the provider cannot be used.
pub(super) fn client_config() -> Result<Arc<ClientConfig>> {
    let no_certificates =
        || Error::new(ErrorKind::Unsupported, "the system has no trusted certificates");
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let error = found.errors.into_iter().next();
        return Err(error.map_or_else(no_certificates, |e| no_certificates().with_source(e)));
    }
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(ring::default_provider()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| {
            Error::new(ErrorKind::Unsupported, "the TLS provider cannot be used").with_source(e)
        })?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// The TLS handshake with `host`.
pub(super) async fn handshake(
    config: Arc<ClientConfig>,
    host: &str,
    stream: Box<dyn Stream>,
) -> io::Result<Box<dyn Stream>> {
    let name = rustls::pki_types::ServerName::try_from(host.to_owned())
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    Ok(Box::new(tokio_rustls::TlsConnector::from(config).connect(name, stream).await?))
}

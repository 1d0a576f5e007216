//! [`Connector`]: makes a connection to one server: TCP or a socket, TLS, the greeting.
//!
//! The client library gets a stream that is ready. By itself it would take the provider of TLS from
//! rustls's process-wide default, and install one where there is none; [`tls`] installs nothing.

use super::errors::refused;
use super::greeting;
use crate::{Error, ErrorKind, Result};
use ::redis::aio::{MultiplexedConnection, SendError};
use ::redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, Pipeline, PushInfo, PushKind,
    Value as Answer,
};
use futures_util::future::select_ok;
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub(super) connect: Duration,
    pub(super) answer: Duration,
}

/// What the server is to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A server without a cluster.
    Alone,
    /// A node of a cluster.
    Node,
    /// A node of a cluster that is asked for reads, also while it is a replica.
    Reader,
}

pub(super) struct Connector {
    info: ConnectionInfo,
    tls: Option<Arc<ClientConfig>>,
    pub(super) timeouts: Timeouts,
    role: Role,
    /// Whether the server has been asked what it is: once, not at every new connection.
    known: AtomicBool,
}

/// A connection, and what is known of it.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) connection: MultiplexedConnection,
    pub(super) life: Life,
}

#[derive(Clone)]
pub(super) struct Life {
    lost: Arc<AtomicBool>,
    pub(super) since: Instant,
    /// Ends with the last clone, whether or not a server that hangs has answered.
    _driver: Arc<Driver>,
}

impl Life {
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
    /// The next caller connects anew; those that wait on the connection go on waiting.
    pub(super) fn end(&self) {
        self.lost.store(true, Ordering::Release);
    }
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    Reach,
    Tls,
    Greeting,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Connector {
    pub(super) fn new(
        info: ConnectionInfo,
        tls: Option<Arc<ClientConfig>>,
        timeouts: Timeouts,
        role: Role,
    ) -> Self {
        Connector { info, tls, timeouts, role, known: AtomicBool::new(false) }
    }

    /// `host:port`, or the path of the socket.
    pub(super) fn address(&self) -> String {
        self.info.addr().to_string()
    }

    pub(super) fn host(&self) -> &str {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, _) => host,
            _ => "localhost",
        }
    }

    /// # Errors
    /// Why there is no connection, with the address.
    pub(super) async fn connect(&self) -> Result<Line> {
        let mut stage = Stage::Reach;
        let made = tokio::time::timeout(self.timeouts.connect, self.make(&mut stage)).await;
        let made = made.unwrap_or_else(|_| Err(greeting::timed_out(stage)));
        made.map_err(|e| e.at(&self.address()))
    }

    async fn make(&self, stage: &mut Stage) -> Result<Line> {
        let mut stream = self.reach().await.map_err(greeting::not_reached)?;
        if let Some(tls) = &self.tls {
            *stage = Stage::Tls;
            let secured = secure(Arc::clone(tls), self.host(), stream).await;
            stream = secured.map_err(greeting::not_secured)?;
        }
        *stage = Stage::Greeting;
        let mut line = self.greet(stream).await?;
        self.introduce(&mut line.connection).await?;
        Ok(line)
    }

    async fn reach(&self) -> io::Result<Box<dyn Stream>> {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                let addresses = tokio::net::lookup_host((&host[..], *port)).await?;
                let attempts: Vec<_> =
                    addresses.map(|address| Box::pin(TcpStream::connect(address))).collect();
                if attempts.is_empty() {
                    return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
                }
                Ok(Box::new(select_ok(attempts).await?.0))
            }
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => {
                Ok(Box::new(tokio::net::UnixStream::connect(path).await?))
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Signs in, and speaks RESP3 from then on.
    async fn greet(&self, stream: Box<dyn Stream>) -> Result<Line> {
        let lost = Arc::new(AtomicBool::new(false));
        let ear = Ear(Arc::clone(&lost));
        let config = AsyncConnectionConfig::new()
            .set_pipeline_buffer_size(256)
            // A timer of the caller's; see `Link`.
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    ear.tell();
                }
                Ok::<_, SendError>(())
            });
        let settings = self.info.redis_settings();
        let made = MultiplexedConnection::new_with_config(settings, stream, config).await;
        let (connection, driver) = made.map_err(|e| greeting::refused(&e, settings.password()))?;
        let driver = Arc::new(Driver(tokio::spawn(driver).abort_handle()));
        Ok(Line { connection, life: Life { lost, since: Instant::now(), _driver: driver } })
    }

    /// Asks a replica to answer reads, and a server that is met for the first time what it is.
    async fn introduce(&self, connection: &mut MultiplexedConnection) -> Result<()> {
        let mut cmds = Pipeline::new();
        if self.role == Role::Reader {
            cmds.cmd("READONLY");
        }
        let ask = !self.known.load(Ordering::Relaxed);
        if ask {
            cmds.cmd("HELLO");
        }
        if cmds.is_empty() {
            return Ok(());
        }
        let answers = connection.send_packed_commands(&cmds, 0, cmds.len()).await;
        let mut answers = answers.map_err(|e| greeting::refused(&e, None))?;
        if ask && let Some(hello) = answers.pop() {
            greeting::check_mode(&hello, self.role)?;
            self.known.store(true, Ordering::Relaxed);
        }
        match answers.pop() {
            Some(Answer::ServerError(e)) => Err(refused(&e)),
            _ => Ok(()),
        }
    }
}

async fn secure(
    tls: Arc<ClientConfig>,
    host: &str,
    stream: Box<dyn Stream>,
) -> io::Result<Box<dyn Stream>> {
    let name = rustls::pki_types::ServerName::try_from(host.to_owned())
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    Ok(Box::new(tokio_rustls::TlsConnector::from(tls).connect(name, stream).await?))
}

/// TLS with the certificates that the system trusts, and with the default provider of the process;
/// with ring if there is none.
///
/// # Errors
/// `Unsupported` if the system trusts no certificate, or the provider is of no use.
pub(super) fn tls() -> Result<Arc<ClientConfig>> {
    let no_certificates =
        || Error::new(ErrorKind::Unsupported, "the system has no certificates to trust");
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.into_iter().next();
        return Err(why.map_or_else(no_certificates, |why| no_certificates().with_source(why)));
    }
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(ring::default_provider()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| {
            Error::new(ErrorKind::Unsupported, "the provider of TLS cannot be used").with_source(e)
        })?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// The task that reads and writes.
struct Driver(tokio::task::AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Belongs to the task behind a connection, and so also reports that it has ended with its runtime.
struct Ear(Arc<AtomicBool>);

impl Ear {
    fn tell(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.tell();
    }
}

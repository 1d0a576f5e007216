//! [`Connector`]: makes a connection to one server: TCP or a Unix socket, TLS, then `HELLO`.

use super::errors::refused;
use super::handshake::{self, Role, Stage};
use super::tls::{self, Stream};
use crate::Result;
use ::redis::aio::{MultiplexedConnection, SendError};
use ::redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, Pipeline, PushInfo, PushKind,
    Value as RespValue,
};
use futures_util::future::select_ok;
use rustls::ClientConfig;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For a connection, sign-in included.
    pub(super) connect: Duration,
    /// For the answer to a command or pipeline.
    pub(super) response: Duration,
}

pub(super) struct Connector {
    info: ConnectionInfo,
    tls: Option<Arc<ClientConfig>>,
    pub(super) timeouts: Timeouts,
    role: Role,
    /// Whether the server has the expected role. Checked once, not for each connection.
    role_checked: AtomicBool,
}

/// A connection that is ready for commands.
#[derive(Clone)]
pub(super) struct Established {
    pub(super) client: MultiplexedConnection,
    pub(super) health: Health,
}

#[derive(Clone)]
pub(super) struct Health {
    lost: Arc<AtomicBool>,
    /// When the connection was established.
    pub(super) since: Instant,
    /// The driver task ends with the last clone, even if the server never answers.
    _driver: Arc<DriverTask>,
}

impl Health {
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
    /// The next caller reconnects. Calls in flight keep waiting on this connection.
    pub(super) fn set_lost(&self) {
        self.lost.store(true, Ordering::Release);
    }
}

impl Connector {
    pub(super) fn new(
        info: ConnectionInfo,
        tls: Option<Arc<ClientConfig>>,
        timeouts: Timeouts,
        role: Role,
    ) -> Self {
        Connector { info, tls, timeouts, role, role_checked: AtomicBool::new(false) }
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
    pub(super) async fn connect(&self) -> Result<Established> {
        let mut stage = Stage::Connect;
        let result = tokio::time::timeout(self.timeouts.connect, self.establish(&mut stage)).await;
        let result = result.unwrap_or_else(|_| Err(handshake::timed_out(stage)));
        result.map_err(|e| e.at(&self.address()))
    }

    async fn establish(&self, stage: &mut Stage) -> Result<Established> {
        let mut stream = self.open_stream().await.map_err(handshake::not_reached)?;
        if let Some(config) = &self.tls {
            *stage = Stage::Tls;
            let secured = tls::handshake(Arc::clone(config), self.host(), stream).await;
            stream = secured.map_err(handshake::not_secured)?;
        }
        *stage = Stage::Hello;
        let mut established = self.hello(stream).await?;
        self.set_up(&mut established.client).await?;
        Ok(established)
    }

    async fn open_stream(&self) -> io::Result<Box<dyn Stream>> {
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

    /// `HELLO 3`: signs in, and switches to RESP3.
    async fn hello(&self, stream: Box<dyn Stream>) -> Result<Established> {
        let lost = Arc::new(AtomicBool::new(false));
        let guard = DisconnectGuard(Arc::clone(&lost));
        let config = AsyncConnectionConfig::new()
            .set_pipeline_buffer_size(256)
            // `Connection` applies the response timeout.
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    guard.set_lost();
                }
                Ok::<_, SendError>(())
            });
        let settings = self.info.redis_settings();
        let made = MultiplexedConnection::new_with_config(settings, stream, config).await;
        let (client, driver) = made.map_err(|e| handshake::refused(&e, settings.password()))?;
        let driver = Arc::new(DriverTask(tokio::spawn(driver).abort_handle()));
        let health = Health { lost, since: Instant::now(), _driver: driver };
        Ok(Established { client, health })
    }

    /// Lets a replica answer reads (`READONLY`). On the first connection, checks the server's role.
    async fn set_up(&self, client: &mut MultiplexedConnection) -> Result<()> {
        let mut cmds = Pipeline::new();
        if self.role == Role::ClusterReader {
            cmds.cmd("READONLY");
        }
        let check_role = !self.role_checked.load(Ordering::Relaxed);
        if check_role {
            cmds.cmd("HELLO");
        }
        if cmds.is_empty() {
            return Ok(());
        }
        let answers = client.send_packed_commands(&cmds, 0, cmds.len()).await;
        let mut answers = answers.map_err(|e| handshake::refused(&e, None))?;
        if check_role && let Some(hello) = answers.pop() {
            handshake::check_role(&hello, self.role)?;
            self.role_checked.store(true, Ordering::Relaxed);
        }
        match answers.pop() {
            Some(RespValue::ServerError(e)) => Err(refused(&e)),
            _ => Ok(()),
        }
    }
}

/// The task that reads from and writes to the stream.
struct DriverTask(tokio::task::AbortHandle);

impl Drop for DriverTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Marks the connection as lost when its driver task is dropped. So a connection whose runtime has
/// shut down is lost as well.
struct DisconnectGuard(Arc<AtomicBool>);

impl DisconnectGuard {
    fn set_lost(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Drop for DisconnectGuard {
    fn drop(&mut self) {
        self.set_lost();
    }
}

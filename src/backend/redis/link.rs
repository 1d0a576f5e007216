//! [`Link`]: one server, and the one connection to it that all callers share. It connects when it is first needed, and
//! again when the connection is lost. It never sends anything twice.

use super::errors;
use crate::{Error, ErrorKind};
use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, Pipeline, PushInfo, PushKind, RedisError,
    Value,
};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) connect: Duration,
    pub(super) answer: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The server has not seen it.
    NotSent(Error),
    /// It may have been carried out.
    Lost(Error),
}

impl Failure {
    pub(super) fn into_error(self, writes: bool) -> Error {
        match self {
            Failure::Lost(e) if writes => e.with_unknown_outcome(),
            Failure::Lost(e) | Failure::NotSent(e) => e,
        }
    }
}

type Result<T> = std::result::Result<T, Failure>;

pub(super) struct Link {
    client: Client,
    patience: Patience,
    /// Whether to ask a replica in a cluster to answer reads.
    readonly: bool,
    state: Arc<Mutex<State>>,
    /// When there was last no answer.
    failed: Mutex<Option<Instant>>,
}

/// How long a replica that does not answer is left alone, and a server that does not write is asked on one connection.
const REST: Duration = Duration::from_secs(1);

/// A connection, and whether it is known to be lost.
#[derive(Clone)]
struct Line {
    connection: MultiplexedConnection,
    lost: Arc<AtomicBool>,
    since: Instant,
}

impl Line {
    /// A server that writes no longer has become a replica, and behind the name of the old primary may be a new one: the next
    /// caller connects anew. Not each of them at once, as it may also be a replica that was asked for.
    fn look_at(&self, answer: &Value) {
        if let Value::ServerError(e) = answer
            && errors::code(e) == "READONLY"
            && self.since.elapsed() > REST
        {
            self.lost.store(true, Ordering::Release);
        }
    }
}

type Connecting = Shared<BoxFuture<'static, std::result::Result<Line, RedisError>>>;

enum State {
    Idle,
    /// All callers wait for the same attempt.
    Connecting(Connecting),
    Ready(Line),
}

impl Link {
    pub(super) fn new(client: Client, patience: Patience, readonly: bool) -> Self {
        Link {
            client,
            patience,
            readonly,
            state: Arc::new(Mutex::new(State::Idle)),
            failed: Mutex::default(),
        }
    }

    /// Sends one command. A refusal of the server is an answer: [`Value::ServerError`].
    ///
    /// # Errors
    /// What kept the answer from coming.
    pub(super) async fn call(&self, cmd: &Cmd) -> Result<Value> {
        let mut line = match self.ready() {
            Some(line) => line,
            None => Box::pin(self.line()).await?,
        };
        match line.connection.send_packed_command(cmd).await {
            Ok(value) => {
                line.look_at(&value);
                Ok(value)
            }
            Err(e) => Err(self.failed(&line, e)),
        }
    }

    /// Sends many commands in one go; one answer for each, in their order.
    ///
    /// # Errors
    /// What kept the answers from coming.
    pub(super) async fn call_all(&self, cmds: &Pipeline) -> Result<Vec<Value>> {
        let mut line = match self.ready() {
            Some(line) => line,
            None => Box::pin(self.line()).await?,
        };
        match line.connection.send_packed_commands(cmds, 0, cmds.len()).await {
            Ok(values) if values.len() == cmds.len() => {
                values.iter().for_each(|value| line.look_at(value));
                Ok(values)
            }
            Ok(_) => Err(Failure::Lost(errors::unexpected())),
            Err(e) => Err(self.failed(&line, e)),
        }
    }

    /// The host that it is a link to.
    pub(super) fn host(&self) -> String {
        match self.client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
            _ => "localhost".to_owned(),
        }
    }

    /// Connects if there is no connection.
    pub(super) async fn connect(&self) -> Result<()> {
        self.line().await.map(drop)
    }

    /// The connection, if there is one.
    fn ready(&self) -> Option<Line> {
        match &*lock(&self.state) {
            State::Ready(line) if !line.lost.load(Ordering::Acquire) => Some(line.clone()),
            _ => None,
        }
    }

    /// The connection, once there is one.
    async fn line(&self) -> Result<Line> {
        let connecting = {
            let mut state = lock(&self.state);
            match &*state {
                State::Ready(line) if !line.lost.load(Ordering::Acquire) => return Ok(line.clone()),
                State::Connecting(connecting) => connecting.clone(),
                _ => {
                    let connecting = self.start()?;
                    *state = State::Connecting(connecting.clone());
                    connecting
                }
            }
        };
        let result = connecting.clone().await;
        // The attempt has changed the state, unless it has ended with its runtime.
        let mut state = lock(&self.state);
        if matches!(&*state, State::Connecting(current) if current.ptr_eq(&connecting)) {
            *state = State::Idle;
        }
        result.map_err(|e| {
            *lock(&self.failed) = Some(Instant::now());
            Failure::NotSent(errors::not_connected(e))
        })
    }

    /// After a failure the next caller connects anew; whoever waits on the old connection goes on waiting.
    #[cold]
    fn failed(&self, line: &Line, error: RedisError) -> Failure {
        line.lost.store(true, Ordering::Release);
        *lock(&self.failed) = Some(Instant::now());
        Failure::Lost(errors::lost(error))
    }

    /// Whether it has failed so lately that others should be asked.
    pub(super) fn rests(&self) -> bool {
        lock(&self.failed).is_some_and(|at| at.elapsed() < REST)
    }

    /// Starts to connect. The attempt goes on if nobody waits for it any longer: who comes later finds what has become of
    /// it, and not one that has been standing still for longer than it may take.
    fn start(&self) -> Result<Connecting> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|e| {
            let error = Error::new(ErrorKind::Unsupported, "Redis needs a runtime of Tokio");
            Failure::NotSent(error.with_source(e))
        })?;
        let attempt = attempt(self.client.clone(), self.patience, self.readonly);
        let state = Arc::clone(&self.state);
        let attempt = runtime.spawn(async move {
            let result = attempt.await;
            *lock(&state) = result.clone().map_or(State::Idle, State::Ready);
            result
        });
        let ended = |e| Err(std::io::Error::other(e).into());
        Ok(attempt.map(move |result| result.unwrap_or_else(ended)).boxed().shared())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn attempt(
    client: Client,
    patience: Patience,
    readonly: bool,
) -> std::result::Result<Line, RedisError> {
    let lost = Arc::new(AtomicBool::new(false));
    let ear = Ear(Arc::clone(&lost));
    let config = AsyncConnectionConfig::new()
        .set_pipeline_buffer_size(256)
        .set_connection_timeout(Some(patience.connect))
        .set_response_timeout(Some(patience.answer))
        .set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                ear.tell();
            }
            Ok::<_, ::redis::aio::SendError>(())
        });
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    if readonly {
        let answer = connection.send_packed_command(&::redis::cmd("READONLY")).await?;
        if let Value::ServerError(e) = answer {
            return Err(e.into());
        }
    }
    Ok(Line { connection, lost, since: Instant::now() })
}

/// Belongs to the task behind a connection, and so also tells when that has ended with its runtime.
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

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address, and nothing of what signs in.
        f.debug_tuple("Link").field(&self.client.get_connection_info().addr().to_string()).finish()
    }
}

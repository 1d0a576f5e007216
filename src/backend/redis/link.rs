//! [`Link`]: one server, and the one connection to it that all callers share. It connects when it
//! is first needed, and reconnects when the connection is lost, with backoff between attempts that
//! fail. It never sends anything twice.

use super::backoff::Backoff;
use super::connect::{Connector, Life, Line};
use super::errors;
use crate::runtime::{require_timer, with_drivers};
use crate::{Error, ErrorKind};
use ::redis::{Cmd, Pipeline, RedisResult, ServerErrorKind, Value};
use futures_util::FutureExt;
use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The server has not seen it.
    NotSent(Error),
    /// It may have been carried out.
    Lost(Error),
    /// The server has refused it.
    Refused(Error),
}

impl Failure {
    pub(super) fn into_error(self, writes: bool) -> Error {
        match self {
            Failure::Lost(e) if writes => e.with_unknown_outcome(),
            Failure::Lost(e) | Failure::NotSent(e) | Failure::Refused(e) => e,
        }
    }
}

type Result<T, E = Failure> = std::result::Result<T, E>;

pub(super) struct Link {
    connector: Arc<Connector>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    connection: Connection,
    /// Between attempts that fail.
    backoff: Backoff,
    /// How the last attempt failed.
    failure: Option<Error>,
    /// Whether a call or an attempt has failed since the last attempt that succeeded.
    failing: bool,
}

/// The attempt that is under way. Closed without a result, it has ended with its runtime.
type Attempt = watch::Receiver<Option<Result<Line, Error>>>;

#[derive(Default)]
enum Connection {
    #[default]
    None,
    /// All callers wait for the same attempt.
    Connecting(Attempt),
    Ready(Line),
}

impl State {
    fn line(&self) -> Option<&Line> {
        match &self.connection {
            Connection::Ready(line) if !line.life.is_lost() => Some(line),
            _ => None,
        }
    }
    fn attempt(&self) -> Option<&Attempt> {
        match &self.connection {
            Connection::Connecting(attempt) if attempt.has_changed().is_ok() => Some(attempt),
            _ => None,
        }
    }
    fn end_attempt(&mut self, result: &Result<Line, Error>) {
        match result {
            Ok(line) => {
                *self = State { connection: Connection::Ready(line.clone()), ..State::default() };
            }
            Err(e) => {
                self.connection = Connection::None;
                self.backoff.failed();
                self.failure = Some(e.clone());
                self.failing = true;
            }
        }
    }
}

/// How long a server that has become a replica is asked on one connection.
const REST: Duration = Duration::from_secs(1);

impl Link {
    pub(super) fn new(connector: Connector) -> Self {
        Link { connector: Arc::new(connector), state: Arc::default() }
    }

    /// Sends one command. A refusal of the server is an answer: [`Value::ServerError`].
    ///
    /// # Errors
    /// What kept the answer from coming.
    pub(super) async fn call(&self, cmd: &Cmd) -> Result<Value> {
        let Line { mut connection, life } = match self.ready() {
            Some(line) => line,
            None => Box::pin(self.line()).await?,
        };
        let answer = self.answer(&life, connection.send_packed_command(cmd)).await?;
        look_at(&life, &answer);
        Ok(answer)
    }

    /// Sends many commands in one go; one answer for each, in their order.
    ///
    /// # Errors
    /// What kept the answers from coming.
    pub(super) async fn call_all(&self, cmds: &Pipeline) -> Result<Vec<Value>> {
        let Line { mut connection, life } = match self.ready() {
            Some(line) => line,
            None => Box::pin(self.line()).await?,
        };
        let sent = connection.send_packed_commands(cmds, 0, cmds.len());
        let answers = self.answer(&life, sent).await?;
        if answers.len() != cmds.len() {
            return Err(Failure::Lost(self.named(errors::unexpected())));
        }
        answers.iter().for_each(|answer| look_at(&life, answer));
        Ok(answers)
    }

    /// Waits for an answer. The timer is ours, as the client's panics where the caller's runtime
    /// has none.
    async fn answer<T>(
        &self,
        life: &Life,
        sent: impl Future<Output = RedisResult<T>>,
    ) -> Result<T> {
        let sent = pin!(sent);
        let limit = self.connector.timeouts.answer;
        let answer =
            with_drivers(|| tokio::time::timeout(limit, sent)).map_err(Failure::NotSent)?;
        match answer.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(self.failed(life, errors::lost(&e))),
            Err(_) => Err(self.failed(life, errors::timed_out())),
        }
    }

    /// Makes a refusal an error that names the server. `NOSCRIPT` remains an answer: scripts are
    /// sent again.
    pub(super) fn judge(&self, answer: Value) -> Result<Value> {
        match answer {
            Value::ServerError(e) if e.kind() != Some(ServerErrorKind::NoScript) => {
                Err(Failure::Refused(self.named(errors::refused(&e))))
            }
            answer => Ok(answer),
        }
    }

    #[cold]
    pub(super) fn named(&self, error: Error) -> Error {
        error.at(&self.connector.address())
    }

    pub(super) fn host(&self) -> String {
        self.connector.host().to_owned()
    }

    /// Connects if there is no connection.
    pub(super) async fn connect(&self) -> Result<()> {
        self.line().await.map(drop)
    }

    /// The connection, if there is one.
    fn ready(&self) -> Option<Line> {
        lock(&self.state).line().cloned()
    }

    /// The connection, once there is one.
    ///
    /// # Errors
    /// How the attempt failed. In the pause after it, `Unavailable` at once.
    async fn line(&self) -> Result<Line> {
        // Twice, as an attempt of another caller may end with the runtime of that caller.
        for _ in 0..2 {
            let mut attempt = {
                let mut state = lock(&self.state);
                if let Some(line) = state.line() {
                    return Ok(line.clone());
                }
                match state.attempt() {
                    Some(attempt) => attempt.clone(),
                    None => self.start(&mut state)?,
                }
            };
            if let Ok(result) = attempt.wait_for(Option::is_some).await
                && let Some(result) = &*result
            {
                return result.clone().map_err(Failure::NotSent);
            }
        }
        let error =
            Error::new(ErrorKind::Unavailable, "the tokio runtime that connected has ended");
        Err(Failure::NotSent(self.named(error)))
    }

    /// Starts to connect. The attempt goes on if nobody waits for it any longer: a later caller
    /// finds its result, and not an attempt that has been standing still for longer than it may
    /// take.
    fn start(&self, state: &mut State) -> Result<Attempt> {
        require_timer().map_err(Failure::NotSent)?;
        if let (Some(pause), Some(failure)) = (state.backoff.remaining(), &state.failure) {
            return Err(Failure::NotSent(self.named(pausing(pause, failure))));
        }
        let (sender, attempt) = watch::channel(None);
        let (connector, shared) = (Arc::clone(&self.connector), Arc::clone(&self.state));
        tokio::spawn(async move {
            let result = match AssertUnwindSafe(connector.connect()).catch_unwind().await {
                Ok(result) => {
                    lock(&shared).end_attempt(&result);
                    result
                }
                // Not the server's fault.
                Err(panic) => {
                    lock(&shared).connection = Connection::None;
                    Err(no_connector(&*panic).at(&connector.address()))
                }
            };
            let _nobody_waits = sender.send(Some(result));
        });
        state.connection = Connection::Connecting(attempt.clone());
        Ok(attempt)
    }

    /// After a failure the next caller reconnects; others that wait on the old connection go on
    /// waiting.
    #[cold]
    fn failed(&self, life: &Life, error: Error) -> Failure {
        life.end();
        lock(&self.state).failing = true;
        Failure::Lost(self.named(error))
    }

    /// Whether a call is likely to be answered. Otherwise others should be asked, while it connects
    /// behind them.
    pub(super) fn is_usable(&self) -> bool {
        let mut state = lock(&self.state);
        if state.line().is_some() || !state.failing {
            return true;
        }
        if state.attempt().is_none() {
            let _in_the_background = self.start(&mut state);
        }
        false
    }
}

/// A server that writes no longer has become a replica, and behind the name of the old primary may
/// be a new one: the next caller reconnects. Not each of them at once, as it may also be a replica
/// that was asked for.
fn look_at(life: &Life, answer: &Value) {
    if let Value::ServerError(e) = answer
        && errors::code(e) == "READONLY"
        && life.since.elapsed() > REST
    {
        life.end();
    }
}

/// There is no connection, and none is attempted yet. A failure that time does not mend keeps its
/// kind.
#[cold]
fn pausing(pause: Duration, failure: &Error) -> Error {
    let kind = if failure.is_retryable() { ErrorKind::Unavailable } else { failure.kind() };
    // Rounded up, so that a caller who waits as long as it says finds the pause over.
    let left = pause.as_millis() + 1;
    let message = format!("there is no connection, and the next attempt is made in {left} ms");
    Error::new(kind, message).with_source(failure.clone())
}

/// Tokio offers no way to ask for its I/O driver, and panics without one.
#[cold]
fn no_connector(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(|text| &text[..]));
    if text.is_some_and(|text| text.contains("IO is disabled")) {
        let message = "this needs a tokio runtime with timers and I/O: `Builder::enable_all`";
        return Error::new(ErrorKind::Unsupported, message);
    }
    Error::new(ErrorKind::Other, "the attempt to connect has panicked")
}

fn lock(mutex: &Mutex<State>) -> MutexGuard<'_, State> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address, and nothing of what signs in.
        f.debug_tuple("Link").field(&self.connector.address()).finish()
    }
}

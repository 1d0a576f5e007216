//! [`Connection`]: one server, and the one multiplexed connection to it that all callers share. It
//! connects when it is first needed, reconnects after a loss, with backoff between failed attempts,
//! and applies the response timeout. It never sends a command twice.

use super::backoff::Backoff;
use super::connect::{Connector, Established, Health};
use super::errors;
use crate::runtime::{require_timer, with_drivers};
use crate::{Error, ErrorKind};
use ::redis::{Cmd, Pipeline, RedisResult, ServerErrorKind, Value as RespValue};
use futures_util::FutureExt;
use std::any::Any;
use std::borrow::Borrow;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Why a command has no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The server has not received it.
    NotSent(Error),
    /// It was sent, and the answer was lost. The server may have run it.
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

pub(super) struct Connection {
    connector: Arc<Connector>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    status: Status,
    /// Between failed attempts.
    backoff: Backoff,
    /// The error of the last attempt.
    last_error: Option<Error>,
    /// Whether a call or an attempt has failed since the last successful attempt.
    failing: bool,
}

/// The attempt in progress. If it is closed without a result, its runtime has shut down.
type Attempt = watch::Receiver<Option<Result<Established, Error>>>;

#[derive(Default)]
enum Status {
    #[default]
    Disconnected,
    /// All callers wait for the same attempt.
    Connecting(Attempt),
    Connected(Established),
}

impl State {
    fn established(&self) -> Option<&Established> {
        match &self.status {
            Status::Connected(established) if !established.health.is_lost() => Some(established),
            _ => None,
        }
    }
    fn attempt(&self) -> Option<&Attempt> {
        match &self.status {
            Status::Connecting(attempt) if attempt.has_changed().is_ok() => Some(attempt),
            _ => None,
        }
    }
    fn end_attempt(&mut self, result: &Result<Established, Error>) {
        match result {
            Ok(established) => {
                let status = Status::Connected(established.clone());
                *self = State { status, ..State::default() };
            }
            Err(e) => {
                self.status = Status::Disconnected;
                self.backoff.failed();
                self.last_error = Some(e.clone());
                self.failing = true;
            }
        }
    }
}

/// A connection on which the server answers `READONLY` is kept at least this long.
const READONLY_COOLDOWN: Duration = Duration::from_secs(1);

impl Connection {
    pub(super) fn new(connector: Connector) -> Self {
        Connection { connector: Arc::new(connector), state: Arc::default() }
    }

    /// Sends one command. An error of the server is an answer: [`RespValue::ServerError`].
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn send(&self, cmd: &Cmd) -> Result<RespValue> {
        let Established { mut client, health } = match self.established() {
            Some(established) => established,
            None => Box::pin(self.wait_connected()).await?,
        };
        let answer = self.receive(&health, client.send_packed_command(cmd)).await?;
        reconnect_if_demoted(&health, &answer);
        Ok(answer)
    }

    /// Sends a pipeline, and returns one answer for each command, in their order.
    ///
    /// # Errors
    /// Why there are no answers.
    pub(super) async fn send_all(&self, cmds: &Pipeline) -> Result<Vec<RespValue>> {
        let Established { mut client, health } = match self.established() {
            Some(established) => established,
            None => Box::pin(self.wait_connected()).await?,
        };
        let sent = client.send_packed_commands(cmds, 0, cmds.len());
        let answers = self.receive(&health, sent).await?;
        if answers.len() != cmds.len() {
            return Err(Failure::Lost(self.with_address(errors::unexpected())));
        }
        answers.iter().for_each(|answer| reconnect_if_demoted(&health, answer));
        Ok(answers)
    }

    /// Waits for an answer, at most for the response timeout. The timer is not the client's, which
    /// panics if the caller's runtime has none.
    async fn receive<T>(
        &self,
        health: &Health,
        sent: impl Future<Output = RedisResult<T>>,
    ) -> Result<T> {
        let sent = pin!(sent);
        let timeout = self.connector.timeouts.response;
        let answer =
            with_drivers(|| tokio::time::timeout(timeout, sent)).map_err(Failure::NotSent)?;
        match answer.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(self.lost(health, errors::lost(&e))),
            Err(_) => Err(self.lost(health, errors::timed_out())),
        }
    }

    /// Turns an error of the server into a [`Failure`], with the address. `NOSCRIPT` remains an
    /// answer, as the caller resends the script.
    pub(super) fn check(&self, answer: RespValue) -> Result<RespValue> {
        match answer {
            RespValue::ServerError(e) if e.kind() != Some(ServerErrorKind::NoScript) => {
                Err(Failure::Refused(self.with_address(errors::refused(&e))))
            }
            answer => Ok(answer),
        }
    }

    #[cold]
    pub(super) fn with_address(&self, error: Error) -> Error {
        error.at(&self.connector.address())
    }

    pub(super) fn host(&self) -> String {
        self.connector.host().to_owned()
    }

    /// Connects if there is no connection.
    pub(super) async fn connect(&self) -> Result<()> {
        self.wait_connected().await.map(drop)
    }

    fn established(&self) -> Option<Established> {
        lock(&self.state).established().cloned()
    }

    /// Returns the connection, as soon as there is one.
    ///
    /// # Errors
    /// The error of the attempt; during the backoff, `Unavailable` at once.
    async fn wait_connected(&self) -> Result<Established> {
        // Twice: an attempt that another caller started may end with that caller's runtime.
        for _ in 0..2 {
            let mut attempt = {
                let mut state = lock(&self.state);
                if let Some(established) = state.established() {
                    return Ok(established.clone());
                }
                match state.attempt() {
                    Some(attempt) => attempt.clone(),
                    None => self.start_attempt(&mut state)?,
                }
            };
            if let Ok(result) = attempt.wait_for(Option::is_some).await
                && let Some(result) = &*result
            {
                return result.clone().map_err(Failure::NotSent);
            }
        }
        let error =
            Error::new(ErrorKind::Unavailable, "the tokio runtime that connected has shut down");
        Err(Failure::NotSent(self.with_address(error)))
    }

    /// Spawns an attempt. It continues if all callers are dropped, so a later caller finds its
    /// result, and never an attempt that nobody polls.
    fn start_attempt(&self, state: &mut State) -> Result<Attempt> {
        require_timer().map_err(Failure::NotSent)?;
        if let (Some(delay), Some(error)) = (state.backoff.remaining(), &state.last_error) {
            return Err(Failure::NotSent(self.with_address(backing_off(delay, error))));
        }
        let (sender, attempt) = watch::channel(None);
        let (connector, shared) = (Arc::clone(&self.connector), Arc::clone(&self.state));
        tokio::spawn(async move {
            let result = match AssertUnwindSafe(connector.connect()).catch_unwind().await {
                Ok(result) => {
                    lock(&shared).end_attempt(&result);
                    result
                }
                // The runtime has no I/O driver. No backoff: the server has not failed.
                Err(panic) => {
                    lock(&shared).status = Status::Disconnected;
                    Err(panicked(&*panic).at(&connector.address()))
                }
            };
            let _no_receiver = sender.send(Some(result));
        });
        state.status = Status::Connecting(attempt.clone());
        Ok(attempt)
    }

    /// After a failure the next caller reconnects. Calls in flight keep waiting on the old
    /// connection.
    #[cold]
    fn lost(&self, health: &Health, error: Error) -> Failure {
        health.set_lost();
        lock(&self.state).failing = true;
        Failure::Lost(self.with_address(error))
    }

    /// Whether a call is likely to be answered. If not, reconnects in the background; the caller
    /// should use another server.
    pub(super) fn is_usable(&self) -> bool {
        let mut state = lock(&self.state);
        if state.established().is_some() || !state.failing {
            return true;
        }
        if state.attempt().is_none() {
            let _in_the_background = self.start_attempt(&mut state);
        }
        false
    }
}

/// A primary that answers `READONLY` was demoted, and its host name may lead to the new primary:
/// the next caller reconnects. At most once per [`READONLY_COOLDOWN`], as the URL may name a
/// replica.
fn reconnect_if_demoted(health: &Health, answer: &RespValue) {
    if let RespValue::ServerError(e) = answer
        && errors::code(e) == "READONLY"
        && health.since.elapsed() > READONLY_COOLDOWN
    {
        health.set_lost();
    }
}

/// The error during the backoff. An error that a retry does not solve keeps its kind.
#[cold]
fn backing_off(delay: Duration, error: &Error) -> Error {
    let kind = if error.is_retryable() { ErrorKind::Unavailable } else { error.kind() };
    // Rounded up: a caller who waits that long finds the delay over.
    let ms = delay.as_millis() + 1;
    let message = format!("there is no connection; the next attempt is in {ms} ms");
    Error::new(kind, message).with_source(error.clone())
}

/// Tokio panics if the runtime has no I/O driver, and has no way to ask for it.
#[cold]
fn panicked(panic: &(dyn Any + Send)) -> Error {
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

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only the address: the connector has the password.
        f.debug_tuple("Connection").field(&self.connector.address()).finish()
    }
}

/// The next one, round robin, that is not reconnecting after a failure.
pub(super) fn next_usable<'c, C: Borrow<Connection>>(
    connections: &'c [C],
    turn: &AtomicUsize,
) -> Option<&'c C> {
    if connections.is_empty() {
        return None;
    }
    let (a, b) = connections.split_at(turn.fetch_add(1, Ordering::Relaxed) % connections.len());
    b.iter().chain(a).find(|connection| (*connection).borrow().is_usable())
}

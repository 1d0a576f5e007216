//! [`Client`]: the operations of one store. It picks the server, and resends a script that the
//! server does not have.

use super::cluster::Cluster;
use super::connection::{Connection, Failure};
use super::keys::{self, KeyScheme};
use super::pipeline_size::PIPELINE_BYTES;
use super::scripts::ScriptRef;
use super::{BACKEND, errors, long_range, replies};
use crate::backend::{Consistency, Context};
use crate::observe::RoundTripGuard;
use crate::op::{Read, Reply, Write};
use crate::{Error, ErrorKind, Outcome, Result};
use ::redis::{Cmd, Pipeline, ServerErrorKind, Value as RespValue};
use std::borrow::Borrow;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server refuses a command of more arguments as a violation of its protocol.
const MAX_ARGUMENTS: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Client {
    pub(super) servers: Servers,
    pub(super) key_scheme: KeyScheme,
}

#[derive(Debug)]
pub(super) enum Servers {
    One {
        primary: Connection,
        replicas: Vec<Connection>,
        /// Picks the next replica, round robin.
        turn: AtomicUsize,
    },
    Cluster(Cluster),
}

/// One command, the key that decides on its server, and whether it writes.
pub(super) struct Command<'k> {
    pub(super) key: &'k [u8],
    pub(super) cmd: Cmd,
    pub(super) writes: bool,
}

impl<'k> Command<'k> {
    pub(super) fn read(key: &'k [u8], cmd: Cmd) -> Self {
        Command { key, cmd, writes: false }
    }
    pub(super) fn write(key: &'k [u8], cmd: Cmd) -> Self {
        Command { key, cmd, writes: true }
    }
}

/// The call to which commands belong: its observer, its name, and which server may answer.
#[derive(Clone, Copy)]
pub(super) struct CommandContext<'c> {
    pub(super) cx: &'c Context,
    pub(super) name: &'static str,
    pub(super) target: Target,
}

impl<'c> CommandContext<'c> {
    /// Measures one round trip, until the guard is dropped.
    pub(super) fn round_trip(self) -> Option<RoundTripGuard<'c>> {
        RoundTripGuard::start(self.cx, BACKEND, self.name)
    }
    /// Reports to the observer that a command that was not run is about to be resent.
    pub(super) fn report_retry(self) {
        if let Some(observer) = &self.cx.observer {
            observer.on_retry(Some(BACKEND), ErrorKind::Unavailable);
        }
    }
}

/// Which server may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Primary,
    Replica,
}

impl Target {
    /// Where reads go.
    pub(super) fn of_reads(cx: &Context) -> Target {
        match cx.consistency {
            Consistency::Eventual => Target::Replica,
            _ => Target::Primary,
        }
    }
}

// Rare paths are boxed. That keeps the futures of single calls small, which are moved into a box.
impl Client {
    pub(super) async fn read(&self, cx: &Context, op: &Read) -> Result<Reply> {
        keys::check_read(op)?;
        let call = CommandContext { cx, name: op.name(), target: Target::of_reads(cx) };
        let encode = |script| {
            Command::read(op.key(), self.key_scheme.encode_read(op, script, PIPELINE_BYTES))
        };
        let command = encode(ScriptRef::Sha);
        let answer = self.send_script(call, command, || Some(encode(ScriptRef::Source))).await?;
        match op {
            Read::ZRange(op) if long_range::is_too_long(op, &answer) => {
                Box::pin(self.long_range(cx, op, call.target)).await
            }
            op => replies::read(op, answer).map_err(|e| self.with_server(op.key(), e)),
        }
    }

    pub(super) async fn write(&self, cx: &Context, op: &Write) -> Result<Reply> {
        keys::check_write(op)?;
        let encode =
            |script| Some(Command::write(op.key(), self.key_scheme.encode_write(op, script)?));
        let Some(command) = encode(ScriptRef::Sha) else { return Ok(Reply::Done) };
        check_size(&command.cmd)?;
        let call = CommandContext { cx, name: op.name(), target: Target::Primary };
        let answer = self.send_script(call, command, || encode(ScriptRef::Source)).await?;
        replies::write(op, answer).map_err(|e| self.with_server(op.key(), e))
    }

    pub(super) async fn transact(&self, cx: &Context, writes: &[Write]) -> Result<Outcome> {
        let Some(first) = writes.first() else { return Ok(Outcome::Committed) };
        writes.iter().try_for_each(keys::check_write)?;
        if self.key_scheme.cluster {
            check_one_slot(writes)?;
        }
        let encode =
            |script| Command::write(first.key(), self.key_scheme.encode_atomic(writes, script));
        let command = encode(ScriptRef::Sha);
        check_size(&command.cmd)?;
        let call = CommandContext { cx, name: "atomic_write", target: Target::Primary };
        let answer = self.send_script(call, command, || Some(encode(ScriptRef::Source))).await?;
        replies::outcome(answer).map_err(|e| self.with_server(first.key(), e))
    }

    /// Sends a command; if the server does not have its script, `with_source`.
    async fn send_script<'k>(
        &self,
        call: CommandContext<'_>,
        command: Command<'k>,
        with_source: impl FnOnce() -> Option<Command<'k>>,
    ) -> Result<RespValue> {
        let answer = self.send(call, &command).await;
        let answer = answer.map_err(|failure| failure.into_error(command.writes))?;
        if !is_no_script(&answer) {
            return Ok(answer);
        }
        let Some(command) = with_source() else { return Ok(answer) };
        call.report_retry();
        let answer = Box::pin(self.send(call, &command)).await;
        answer.map_err(|failure| failure.into_error(command.writes))
    }

    /// Sends one command. An error of the server is a [`Failure`], except `NOSCRIPT`.
    pub(super) async fn send(
        &self,
        call: CommandContext<'_>,
        command: &Command<'_>,
    ) -> Result<RespValue, Failure> {
        let primary = match &self.servers {
            Servers::One { primary, .. } => primary,
            Servers::Cluster(cluster) => return Box::pin(cluster.send(call, command)).await,
        };
        if call.target == Target::Replica
            && let Some(replica) = self.next_replica()
        {
            let _round_trip = call.round_trip();
            if let Ok(answer) = Box::pin(replica.send(&command.cmd)).await
                && !cannot_serve(&answer)
            {
                return replica.check(answer);
            }
            call.report_retry();
        }
        let _round_trip = call.round_trip();
        primary.check(primary.send(&command.cmd).await?)
    }

    /// Sends the commands of a batch, and returns one answer for each.
    pub(super) async fn send_all(
        &self,
        cx: &Context,
        target: Target,
        commands: Vec<Command<'_>>,
    ) -> Vec<Result<RespValue, Failure>> {
        let call = CommandContext { cx, name: "batch", target };
        let primary = match &self.servers {
            Servers::One { primary, .. } => primary,
            Servers::Cluster(cluster) => return cluster.send_all(call, commands).await,
        };
        let count = commands.len();
        let mut pipeline = Pipeline::with_capacity(count);
        for command in commands {
            pipeline.add_command(command.cmd);
        }
        if target == Target::Replica
            && let Some(replica) = self.next_replica()
        {
            let _round_trip = call.round_trip();
            if let Ok(answers) = replica.send_all(&pipeline).await
                && !answers.iter().any(cannot_serve)
            {
                return answers.into_iter().map(|answer| replica.check(answer)).collect();
            }
            call.report_retry();
        }
        let _round_trip = call.round_trip();
        match primary.send_all(&pipeline).await {
            Ok(answers) => answers.into_iter().map(|answer| primary.check(answer)).collect(),
            Err(failure) => (0..count).map(|_| Err(failure.clone())).collect(),
        }
    }

    fn next_replica(&self) -> Option<&Connection> {
        match &self.servers {
            Servers::One { replicas, turn, .. } => next_usable(replicas, turn),
            Servers::Cluster(_) => None,
        }
    }

    /// Adds the server's address to an error that is about the server: an answer that cannot be
    /// decoded, or a denial that a script reports.
    #[cold]
    fn with_server(&self, key: &[u8], error: Error) -> Error {
        match (error.kind(), &self.servers) {
            (ErrorKind::Other | ErrorKind::AccessDenied, Servers::One { primary, .. }) => {
                primary.with_address(error)
            }
            (ErrorKind::Other | ErrorKind::AccessDenied, Servers::Cluster(cluster)) => {
                cluster.with_address(keys::slot(key), error)
            }
            _ => error,
        }
    }
}

fn is_no_script(answer: &RespValue) -> bool {
    matches!(answer, RespValue::ServerError(e) if e.kind() == Some(ServerErrorKind::NoScript))
}

/// Whether a replica cannot answer reads at the moment.
fn cannot_serve(answer: &RespValue) -> bool {
    let RespValue::ServerError(e) = answer else { return false };
    matches!(errors::code(e), "MASTERDOWN" | "LOADING" | "BUSY")
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

/// # Errors
/// `TooLarge` if the server would refuse the command for its length.
pub(super) fn check_size(cmd: &Cmd) -> Result<()> {
    let count = cmd.args_iter().len();
    if count > MAX_ARGUMENTS {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("{count} arguments; a Redis command has at most {MAX_ARGUMENTS}"),
        ));
    }
    Ok(())
}

/// # Errors
/// `InvalidArgument` if an atomic write is to keys in several slots of the cluster.
fn check_one_slot(writes: &[Write]) -> Result<()> {
    let Some(first) = writes.first() else { return Ok(()) };
    let slot = keys::slot(first.key());
    match writes.iter().position(|write| keys::slot(write.key()) != slot) {
        Some(other) => Err(cross_slot(other)),
        None => Ok(()),
    }
}

#[cold]
fn cross_slot(other: usize) -> Error {
    Error::invalid(format!(
        "writes 0 and {other} are to keys in different slots of the cluster; all keys of an atomic \
         write must be in one slot: give them a common hash tag, such as `{{7}}` in `user:{{7}}` \
         and `mail:{{7}}`"
    ))
}

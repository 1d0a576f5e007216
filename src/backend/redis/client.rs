//! [`Client`]: the writes of one store, and how any command is sent: it picks the server, and
//! resends a script that the server does not have. Reads are in `read.rs`, batches in `batch.rs`.

use super::cluster::Cluster;
use super::command::{Command, CommandContext, Target};
use super::connection::{Connection, Failure, next_usable};
use super::keys::{self, KeyScheme};
use super::scripts::ScriptRef;
use super::{errors, replies};
use crate::backend::Context;
use crate::op::{Reply, Write};
use crate::{Error, ErrorKind, Outcome, Result};
use ::redis::{Cmd, Pipeline, ServerErrorKind, Value as RespValue};
use std::sync::atomic::AtomicUsize;

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

// Rare paths are boxed. That keeps the futures of single calls small, which are moved into a box.
impl Client {
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
    pub(super) async fn send_script<'k>(
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
    pub(super) fn with_server(&self, key: &[u8], error: Error) -> Error {
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

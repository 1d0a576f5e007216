//! One command, and the call to which it belongs.

use super::BACKEND;
use crate::ErrorKind;
use crate::backend::{Consistency, Context};
use crate::observe::RoundTripGuard;
use ::redis::Cmd;

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

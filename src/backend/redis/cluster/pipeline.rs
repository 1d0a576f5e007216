//! Batches in a cluster. Each round groups the pending commands by server, sends all pipelines at
//! once, and sorts the results: answers, and commands that have to go to another server.

use super::slot_map::SlotMap;
use super::{Cluster, Redirect, Redirections};
use crate::backend::redis::command::{Command, CommandContext, Target};
use crate::backend::redis::connection::{Connection, Failure};
use crate::backend::redis::errors::unexpected;
use crate::backend::redis::keys::slot;
use ::redis::{Cmd, Pipeline, Value as RespValue};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::Arc;

/// The state of a batch. Commands are identified by their index in it.
struct Batch<'k> {
    keys: Vec<&'k [u8]>,
    /// Whether each command writes.
    writes: Vec<bool>,
    answers: Vec<Option<Result<RespValue, Failure>>>,
    /// The commands without an answer, in order.
    pending: Vec<Pending>,
    target: Target,
    redirections: Redirections,
    /// Whether unreachable servers have been replaced once.
    relocated: bool,
}

struct Pending {
    index: usize,
    cmd: Cmd,
    redirect: Option<Redirect>,
}

/// The commands for one server.
struct NodePipeline {
    connection: Arc<Connection>,
    pipeline: Pipeline,
    /// The index of each command, and its position in the pipeline.
    positions: Vec<(usize, usize)>,
}

impl NodePipeline {
    /// The index, the position and the command of each, to resend it.
    fn commands(&self) -> impl Iterator<Item = (usize, usize, &Cmd)> {
        let cmds: Vec<&Cmd> = self.pipeline.cmd_iter().collect();
        self.positions.iter().map(move |(index, at)| (*index, *at, cmds[*at]))
    }
}

impl<'k> Batch<'k> {
    fn new(commands: Vec<Command<'k>>, target: Target, redirections: Redirections) -> Self {
        let pending = |(index, command): (usize, Command<'_>)| Pending {
            index,
            cmd: command.cmd,
            redirect: None,
        };
        Batch {
            keys: commands.iter().map(|command| command.key).collect(),
            writes: commands.iter().map(|command| command.writes).collect(),
            answers: commands.iter().map(|_| None).collect(),
            pending: commands.into_iter().enumerate().map(pending).collect(),
            target,
            redirections,
            relocated: false,
        }
    }

    fn resend(&mut self, node: &NodePipeline) {
        self.pending.extend(node.commands().map(|(index, _, cmd)| Pending {
            index,
            cmd: cmd.clone(),
            redirect: None,
        }));
    }

    fn fail(&mut self, node: &NodePipeline, failure: &Failure) {
        for (index, _) in &node.positions {
            self.answers[*index] = Some(Err(failure.clone()));
        }
    }
}

impl Cluster {
    /// Sends the commands of a batch to all their servers at once, and returns one answer for each.
    /// Commands with the same key keep their order.
    pub(in crate::backend::redis) async fn send_all(
        &self,
        call: CommandContext<'_>,
        commands: Vec<Command<'_>>,
    ) -> Vec<Result<RespValue, Failure>> {
        let redirections = Redirections::new(self.topology.timeouts.response);
        let mut batch = Batch::new(commands, call.target, redirections);
        let mut is_retry = false;
        while !batch.pending.is_empty() {
            let nodes = self.group_by_node(&mut batch).await;
            if is_retry {
                call.report_retry();
            }
            is_retry = true;
            let sent = nodes.iter().map(async |node| {
                let _round_trip = call.round_trip();
                node.connection.send_all(&node.pipeline).await
            });
            let results = join_all(sent).await;
            self.sort_results(&mut batch, nodes, results).await;
        }
        let lost = || Err(Failure::Lost(unexpected()));
        batch.answers.into_iter().map(|answer| answer.unwrap_or_else(lost)).collect()
    }

    /// One pipeline for each server.
    async fn group_by_node(&self, batch: &mut Batch<'_>) -> Vec<NodePipeline> {
        let mut nodes: Vec<NodePipeline> = Vec::new();
        for Pending { index, cmd, redirect } in std::mem::take(&mut batch.pending) {
            let (connection, asking) = match redirect {
                Some(Redirect::To { connection, asking }) => (connection, asking),
                _ => match self.route(slot(batch.keys[index]), batch.target).await {
                    Ok(hop) => (hop.connection, hop.asking),
                    Err(failure) => {
                        batch.answers[index] = Some(Err(failure));
                        continue;
                    }
                },
            };
            let at = nodes.iter().position(|node| Arc::ptr_eq(&node.connection, &connection));
            let at = at.unwrap_or_else(|| {
                let (pipeline, positions) = (Pipeline::new(), Vec::new());
                nodes.push(NodePipeline { connection, pipeline, positions });
                nodes.len() - 1
            });
            let node = &mut nodes[at];
            if asking {
                node.pipeline.cmd("ASKING");
            }
            node.positions.push((index, node.pipeline.len()));
            node.pipeline.add_command(cmd);
        }
        nodes
    }

    /// Sorts the results of a round into answers and pending commands.
    async fn sort_results(
        &self,
        batch: &mut Batch<'_>,
        nodes: Vec<NodePipeline>,
        results: Vec<Result<Vec<RespValue>, Failure>>,
    ) {
        let (mut wait, mut fall_back, mut unreachable) = (false, false, Vec::new());
        for (node, result) in nodes.into_iter().zip(results) {
            let failure = match result {
                Ok(answers) => {
                    wait |= self.sort_answers(batch, &node, answers);
                    continue;
                }
                Err(failure) => failure,
            };
            self.topology.mark_stale();
            if batch.target == Target::Replica {
                fall_back = true;
                batch.resend(&node);
            } else if matches!(failure, Failure::NotSent(_)) && !batch.relocated {
                unreachable.push((node, failure));
            } else {
                batch.fail(&node, &failure);
            }
        }
        self.relocate_all(batch, unreachable).await;
        batch.pending.sort_unstable_by_key(|pending| pending.index);
        if wait || fall_back {
            batch.target = Target::Primary;
        }
        if batch.pending.is_empty() {
            return;
        }
        if wait {
            batch.redirections.wait().await;
        } else {
            batch.redirections.count += 1;
        }
    }

    /// Sorts the answers of one server. Returns whether a command has to wait.
    fn sort_answers(
        &self,
        batch: &mut Batch<'_>,
        node: &NodePipeline,
        mut answers: Vec<RespValue>,
    ) -> bool {
        // If a command is redirected, the later commands with the same key follow it, unless they
        // were run. As the slot may have moved in between, all of them go where the last one was
        // redirected to. A later read that was run is repeated: it did not see the write.
        let mut redirected: HashMap<&[u8], Redirect> = HashMap::new();
        let mut resend = Vec::new();
        for (index, at, cmd) in node.commands() {
            let answer = std::mem::take(&mut answers[at]);
            let key = batch.keys[index];
            let redirect = self.redirect(&answer, &node.connection);
            let is_early_read = redirected.contains_key(key) && !batch.writes[index];
            let is_final = redirect.is_none() && !is_early_read;
            if is_final || batch.redirections.are_exhausted() {
                batch.answers[index] = Some(node.connection.check(answer));
                continue;
            }
            if let Some(redirect) = redirect {
                redirected.insert(key, redirect);
            }
            resend.push((index, cmd.clone()));
        }
        for (index, cmd) in resend {
            let redirect = redirected.get(batch.keys[index]).cloned();
            batch.pending.push(Pending { index, cmd, redirect });
        }
        redirected.values().any(|redirect| matches!(redirect, Redirect::Later))
    }

    /// Sends the commands that unreachable servers have not received to their successors, once.
    async fn relocate_all(&self, batch: &mut Batch<'_>, unreachable: Vec<(NodePipeline, Failure)>) {
        if unreachable.is_empty() {
            return;
        }
        batch.relocated = true;
        let map = Box::pin(self.topology.refreshed()).await.ok();
        for (node, failure) in unreachable {
            self.relocate(batch, &node, &failure, map.as_deref());
        }
    }

    fn relocate(
        &self,
        batch: &mut Batch<'_>,
        node: &NodePipeline,
        failure: &Failure,
        map: Option<&SlotMap>,
    ) {
        for (index, _, cmd) in node.commands() {
            let slot = slot(batch.keys[index]);
            match map.and_then(|map| self.successor(map, slot, &node.connection)) {
                Some(connection) => {
                    let redirect = Some(Redirect::To { connection, asking: false });
                    batch.pending.push(Pending { index, cmd: cmd.clone(), redirect });
                }
                None => batch.answers[index] = Some(Err(failure.clone())),
            }
        }
    }
}

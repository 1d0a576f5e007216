//! Pipelines across a cluster: route every command to its server, send all pipelines at once,
//! settle the answers, and begin again with the commands that have to go elsewhere.

use super::cluster::{Cluster, Redirect, Redirections};
use super::keys::slot;
use super::link::{Failure, Link};
use super::slots::Map;
use super::{Access, Trip, errors, scripts};
use crate::backend::Context;
use ::redis::{Cmd, Pipeline, Value as Answer};
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::Arc;

/// The commands of a batch, and how far they have come.
struct Spread<'k> {
    keys: Vec<&'k [u8]>,
    answers: Vec<Option<Result<Answer, Failure>>>,
    /// What has no answer yet, in order.
    pending: Vec<Pending>,
    access: Access,
    redirections: Redirections,
    /// Whether servers that could not be reached have been looked for elsewhere.
    relocated: bool,
}

/// One command, by its place, and where it has been redirected to.
struct Pending {
    place: usize,
    cmd: Cmd,
    redirect: Option<Redirect>,
}

/// What goes to one server.
struct Group {
    link: Arc<Link>,
    pipeline: Pipeline,
    /// Which of the commands, and where in the pipeline.
    places: Vec<(usize, usize)>,
}

impl Group {
    fn commands(&self) -> Vec<&Cmd> {
        self.pipeline.cmd_iter().collect()
    }
}

impl Cluster {
    /// Sends many commands, each about one key, to all servers at once. Those about one key keep
    /// their order.
    pub(super) async fn call_all(
        &self,
        cx: &Context,
        access: Access,
        cmds: Vec<(&[u8], Cmd)>,
    ) -> Vec<Result<Answer, Failure>> {
        let keys: Vec<&[u8]> = cmds.iter().map(|(key, _)| *key).collect();
        let pending = cmds.into_iter().enumerate();
        let mut spread = Spread {
            answers: keys.iter().map(|_| None).collect(),
            pending: pending
                .map(|(place, (_, cmd))| Pending { place, cmd, redirect: None })
                .collect(),
            keys,
            access,
            redirections: Redirections::new(self.topology.timeouts.answer),
            relocated: false,
        };
        let mut sent = false;
        while !spread.pending.is_empty() {
            let groups = self.group(&mut spread).await;
            let trip = Trip { cx, name: "batch", key: &[], access: spread.access };
            if sent {
                trip.again();
            }
            sent = true;
            let calls = groups.iter().map(async |group| {
                let _heard = trip.start();
                group.link.call_all(&group.pipeline).await
            });
            let results = join_all(calls).await;
            self.settle(&mut spread, groups, results).await;
        }
        let lost = || Err(Failure::Lost(errors::unexpected()));
        spread.answers.into_iter().map(|answer| answer.unwrap_or_else(lost)).collect()
    }

    /// One pipeline for each server.
    async fn group(&self, spread: &mut Spread<'_>) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for Pending { place, cmd, redirect } in std::mem::take(&mut spread.pending) {
            let (link, asking) = match redirect {
                Some(Redirect::To { link, asking }) => (link, asking),
                _ => match self.route(slot(spread.keys[place]), spread.access).await {
                    Ok(link) => (link, false),
                    Err(failure) => {
                        spread.answers[place] = Some(Err(failure));
                        continue;
                    }
                },
            };
            let at = groups.iter().position(|group| Arc::ptr_eq(&group.link, &link));
            let at = at.unwrap_or_else(|| {
                groups.push(Group { link, pipeline: Pipeline::new(), places: Vec::new() });
                groups.len() - 1
            });
            let group = &mut groups[at];
            if asking {
                group.pipeline.cmd("ASKING");
            }
            group.places.push((place, group.pipeline.len()));
            group.pipeline.add_command(cmd);
        }
        groups
    }

    /// Sorts what came back into answers and what is still pending.
    async fn settle(
        &self,
        spread: &mut Spread<'_>,
        groups: Vec<Group>,
        results: Vec<Result<Vec<Answer>, Failure>>,
    ) {
        let (mut wait, mut fall_back, mut unreached) = (false, false, Vec::new());
        for (group, result) in groups.into_iter().zip(results) {
            match result {
                Ok(answers) => wait |= self.settle_answers(spread, &group, answers),
                Err(failure) => {
                    self.topology.distrust();
                    if spread.access == Access::Replica {
                        fall_back = true;
                        send_again(spread, &group);
                    } else if matches!(failure, Failure::NotSent(_)) && !spread.relocated {
                        unreached.push((group, failure));
                    } else {
                        fail(spread, &group, &failure);
                    }
                }
            }
        }
        if !unreached.is_empty() {
            spread.relocated = true;
            let map = Box::pin(self.topology.refreshed()).await.ok();
            for (group, failure) in unreached {
                self.relocate(spread, &group, &failure, map.as_deref());
            }
        }
        spread.pending.sort_unstable_by_key(|pending| pending.place);
        if wait || fall_back {
            spread.access = Access::Primary;
        }
        if spread.pending.is_empty() {
            return;
        }
        if wait {
            spread.redirections.wait().await;
        } else {
            spread.redirections.tries += 1;
        }
    }

    /// What one server answered. Whether something has to wait.
    fn settle_answers(
        &self,
        spread: &mut Spread<'_>,
        group: &Group,
        mut answers: Vec<Answer>,
    ) -> bool {
        // A command behind one that is redirected, about the same key, follows it if it was not
        // carried out either; and as slots may have moved in between, all go where the last was
        // redirected to. A read that was carried out is repeated: it may have come too early.
        let mut elsewhere: HashMap<&[u8], Redirect> = HashMap::new();
        let mut again = Vec::new();
        let sent = group.commands();
        for (place, at) in &group.places {
            let answer = std::mem::take(&mut answers[*at]);
            let key = spread.keys[*place];
            let redirect = self.redirect(&answer, &group.link);
            let early = elsewhere.contains_key(key) && is_read(sent[*at]);
            if (redirect.is_none() && !early) || spread.redirections.are_over() {
                spread.answers[*place] = Some(group.link.judge(answer));
                continue;
            }
            if let Some(redirect) = redirect {
                elsewhere.insert(key, redirect);
            }
            again.push((*place, sent[*at].clone()));
        }
        let again = again.into_iter().map(|(place, cmd)| {
            let redirect = elsewhere.get(spread.keys[place]).cloned();
            Pending { place, cmd, redirect }
        });
        spread.pending.extend(again);
        elsewhere.values().any(|redirect| matches!(redirect, Redirect::Later))
    }

    /// Sends to the servers that have taken over what one that cannot be reached has not seen.
    fn relocate(
        &self,
        spread: &mut Spread<'_>,
        group: &Group,
        failure: &Failure,
        map: Option<&Map>,
    ) {
        let sent = group.commands();
        for (place, at) in &group.places {
            let slot = slot(spread.keys[*place]);
            match map.and_then(|map| self.successor(map, slot, &group.link)) {
                Some(link) => spread.pending.push(Pending {
                    place: *place,
                    cmd: sent[*at].clone(),
                    redirect: Some(Redirect::To { link, asking: false }),
                }),
                None => spread.answers[*place] = Some(Err(failure.clone())),
            }
        }
    }
}

fn send_again(spread: &mut Spread<'_>, group: &Group) {
    let sent = group.commands();
    let again = group.places.iter();
    spread.pending.extend(again.map(|(place, at)| Pending {
        place: *place,
        cmd: sent[*at].clone(),
        redirect: None,
    }));
}

fn fail(spread: &mut Spread<'_>, group: &Group, failure: &Failure) {
    for (place, _) in &group.places {
        spread.answers[*place] = Some(Err(failure.clone()));
    }
}

fn is_read(cmd: &Cmd) -> bool {
    let mut args = cmd.args_iter();
    let Some(::redis::Arg::Simple(name)) = args.next() else { return false };
    if let (b"EVAL" | b"EVALSHA", Some(::redis::Arg::Simple(script))) = (name, args.next()) {
        return scripts::is_read(script);
    }
    matches!(
        name,
        b"GET"
            | b"MGET"
            | b"SMEMBERS"
            | b"HGET"
            | b"HMGET"
            | b"HGETALL"
            | b"ZSCORE"
            | b"ZMSCORE"
            | b"ZCOUNT"
            | b"ZLEXCOUNT"
            | b"ZRANGE"
    )
}

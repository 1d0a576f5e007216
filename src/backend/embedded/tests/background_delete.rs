//! Background deletion: hidden rows are invisible, stay deleted, and are removed from the file in
//! the end.

use super::super::tx::DeleteLimits;
use super::faulty_disk::FaultyDisk;
use super::{Embedded, engine, open, open_with, pending};
use crate::backend::EmbeddedOptions;
use crate::{Result, Store};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const MANY: u64 = 20_000;

async fn fill(store: &Store<Embedded>, key: &str, members: std::ops::Range<u64>) -> Result<()> {
    store.sadd(key, members).await
}

/// Waits until no row is hidden.
async fn removed(store: &Store<Embedded>) {
    let start = Instant::now();
    while engine(store).snapshot().has_hidden() {
        assert!(start.elapsed() < Duration::from_secs(60), "what is hidden is not removed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Hides every deleted row, and removes one row per commit.
fn slowly() -> EmbeddedOptions {
    EmbeddedOptions {
        delete_limits: DeleteLimits { rows_per_commit: 1, min_rows: 0 },
        ..EmbeddedOptions::default()
    }
}

#[tokio::test]
async fn a_large_delete_is_one_small_commit_and_the_rest_goes_behind_it() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    fill(&store, "set", 0..MANY).await.unwrap();
    let held = disk.hold();
    let delete = pending(store.delete("set"));
    held.wait();
    let written = disk.unsynced();
    assert!(written < 400_000, "{written} bytes in the commit that deletes");
    let before = disk.syncs();
    drop(held);
    assert!(delete.await.unwrap());
    assert!(store.smembers("set").await.unwrap().is_empty());
    assert!(!store.delete("set").await.unwrap());
    assert!(store.set_nx("set", "now a string").await.unwrap());
    removed(&store).await;
    assert_eq!(engine(&store).snapshot().rows(), 1);
    let commits = disk.syncs() - before;
    assert!((15..=25).contains(&commits), "{commits} commits for {MANY} rows");
}

#[tokio::test]
async fn a_neighbour_is_answered_in_the_middle_of_a_large_delete() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    fill(&store, "set", 0..MANY).await.unwrap();
    let before = disk.syncs();
    assert!(store.delete("set").await.unwrap());
    for n in 0..5u64 {
        let start = Instant::now();
        store.set("neighbour", n).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
    assert!(engine(&store).snapshot().has_hidden(), "it is not removed at once");
    assert!(disk.syncs() - before < 20, "they do not wait for its end");
    removed(&store).await;
}

/// A string or an atomic write that replaces a large set or hash used to block others as well.
#[tokio::test]
async fn whatever_replaces_or_removes_very_many_rows_hides_them() {
    for how in 0..4 {
        let disk = FaultyDisk::default();
        let store = open(&disk).await.unwrap();
        store.hset("k", (0..MANY).map(|n| (n, n))).await.unwrap();
        let mut tx = store.atomic_write();
        match how {
            0 => store.set("k", "text").await.unwrap(),
            1 => assert!(store.set_xx("k", "text").await.unwrap()),
            2 => {
                tx.set("k", "text");
                tx.set("other", "x");
                assert!(tx.exec().await.unwrap().is_committed());
            }
            _ => {
                tx.delete("k");
                tx.set("other", "x");
                assert!(tx.exec().await.unwrap().is_committed());
            }
        }
        assert!(engine(&store).snapshot().has_hidden(), "{how}");
        let there = store.get("k").await.unwrap();
        assert_eq!(there, (how < 3).then(|| "text".into()), "{how}");
        removed(&store).await;
        assert_eq!(store.get("k").await.unwrap(), there, "{how}");
        assert!(engine(&store).snapshot().rows() <= 2, "{how}");
    }
}

/// Many small deletes in one transaction share its limit.
#[tokio::test]
async fn a_batch_of_deletes_removes_no_more_at_once_than_one_of_them() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    for n in 0..40 {
        fill(&store, &format!("set{n}"), 0..500).await.unwrap();
    }
    let mut batch = store.batch();
    let deletes: Vec<_> = (0..40).map(|n| batch.delete(format!("set{n}"))).collect();
    let mut replies = batch.exec_each().await;
    for delete in deletes {
        assert!(replies.take(delete).unwrap());
    }
    let left = engine(&store).snapshot().rows();
    assert!(left >= 17_000, "{left} rows are left of 20,000: the others were removed at once");
    removed(&store).await;
    assert_eq!(engine(&store).snapshot().rows(), 0);
}

/// A key can be reused at once, and its old content does not come back.
#[tokio::test]
async fn a_key_whose_rows_are_hidden_is_used_like_any_other() {
    let disk = FaultyDisk::default();
    let store = open_with(&disk, slowly()).await.unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut expected = BTreeSet::new();
    for round in 0..300 {
        let members = |random: &mut fastrand::Rng| -> Vec<u64> {
            (0..random.usize(1..20)).map(|_| random.u64(0..60)).collect()
        };
        match random.u8(..6) {
            0 => {
                assert_eq!(store.delete("k").await.unwrap(), !expected.is_empty(), "{round}");
                expected.clear();
            }
            1 | 2 => {
                let members = members(&mut random);
                store.srem("k", &members).await.unwrap();
                expected.retain(|there| !members.iter().any(|m| m.to_string() == *there));
            }
            _ => {
                let members = members(&mut random);
                store.sadd("k", &members).await.unwrap();
                expected.extend(members.iter().map(u64::to_string));
            }
        }
        let found = store.smembers("k").await.unwrap();
        let found: BTreeSet<_> =
            found.iter().map(|m| String::from_utf8_lossy(m.as_ref()).into_owned()).collect();
        assert_eq!(found, expected, "in round {round}");
    }
    removed(&store).await;
    assert_eq!(store.smembers("k").await.unwrap().len(), expected.len());
    assert_eq!(engine(&store).snapshot().rows(), expected.len() as u64);
}

#[tokio::test]
async fn every_range_and_count_leaves_out_what_is_hidden() {
    let disk = FaultyDisk::default();
    let store = open_with(&disk, slowly()).await.unwrap();
    for n in 0..200u64 {
        store.zhadd("z", format!("{n:03}"), n, n as f64).await.unwrap();
    }
    assert!(store.delete("z").await.unwrap());
    // A few members, some of them at the position of old ones.
    let there: Vec<u64> = (0..200).filter(|n| n % 7 == 3 || *n > 195).collect();
    for n in &there {
        store.zhadd("z", format!("{n:03}"), n + 1, *n as f64).await.unwrap();
    }
    assert!(engine(&store).snapshot().has_hidden());
    let values = |from: &[u64]| -> Vec<crate::Value> {
        from.iter().map(|n| (n + 1).to_string().into()).collect()
    };
    let reversed: Vec<u64> = there.iter().rev().copied().collect();
    assert_eq!(store.zhrange("z").await.unwrap(), values(&there));
    assert_eq!(store.zhrange("z").rev().await.unwrap(), values(&reversed));
    assert_eq!(store.zhrange("z").rev().limit(9).await.unwrap(), values(&reversed[..9]));
    assert_eq!(store.zhrange("z").limit(5).await.unwrap(), values(&there[..5]));
    assert_eq!(store.zhrange("z").by_lex(..).rev().await.unwrap(), values(&reversed));
    assert_eq!(store.zcount("z", ..).await.unwrap(), there.len() as u64);
    assert_eq!(store.zcount("z", 4.0..=10.0).await.unwrap(), 1);
    assert_eq!(store.zlexcount("z", "004".."011").await.unwrap(), 1);
    for n in 0..200u64 {
        let score = there.contains(&n).then_some(n as f64);
        assert_eq!(store.zscore("z", format!("{n:03}")).await.unwrap(), score, "{n}");
    }
    removed(&store).await;
    assert_eq!(store.zhrange("z").await.unwrap(), values(&there));
    assert_eq!(engine(&store).snapshot().rows(), 3 * there.len() as u64);
}

#[tokio::test]
async fn what_is_hidden_stays_so_when_the_file_is_opened_again_and_is_removed_then() {
    let disk = FaultyDisk::default();
    let store = open_with(&disk, slowly()).await.unwrap();
    fill(&store, "set", 0..5_000).await.unwrap();
    store.delete("set").await.unwrap();
    fill(&store, "set", 4_000..4_002).await.unwrap();
    store.backend().close().await.unwrap();
    let store = open_with(&disk, slowly()).await.unwrap();
    assert!(engine(&store).snapshot().has_hidden(), "closing does not wait for it");
    assert_eq!(store.smembers("set").await.unwrap().len(), 2);
    store.backend().close().await.unwrap();
    let store = open(&disk).await.unwrap();
    removed(&store).await;
    assert_eq!(engine(&store).snapshot().rows(), 2);
    assert_eq!(engine(&store).stats().unexpected_reads(), 0);
}

#[tokio::test]
async fn a_power_cut_leaves_a_large_set_whole_or_gone() {
    let mut seen = [0; 2];
    for at in (1..30u64).chain((30..200).step_by(7)) {
        let disk = FaultyDisk::default();
        let store = open(&disk).await.unwrap();
        fill(&store, "set", 0..3_000).await.unwrap();
        store.set("before", "v").await.unwrap();
        disk.cut_power_at(at, at);
        let deleted = store.delete("set").await.is_ok();
        for n in 0..20u64 {
            if store.set("after", n).await.is_err() {
                break;
            }
        }
        let Some(image) = disk.after_the_cut() else { continue };
        let store = open(&FaultyDisk::holding(image)).await.unwrap();
        let left = store.smembers("set").await.unwrap().len();
        assert!(left == 0 || (left == 3_000 && !deleted), "{left} at {at}, deleted: {deleted}");
        assert!(store.get("before").await.unwrap().is_some());
        seen[usize::from(left == 0)] += 1;
        removed(&store).await;
        assert!(engine(&store).snapshot().rows() <= left as u64 + 2, "at {at}");
    }
    assert!(seen[0] > 2 && seen[1] > 10, "{seen:?}");
}

/// An I/O error during background deletion: no wrong replies, and the deletion continues.
#[tokio::test]
async fn removing_goes_on_when_the_disk_has_recovered() {
    use super::faulty_disk::{Call, Fault};
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    fill(&store, "set", 0..MANY).await.unwrap();
    store.delete("set").await.unwrap();
    disk.fail(&[Call::Write, Call::Sync], Fault::Error(std::io::ErrorKind::StorageFull));
    while store.set("k", "v").await.is_ok() {}
    disk.heal();
    assert!(store.smembers("set").await.unwrap().is_empty());
    removed(&store).await;
    assert_eq!(store.zcount("other", ..).await.unwrap(), 0);
    assert!(engine(&store).snapshot().rows() <= 1);
}

/// Sets are deleted and rewritten as fast as possible. The background deletion must keep up.
#[tokio::test]
async fn a_file_in_which_sets_come_and_go_does_not_grow_for_ever() {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    let mut most = [0; 2];
    for round in 0..30 {
        for n in 0..4 {
            fill(&store, &format!("set{n}"), 0..1_500).await.unwrap();
        }
        for n in 0..4 {
            assert!(store.delete(format!("set{n}")).await.unwrap());
        }
        let most = &mut most[usize::from(round >= 15)];
        *most = engine(&store).snapshot().rows().max(*most);
    }
    assert!(most[1] <= most[0] + 1_500, "{most:?}");
}

#[cfg(feature = "conformance")]
#[tokio::test]
async fn random_programs_agree_with_memory_where_everything_is_hidden() {
    use crate::conformance::Subject;
    use crate::conformance::differential::{Plan, check};
    let subject = async || Subject::new(slowly().in_memory().await.unwrap()).sees_types();
    check(subject, Plan::new(400)).await;
}

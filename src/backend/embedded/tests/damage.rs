//! Damaged files: opening and reading returns `Corrupt` or the data that was written. No wrong
//! data, no panic.

use super::super::Embedded;
use super::super::tx::{META, ROWS};
use super::faulty_disk::FaultyDisk;
use super::{filler, open, open_with};
use crate::backend::EmbeddedOptions;
use crate::{ErrorKind, Result, Store};
use redb::{Database, ReadableTable, TableDefinition};
use std::path::Path;

const STRINGS: u64 = 60;

async fn fill(store: &Store<Embedded>) -> Result<()> {
    for n in 0..STRINGS {
        store.set(format!("s{n}"), filler(n, (n * n * 5) as usize)).await?;
        store.zhadd("z", format!("f{n}"), filler(n, 50), n as f64).await?;
        store.hset("h", [(format!("f{n}"), n)]).await?;
        store.sadd("set", [n]).await?;
    }
    // Leaves free pages, and reuses some of them.
    for n in (0..STRINGS).step_by(5) {
        store.delete(format!("s{n}")).await?;
    }
    store.incr_by("c", 7).await.map(drop)
}

/// All data that `fill` has written, as text.
async fn read_all(store: &Store<Embedded>) -> Result<String> {
    let mut text = String::new();
    for n in 0..STRINGS {
        text += &format!("{:?};", store.get(format!("s{n}")).await?.map(|v| v.to_vec()));
        text += &format!("{:?};", store.zhget("z", format!("f{n}")).await?.map(|v| v.to_vec()));
    }
    text += &format!("{:?};", store.zrange("z").by_score(..).with_scores().await?.len());
    for (field, value) in store.hgetall("h").await? {
        text += &format!("{:?}={:?};", field.to_vec(), value.to_vec());
    }
    let mut members: Vec<_> = store.smembers("set").await?.iter().map(|m| m.to_vec()).collect();
    members.sort();
    text += &format!("{members:?};{:?}", store.get("c").await?.map(|v| v.to_vec()));
    Ok(text)
}

/// A file that was closed cleanly, and its data.
async fn good() -> (Vec<u8>, String) {
    let disk = FaultyDisk::default();
    let store = open(&disk).await.unwrap();
    fill(&store).await.unwrap();
    let text = read_all(&store).await.unwrap();
    store.backend().close().await.unwrap();
    (disk.image(), text)
}

/// The result of opening and reading `image`.
async fn look(image: Vec<u8>, options: EmbeddedOptions) -> Result<String> {
    let store = open_with(&FaultyDisk::holding(image), options).await?;
    read_all(&store).await
}

#[tokio::test]
async fn a_flipped_byte_is_found_or_does_no_harm() {
    let (image, text) = good().await;
    let mut random = fastrand::Rng::with_seed(1);
    // Random positions, and each byte of the header.
    let anywhere = std::iter::repeat_with(|| random.usize(..image.len())).take(200);
    let (mut found, mut harmless) = (0, 0);
    for at in anywhere.chain(0..320).collect::<Vec<_>>() {
        let mut damaged = image.clone();
        damaged[at] ^= random.u8(1..);
        match look(damaged, EmbeddedOptions::default()).await {
            Ok(read) => {
                assert!(read == text, "byte {at} makes wrong data");
                harmless += 1;
            }
            // A damaged version number of redb's format looks like another version.
            Err(e) => {
                assert!(
                    matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported),
                    "{at}: {e:?}"
                );
                found += 1;
            }
        }
    }
    assert!(found > 50 && harmless > 10, "{found} found, {harmless} harmless");
}

#[tokio::test]
async fn without_the_check_a_flipped_byte_panics_and_hangs_nobody_either() {
    let (image, _) = good().await;
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..200 {
        let mut damaged = image.clone();
        damaged[random.usize(..image.len())] ^= random.u8(1..);
        if let Err(e) = look(damaged, EmbeddedOptions::default().verify(false)).await {
            assert!(matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "{e:?}");
        }
    }
}

#[tokio::test]
async fn a_stretch_of_garbage_is_found_or_does_no_harm() {
    let (image, text) = good().await;
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..60 {
        let mut damaged = image.clone();
        let from = random.usize(..image.len());
        let to = image.len().min(from + random.usize(1..20_000));
        damaged[from..to].iter_mut().for_each(|byte| *byte = random.u8(..));
        match look(damaged, EmbeddedOptions::default()).await {
            Ok(read) => assert!(read == text, "{from}..{to} makes wrong data"),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Corrupt, "{from}..{to}: {e:?}"),
        }
    }
}

async fn refusal(path: &Path) -> ErrorKind {
    let error = Embedded::open(path).await.unwrap_err();
    // The message must say what to do.
    let text = error.to_string();
    if error.kind() == ErrorKind::Corrupt {
        assert!(["backup", "another path"].iter().any(|advice| text.contains(advice)), "{text}");
    }
    error.kind()
}

async fn refused_with(bytes: &[u8]) -> ErrorKind {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    std::fs::write(&path, bytes).unwrap();
    let kind = refusal(&path).await;
    let left = std::fs::read_dir(&dir).unwrap().count();
    assert_eq!(left, 1, "nothing is left beside it");
    let untouched = std::fs::read(&path).unwrap() == bytes;
    assert!(untouched || bytes.starts_with(b"redb"), "a file that may be anybody's is changed");
    kind
}

#[tokio::test]
async fn a_file_that_was_cut_short_is_corrupt() {
    let (image, _) = good().await;
    let len = image.len();
    let random = std::iter::repeat_with(|| fastrand::usize(1..len)).take(10);
    let lengths = [1, 8, 9, 64, 100, 319, 320, 511, 512, 4095, 4096, 4097, 8192, len / 2];
    let lengths = lengths.into_iter().chain([len - 8192, len - 4096, len - 2, len - 1]);
    for short in lengths.chain(random) {
        assert_eq!(refused_with(&image[..short]).await, ErrorKind::Corrupt, "{short} of {len}");
    }
}

#[tokio::test]
async fn a_file_that_was_never_a_store_is_corrupt() {
    assert_eq!(refused_with(b"Dear diary, ").await, ErrorKind::Corrupt);
    assert_eq!(refused_with(&b"All work and no play ".repeat(9_000)).await, ErrorKind::Corrupt);
    let (image, _) = good().await;
    for seed in 0..30 {
        let mut bytes = filler(seed, image.len());
        assert_eq!(refused_with(&bytes).await, ErrorKind::Corrupt);
        // Keeps the start of the header, as far as opening checks it and further.
        let genuine = [9, 64, 128, 320][seed as usize % 4];
        bytes[..genuine].copy_from_slice(&image[..genuine]);
        assert_eq!(refused_with(&bytes).await, ErrorKind::Corrupt, "seed {seed}");
    }
}

/// A file that redb has created, but not this library.
fn foreign(write: impl FnOnce(&redb::WriteTransaction)) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let database = Database::create(file.path()).unwrap();
    let tx = database.begin_write().unwrap();
    write(&tx);
    tx.commit().unwrap();
    database.close().unwrap();
    std::fs::read(file.path()).unwrap()
}

#[tokio::test]
async fn another_applications_database_is_corrupt() {
    const OTHER: TableDefinition<'_, u64, &str> = TableDefinition::new("orders");
    const ROWS_OF_OTHERS: TableDefinition<'_, u64, u64> = TableDefinition::new("rows");
    let orders = foreign(|tx| {
        tx.open_table(OTHER).unwrap().insert(1, "tea").unwrap();
    });
    assert_eq!(refused_with(&orders).await, ErrorKind::Corrupt);
    assert_eq!(refused_with(&foreign(|_| ())).await, ErrorKind::Corrupt);
    let other_rows = foreign(|tx| {
        tx.open_table(META).unwrap().insert("format", 2).unwrap();
        tx.open_table(ROWS_OF_OTHERS).unwrap().insert(1, 1).unwrap();
    });
    assert_eq!(refused_with(&other_rows).await, ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_format_from_the_future_is_unsupported_and_one_from_nowhere_corrupt() {
    let of_format = |format: Option<u64>| {
        foreign(|tx| {
            drop(tx.open_table(ROWS).unwrap());
            let mut meta = tx.open_table(META).unwrap();
            if let Some(format) = format {
                meta.insert("format", format).unwrap();
            }
        })
    };
    assert_eq!(refused_with(&of_format(Some(3))).await, ErrorKind::Unsupported);
    assert_eq!(refused_with(&of_format(Some(1))).await, ErrorKind::Unsupported);
    assert_eq!(refused_with(&of_format(Some(0))).await, ErrorKind::Corrupt);
    assert_eq!(refused_with(&of_format(None)).await, ErrorKind::Corrupt);
}

/// Stores a sorted hash with one long value, then replaces each of its rows by the result of
/// `change`.
async fn long_value(
    path: &Path,
    change: impl Fn(&[u8], &[u8]) -> Option<Vec<u8>>,
) -> Store<Embedded> {
    let store = Store::with_backend(Embedded::open(path).await.unwrap());
    store.zhadd("k", "f", vec![b'v'; 5_000], 1.0).await.unwrap();
    store.backend().close().await.unwrap();
    let database = Database::open(path).unwrap();
    let tx = database.begin_write().unwrap();
    let mut rows = tx.open_table(ROWS).unwrap();
    rows.retain(|name, row| change(name, row).is_some()).unwrap();
    let changed: Vec<_> = rows
        .iter()
        .unwrap()
        .map(|row| row.unwrap())
        .map(|(name, row)| (name.value().to_vec(), change(name.value(), row.value()).unwrap()))
        .collect();
    for (name, row) in changed {
        rows.insert(&name[..], &row[..]).unwrap();
    }
    drop(rows);
    tx.commit().unwrap();
    database.close().unwrap();
    Store::with_backend(Embedded::open(path).await.unwrap())
}

/// The whole batch used to fail with a conflict, although it was applied.
#[tokio::test]
async fn a_damaged_value_in_a_batch_is_an_error_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let without_chunk = |_: &[u8], row: &[u8]| (row.len() != 5_000).then(|| row.to_vec());
    let store = long_value(&dir.path().join("store"), without_chunk).await;
    let mut batch = store.batch();
    let (n, value) = (batch.incr_by("n", 1), batch.zhget("k", "f"));
    let mut replies = batch.exec_each().await;
    assert_eq!(replies.take(n).unwrap(), 1);
    let error = replies.take(value).unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Corrupt, false));
    assert_eq!(store.zhget("k", "f").await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(store.get("n").await.unwrap().unwrap(), "1");
}

/// A flipped bit makes the length claim 16 million chunks.
#[tokio::test]
async fn a_length_that_is_not_true_takes_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let longer = |_: &[u8], row: &[u8]| {
        let mut row = row.to_vec();
        // Score, tag, stamp, length.
        if row.len() == 29 && row[8] == 2 {
            row[17] |= 1;
        }
        Some(row)
    };
    let store = long_value(&dir.path().join("store"), longer).await;
    let start = std::time::Instant::now();
    assert_eq!(store.zhget("k", "f").await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(start.elapsed().as_secs() < 1, "{:?}", start.elapsed());
}

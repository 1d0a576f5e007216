//! Files that are not there yet, and files that are open already.

use super::super::Embedded;
use crate::{ErrorKind, Store};
use std::path::Path;

async fn refusal(path: &Path) -> ErrorKind {
    Embedded::open(path).await.unwrap_err().kind()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_path_that_cannot_be_a_file_is_an_invalid_argument() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(refusal(&dir.path().join("none/store")).await, ErrorKind::InvalidArgument);
    assert_eq!(refusal(dir.path()).await, ErrorKind::InvalidArgument);
    assert_eq!(refusal(Path::new("")).await, ErrorKind::InvalidArgument);
    assert_eq!(refusal(&dir.path().join("..")).await, ErrorKind::InvalidArgument);
    std::fs::write(dir.path().join("file"), "text").unwrap();
    assert_eq!(refusal(&dir.path().join("file/store")).await, ErrorKind::InvalidArgument);
    assert_eq!(refusal(&dir.path().join("a\0b")).await, ErrorKind::InvalidArgument);
    assert_eq!(refusal(&dir.path().join("n".repeat(300))).await, ErrorKind::InvalidArgument);
    assert_eq!(names(dir.path()), ["file"]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_may_not_be_written_is_access_denied() {
    // Not even root may.
    let path = Path::new("/proc/sys/kernel/osrelease");
    assert_eq!(refusal(path).await, ErrorKind::AccessDenied);
}

#[tokio::test]
async fn a_file_is_open_once_and_free_as_soon_as_it_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    for n in 0..5u64 {
        let file = Embedded::open(&path).await.unwrap();
        assert_eq!(refusal(&path).await, ErrorKind::Unavailable);
        let store = Store::new(file.clone());
        assert_eq!(store.incr_by("opened", 1).await.unwrap(), n as i64 + 1);
        file.close().await.unwrap();
    }
}

/// Opens `path`, notes it down if that succeeds, and closes it.
fn note(path: &Path, name: &str) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let file = match Embedded::open(path).await {
            Ok(file) => file,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Unavailable, "{e:?}");
                return false;
            }
        };
        Store::new(file.clone()).sadd("names", [name]).await.unwrap();
        file.close().await.unwrap();
        true
    })
}

/// Two threads of one process used to make a file under the same temporary name, so that the slower one emptied
/// it after the faster one had put it in place, and the store was lost.
#[test]
fn two_that_make_one_file_at_once_lose_nothing_and_leave_nothing_behind() {
    for round in 0..30 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let mut noted: Vec<String> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..4)
                .map(|n| {
                    let path = &path;
                    scope.spawn(move || note(path, &n.to_string()).then(|| n.to_string()))
                })
                .collect();
            makers.into_iter().filter_map(|maker| maker.join().unwrap()).collect()
        });
        assert!(!noted.is_empty(), "round {round}: nobody could open it");
        assert!(note(&path, "last"));
        noted.push("last".into());
        assert_eq!(names(dir.path()), ["store"], "round {round}");
        assert_eq!(members(&path), noted, "round {round}");
    }
}

fn members(path: &Path) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let names = runtime.block_on(async {
        Store::new(Embedded::open(path).await.unwrap()).smembers("names").await.unwrap()
    });
    let mut names: Vec<_> =
        names.iter().map(|name| String::from_utf8_lossy(name.as_ref()).into_owned()).collect();
    names.sort();
    names
}

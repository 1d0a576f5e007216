//! Creating files, and opening files that are in use.

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
    // Not even root can write it.
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

/// Opens the file, adds `name` to a set, and closes it. Returns false if the file is in use.
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

/// Two threads used to create the file under the same temporary name. The slower one truncated it
/// after the faster one had moved it into place, and the store was lost.
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
        assert!(!noted.is_empty(), "round {round}: no opener succeeded");
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

#[cfg(unix)]
fn link(target: impl AsRef<Path>, link: &Path) {
    std::os::unix::fs::symlink(target, link).unwrap();
}

/// Used to report that the directory does not exist.
#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_to_a_file_that_is_not_there_makes_that_file() {
    let dir = tempfile::tempdir().unwrap();
    let (data, links) = (dir.path().join("data"), dir.path().join("links"));
    std::fs::create_dir(&data).unwrap();
    std::fs::create_dir(&links).unwrap();
    link(data.join("absolute.kvs"), &links.join("absolute"));
    link("../data/relative.kvs", &links.join("relative"));
    link("relative2", &links.join("chain"));
    link("../data/chained.kvs", &links.join("relative2"));
    for name in ["absolute", "relative", "chain"] {
        let path = links.join(name);
        for opened in 1..3 {
            let file = Embedded::open(&path).await.unwrap();
            let store = Store::new(file.clone());
            assert_eq!(store.incr_by("opened", 1).await.unwrap(), opened, "{name}");
            file.close().await.unwrap();
        }
        assert!(path.symlink_metadata().unwrap().is_symlink(), "the link is still one");
    }
    let mut made = names(&data);
    made.sort();
    assert_eq!(made, ["absolute.kvs", "chained.kvs", "relative.kvs"]);
    assert_eq!(names(&links).len(), 4, "nothing is left beside the links");
}

#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_into_nowhere_is_an_invalid_argument() {
    let dir = tempfile::tempdir().unwrap();
    link("none/store", &dir.path().join("missing"));
    link("loop2", &dir.path().join("loop1"));
    link("loop1", &dir.path().join("loop2"));
    link("self", &dir.path().join("self"));
    for name in ["missing", "loop1", "self"] {
        assert_eq!(refusal(&dir.path().join(name)).await, ErrorKind::InvalidArgument, "{name}");
    }
    assert_eq!(names(dir.path()).len(), 4);
}

/// As the crate `tempfile` creates it.
#[tokio::test]
async fn an_empty_file_opens_as_a_new_store() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for opened in 1..3 {
        let open = Embedded::open(file.path()).await.unwrap();
        assert_eq!(Store::new(open.clone()).incr_by("n", 1).await.unwrap(), opened);
        open.close().await.unwrap();
    }
}

/// For example a single file mounted into a container, or a directory of another owner.
#[tokio::test]
async fn an_empty_file_that_nothing_can_be_moved_to_is_made_a_store_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    // A temporary file beside it would exceed the maximum length of a file name.
    let path = dir.path().join("n".repeat(255));
    std::fs::write(&path, "").unwrap();
    for opened in 1..3 {
        let open = Embedded::open(&path).await.unwrap();
        assert_eq!(Store::new(open.clone()).incr_by("n", 1).await.unwrap(), opened);
        open.close().await.unwrap();
    }
    assert_eq!(names(dir.path()).len(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn an_empty_file_keeps_its_permissions_and_its_link() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (path, symlink) = (dir.path().join("store"), dir.path().join("link"));
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    link(&path, &symlink);
    let store = Store::new(Embedded::open(&symlink).await.unwrap());
    store.set("k", "v").await.unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(path.metadata().unwrap().len() > 0);
    assert!(symlink.symlink_metadata().unwrap().is_symlink());
    assert_eq!(names(dir.path()).len(), 2);
}

/// A device is never replaced.
#[cfg(unix)]
#[tokio::test]
async fn what_is_no_regular_file_is_an_invalid_argument_and_left_alone() {
    use std::os::unix::fs::FileTypeExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert_eq!(refusal(&path).await, ErrorKind::InvalidArgument);
    assert!(path.metadata().unwrap().file_type().is_fifo());
    assert_eq!(names(dir.path()), ["fifo"]);
}

/// Two processes that find the same empty file must not both replace it.
#[test]
fn two_that_open_one_empty_file_at_once_lose_nothing() {
    for round in 0..30 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        std::fs::write(&path, "").unwrap();
        let mut noted: Vec<String> = std::thread::scope(|scope| {
            let openers: Vec<_> = (0..4)
                .map(|n| {
                    let path = &path;
                    scope.spawn(move || note(path, &n.to_string()).then(|| n.to_string()))
                })
                .collect();
            openers.into_iter().filter_map(|opener| opener.join().unwrap()).collect()
        });
        assert!(!noted.is_empty(), "round {round}: no opener succeeded");
        assert!(note(&path, "last"));
        noted.push("last".into());
        assert_eq!(names(dir.path()), ["store"], "round {round}");
        assert_eq!(members(&path), noted, "round {round}");
    }
}

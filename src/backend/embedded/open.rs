//! Opens a file, and creates it atomically: as a whole or not at all. Never overwrites data.

use super::errors;
use super::tx::{FORMAT, META, ROWS};
use crate::{Error, Result};
use redb::backends::FileBackend;
use redb::{Builder, Database};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The limit of Linux.
const MAX_SYMLINKS: usize = 40;

/// Opens the file at `path`. Creates a store if the file does not exist or is empty.
pub(super) fn open(path: &Path) -> Result<File> {
    let path = &target(path)?;
    loop {
        let file = match existing(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                existing(path)
            }
            file => file,
        };
        let file = file.map_err(errors::io)?;
        let metadata = file.metadata().map_err(errors::io)?;
        if !metadata.is_file() {
            return Err(Error::invalid("the path is not a regular file"));
        }
        if metadata.len() > 0 || !replace_empty(path, &file)? {
            return Ok(file);
        }
    }
}

fn existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Resolves symbolic links. The target need not exist.
fn target(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..=MAX_SYMLINKS {
        let Ok(link) = fs::read_link(&path) else { return Ok(path) };
        path = path.parent().unwrap_or(Path::new("")).join(link);
    }
    Err(Error::invalid("the path is a loop of symbolic links"))
}

/// Creates a store beside `path` and links it there. A process that is killed in between leaves no
/// partial store at `path`. If two processes do this at once, one of them wins.
fn create(path: &Path) -> Result<()> {
    let (new, file) = beside(path)?;
    let made = make(file).and_then(|()| match fs::hard_link(&new, path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // The file system has no hard links.
        Err(_) => fs::rename(&new, path).map_err(errors::io),
    });
    // Does not exist after a rename.
    let _ = fs::remove_file(&new);
    made?;
    sync_directory(path)
}

/// Moves a new store over an empty file. The empty file is locked meanwhile, so that two processes
/// do not both replace it. Returns whether to open the path again. If nothing can be moved there,
/// the store is created in the file itself.
fn replace_empty(path: &Path, empty: &File) -> Result<bool> {
    empty.lock().map_err(errors::io)?;
    match fs::metadata(path) {
        Ok(now) if now.len() == 0 => {}
        // Another process was first.
        _ => return Ok(true),
    }
    let Ok((new, file)) = beside(path) else { return Ok(false) };
    let permissions = empty.metadata().map_err(errors::io)?.permissions();
    let moved = file.set_permissions(permissions).map_err(errors::io);
    let moved = moved.and_then(|()| make(file));
    let moved = moved.and_then(|()| fs::rename(&new, path).map_err(errors::io));
    if moved.is_err() {
        let _ = fs::remove_file(&new);
        empty.unlock().map_err(errors::io)?;
        return Ok(false);
    }
    sync_directory(path).map(|()| true)
}

/// Creates a new file beside `path`. `create_new` makes it unique: among threads, among processes
/// with the same id in different containers, and against leftovers of killed processes.
fn beside(path: &Path) -> Result<(PathBuf, File)> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        return Err(Error::invalid("the path names no file"));
    };
    loop {
        let mut name = name.to_owned();
        name.push(format!(".new-{}-{}", std::process::id(), MADE.fetch_add(1, Relaxed)));
        let new = path.with_file_name(name);
        match OpenOptions::new().read(true).write(true).create_new(true).open(&new) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            file => return Ok((new, file.map_err(errors::io)?)),
        }
    }
}

fn make(file: File) -> Result<()> {
    let storage = FileBackend::new(file).map_err(errors::database)?;
    let database = Builder::new().create_with_backend(storage).map_err(errors::database)?;
    initialize(&database)?;
    database.close().map_err(errors::database)
}

/// Without this, a power cut may lose the directory entry of the new file.
fn sync_directory(path: &Path) -> Result<()> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Some systems cannot open a directory.
    match File::open(directory) {
        Ok(directory) if cfg!(unix) => directory.sync_all().map_err(errors::io),
        _ => Ok(()),
    }
}

/// Creates the tables of a new file.
pub(super) fn initialize(database: &Database) -> Result<()> {
    let tx = database.begin_write().map_err(errors::transaction)?;
    {
        tx.open_table(ROWS).map_err(errors::table)?;
        let mut meta = tx.open_table(META).map_err(errors::table)?;
        meta.insert("format", FORMAT).map_err(errors::storage)?;
    }
    tx.commit().map_err(errors::commit)
}

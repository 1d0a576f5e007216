//! [`FaultyDisk`]: a test double of redb's storage, in memory. It injects I/O errors, panics and
//! power cuts, counts calls, and can block a sync.
//!
//! It keeps synced and unsynced data apart. A power cut keeps the synced data, and a random part of
//! the unsynced changes: each in full, torn, or not at all. Real disks are no worse, unless they
//! acknowledge a sync that they have not done.

use redb::StorageBackend;
use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub(super) struct FaultyDisk(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    /// The content that a read sees.
    image: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    syncs: u64,
    reads: u64,
    callers: HashSet<ThreadId>,
    faults: Vec<(Call, Fault)>,
    /// The number of matching calls that still succeed. With `once`, only the first call after them
    /// fails.
    spared: u64,
    once: bool,
    hold: bool,
    held: bool,
    /// The number of changes and syncs until the power cut.
    until_cut: Option<u64>,
    /// The content after the power cut.
    left: Option<Vec<u8>>,
    random: fastrand::Rng,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("syncs", &self.syncs).finish_non_exhaustive()
    }
}

enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Read,
    Write,
    SetLen,
    Sync,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Error(io::ErrorKind),
    Panic,
}

impl FaultyDisk {
    /// A disk with this content, synced.
    pub(super) fn holding(image: Vec<u8>) -> Self {
        let disk = FaultyDisk::default();
        disk.lock().synced.clone_from(&image);
        disk.lock().image = image;
        disk
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(super) fn image(&self) -> Vec<u8> {
        self.lock().image.clone()
    }
    pub(super) fn syncs(&self) -> u64 {
        self.lock().syncs
    }
    pub(super) fn reads(&self) -> u64 {
        self.lock().reads
    }
    /// The number of bytes written since the last sync.
    pub(super) fn unsynced(&self) -> usize {
        let bytes = |change: &Change| match change {
            Change::Write(_, data) => data.len(),
            Change::SetLen(_) => 0,
        };
        self.lock().unsynced.iter().map(bytes).sum()
    }
    /// The threads that have used the disk.
    pub(super) fn callers(&self) -> HashSet<ThreadId> {
        self.lock().callers.clone()
    }

    /// From now on these calls fail.
    pub(super) fn fail(&self, calls: &[Call], fault: Fault) {
        let mut state = self.lock();
        state.faults = calls.iter().map(|call| (*call, fault)).collect();
        (state.spared, state.once) = (0, false);
    }
    /// The call after the next `spared` ones fails; later ones succeed.
    pub(super) fn fail_once(&self, spared: u64, call: Call, fault: Fault) {
        let mut state = self.lock();
        state.faults = vec![(call, fault)];
        (state.spared, state.once) = (spared, true);
    }
    pub(super) fn heal(&self) {
        self.lock().faults.clear();
    }

    /// Blocks every sync until the guard is dropped.
    pub(super) fn hold(&self) -> Hold<'_> {
        self.lock().hold = true;
        Hold(self)
    }

    /// Cuts the power at the `n`th change or sync from now.
    pub(super) fn cut_power_at(&self, n: u64, seed: u64) {
        let mut state = self.lock();
        state.until_cut = Some(n);
        state.random = fastrand::Rng::with_seed(seed);
    }
    /// The content after the power cut.
    pub(super) fn after_the_cut(&self) -> Option<Vec<u8>> {
        self.lock().left.clone()
    }

    fn enter(&self, call: Call) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.callers.insert(std::thread::current().id());
        let fault = state.faults.iter().find(|(failing, _)| *failing == call).map(|(_, f)| *f);
        let spared = fault.is_some() && state.spared > 0;
        state.spared -= u64::from(spared);
        if fault.is_some() && !spared && state.once {
            state.faults.clear();
        }
        match fault.filter(|_| !spared) {
            None if state.left.is_some() => Err(io::Error::other("the power is off")),
            None => Ok(state),
            Some(Fault::Error(kind)) => Err(kind.into()),
            Some(Fault::Panic) => {
                drop(state);
                panic!("an injected panic in {call:?}");
            }
        }
    }
}

#[must_use]
pub(super) struct Hold<'d>(&'d FaultyDisk);

impl Hold<'_> {
    /// Waits until a sync is blocked.
    pub(super) fn wait(&self) {
        let soon = Duration::from_secs(10);
        let waited = self.0.0.moved.wait_timeout_while(self.0.lock(), soon, |state| !state.held);
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        assert!(!waited.timed_out(), "no sync within 10 s");
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.lock().hold = false;
        self.0.0.moved.notify_all();
    }
}

impl State {
    fn change(&mut self, change: Change) -> io::Result<()> {
        change.apply(&mut self.image, usize::MAX);
        self.unsynced.push(change);
        self.tick()
    }
    fn tick(&mut self) -> io::Result<()> {
        let Some(left) = &mut self.until_cut else { return Ok(()) };
        *left -= 1;
        if *left > 0 {
            return Ok(());
        }
        self.left = Some(self.cut());
        Err(io::Error::other("the power went off"))
    }
    fn cut(&mut self) -> Vec<u8> {
        let mut left = std::mem::take(&mut self.synced);
        let kept = self.random.f64();
        for change in &self.unsynced {
            if self.random.f64() < kept {
                change.apply(&mut left, usize::MAX);
            } else if self.random.bool() {
                change.apply(&mut left, self.random.usize(..change.len()));
            }
        }
        left
    }
}

impl Change {
    fn len(&self) -> usize {
        match self {
            Change::Write(_, data) => data.len(),
            Change::SetLen(_) => 1,
        }
    }
    /// Applies the first `most` bytes of the change.
    fn apply(&self, image: &mut Vec<u8>, most: usize) {
        match self {
            Change::Write(at, data) => {
                let data = &data[..data.len().min(most)];
                let at = *at as usize;
                image.resize(image.len().max(at + data.len()), 0);
                image[at..at + data.len()].copy_from_slice(data);
            }
            Change::SetLen(len) if most > 0 => image.resize(*len as usize, 0),
            Change::SetLen(_) => {}
        }
    }
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().image.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.enter(Call::Read)?;
        state.reads += 1;
        let at = offset as usize;
        let bytes = state.image.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.enter(Call::SetLen)?.change(Change::SetLen(len))
    }
    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.enter(Call::Sync)?;
        while state.hold {
            state.held = true;
            self.0.moved.notify_all();
            state = self.0.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.held = false;
        state.tick()?;
        let State { synced, unsynced, syncs, .. } = &mut *state;
        unsynced.drain(..).for_each(|change| change.apply(synced, usize::MAX));
        *syncs += 1;
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.enter(Call::Write)?.change(Change::Write(offset, data.to_vec()))
    }
}

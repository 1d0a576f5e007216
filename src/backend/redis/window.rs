//! [`Window`]: how much of a batch, or of a long range, goes out at once.
//!
//! All callers share a connection, and what goes out in one piece is answered within one timeout. So a batch goes
//! out in pieces: writes by their bytes, reads by their number, as nobody knows how long their answers are. The
//! first piece is of few reads, and the answers tell how many fit into the next.

use ::redis::{Arg, Cmd, Value as Answer};

/// How many bytes go out, or are asked for, in one piece: enough that a round trip does not count, few enough that
/// a slow link carries them in a fraction of a second.
pub(super) const BYTES: usize = 4 << 20;

/// How many commands go out in one piece at most.
const COMMANDS: usize = 10_000;

/// How much larger than the last a piece may be: others may be longer than those that were seen.
const GROWTH: usize = 16;

/// How much the next piece may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) reads: usize,
    pub(super) bytes: usize,
    pub(super) commands: usize,
}

impl Window {
    /// Begins with so many reads.
    pub(super) fn new(reads: usize) -> Window {
        Window { reads, bytes: BYTES, commands: COMMANDS }
    }

    /// Takes note of how many bytes the reads of a piece have answered.
    pub(super) fn learn(&mut self, reads: usize, bytes: usize) {
        if reads > 0 {
            let fit = BYTES / (bytes / reads).max(1);
            self.reads = fit.clamp(1, self.reads.saturating_mul(GROWTH));
        }
    }

    /// A piece has failed in part. The later ones become larger and so fewer: each may take a timeout.
    pub(super) fn widen(&mut self) {
        self.reads = self.reads.saturating_mul(2);
        self.bytes = self.bytes.saturating_mul(2);
    }
}

/// How many bytes of a command are the user's.
pub(super) fn sent(cmd: &Cmd) -> usize {
    let bytes = |arg: Arg<&[u8]>| match arg {
        Arg::Simple(bytes) => bytes.len(),
        _ => 0,
    };
    cmd.args_iter().map(bytes).sum()
}

/// About how many bytes an answer takes on the wire.
pub(super) fn answered(answer: &Answer) -> usize {
    match answer {
        Answer::BulkString(bytes) => bytes.len(),
        Answer::SimpleString(text) => text.len(),
        Answer::Array(entries) | Answer::Set(entries) => entries.iter().map(answered).sum(),
        Answer::Map(pairs) => pairs.iter().map(|(a, b)| answered(a) + answered(b)).sum(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_grows_with_short_answers_and_shrinks_with_long_ones() {
        let mut window = Window::new(128);
        window.learn(128, 1_280);
        assert_eq!(window.reads, 2_048, "sixteen times as many, although more would fit");
        window.learn(2_048, 2_048 * 100_000);
        assert_eq!(window.reads, 41);
        window.learn(0, 0);
        assert_eq!(window.reads, 41, "writes tell nothing of reads");
        window.learn(1, 1 << 30);
        assert_eq!(window.reads, 1);
        window.learn(1, 0);
        assert_eq!(window.reads, 16);
    }
}

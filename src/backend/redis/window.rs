//! [`Window`]: how much of a batch, or of a long range, goes into one pipeline.
//!
//! All callers share a connection, and one timeout holds for a whole pipeline. So a large batch is
//! several pipelines. Writes are counted in bytes, reads by number: how long their answers are is
//! not known. The first pipeline has few reads (slow start); the size of its answers decides how
//! many the next one has.

use ::redis::{Arg, Cmd, Value as Answer};

/// How many bytes a pipeline sends, or asks for: enough that a round trip does not count, few
/// enough for a fraction of a second on a slow link.
pub(super) const BYTES: usize = 4 << 20;

/// The most commands of a pipeline.
const COMMANDS: usize = 10_000;

/// How many times as many reads as the last a pipeline may have: their answers may be longer.
const GROWTH: usize = 16;

/// How much the next pipeline may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) reads: usize,
    pub(super) bytes: usize,
    pub(super) commands: usize,
}

impl Window {
    /// The window of the first pipeline.
    pub(super) fn new(reads: usize) -> Window {
        Window { reads, bytes: BYTES, commands: COMMANDS }
    }

    /// Adapts to the size of the last answers.
    pub(super) fn learn(&mut self, reads: usize, bytes: usize) {
        if let Some(each) = bytes.checked_div(reads) {
            let fit = BYTES / each.max(1);
            self.reads = fit.clamp(1, self.reads.saturating_mul(GROWTH));
        }
    }

    /// After a failure of one server of many. Each pipeline may cost a timeout, so the next ones
    /// are larger.
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

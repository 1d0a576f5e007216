//! [`PipelineSize`]: how much of a batch, or of a long range, goes into one pipeline.
//!
//! All callers share a connection, and one timeout applies to a whole pipeline. So a large batch is
//! several pipelines. Writes are limited by their bytes. Reads are limited by number, as the size
//! of their replies is not known: the first pipeline has few (slow start), and the size of its
//! replies decides how many the next one has.

use ::redis::{Arg, Cmd, Value as RespValue};

/// The bytes that a pipeline sends, or that its replies are expected to have. Large enough that the
/// latency of a round trip does not matter, and a fraction of a second on a slow link.
pub(super) const PIPELINE_BYTES: usize = 4 << 20;

/// The most commands of a pipeline.
const MAX_COMMANDS: usize = 10_000;

/// A pipeline has at most this many times the reads of the last one: its replies may be longer.
const MAX_GROWTH: usize = 16;

/// The limits of the next pipeline.
#[derive(Clone, Copy, Debug)]
pub(super) struct PipelineSize {
    pub(super) reads: usize,
    pub(super) bytes: usize,
    pub(super) commands: usize,
}

impl PipelineSize {
    /// The limits of the first pipeline.
    pub(super) fn new(reads: usize) -> PipelineSize {
        PipelineSize { reads, bytes: PIPELINE_BYTES, commands: MAX_COMMANDS }
    }

    /// Adapts the number of reads to the size of the last replies.
    pub(super) fn adapt(&mut self, reads: usize, bytes: usize) {
        if let Some(each) = bytes.checked_div(reads) {
            let fit = PIPELINE_BYTES / each.max(1);
            self.reads = fit.clamp(1, self.reads.saturating_mul(MAX_GROWTH));
        }
    }

    /// Doubles the next pipelines after one server of a cluster has failed: each pipeline may cost
    /// a timeout.
    pub(super) fn double(&mut self) {
        self.reads = self.reads.saturating_mul(2);
        self.bytes = self.bytes.saturating_mul(2);
    }
}

/// The bytes of a command's arguments.
pub(super) fn request_bytes(cmd: &Cmd) -> usize {
    let bytes = |arg: Arg<&[u8]>| match arg {
        Arg::Simple(bytes) => bytes.len(),
        _ => 0,
    };
    cmd.args_iter().map(bytes).sum()
}

/// About how many bytes an answer takes on the wire.
pub(super) fn answer_bytes(answer: &RespValue) -> usize {
    match answer {
        RespValue::BulkString(bytes) => bytes.len(),
        RespValue::SimpleString(text) => text.len(),
        RespValue::Array(entries) | RespValue::Set(entries) => {
            entries.iter().map(answer_bytes).sum()
        }
        RespValue::Map(pairs) => pairs.iter().map(|(a, b)| answer_bytes(a) + answer_bytes(b)).sum(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_grows_with_short_answers_and_shrinks_with_long_ones() {
        let mut size = PipelineSize::new(128);
        size.adapt(128, 1_280);
        assert_eq!(size.reads, 2_048, "sixteen times as many, although more would fit");
        size.adapt(2_048, 2_048 * 100_000);
        assert_eq!(size.reads, 41);
        size.adapt(0, 0);
        assert_eq!(size.reads, 41, "a pipeline of writes changes nothing");
        size.adapt(1, 1 << 30);
        assert_eq!(size.reads, 1);
        size.adapt(1, 0);
        assert_eq!(size.reads, 16);
    }
}

use super::Search;
use super::parts::{Part, parts, without};

impl<F: FnMut(u64, usize)> Search<F> {
    /// Takes parts away as long as any can go: half of them at a time, then a quarter, and in the end one by one.
    pub(super) fn without_parts(&mut self) {
        let mut size = parts(&self.best).len().div_ceil(2).max(1);
        loop {
            let shrunk = self.without_chunks(size);
            if size > 1 {
                size = size.div_ceil(2);
            } else if !shrunk {
                return;
            }
        }
    }

    /// Tries to do without each chunk of so many parts. True if one could go.
    fn without_chunks(&mut self, size: usize) -> bool {
        let mut any = false;
        // From the end: what comes last depends on what came before, and less depends on it.
        let mut end = parts(&self.best).len();
        while end > 0 {
            let all = parts(&self.best);
            end = end.min(all.len());
            let begin = end.saturating_sub(size);
            let chunk: &[Part] = &all[begin..end];
            any |= !chunk.is_empty() && self.adopt(without(&self.best, chunk));
            end = begin;
        }
        any
    }
}

use super::parts::{Part, parts, without};
use super::search::Search;

/// The most combinations of parts that are tried together.
const MOST_COMBINATIONS: usize = 400;

impl<F: FnMut(u64, usize)> Search<F> {
    /// Removes parts as long as any can go: half of them at a time, then a quarter, and in the end
    /// one by one.
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

    /// Tries to do without each chunk of this many parts. Returns whether one could go.
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

    /// Tries to do without two or three parts that are needed one by one, wherever they stand, if
    /// there are not too many: a fault can be there only to undo the effect of another.
    pub(super) fn without_several(&mut self) {
        let all = parts(&self.best);
        for several in [2, 3] {
            let combinations = combinations(all.len(), several);
            if combinations.len() > MOST_COMBINATIONS {
                return;
            }
            for places in combinations {
                let chunk: Vec<Part> = places.into_iter().map(|place| all[place].clone()).collect();
                if self.adopt(without(&self.best, &chunk)) {
                    return;
                }
            }
        }
    }
}

/// Returns every choice of `several` numbers below `all`, each in ascending order. Returns more than
/// [`MOST_COMBINATIONS`], but not all of them, if there are more.
fn combinations(all: usize, several: usize) -> Vec<Vec<usize>> {
    let mut found = vec![Vec::new()];
    for _ in 0..several {
        let longer = found.iter().flat_map(|chosen: &Vec<usize>| {
            let first = chosen.last().map_or(0, |last| last + 1);
            (first..all).map(move |next| [chosen.as_slice(), &[next]].concat())
        });
        found = longer.take(MOST_COMBINATIONS + 1).collect();
    }
    found
}

use std::fmt;
use std::time::Duration;

use super::table;
use crate::live::load::{Latencies, LoadResult};

/// What came of a load, printed by its `Display`.
#[derive(Debug)]
pub struct LoadReport<'a>(pub &'a LoadResult);

impl fmt::Display for LoadReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadResult { elapsed, writes, reads, errors } = self.0;
        let seconds = elapsed.as_secs_f64();
        let (succeeded, failed) = (self.0.succeeded(), self.0.failed());
        let rate = succeeded as f64 / seconds.max(1e-9);
        writeln!(f, "{succeeded} operations in {seconds:.1} s, {rate:.1} a second; {failed} failed\n")?;
        let header = ["ms", "count", "mean", "p50", "p90", "p99", "p99.9", "longest"].map(str::to_owned);
        let kinds = [("writes", writes), ("reads", reads)].into_iter().filter(|(_, latencies)| latencies.count() > 0);
        f.write_str(&table::plain(header, kinds.map(|(name, latencies)| row(name, latencies))))?;
        for (kind, count) in errors {
            writeln!(f, " {count} × {kind}")?;
        }
        Ok(())
    }
}

fn row(name: &str, latencies: &Latencies) -> Vec<String> {
    let ms = |latency: Duration| format!("{:.2}", latency.as_secs_f64() * 1e3);
    let quantiles = [0.5, 0.9, 0.99, 0.999].map(|share| ms(latencies.quantile(share)));
    let mut row = vec![name.to_owned(), latencies.count().to_string(), ms(latencies.mean())];
    row.extend(quantiles);
    row.push(ms(latencies.longest()));
    row
}

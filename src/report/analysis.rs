use std::fmt;

use super::table;
use crate::live::analyze::{Line, QuorumResult};

/// Latency against quorum as a table, with the law's values beside what was measured. Printed by its `Display`.
#[derive(Debug)]
pub struct AnalysisReport<'a>(pub &'a [QuorumResult]);

impl fmt::Display for AnalysisReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header =
            ["quorum", "writes", "mean", "median", "σ", "p95", "p99", "law's mean", "± 99.9 %", "law", "followers"];
        let rows = self.0.iter().map(row);
        f.write_str(&table::plain(header.map(str::to_owned), rows))?;
        for result in self.0 {
            for (what, count) in &result.failed {
                writeln!(f, " quorum {}: {count} of {} writes: {what}", result.quorum, result.count + count)?;
            }
            if !result.consistency.consistent {
                let names = result.consistency.inconsistent_followers.join(", ");
                writeln!(f, " quorum {}: not equal to what was written: {names}", result.quorum)?;
            }
        }
        for (name, of) in [("mean", mean as fn(&QuorumResult) -> f64), ("median", median)] {
            let measured = self.0.iter().filter(|result| result.count > 0);
            let points: Vec<(f64, f64)> = measured.map(|result| (result.quorum as f64, of(result))).collect();
            if let Some(Line { slope, intercept, r_squared }) = Line::fit(&points) {
                let (slope, intercept) = (slope * 1e3, intercept * 1e3);
                let sign = if intercept < 0.0 { "−" } else { "+" };
                let intercept = intercept.abs();
                writeln!(f, " {name} ≈ {slope:.1} ms × quorum {sign} {intercept:.1} ms, R² = {r_squared:.4}")?;
            }
        }
        if let Some(law) = self.0.iter().find_map(|result| result.law.as_ref()) {
            let baseline = law.baseline * 1e3;
            writeln!(
                f,
                " The law is held against the mean less the way there and back, {baseline:.1} ms; times are in ms."
            )?;
        }
        Ok(())
    }
}

fn mean(result: &QuorumResult) -> f64 {
    result.avg_latency
}

fn median(result: &QuorumResult) -> f64 {
    result.median
}

fn row(result: &QuorumResult) -> Vec<String> {
    let ms = |seconds: f64| format!("{:.1}", seconds * 1e3);
    let QuorumResult { quorum, count, avg_latency, median, stdev, p95, p99, .. } = result;
    let mut row = vec![quorum.to_string(), count.to_string()];
    row.extend([avg_latency, median, stdev, p95, p99].map(|seconds| ms(*seconds)));
    match &result.law {
        Some(law) => {
            let within = if law.mean_within { "within" } else { "OUTSIDE" };
            row.extend([ms(law.mean), ms(law.mean_tolerance), within.to_owned()]);
        }
        None => row.extend(["–", "–", "–"].map(str::to_owned)),
    }
    row.push(if result.consistency.consistent { "equal" } else { "DIFFERENT" }.to_owned());
    row
}

use super::axis::Axis;
use super::canvas::{Backend, Canvas};
use super::figure::{Drawing, Figure, PlotError};
use super::look::{BLACK, BLUE, GREEN, Look, PURPLE, Stroke, VERMILION};
use super::setting;
use super::sheet::Sheet;
use super::unit::Unit;
use crate::check::latency_law::LatencyLaw;
use crate::live::analyze::{Law, QuorumResult};

/// How the latencies of one quorum are distributed: the share of writes that took no longer than a time, over the share
/// that the law expects, and the greatest distance of the two, which is that of Kolmogorov and Smirnov. None if no write
/// was acknowledged.
pub fn latency_distribution(result: &QuorumResult) -> Result<Option<Figure>, PlotError> {
    Distribution::new(result).map(|figure| Figure::of(&figure)).transpose()
}

/// The law of a quorum, with what a write takes besides its delay.
#[derive(Clone, Copy)]
struct Expected {
    law: LatencyLaw,
    /// The parameters of its Beta distribution.
    beta: (usize, usize),
    baseline: f64,
}

impl Expected {
    fn of(result: &QuorumResult) -> Option<Self> {
        let (law, Law { followers, baseline, .. }) = (setting::latency_law(result)?, result.law.as_ref()?);
        Some(Self { law, beta: (result.quorum, followers + 1 - result.quorum), baseline: *baseline })
    }

    fn name(&self) -> String {
        let (k, rest) = self.beta;
        format!("law: Beta({k}, {rest}), baseline {}", Unit::of(self.baseline).text(self.baseline))
    }

    fn cdf(&self, latency: f64) -> f64 {
        self.law.cdf(latency - self.baseline)
    }

    fn quantile(&self, p: f64) -> f64 {
        self.law.quantile(p) + self.baseline
    }

    /// The greatest distance from the measured distribution, and where it is: a latency and both shares there.
    fn greatest_distance(&self, sorted: &[f64]) -> Distance {
        let n = sorted.len() as f64;
        // The measured share jumps at each latency, so the greatest distance is on one side of a jump.
        let sides = sorted.iter().enumerate().flat_map(|(index, latency)| {
            let of = |count: usize| Distance { latency: *latency, measured: count as f64 / n, law: self.cdf(*latency) };
            [of(index), of(index + 1)]
        });
        sides.max_by(|a, b| a.length().total_cmp(&b.length())).expect("there are latencies")
    }
}

/// How far the two distributions are apart at a latency.
#[derive(Clone, Copy)]
struct Distance {
    latency: f64,
    measured: f64,
    law: f64,
}

impl Distance {
    fn length(&self) -> f64 {
        (self.measured - self.law).abs()
    }
}

struct Distribution {
    sheet: Sheet,
    unit: Unit,
    sorted: Vec<f64>,
    median: f64,
    p95: f64,
    expected: Option<(Expected, Distance)>,
}

const MEASURED: Look = Look::line(BLUE, Stroke::Solid);
const LAW: Look = Look::line(GREEN, Stroke::Dashed);
const MEDIAN: Look = Look::line(VERMILION, Stroke::Dashed);
const P95: Look = Look::line(PURPLE, Stroke::Dotted);
const DISTANCE: Look = Look::line(BLACK, Stroke::Solid);

impl Distribution {
    fn new(result: &QuorumResult) -> Option<Self> {
        let mut sorted = result.latencies.clone();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let unit = Unit::of(most);
        let expected = Expected::of(result).map(|expected| (expected, expected.greatest_distance(&sorted)));
        let median_and_p95 = [("median", result.median, 0.5), ("95th percentile", result.p95, 0.95)];
        let [median, p95] = median_and_p95.map(|(name, measured, p)| {
            let by_law = expected.map(|(law, _)| format!(" (law: {})", unit.text(law.quantile(p))));
            format!("{name} {}{}", unit.text(measured), by_law.unwrap_or_default())
        });
        let (law, distance) = expected.unzip();
        let legend = [
            Some((MEASURED, "measured".to_owned())),
            law.map(|law| (LAW, law.name())),
            Some((MEDIAN, median)),
            distance.map(|distance| (DISTANCE, format!("Kolmogorov–Smirnov distance {:.3}", distance.length()))),
            Some((P95, p95)),
        ];
        let of = result.law.as_ref().map(|law| format!(" of {}", law.followers)).unwrap_or_default();
        let sheet = Sheet {
            title: format!("Distribution of write latency, quorum {}{of}", result.quorum),
            subtitle: setting::writes(&[result]),
            legend: legend.into_iter().flatten().collect(),
            x: Axis::spanning(format!("write latency ({})", unit.name), unit.number(least), unit.number(most)),
            y: Axis::spanning("share of acknowledged writes".into(), 0.0, 1.0),
        };
        Some(Self { sheet, unit, sorted, median: result.median, p95: result.p95, expected })
    }

    /// The measured distribution: a step at each latency.
    fn steps(&self) -> Vec<(f64, f64)> {
        let n = self.sorted.len() as f64;
        let mut steps = vec![(self.sheet.x.low, 0.0)];
        for (index, latency) in self.sorted.iter().enumerate() {
            let x = self.unit.number(*latency);
            steps.extend([(x, index as f64 / n), (x, (index + 1) as f64 / n)]);
        }
        steps.push((self.sheet.x.high, 1.0));
        steps
    }

    /// The distribution by the law, in as many pieces as look like a curve.
    fn curve(&self, expected: &Expected) -> Vec<(f64, f64)> {
        const PIECES: usize = 300;
        let Axis { low, high, .. } = self.sheet.x;
        let one = self.unit.number(1.0);
        let xs = (0..=PIECES).map(|piece| low + (high - low) * piece as f64 / PIECES as f64);
        xs.map(|x| (x, expected.cdf(x / one))).collect()
    }
}

impl Drawing for Distribution {
    fn draw<B: Backend>(&self, canvas: &Canvas<B>) -> Result<(), PlotError> {
        let plane = self.sheet.draw(canvas)?;
        for (look, latency) in [(MEDIAN, self.median), (P95, self.p95)] {
            let x = self.unit.number(latency);
            look.draw_line(canvas, plane.all([(x, self.sheet.y.low), (x, self.sheet.y.high)]))?;
        }
        MEASURED.draw_line(canvas, plane.all(self.steps()))?;
        if let Some((expected, distance)) = &self.expected {
            LAW.draw_line(canvas, plane.all(self.curve(expected)))?;
            let x = self.unit.number(distance.latency);
            DISTANCE.draw_line(canvas, plane.all([(x, distance.measured), (x, distance.law)]))?;
        }
        Ok(())
    }
}

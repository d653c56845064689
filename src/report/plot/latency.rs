use super::axis::Axis;
use super::canvas::{Backend, Canvas, Shape};
use super::figure::{Drawing, Figure, PlotError};
use super::look::{BLUE, GREEN, Look, Stroke, VERMILION};
use super::setting;
use super::sheet::Sheet;
use super::unit::Unit;
use crate::live::analyze::{Law, Line, QuorumResult};

/// How the latency of writes grows with the quorum: mean and median as measured, each with the line that fits them best,
/// and the mean that the law expects, with the band that 99.9 % of all measured means fall into. Where the law is not
/// known, or nothing was acknowledged, that part is left out.
pub fn latency_vs_quorum(results: &[QuorumResult]) -> Result<Figure, PlotError> {
    Figure::of(&LatencyFigure::new(results))
}

/// A number measured with each quorum, in seconds.
struct Measured {
    look: Look,
    points: Vec<(f64, f64)>,
    line: Option<Line>,
}

impl Measured {
    fn new(look: Look, results: &[QuorumResult], of: fn(&QuorumResult) -> f64) -> Self {
        let measured = results.iter().filter(|result| result.count > 0);
        let points: Vec<_> = measured.map(|result| (result.quorum as f64, of(result))).collect();
        Self { look, line: Line::fit(&points), points }
    }

    /// The ends of the fitted line.
    fn ends(&self) -> Vec<(f64, f64)> {
        let xs = || self.points.iter().map(|point| point.0);
        let (first, last) = (xs().fold(f64::INFINITY, f64::min), xs().fold(f64::NEG_INFINITY, f64::max));
        self.line.map(|line| vec![(first, line.at(first)), (last, line.at(last))]).unwrap_or_default()
    }

    /// Its line in the legend, if anything was measured.
    fn legend(&self, name: &str, unit: Unit) -> Option<(Look, String)> {
        let Some(Line { slope, intercept, r_squared }) = self.line else {
            return self
                .points
                .first()
                .map(|(_, only)| (self.look.without_line(), format!("{name}: {}", unit.text(*only))));
        };
        let sign = if intercept < 0.0 { '−' } else { '+' };
        let (slope, intercept) = (unit.text(slope), unit.text(intercept.abs()));
        let equation = format!("{name}: {slope} × k {sign} {intercept}, R² = {r_squared:.4}");
        Some((self.look, equation))
    }
}

struct LatencyFigure {
    sheet: Sheet,
    unit: Unit,
    mean: Measured,
    median: Measured,
    /// The mean by the law, the baseline included.
    law: Vec<(f64, f64)>,
    /// The lower and the upper edge of the band, in the order of the quorums.
    band: [Vec<(f64, f64)>; 2],
}

const MEAN: Look = Look::points(BLUE, Shape::Circle).with_line(Stroke::Dashed);
const MEDIAN: Look = Look::points(VERMILION, Shape::Diamond).with_line(Stroke::Dotted);
const LAW: Look = Look::line(GREEN, Stroke::Solid);
const BAND: Look = Look::band(GREEN);

impl LatencyFigure {
    fn new(results: &[QuorumResult]) -> Self {
        let mean = Measured::new(MEAN, results, |result| result.avg_latency);
        let median = Measured::new(MEDIAN, results, |result| result.median);
        let mut laws: Vec<_> = results.iter().filter_map(|result| Some((result, result.law.as_ref()?))).collect();
        laws.sort_by_key(|(result, _)| result.quorum);
        let expected = laws.iter().map(|(result, law)| (result.quorum as f64, law.mean + law.baseline));
        let law = widened(expected.collect());
        let band = [-1.0, 1.0].map(|side| {
            // The mean of no writes may lie anywhere, so it has no band; and no latency lies below 0.
            let finite = laws.iter().filter(|(_, law)| law.mean_tolerance.is_finite());
            let edge = |law: &Law| (law.mean + law.baseline + side * law.mean_tolerance).max(0.0);
            widened(finite.map(|(result, law)| (result.quorum as f64, edge(law))).collect())
        });

        let all = [&mean.points, &median.points, &mean.ends(), &median.ends(), &law, &band[0], &band[1]];
        let values = || all.iter().flat_map(|points| points.iter().map(|point| point.1));
        let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        let unit = Unit::of(most);
        let followers = laws.iter().map(|(_, law)| law.followers).max();
        let quorums = || results.iter().map(|result| result.quorum);
        let last = quorums().chain(followers).max().unwrap_or(1);

        let legend = [
            mean.legend("mean", unit),
            (!law.is_empty()).then(|| (LAW, "law: expected mean, baseline included".to_owned())),
            median.legend("median", unit),
            (!band[0].is_empty()).then(|| (BAND, "law: 99.9 % of measured means".to_owned())),
        ];
        let sheet = Sheet {
            title: "Write latency by write quorum".into(),
            subtitle: setting::writes(&results.iter().collect::<Vec<_>>()),
            legend: legend.into_iter().flatten().collect(),
            x: Axis::counting(
                "write quorum k (followers that confirm a write)".into(),
                quorums().min().unwrap_or(1).min(1),
                last,
            ),
            y: Axis::spanning(
                format!("write latency ({})", unit.name),
                unit.number(least.min(most)),
                unit.number(most),
            ),
        };
        Self { sheet, unit, mean, median, law, band }
    }
}

/// What can be seen as a line: a single point becomes a short one.
fn widened(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    match points[..] {
        [(x, y)] => vec![(x - 0.15, y), (x + 0.15, y)],
        _ => points,
    }
}

impl Drawing for LatencyFigure {
    fn draw<B: Backend>(&self, canvas: &Canvas<B>) -> Result<(), PlotError> {
        let plane = self.sheet.draw(canvas)?;
        let on_plane = |points: &[(f64, f64)]| plane.all(points.iter().map(|(x, y)| (*x, self.unit.number(*y))));
        let [lower, upper] = &self.band;
        if !lower.is_empty() {
            let outline: Vec<_> = lower.iter().chain(upper.iter().rev()).copied().collect();
            canvas.band(on_plane(&outline), GREEN)?;
        }
        LAW.draw_line(canvas, on_plane(&self.law))?;
        for measured in [&self.mean, &self.median] {
            measured.look.draw_line(canvas, on_plane(&measured.ends()))?;
        }
        for measured in [&self.median, &self.mean] {
            measured.look.draw_points(canvas, &on_plane(&measured.points))?;
        }
        Ok(())
    }
}

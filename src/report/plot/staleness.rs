use plotters::prelude::RGBColor;

use super::axis::Axis;
use super::canvas::{Backend, Canvas, Shape};
use super::figure::{Drawing, Figure, PlotError};
use super::look::{BLACK, BLUE, GREEN, Look, ORANGE, PURPLE, SKY, Stroke, VERMILION};
use super::setting;
use super::sheet::Sheet;
use super::unit::Unit;
use crate::check::latency_law::LatencyLaw;
use crate::live::analyze::QuorumResult;

const COLORS: [RGBColor; 7] = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK];
/// Four shapes and seven colours have no common divisor, so 28 quorums look different. Of more, some are left out.
const SHAPES: [Shape; 4] = [Shape::Circle, Shape::Diamond, Shape::Square, Shape::Triangle];

/// How many followers lag behind an acknowledged write, over the time since the acknowledgement: as points what was
/// measured with each quorum, as a line what the law expects. None if it was not measured.
pub fn staleness(results: &[QuorumResult]) -> Result<Option<Figure>, PlotError> {
    Staleness::new(results).map(|figure| Figure::of(&figure)).transpose()
}

/// What is drawn of a quorum: times in seconds, and shares.
struct Series {
    look: Look,
    measured: Vec<(f64, f64)>,
    law: Vec<(f64, f64)>,
}

struct Staleness {
    sheet: Sheet,
    unit: Unit,
    series: Vec<Series>,
}

impl Staleness {
    fn new(results: &[QuorumResult]) -> Option<Self> {
        let measured: Vec<_> = results.iter().filter(|result| !result.staleness.is_empty()).collect();
        let every = measured.len().div_ceil(COLORS.len() * SHAPES.len()).max(1);
        let measured: Vec<_> = measured.into_iter().step_by(every).collect();
        let times = measured.iter().flat_map(|result| result.staleness.iter().map(|point| point.after));
        let longest = times.reduce(f64::max)?;
        let unit = Unit::of(longest);
        let series: Vec<_> =
            measured.iter().enumerate().map(|(index, result)| series(index, result, longest)).collect();
        let shares = || series.iter().flat_map(|one| one.measured.iter().chain(&one.law)).map(|point| point.1);
        let legend = series.iter().zip(&measured).map(|(one, result)| {
            let look = if one.law.is_empty() { one.look.without_line() } else { one.look };
            (look, format!("k = {}", result.quorum))
        });
        let reads = measured.iter().flat_map(|result| result.staleness.iter().map(|point| point.reads));
        let lines = if series.iter().all(|one| one.law.is_empty()) { "" } else { ", lines: law" };
        let what = format!("points: {} reads each{lines}", setting::from_to(reads));
        let sheet = Sheet {
            title: "Followers that lag behind an acknowledged write, by quorum k".into(),
            subtitle: [Some(what), setting::delays(&measured)].into_iter().flatten().collect::<Vec<_>>().join("; "),
            legend: legend.collect(),
            x: Axis::spanning(format!("time since the acknowledgement ({})", unit.name), 0.0, unit.number(longest)),
            y: Axis::spanning("share of followers that lag".into(), 0.0, shares().fold(0.0, f64::max)),
        };
        Some(Self { sheet, unit, series })
    }
}

fn series(index: usize, result: &QuorumResult, longest: f64) -> Series {
    let look = Look::points(COLORS[index % COLORS.len()], SHAPES[index % SHAPES.len()]).with_line(Stroke::Solid);
    let measured = result.staleness.iter().map(|point| (point.after, point.measured)).collect();
    Series { look, measured, law: setting::latency_law(result).map(|law| curve(&law, longest)).unwrap_or_default() }
}

/// The share by the law, in as many pieces as look like a curve.
fn curve(law: &LatencyLaw, longest: f64) -> Vec<(f64, f64)> {
    const PIECES: usize = 48;
    let times = (0..=PIECES).map(|piece| longest * piece as f64 / PIECES as f64);
    times.map(|after| (after, law.staleness(after))).collect()
}

impl Drawing for Staleness {
    fn draw<B: Backend>(&self, canvas: &Canvas<B>) -> Result<(), PlotError> {
        let plane = self.sheet.draw(canvas)?;
        let on_plane = |points: &[(f64, f64)]| plane.all(points.iter().map(|(x, y)| (self.unit.number(*x), *y)));
        for Series { look, law, .. } in &self.series {
            look.draw_line(canvas, on_plane(law))?;
        }
        for Series { look, measured, .. } in &self.series {
            look.draw_points(canvas, &on_plane(measured))?;
        }
        Ok(())
    }
}

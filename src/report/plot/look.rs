use plotters::prelude::RGBColor;

use super::canvas::{Backend, Canvas, Point, Shape};
use super::figure::PlotError;

/// The colours of Okabe and Ito, which the colour-blind can tell apart (*Color Universal Design*, 2008); their yellow is
/// left out, for it is hard to see on white.
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
pub const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub const GREEN: RGBColor = RGBColor(0, 158, 115);
pub const PURPLE: RGBColor = RGBColor(204, 121, 167);
pub const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub const SKY: RGBColor = RGBColor(86, 180, 233);
pub const BLACK: RGBColor = RGBColor(0, 0, 0);

const LINE: u32 = 9;
const RADIUS: i32 = 20;

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    Solid,
    Dashed,
    Dotted,
}

/// How a series is drawn, in the figure and in its legend.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub color: RGBColor,
    pub stroke: Option<Stroke>,
    pub shape: Option<Shape>,
    pub is_band: bool,
}

impl Look {
    /// A line without markers.
    pub const fn line(color: RGBColor, stroke: Stroke) -> Self {
        Self { color, stroke: Some(stroke), shape: None, is_band: false }
    }

    /// Markers without a line.
    pub const fn points(color: RGBColor, shape: Shape) -> Self {
        Self { color, stroke: None, shape: Some(shape), is_band: false }
    }

    /// An area.
    pub const fn band(color: RGBColor) -> Self {
        Self { color, stroke: None, shape: None, is_band: true }
    }

    /// The same, with a line.
    pub const fn with_line(mut self, stroke: Stroke) -> Self {
        self.stroke = Some(stroke);
        self
    }

    /// The same, without its line.
    pub const fn without_line(mut self) -> Self {
        self.stroke = None;
        self
    }

    /// Draws the line of a series.
    pub fn draw_line<B: Backend>(&self, canvas: &Canvas<B>, mut points: Vec<Point>) -> Result<(), PlotError> {
        // Thousands of points may fall on one pixel, and plotters cannot draw a line of no length.
        points.dedup();
        match self.stroke {
            Some(_) if points.len() < 2 => Ok(()),
            None => Ok(()),
            Some(Stroke::Solid) => canvas.line(points, self.color, LINE),
            Some(Stroke::Dashed) => canvas.dashes(points, self.color, LINE, 36),
            Some(Stroke::Dotted) => canvas.dashes(points, self.color, LINE, 12),
        }
    }

    /// Draws the markers of a series.
    pub fn draw_points<B: Backend>(&self, canvas: &Canvas<B>, points: &[Point]) -> Result<(), PlotError> {
        let Some(shape) = self.shape else { return Ok(()) };
        points.iter().try_for_each(|point| canvas.marker(*point, shape, self.color, RADIUS))
    }

    /// Draws a sample for the legend, from a place to the right.
    pub fn draw_sample<B: Backend>(&self, canvas: &Canvas<B>, (x, y): Point, width: i32) -> Result<(), PlotError> {
        if self.is_band {
            canvas.band(vec![(x, y - 24), (x + width, y - 24), (x + width, y + 24), (x, y + 24)], self.color)?;
        }
        self.draw_line(canvas, vec![(x, y), (x + width, y)])?;
        self.draw_points(canvas, &[(x + width / 2, y)])
    }
}

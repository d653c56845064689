use plotters::chart::{ChartBuilder, ChartContext, LabelAreaPosition};
use plotters::prelude::{Cartesian2d, Color, IntoFont, RGBColor};
use plotters::style::text_anchor::HPos;

use super::axis::Axis;
use super::canvas::{self, Backend, Canvas, FONT, INK, Point};
use super::figure::{HEIGHT, PlotError, SCALE, WIDTH};
use super::look::Look;

// Sizes on the canvas, which is larger than what is shown; the text can be read at half the shown size.
const TITLE: i32 = 92;
const SUBTITLE: i32 = 64;
const NAME: i32 = 68;
const LABEL: i32 = 62;
const LEGEND: i32 = 62;
const MARGIN: i32 = 50;
/// Half of a long number that stands at the end of the horizontal axis.
const RIGHT: i32 = 90;
const ROW: i32 = 86;
const SAMPLE: i32 = 140;
const GAP: i32 = 28;

/// What all figures have in common: a title, a legend between it and the data, so that it never covers any, and axes.
pub struct Sheet {
    pub title: String,
    pub subtitle: String,
    pub legend: Vec<(Look, String)>,
    pub x: Axis,
    pub y: Axis,
}

/// Where values lie on the canvas.
pub struct Plane<'a, B: Backend>(ChartContext<'a, B, Cartesian2d<Axis, Axis>>);

impl<B: Backend> Plane<'_, B> {
    /// The place of a pair of values.
    pub fn at(&self, x: f64, y: f64) -> Point {
        self.0.backend_coord(&(x, y))
    }

    /// The places of many.
    pub fn all(&self, values: impl IntoIterator<Item = (f64, f64)>) -> Vec<Point> {
        values.into_iter().map(|(x, y)| self.at(x, y)).collect()
    }
}

impl Sheet {
    /// Draws everything but the data, and tells where they belong.
    pub fn draw<'a, B: Backend>(&self, canvas: &Canvas<'a, B>) -> Result<Plane<'a, B>, PlotError> {
        for (text, size, y) in [(&self.title, TITLE, 76), (&self.subtitle, SUBTITLE, 170)] {
            let room = f64::from((WIDTH * SCALE) as i32 - 2 * MARGIN);
            let share = room / f64::from(canvas.width(text, size)?.max(1));
            let size = (f64::from(size) * share.min(1.0)) as i32;
            canvas.text(text, size, HPos::Center, ((WIDTH * SCALE) as i32 / 2, y))?;
        }
        let top = self.draw_legend(canvas, 236)?;
        self.draw_axes(canvas, top + 30)
    }

    /// Draws the legend in as many columns as its longest line leaves room for, and tells where it ends.
    fn draw_legend<B: Backend>(&self, canvas: &Canvas<B>, top: i32) -> Result<i32, PlotError> {
        let mut widest = 0;
        for (_, text) in &self.legend {
            widest = widest.max(canvas.width(text, LEGEND)?);
        }
        let cell = SAMPLE + GAP + widest + 3 * GAP;
        let room = (WIDTH * SCALE) as i32 - 2 * MARGIN;
        let columns = (room / cell).clamp(1, self.legend.len().max(1) as i32);
        let left = MARGIN + (room - columns * cell + 3 * GAP).max(0) / 2;
        let mut end = top;
        for (index, (look, text)) in (0..).zip(&self.legend) {
            let (x, y) = (left + index % columns * cell, top + index / columns * ROW + ROW / 2);
            look.draw_sample(canvas, (x, y), SAMPLE)?;
            canvas.text(text, LEGEND, HPos::Left, (x + SAMPLE + GAP, y))?;
            end = y + ROW / 2;
        }
        Ok(end)
    }

    fn draw_axes<'a, B: Backend>(&self, canvas: &Canvas<'a, B>, top: i32) -> Result<Plane<'a, B>, PlotError> {
        let Self { x, y, .. } = self;
        let mut widest = 0;
        for tick in &y.ticks {
            widest = widest.max(canvas.width(&y.label(*tick), LABEL)?);
        }
        let (left, bottom) = (NAME * 3 / 2 + widest + 40, 210);
        let mut chart = ChartBuilder::on(canvas.area())
            .margin_top(top)
            .margin_right(RIGHT)
            .margin_left(MARGIN / 2)
            .x_label_area_size(bottom)
            .y_label_area_size(left)
            .build_cartesian_2d(x.clone(), y.clone())
            .map_err(canvas::failed)?;
        chart
            .configure_mesh()
            .label_style((FONT, LABEL).into_font().color(&INK))
            .y_label_offset((B::RAISE * f64::from(LABEL)).round() as i32)
            .bold_line_style(RGBColor(215, 215, 215).stroke_width(3))
            .axis_style(INK.stroke_width(4))
            .set_tick_mark_size(LabelAreaPosition::Left, 14)
            // Labels stand twice this far away, beneath markers that lie on the axis.
            .set_tick_mark_size(LabelAreaPosition::Bottom, 20)
            .draw()
            .map_err(canvas::failed)?;
        let (columns, rows) = chart.plotting_area().get_pixel_range();
        let middle = ((columns.start + columns.end) / 2, (rows.start + rows.end) / 2);
        canvas.text(&x.name, NAME, HPos::Center, (middle.0, (HEIGHT * SCALE) as i32 - 64))?;
        canvas.upward_text(&y.name, NAME, (MARGIN / 2 + NAME / 2 + 10, middle.1))?;
        Ok(Plane(chart))
    }
}

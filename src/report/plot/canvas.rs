use std::error::Error;
use std::sync::Once;

use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::{
    BitMapBackend, Circle, DrawingArea, DrawingBackend, PathElement, Polygon, RGBColor, SVGBackend,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, FontTransform, IntoFont, ShapeStyle, TextStyle, register_font as register};

use super::figure::PlotError;

/// A place on the canvas.
pub type Point = (i32, i32);
/// The coordinates of a canvas.
pub type Pixels = Shift;

/// What the text is set in: the font that is built in, as a list for the SVG's viewer, who may have to make do with one
/// that is about as wide.
pub const FONT: &str = "DejaVu Sans, Verdana, sans-serif";
/// The colour of text.
pub const INK: RGBColor = RGBColor(30, 30, 30);

/// Makes the built-in font known to plotters, so that a machine without any can draw. DejaVu Sans is free to embed, under
/// the licence of Bitstream Vera; its changes to that font are in the public domain.
pub fn register_font() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let registered = register(FONT, FontStyle::Normal, dejavu::sans::regular());
        assert!(registered.is_ok(), "the built-in font can be read");
    });
}

/// A backend of plotters, and what must be known of it to put a text where it belongs.
pub trait Backend: DrawingBackend<ErrorType: 'static> {
    /// How far above the middle the backend sets capitals that should be centred, as a share of the font's size.
    const RAISE: f64;
}

impl Backend for SVGBackend<'_> {
    const RAISE: f64 = 0.07;
}

impl Backend for BitMapBackend<'_> {
    const RAISE: f64 = 0.21;
}

/// The shape of a marker, so that series are told apart without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Circle,
    Diamond,
    Square,
    Triangle,
}

/// What figures are drawn on.
pub struct Canvas<'a, B: Backend>(&'a DrawingArea<B, Pixels>);

impl<'a, B: Backend> Canvas<'a, B> {
    /// The canvas of a backend.
    pub fn new(area: &'a DrawingArea<B, Pixels>) -> Self {
        Self(area)
    }

    /// What plotters draws its own parts on.
    pub fn area(&self) -> &'a DrawingArea<B, Pixels> {
        self.0
    }

    /// A text whose left end, or middle, is vertically centred at a place.
    pub fn text(&self, text: &str, size: i32, anchor: HPos, at: Point) -> Result<(), PlotError> {
        let drop = (B::RAISE * f64::from(size)).round() as i32;
        self.0.draw_text(text, &style(size).pos(Pos::new(anchor, VPos::Center)), (at.0, at.1 + drop)).map_err(failed)
    }

    /// The same, from below to above.
    pub fn upward_text(&self, text: &str, size: i32, at: Point) -> Result<(), PlotError> {
        let drop = (B::RAISE * f64::from(size)).round() as i32;
        let style = style(size).transform(FontTransform::Rotate270).pos(Pos::new(HPos::Center, VPos::Center));
        self.0.draw_text(text, &style, (at.0 + drop, at.1)).map_err(failed)
    }

    /// How wide a text of a line is.
    pub fn width(&self, text: &str, size: i32) -> Result<i32, PlotError> {
        self.0.estimate_text_size(text, &style(size)).map(|(width, _)| width as i32).map_err(failed)
    }

    /// A line through these points.
    pub fn line(&self, points: Vec<Point>, color: RGBColor, width: u32) -> Result<(), PlotError> {
        self.0.draw(&PathElement::new(points, color.stroke_width(width))).map_err(failed)
    }

    /// A line of dashes of this length.
    pub fn dashes(&self, points: Vec<Point>, color: RGBColor, width: u32, dash: u32) -> Result<(), PlotError> {
        let style: ShapeStyle = color.stroke_width(width);
        self.0.draw(&DashedPathElement::new(points, dash, dash * 2 / 3, style)).map_err(failed)
    }

    /// An area that lets see what is beneath.
    pub fn band(&self, outline: Vec<Point>, color: RGBColor) -> Result<(), PlotError> {
        self.0.draw(&Polygon::new(outline, color.mix(0.25))).map_err(failed)
    }

    /// A marker with a white rim, so that it stands out from the lines.
    pub fn marker(&self, (x, y): Point, shape: Shape, color: RGBColor, radius: i32) -> Result<(), PlotError> {
        for (radius, color) in [(radius + 5, RGBColor(255, 255, 255)), (radius, color)] {
            let polygon = |corners: &[(f64, f64)]| {
                let scaled = |by: f64| (by * f64::from(radius)).round() as i32;
                let corners: Vec<Point> = corners.iter().map(|(dx, dy)| (x + scaled(*dx), y + scaled(*dy))).collect();
                self.0.draw(&Polygon::new(corners, color.filled()))
            };
            match shape {
                // Smaller than the others, so that one of them can be seen beneath it.
                Shape::Circle => self.0.draw(&Circle::new((x, y), radius - 3, color.filled())),
                Shape::Diamond => polygon(&[(0.0, -1.35), (1.35, 0.0), (0.0, 1.35), (-1.35, 0.0)]),
                Shape::Square => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
                Shape::Triangle => polygon(&[(0.0, -1.2), (1.2, 0.9), (-1.2, 0.9)]),
            }
            .map_err(failed)?;
        }
        Ok(())
    }
}

fn style(size: i32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

/// The failure of a backend, whichever it is.
pub fn failed<E: Error + Send + Sync + 'static>(error: E) -> PlotError {
    PlotError::Draw(Box::new(error))
}

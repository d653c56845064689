use std::error::Error;

use plotters::prelude::{BitMapBackend, DrawingArea, IntoDrawingArea, SVGBackend, WHITE};

use super::canvas::{self, Backend, Canvas};

/// The width of a figure, in pixels.
pub const WIDTH: u32 = 1600;
/// Its height.
pub const HEIGHT: u32 = 1000;

/// How much larger than shown a figure is drawn. plotters rounds to whole pixels and smooths no edges: four pixels become
/// one in the PNG, and a coordinate of the SVG is half a pixel.
pub(super) const SCALE: u32 = 2;

/// A figure, drawn twice by the same code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// As SVG. Its text is text, in DejaVu Sans or what the viewer has of equal width.
    pub svg: String,
    /// As PNG, [`WIDTH`] by [`HEIGHT`] pixels.
    pub png: Vec<u8>,
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The backend could not draw it.
    #[error("cannot draw the figure: {0}")]
    Draw(#[source] Box<dyn Error + Send + Sync>),
    /// What was drawn could not be written as PNG.
    #[error("cannot encode the figure: {0}")]
    Encode(#[from] png::EncodingError),
}

/// What can be drawn on any backend.
pub(super) trait Drawing {
    fn draw<B: Backend>(&self, canvas: &Canvas<B>) -> Result<(), PlotError>;
}

impl Figure {
    pub(super) fn of(drawing: &impl Drawing) -> Result<Self, PlotError> {
        canvas::register_font();
        Ok(Self { svg: svg(drawing)?, png: png(drawing)? })
    }
}

fn svg(drawing: &impl Drawing) -> Result<String, PlotError> {
    let (width, height) = (WIDTH * SCALE, HEIGHT * SCALE);
    let mut svg = String::new();
    paint(drawing, SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area())?;
    // The view box stays as it was drawn; what it is shown as is the size of the PNG.
    let drawn = format!("width=\"{width}\" height=\"{height}\"");
    Ok(svg.replacen(&drawn, &format!("width=\"{WIDTH}\" height=\"{HEIGHT}\""), 1))
}

fn png(drawing: &impl Drawing) -> Result<Vec<u8>, PlotError> {
    let (width, height) = (WIDTH * SCALE, HEIGHT * SCALE);
    let mut pixels = vec![0; (width * height * 3) as usize];
    paint(drawing, BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area())?;
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&reduced(&pixels))?;
    writer.finish()?;
    Ok(png)
}

fn paint<B: Backend>(drawing: &impl Drawing, area: DrawingArea<B, canvas::Pixels>) -> Result<(), PlotError> {
    area.fill(&WHITE).map_err(canvas::failed)?;
    drawing.draw(&Canvas::new(&area))?;
    area.present().map_err(canvas::failed)
}

/// The picture of the size that is shown: each pixel the mean of those that it was drawn as.
fn reduced(pixels: &[u8]) -> Vec<u8> {
    let (row, scale) = ((WIDTH * SCALE * 3) as usize, SCALE as usize);
    let mut small = Vec::with_capacity(pixels.len() / (scale * scale));
    for rows in pixels.chunks_exact(row * scale) {
        let mut sums = vec![0u16; (WIDTH * 3) as usize];
        for (place, value) in rows.iter().enumerate() {
            let (column, channel) = (place % row / 3, place % 3);
            sums[column / scale * 3 + channel] += u16::from(*value);
        }
        small.extend(sums.iter().map(|sum| (sum / (scale * scale) as u16) as u8));
    }
    small
}

//! The rivals' table as a picture: what an absent look-up costs, and what an entry takes, by size.

use std::collections::BTreeMap;
use std::path::Path;

use plotters::prelude::*;

/// By structure: millions of subjects, and the figure.
type Lines<'t> = BTreeMap<&'t str, Vec<(f64, f64)>>;

const COLOURS: [RGBColor; 8] = [
    RGBColor(213, 94, 0),
    RGBColor(230, 159, 0),
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(120, 120, 120),
    RGBColor(0, 0, 0),
];

/// Draws what the rows of `table` say into an SVG at `path`.
pub(crate) fn draw(path: &Path, table: &str) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(path, (1_100, 520)).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(550);
    chart(&left, "an absent look-up, ns", &lines(table, 2), 4.0..10_000.0, false)?;
    chart(&right, "an entry, bytes (and which line is whose)", &lines(table, 4), 4.0..10_000.0, true)?;
    area.present()?;
    Ok(())
}

/// The figures of a column, by structure. Rows that say something else have no number there.
fn lines(table: &str, column: usize) -> Lines<'_> {
    let mut lines = Lines::new();
    for row in table.lines() {
        let cells: Vec<&str> = row.trim_matches([' ', '|']).split(" | ").map(str::trim).collect();
        if let [name, millions, ..] = cells[..]
            && cells.len() == 7
            && let Some(millions) = millions.strip_suffix(" M").and_then(|m| m.parse().ok())
            && let Ok(figure) = cells[column].parse()
        {
            lines.entry(name).or_default().push((millions, figure));
        }
    }
    lines
}

fn chart(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    caption: &str,
    lines: &Lines<'_>,
    figures: std::ops::Range<f64>,
    legend: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d((0.9..110.0).log_scale(), figures.log_scale())?;
    chart.configure_mesh().x_desc("subjects, millions").light_line_style(WHITE).draw()?;
    for ((name, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let width = if name.starts_with("tamis") { 4 } else { 2 };
        let style = colour.stroke_width(width);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style).point_size(4))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    if legend {
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::UpperRight).background_style(WHITE).border_style(BLACK.mix(0.2));
        legend.draw()?;
    }
    Ok(())
}

//! Charts as SVG, made by the server, each with its numbers in a table.

use std::fmt::Write;

/// The size of a chart, in units of its own.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;

/// The numbers of one day.
#[derive(Debug, Clone)]
pub(super) struct Point {
    /// The day, such as `2026-01-02`.
    pub(super) day: String,
    pub(super) active: u64,
    pub(super) issued: u64,
    pub(super) ended: u64,
    pub(super) refused: u64,
}

/// Numbers of a day that are drawn as bars beside each other, each by the class that gives its colour.
type Series = [(&'static str, fn(&Point) -> u64)];

/// What was issued, and what ended.
pub(super) const CHANGES: &Series = &[("issued", |point| point.issued), ("ended", |point| point.ended)];

/// How often revoked tokens were presented.
pub(super) const REFUSALS: &Series = &[("refused", |point| point.refused)];

/// Returns the fewest and the most active tokens.
pub(super) fn range(points: &[Point]) -> (u64, u64) {
    let active = || points.iter().map(|point| point.active);
    (active().min().unwrap_or(0), active().max().unwrap_or(0))
}

/// Returns the highest number of one day.
pub(super) fn most(points: &[Point], series: &Series) -> u64 {
    let numbers = points
        .iter()
        .flat_map(|point| series.iter().map(|(_, number)| number(point)));
    numbers.max().unwrap_or(0)
}

/// Returns the line of active tokens. Classes give the colours, since the page allows no inline style.
pub(super) fn line(points: &[Point]) -> String {
    let scale = Scale::of(points.len(), range(points).1);
    let mut line = String::new();
    for (place, point) in points.iter().enumerate() {
        let (x, y) = (scale.left(place, 0.5), HEIGHT - scale.height(point.active));
        // Writing to a string does not fail.
        let _ = write!(line, "{x:.1},{y:.1} ");
    }
    let line = line.trim_end();
    let (first, last) = (
        scale.left(0, 0.5),
        scale.left(points.len().saturating_sub(1), 0.5),
    );
    let shapes = format!(
        "<polygon class=\"area\" points=\"{first:.1},{HEIGHT} {line} {last:.1},{HEIGHT}\"/>\
         <polyline class=\"active\" points=\"{line}\"/>"
    );
    picture("chart-of-active", "Active tokens by day", &shapes)
}

/// Returns a bar for each number of each day.
pub(super) fn bars(points: &[Point], series: &Series, id: &str, title: &str) -> String {
    let scale = Scale::of(points.len(), most(points, series));
    let width = 0.8 / series.len() as f64;
    let mut bars = String::new();
    for (place, point) in points.iter().enumerate() {
        for (beside, (class, number)) in series.iter().enumerate() {
            let height = scale.height(number(point));
            let _ = write!(
                bars,
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                scale.left(place, 0.1 + beside as f64 * width),
                HEIGHT - height,
                width * scale.step,
            );
        }
    }
    picture(id, title, &bars)
}

struct Scale {
    /// The width of a day.
    step: f64,
    /// The number that is as high as the chart.
    most: u64,
}

impl Scale {
    fn of(days: usize, most: u64) -> Self {
        Self {
            step: WIDTH / days.max(1) as f64,
            most: most.max(1),
        }
    }

    fn left(&self, place: usize, offset: f64) -> f64 {
        (place as f64 + offset) * self.step
    }

    fn height(&self, count: u64) -> f64 {
        count as f64 / self.most as f64 * HEIGHT
    }
}

fn picture(id: &str, title: &str, shapes: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" class=\"chart\" role=\"img\" aria-labelledby=\"{id}\" \
         preserveAspectRatio=\"none\"><title id=\"{id}\">{title}; the table below has the numbers</title>{shapes}</svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(active: u64, issued: u64, ended: u64) -> Point {
        Point {
            day: "2026-01-01".to_owned(),
            active,
            issued,
            ended,
            refused: 0,
        }
    }

    #[test]
    fn the_highest_number_is_as_high_as_the_chart() {
        let points = [point(10, 5, 1), point(5, 0, 0)];
        let line = line(&points);
        assert!(
            line.contains("class=\"active\" points=\"180.0,0.0 540.0,90.0\""),
            "{line}"
        );
        assert!(
            line.contains("points=\"180.0,180 180.0,0.0 540.0,90.0 540.0,180\""),
            "{line}"
        );
        let bars = bars(&points, CHANGES, "id", "title");
        assert!(
            bars.contains("class=\"issued\" x=\"36.0\" y=\"0.0\" width=\"144.0\" height=\"180.0\""),
            "{bars}"
        );
        assert!(
            bars.contains("class=\"ended\" x=\"180.0\" y=\"144.0\" width=\"144.0\" height=\"36.0\""),
            "{bars}"
        );
        assert_eq!((range(&points), most(&points, CHANGES)), ((5, 10), 5));
        assert_eq!(most(&points, REFUSALS), 0);
    }

    #[test]
    fn nothing_is_a_picture_too() {
        assert!(line(&[]).ends_with("points=\"\"/></svg>"));
        assert!(bars(&[], CHANGES, "id", "title").ends_with("</title></svg>"));
        assert_eq!((range(&[]), most(&[], CHANGES)), ((0, 0), 0));
    }
}

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
}

/// Returns the picture of some days: a line for active tokens, and bars for those that were issued and that ended. Classes
/// give the colours, since the page allows no inline style.
pub(super) fn picture(points: &[Point]) -> String {
    let most = points
        .iter()
        .map(|point| point.active.max(point.issued).max(point.ended))
        .max();
    let most = most.unwrap_or(0).max(1) as f64;
    let step = WIDTH / points.len().max(1) as f64;
    let height = |count: u64| count as f64 / most * HEIGHT;
    let mut picture = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" class=\"chart\" role=\"img\" aria-labelledby=\"chart-title\" \
         preserveAspectRatio=\"none\"><title id=\"chart-title\">Active, issued and ended tokens by day; the table below \
         has the numbers</title>"
    );
    let mut line = String::new();
    for (place, point) in points.iter().enumerate() {
        let left = place as f64 * step;
        for (class, count, offset) in [("issued", point.issued, 0.1), ("ended", point.ended, 0.5)] {
            // Writing to a string does not fail.
            let _ = write!(
                picture,
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                left + offset * step,
                HEIGHT - height(count),
                0.4 * step,
                height(count),
            );
        }
        let _ = write!(
            line,
            "{:.1},{:.1} ",
            left + step / 2.0,
            HEIGHT - height(point.active)
        );
    }
    let _ = write!(
        picture,
        "<polyline class=\"active\" points=\"{}\"/></svg>",
        line.trim_end()
    );
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_number_is_as_high_as_the_chart() {
        let point = |day: &str, active, issued| Point {
            day: day.to_owned(),
            active,
            issued,
            ended: 0,
        };
        let picture = picture(&[point("2026-01-01", 10, 5), point("2026-01-02", 5, 0)]);
        assert!(picture.contains("points=\"180.0,0.0 540.0,90.0\""), "{picture}");
        assert!(
            picture.contains("class=\"issued\" x=\"36.0\" y=\"90.0\" width=\"144.0\" height=\"90.0\""),
            "{picture}"
        );
    }

    #[test]
    fn nothing_is_a_picture_too() {
        assert!(picture(&[]).ends_with("points=\"\"/></svg>"));
    }
}

//! Results as a picture: bars with their range, in SVG, and from that in PNG.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, ensure};

use super::stats::Summary;
use crate::tool;

/// What makes PNG of SVG. A crate that does would bring a renderer and a typeface, more code than all of the benchmarks.
const RENDERER: &str = "rsvg-convert";
/// Pixels of a PNG for one of the picture, so that it is sharp on a slide.
const ZOOM: &str = "2";

const WIDTH: f64 = 760.0;
const NAMES: f64 = 220.0;
const NUMBERS: f64 = 80.0;
const LINE: f64 = 34.0;
const TOP: f64 = 52.0;
const COLOURS: [&str; 2] = ["#9aa5b1", "#2f6fb0"];

/// A bar for each of these, as long as its median, and a line from its least to its largest sample. Names that begin with
/// `own` have another colour.
#[must_use]
pub fn bars(title: &str, unit: &str, own: &str, bars: &[(&str, Summary)]) -> String {
    let height = TOP + LINE * bars.len() as f64 + 14.0;
    let largest = bars.iter().map(|(_, summary)| summary.max).fold(0.0, f64::max);
    let room = WIDTH - NAMES - NUMBERS;
    let length = |value: f64| {
        if largest > 0.0 {
            value / largest * room
        } else {
            0.0
        }
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{}</text>\n\
         <text x=\"{:.0}\" y=\"26\" text-anchor=\"end\" fill=\"#52606d\">{}</text>\n",
        escaped(title),
        WIDTH - 12.0,
        escaped(unit)
    );
    for (number, (name, summary)) in bars.iter().enumerate() {
        let top = TOP + LINE * number as f64;
        let middle = top + LINE / 2.0 - 4.0;
        let colour = COLOURS[usize::from(name.starts_with(own))];
        let (from, to) = (NAMES + length(summary.min), NAMES + length(summary.max));
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{NAMES}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\n\
             <path d=\"M{from:.1} {middle:.1}H{to:.1}\" stroke=\"#1f2933\" stroke-width=\"2\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\">{:.2}</text>\n",
            NAMES - 10.0,
            middle + 5.0,
            escaped(name),
            length(summary.median),
            LINE - 8.0,
            to + 8.0,
            middle + 5.0,
            summary.median
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Whether there is what it takes for a PNG.
///
/// # Errors
/// What is missing, and what to do.
pub fn can_rasterise() -> Result<()> {
    tool::find(RENDERER)
        .map(drop)
        .context("a PNG is drawn by a program of librsvg: `cargo xtask bench` installs it, or `apt install librsvg2-bin`")
}

/// The picture as PNG.
///
/// # Errors
/// What the renderer says.
pub fn rasterised(svg: &str) -> Result<Vec<u8>> {
    let mut renderer = Command::new(tool::find(RENDERER)?)
        .args(["--zoom", ZOOM, "--format", "png"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {RENDERER}"))?;
    let stdin = renderer.stdin.take();
    let output = thread::scope(|scope| {
        // It may have ended early, and then says why.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(svg.as_bytes())));
        renderer.wait_with_output()
    })
    .with_context(|| format!("waiting for {RENDERER}"))?;
    ensure!(
        output.status.success() && !output.stdout.is_empty(),
        "{RENDERER} draws no PNG: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_medians() {
        let of = |samples: &[f64]| Summary::of(samples).unwrap();
        let svg = bars(
            "a < b",
            "Mpps",
            "Tandem",
            &[("Tandem, dr", of(&[4.0])), ("other", of(&[1.0, 2.0, 3.0]))],
        );
        assert!(svg.contains("a &lt; b"));
        assert!(
            svg.contains("width=\"460.0\"") && svg.contains("width=\"230.0\""),
            "{svg}"
        );
        assert_eq!(svg.matches(COLOURS[1]).count(), 1);
        assert!(svg.contains("M335.0") && svg.contains("H565.0"), "{svg}");
        let empty = bars("nothing", "", "", &[("none", of(&[0.0]))]);
        assert!(empty.contains("width=\"0.0\""), "{empty}");
    }
}

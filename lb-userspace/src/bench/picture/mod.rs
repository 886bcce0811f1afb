//! Results as a picture: bars with their range, in SVG, and from that in [PNG](png).

pub mod png;

use std::fmt::Write as _;

use super::stats::Summary;

/// Widths, heights and gaps, in pixels.
const MARGIN: f64 = 12.0;
const BARS: f64 = 460.0;
const LINE: f64 = 34.0;
const BAR: f64 = 26.0;
const TITLE: f64 = 26.0;
const NOTE: f64 = 20.0;
const UNIT: f64 = 26.0;
/// Least room for names and for labels.
const NAMES: f64 = 220.0;
const LABELS: f64 = 80.0;
/// What a letter takes on average, in letters of 14 and of 12 pixels.
const LETTER: f64 = 7.4;
const SMALL_LETTER: f64 = 6.2;

/// What something is drawn as: its class, and its colours in light and in dark surroundings.
struct Paint(&'static str, &'static str, &'static str);

const GROUND: Paint = Paint("ground", "#ffffff", "#161b22");
const INK: Paint = Paint("ink", "#1f2933", "#e6edf3");
const PALE: Paint = Paint("pale", "#52606d", "#9aa5b1");
const OWN: Paint = Paint("own", "#2f6fb0", "#4a90d9");
const OTHER: Paint = Paint("other", "#9aa5b1", "#57606a");
const RANGE: Paint = Paint("range", "#1f2933", "#e6edf3");

impl Paint {
    /// Attributes of what is filled so. Whoever knows no style sheets sees the light colours.
    fn fill(&self) -> String {
        format!("class=\"{}\" fill=\"{}\"", self.0, self.1)
    }

    fn stroke(&self) -> String {
        format!("class=\"{}\" stroke=\"{}\"", self.0, self.1)
    }
}

/// Something on a slide.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    title: String,
    notes: Vec<String>,
    panels: Vec<Panel>,
}

/// Bars with the same unit.
#[derive(Debug, Clone, PartialEq)]
struct Panel {
    unit: String,
    bars: Vec<Bar>,
    /// Whether the scale is that of the bars above.
    goes_on: bool,
}

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    name: String,
    /// How long it is.
    value: f64,
    /// A line over it, from here to there.
    range: Option<(f64, f64)>,
    label: String,
    is_own: bool,
}

impl Bar {
    /// A bar as long as the median, and a line from the least to the largest sample.
    #[must_use]
    pub fn of(name: &str, summary: &Summary, digits: usize) -> Self {
        let Summary { min, median, max, .. } = *summary;
        Self {
            range: Some((min, max)),
            ..Self::value(name, median, digits)
        }
    }

    /// A bar of one value.
    #[must_use]
    pub fn value(name: &str, value: f64, digits: usize) -> Self {
        Self {
            name: name.to_owned(),
            value,
            range: None,
            label: format!("{value:.digits$}"),
            is_own: false,
        }
    }

    /// The same with a line from its end to here.
    #[must_use]
    pub fn up_to(self, end: f64, digits: usize) -> Self {
        Self {
            range: Some((self.value, end)),
            label: format!("{}, {end:.digits$}", self.label),
            ..self
        }
    }

    /// The same with something else said of it.
    #[must_use]
    pub fn labelled(self, label: &str) -> Self {
        Self {
            label: label.to_owned(),
            ..self
        }
    }

    /// The same in the colour of what the picture is about.
    #[must_use]
    pub fn own(self, is_own: bool) -> Self {
        Self { is_own, ..self }
    }

    fn end(&self) -> f64 {
        self.range.map_or(self.value, |(_, to)| self.value.max(to))
    }
}

impl Picture {
    /// One with nothing below its title.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            notes: Vec::new(),
            panels: Vec::new(),
        }
    }

    /// The same with a line in small letters below all else.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The same, which says so if some of what is on it is noisy.
    #[must_use]
    pub fn warning(self, noisy: impl IntoIterator<Item = bool>) -> Self {
        let (some, all) = noisy
            .into_iter()
            .fold((0, 0), |(some, all), noisy| (some + u32::from(noisy), all + 1));
        if some == 0 {
            return self;
        }
        self.note(format!("NOISY: {some} of {all} have samples that lie far apart"))
    }

    /// The same with more bars, below those that are there, on a scale of their own.
    #[must_use]
    pub fn panel(self, unit: impl Into<String>, bars: Vec<Bar>) -> Self {
        self.with(unit.into(), bars, false)
    }

    /// The same with more bars on the scale of those above them.
    #[must_use]
    pub fn more(self, unit: impl Into<String>, bars: Vec<Bar>) -> Self {
        self.with(unit.into(), bars, true)
    }

    fn with(mut self, unit: String, bars: Vec<Bar>, goes_on: bool) -> Self {
        if !bars.is_empty() {
            self.panels.push(Panel { unit, bars, goes_on });
        }
        self
    }

    /// As SVG, which follows the surroundings, light or dark, where it is shown by something that knows them.
    #[must_use]
    pub fn svg(&self) -> String {
        let bars = || self.panels.iter().flat_map(|panel| &panel.bars);
        let longest = |text: fn(&Bar) -> &str, letter| {
            let lengths = bars().map(|bar| text(bar).chars().count());
            lengths.max().unwrap_or_default() as f64 * letter
        };
        let names = NAMES.max(longest(|bar| &bar.name, LETTER) + 2.0 * MARGIN).round();
        let labels = LABELS
            .max(longest(|bar| &bar.label, LETTER) + 2.0 * MARGIN)
            .round();
        let notes = self.notes.iter().map(|note| note.chars().count());
        let notes = notes.max().unwrap_or_default() as f64 * SMALL_LETTER + 2.0 * MARGIN;
        let width = (names + BARS + labels).max(notes.round());
        let mut below = String::new();
        let mut y = TITLE + MARGIN;
        let mut most: f64 = 0.0;
        for panel in &self.panels {
            text(
                &mut below,
                (names, y + 16.0),
                &PALE,
                "font-size=\"13\"",
                &panel.unit,
            );
            y += UNIT;
            let above = if panel.goes_on { most } else { 0.0 };
            most = panel.bars.iter().map(Bar::end).fold(above, f64::max);
            let scale = if most > 0.0 { BARS / most } else { 0.0 };
            for bar in &panel.bars {
                bar.draw(&mut below, names, y, scale);
                y += LINE;
            }
            y += MARGIN / 2.0;
        }
        for note in &self.notes {
            text(&mut below, (MARGIN, y + 14.0), &PALE, "font-size=\"12\"", note);
            y += NOTE;
        }
        let height = y + MARGIN / 2.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"14\">\n\
             <style>@media (prefers-color-scheme: dark) {{"
        );
        for Paint(class, _, dark) in [GROUND, INK, PALE, OWN, OTHER] {
            let _ = write!(svg, " .{class} {{ fill: {dark} }}");
        }
        let _ = write!(
            svg,
            " .{} {{ stroke: {} }} }}</style>\n<rect width=\"100%\" height=\"100%\" {}/>\n",
            RANGE.0,
            RANGE.2,
            GROUND.fill()
        );
        let bold = "font-size=\"16\" font-weight=\"bold\"";
        text(&mut svg, (MARGIN, TITLE), &INK, bold, &self.title);
        svg.push_str(&below);
        svg.push_str("</svg>\n");
        svg
    }
}

impl Bar {
    fn draw(&self, svg: &mut String, names: f64, top: f64, scale: f64) {
        let middle = top + BAR / 2.0;
        let baseline = middle + 5.0;
        let paint = if self.is_own { &OWN } else { &OTHER };
        text(
            svg,
            (names - 10.0, baseline),
            &INK,
            "text-anchor=\"end\"",
            &self.name,
        );
        let length = |value: f64| if value > 0.0 { value * scale } else { 0.0 };
        let _ = writeln!(
            svg,
            "<rect x=\"{names}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR}\" {}/>",
            length(self.value),
            paint.fill()
        );
        if let Some((from, to)) = self.range {
            let _ = writeln!(
                svg,
                "<path d=\"M{:.1} {middle:.1}H{:.1}\" stroke-width=\"2\" {}/>",
                names + length(from),
                names + length(to),
                RANGE.stroke()
            );
        }
        let after = names + length(self.end()) + 8.0;
        text(svg, (after, baseline), &INK, "", &self.label);
    }
}

fn text(svg: &mut String, (x, y): (f64, f64), paint: &Paint, more: &str, text: &str) {
    let more = if more.is_empty() {
        String::new()
    } else {
        format!("{more} ")
    };
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" {more}{}>{}</text>",
        paint.fill(),
        escaped(text)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: &[f64]) -> Summary {
        Summary::of(samples).unwrap()
    }

    #[test]
    fn bars_are_as_long_as_their_medians() {
        let bars = vec![
            Bar::of("Tandem, dr", &of(&[4.0]), 2).own(true),
            Bar::of("other", &of(&[1.0, 2.0, 3.0]), 2),
        ];
        let svg = Picture::new("a < b").panel("Mpps", bars).svg();
        assert!(svg.contains("a &lt; b"));
        assert!(
            svg.contains("width=\"460.0\"") && svg.contains("width=\"230.0\""),
            "{svg}"
        );
        assert_eq!(svg.matches(OWN.1).count(), 1);
        assert!(svg.contains("M335.0") && svg.contains("H565.0"), "{svg}");
        assert!(
            svg.contains(">2.00<") && svg.contains("prefers-color-scheme: dark"),
            "{svg}"
        );
    }

    #[test]
    fn what_has_no_length_is_drawn_without_one() {
        let nothing = vec![Bar::of("none", &of(&[0.0]), 2), Bar::value("less", -1.0, 2)];
        let svg = Picture::new("nothing").panel("", nothing).svg();
        assert_eq!(svg.matches("width=\"0.0\"").count(), 2, "{svg}");
        assert!(
            !Picture::new("nothing")
                .panel("", Vec::new())
                .svg()
                .contains("NaN")
        );
    }

    #[test]
    fn names_notes_and_labels_have_the_room_that_they_need() {
        let name = "[2001:db8:1:2:3:4:5:6]:65535/udp, 1 M flows";
        let bar = Bar::value(name, 2.0, 1).up_to(4.0, 1);
        let svg = Picture::new("").panel("", vec![bar.clone()]).svg();
        assert!(svg.contains("viewBox=\"0 0 885 "), "{svg}");
        assert!(svg.contains(">2.0, 4.0<") && svg.contains("H802.0"), "{svg}");
        let svg = Picture::new("").panel("", vec![bar]).note("n".repeat(200)).svg();
        assert!(svg.contains("viewBox=\"0 0 1264 "), "{svg}");
    }

    #[test]
    fn the_same_unit_has_the_same_scale() {
        let bars = |value| vec![Bar::value("one", value, 1)];
        let above = Picture::new("").panel("ns", bars(4.0));
        let apart = above.clone().panel("us", bars(2.0)).svg();
        assert_eq!(apart.matches("width=\"460.0\"").count(), 2, "{apart}");
        let together = above.more("ns in all", bars(2.0)).svg();
        assert!(together.contains("width=\"230.0\""), "{together}");
    }

    #[test]
    fn noise_is_not_hidden() {
        let svg = |noisy: [bool; 3]| Picture::new("").warning(noisy).svg();
        assert!(svg([true, false, true]).contains("NOISY: 2 of 3"));
        assert!(!svg([false; 3]).contains("NOISY"));
    }
}

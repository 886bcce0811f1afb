//! One readable screen: drawn over and over on a terminal, line by line elsewhere.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    time::Instant,
};

/// Width of the longest bar.
const BAR: usize = 30;

/// What the screen shows of a backend.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) note: String,
    pub(super) connections: u64,
    /// Share of the new connections of this act, 0..=1.
    pub(super) got: f64,
    /// Share that its weight asks for, 0..=1.
    pub(super) expected: f64,
}

/// The screen.
#[derive(Debug)]
pub struct Screen {
    terminal: bool,
    started: Instant,
    lines: usize,
    acts: Vec<(String, bool)>,
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

impl Screen {
    /// An empty screen.
    #[must_use]
    pub fn new() -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
            started: Instant::now(),
            lines: 0,
            acts: Vec::new(),
        }
    }

    /// A new act begins.
    pub(super) fn act(&mut self, title: &str) {
        if let Some(act) = self.acts.last_mut() {
            act.1 = true;
        }
        self.acts.push((title.to_owned(), false));
        if !self.terminal {
            println!("{:5.1} s  {title}", self.started.elapsed().as_secs_f64());
        }
    }

    /// The last act is over.
    pub(super) fn end(&mut self, rows: &[Row], total: &str) {
        if let Some(act) = self.acts.last_mut() {
            act.1 = true;
        }
        self.draw(rows, total);
    }

    /// Draws the present state; on what is no terminal, nothing.
    pub(super) fn draw(&mut self, rows: &[Row], total: &str) {
        if !self.terminal {
            return;
        }
        let text = self.text(rows, total);
        let mut out = io::stdout().lock();
        // Up to where the last drawing began, and clear from there. A screen that is gone is no reason to stop.
        let _ = if self.lines > 0 {
            write!(out, "\x1b[{}A\x1b[J{text}", self.lines)
        } else {
            write!(out, "{text}")
        };
        let _ = out.flush();
        self.lines = text.lines().count();
    }

    fn text(&self, rows: &[Row], total: &str) -> String {
        let mut text = format!(
            "\n  Tandem  {:>5.1} s   {total}\n\n",
            self.started.elapsed().as_secs_f64()
        );
        for (title, done) in &self.acts {
            let _ = writeln!(text, "  {} {title}", if *done { "✓" } else { "▸" });
        }
        let _ = writeln!(
            text,
            "\n  {:<10} {:<9} {:>11}  new connections in this act",
            "backend", "", "connections"
        );
        for row in rows {
            let _ = writeln!(
                text,
                "  {:<10} {:<9} {:>11}  {:<BAR$} {:>3.0} % of {:.0} %",
                row.name,
                row.note,
                row.connections,
                bar(row.got),
                row.got * 100.0,
                row.expected * 100.0
            );
        }
        text
    }
}

fn bar(share: f64) -> String {
    "█".repeat((share.clamp(0.0, 1.0) * BAR as f64).round() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stay_within_their_width() {
        assert_eq!(bar(0.0), "");
        assert_eq!(bar(1.7).chars().count(), BAR);
        assert_eq!(bar(0.5).chars().count(), BAR / 2);
    }

    #[test]
    fn the_screen_tells_what_is_done_and_what_is_not() {
        let mut screen = Screen::new();
        screen.terminal = true;
        screen.act("one");
        screen.act("two");
        let row = Row {
            name: "web1".into(),
            note: "weight 1".into(),
            connections: 7,
            got: 0.5,
            expected: 0.5,
        };
        let text = screen.text(&[row], "14 connections");
        assert!(
            text.contains("✓ one") && text.contains("▸ two") && text.contains("50 % of 50 %"),
            "{text}"
        );
    }
}

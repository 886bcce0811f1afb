//! The terminal: taken over for a while, and given back as it was.

use std::{
    io::{self, Write},
    thread,
};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    execute, queue,
    style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor},
    terminal::{
        self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
    },
};
use tokio::sync::mpsc;

use super::screen::{Line, Style};

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Pause,
    Sort,
    Backends,
    /// So many rows towards the first one.
    Up(usize),
    /// So many rows away from it.
    Down(usize),
    /// The screen has another size.
    Resized,
}

const PAGE: usize = 10;

/// A screen of its own on the terminal; the old one is back when it is dropped.
pub(super) struct Terminal {
    keys: mpsc::Receiver<Key>,
}

impl Terminal {
    pub(super) fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        let (sender, keys) = mpsc::channel(16);
        // From here on it is dropped if something fails.
        let terminal = Self { keys };
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        // It ends with the process: nothing wakes it from a read.
        thread::spawn(move || {
            while let Ok(event) = event::read() {
                if let Some(key) = understand(&event)
                    && sender.blocking_send(key).is_err()
                {
                    break;
                }
            }
        });
        Ok(terminal)
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        let (width, height) = terminal::size().unwrap_or((80, 24));
        (width.into(), height.into())
    }

    pub(super) async fn key(&mut self) -> Key {
        // Without a keyboard there is nothing to wait for.
        self.keys.recv().await.unwrap_or(Key::Quit)
    }

    pub(super) fn show(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for (row, line) in (0..).zip(lines) {
            queue!(out, MoveTo(0, row))?;
            match line.style {
                Style::Plain => {}
                Style::Strong => queue!(out, SetAttribute(Attribute::Bold))?,
                Style::Title => queue!(out, SetAttribute(Attribute::Reverse))?,
                Style::Alarm => queue!(out, SetForegroundColor(Color::Red))?,
            }
            queue!(
                out,
                Print(&line.text),
                SetAttribute(Attribute::Reset),
                ResetColor,
                Clear(ClearType::UntilNewLine)
            )?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        out.flush()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

fn understand(event: &Event) -> Option<Key> {
    let key = match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        Event::Resize(..) => return Some(Key::Resized),
        _ => return None,
    };
    Some(match key {
        KeyEvent {
            code: KeyCode::Char('c'),
            modifiers: KeyModifiers::CONTROL,
            ..
        } => Key::Quit,
        KeyEvent { code, .. } => match code {
            KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
            KeyCode::Char('p' | ' ') => Key::Pause,
            KeyCode::Char('s') => Key::Sort,
            KeyCode::Char('b') => Key::Backends,
            KeyCode::Up | KeyCode::Char('k') => Key::Up(1),
            KeyCode::Down | KeyCode::Char('j') => Key::Down(1),
            KeyCode::PageUp => Key::Up(PAGE),
            KeyCode::PageDown => Key::Down(PAGE),
            KeyCode::Home => Key::Up(usize::MAX),
            KeyCode::End => Key::Down(usize::MAX),
            _ => return None,
        },
    })
}

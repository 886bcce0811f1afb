//! `tandem top`: what goes on, live.

mod frame;
mod screen;
mod terminal;

use std::{
    io::{self, IsTerminal as _, Write},
    time::Duration,
};

use clap::{Args, ValueEnum};
use tokio::time::{Instant, sleep, sleep_until};

use self::{
    frame::{Frame, Sample},
    screen::{Page, draw},
    terminal::{Key, Terminal},
};
use super::{CliError, Exit, Show};
use crate::api::Client;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Seconds between two looks.
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = super::patience)]
    interval: Duration,
    /// What stands on top among the backends of a service.
    #[arg(long, value_enum, default_value = "config")]
    sort: Sort,
    /// One look, over one interval; also if the output is no terminal.
    #[arg(short = '1', long)]
    once: bool,
}

/// In which order the backends of a service stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// As in the configuration.
    Config,
    /// Most flows first.
    Flows,
    /// Most new flows a second first.
    New,
    /// Most packets a second first.
    Packets,
}

impl Sort {
    const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Flows => "flows",
            Self::New => "new",
            Self::Packets => "packets",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Config => Self::Flows,
            Self::Flows => Self::New,
            Self::New => Self::Packets,
            Self::Packets => Self::Config,
        }
    }
}

/// Shortest time between two looks: each costs the daemon some milliseconds where there are thousands of backends.
const SHORTEST: Duration = Duration::from_millis(200);

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let interval = arguments.interval.max(SHORTEST);
    let first = Sample::take(client).await?;
    if show.json || arguments.once || !io::stdout().is_terminal() {
        sleep(interval).await;
        let frame = Frame::between(&first, &Sample::take(client).await?, arguments.sort);
        if show.json {
            show.json(&frame)?;
            return Ok(Exit::Success);
        }
        let page = Page::whole(arguments.sort);
        for line in draw(&frame, &page) {
            writeln!(show.out, "{}", line.text.trim_end())?;
        }
        return Ok(Exit::Success);
    }
    watch(arguments.sort, interval, client, first).await
}

/// Until the user has seen enough.
async fn watch(sort: Sort, interval: Duration, client: &Client, first: Sample) -> Result<Exit, CliError> {
    let mut terminal = Terminal::enter()?;
    let mut page = Page {
        sort,
        interval,
        ..Page::whole(sort)
    };
    let mut before = first.clone();
    let mut latest = first;
    let mut paused = false;
    let mut due = Instant::now() + interval;
    loop {
        (page.width, page.height) = terminal.size();
        let frame = Frame::between(&before, &latest, page.sort);
        let lines = draw(&frame, &page);
        page.first = page.first.min(lines.len().saturating_sub(1));
        terminal.show(&lines)?;
        tokio::select! {
            key = terminal.key() => match key {
                Key::Quit => return Ok(Exit::Success),
                Key::Pause => {
                    paused = !paused;
                    page.paused = paused;
                }
                Key::Sort => page.sort = page.sort.next(),
                Key::Backends => page.backends = !page.backends,
                Key::Up(lines) => page.first = page.first.saturating_sub(lines),
                Key::Down(lines) => page.first = page.first.saturating_add(lines).min(frame.rows()),
                Key::Resized => {}
            },
            () = sleep_until(due), if !paused => {
                due = Instant::now() + page.interval;
                // It may be down for a restart: the numbers stay, and what is wrong is said.
                match Sample::take(client).await {
                    Ok(sample) => {
                        before = std::mem::replace(&mut latest, sample);
                        page.trouble = None;
                    }
                    Err(error) => page.trouble = Some(error.to_string()),
                }
            }
        }
    }
}

//! How a frame looks: lines of text, for a screen of 80 by 24 and up.

use std::time::Duration;

use super::{
    Sort,
    frame::{Backend, Frame, Rate, Service},
};
use crate::{
    api::types::{BackendState, Family, InstanceView, Role, TableView, XdpMode},
    cli::units,
};

/// What is shown of it, and how.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) sort: Sort,
    pub(super) interval: Duration,
    /// Whether backends are shown, or services alone.
    pub(super) backends: bool,
    pub(super) paused: bool,
    /// First row of the list that is shown.
    pub(super) first: usize,
    /// Why the numbers are old.
    pub(super) trouble: Option<String>,
}

impl Page {
    /// All of it.
    pub(super) fn whole(sort: Sort) -> Self {
        Self {
            width: usize::MAX,
            height: usize::MAX,
            sort,
            interval: Duration::from_secs(1),
            backends: true,
            paused: false,
            first: 0,
            trouble: None,
        }
    }
}

/// How a line stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    /// Of a table.
    Title,
    /// Something that somebody may have to see to.
    Alarm,
    /// A service, above its backends.
    Strong,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) style: Style,
}

fn line(style: Style, text: impl Into<String>) -> Line {
    Line {
        text: text.into(),
        style,
    }
}

/// Most drains that are shown each by itself.
const MOST_DRAINS: usize = 3;
/// Most instances that are shown each by itself.
const MOST_INSTANCES: usize = 3;

/// The lines of the screen, none longer than it is wide, and no more than it has.
pub(super) fn draw(frame: &Frame, page: &Page) -> Vec<Line> {
    let mut lines = head(frame, page);
    lines.push(line(Style::Plain, ""));
    lines.push(line(Style::Title, titles()));
    let mut rows: Vec<Line> = Vec::new();
    for service in &frame.services {
        rows.push(service_row(service));
        if page.backends {
            rows.extend(service.members.iter().map(backend_row));
        }
    }
    let room = page.height.saturating_sub(lines.len() + 1);
    let first = page.first.min(rows.len().saturating_sub(room));
    let hidden = rows.len().saturating_sub(first + room);
    lines.extend(rows.into_iter().skip(first).take(room));
    if page.height != usize::MAX {
        let more = match hidden {
            0 => String::new(),
            _ => format!("{hidden} more below: "),
        };
        let help = format!(
            "q quit  p pause  s sort: {}  b backends  {more}arrows, page keys",
            page.sort.name()
        );
        while lines.len() + 1 < page.height {
            lines.push(line(Style::Plain, ""));
        }
        lines.push(line(Style::Title, help));
    }
    lines.truncate(page.height);
    for line in &mut lines {
        if line.text.chars().count() > page.width {
            line.text = line.text.chars().take(page.width).collect();
        }
    }
    lines
}

fn head(frame: &Frame, page: &Page) -> Vec<Line> {
    let status = &frame.status;
    let uptime = units::seconds(status.uptime_seconds);
    let interfaces: Vec<_> = status
        .interfaces
        .iter()
        .map(|interface| match interface.mode {
            Some(XdpMode::Native) => interface.name.clone(),
            Some(XdpMode::Generic) => format!("{} GENERIC (slow)", interface.name),
            Some(XdpMode::Offloaded) => format!("{} offloaded", interface.name),
            None => format!("{} NOT ATTACHED", interface.name),
        })
        .collect();
    let paused = if page.paused { "  PAUSED" } else { "" };
    let mut lines = vec![line(
        Style::Strong,
        format!(
            "director {}  tandemd {} up {uptime}  on {}{paused}",
            status.name,
            status.version,
            interfaces.join(", ")
        ),
    )];
    if let Some(trouble) = &page.trouble {
        lines.push(line(Style::Alarm, format!("no news: {trouble}")));
    }
    lines.push(line(Style::Plain, format!("traffic  {}", traffic(&frame.total))));
    lines.push(dropped(frame));
    lines.extend(frame.stats.tables.iter().map(table));
    lines.extend(frame.ha.instances.iter().take(MOST_INSTANCES).map(instance));
    if frame.ha.instances.len() > MOST_INSTANCES {
        let more = frame.ha.instances.len() - MOST_INSTANCES;
        lines.push(line(
            Style::Plain,
            format!("ha       and {more} more: `tandem ha`"),
        ));
    }
    lines.extend(drains(frame));
    lines
}

fn traffic(rate: &Rate) -> String {
    format!(
        "{} packets/s  {}/s  {} new flows/s",
        whole(rate.packets),
        units::bits(bits(rate)),
        whole(rate.new_flows)
    )
}

fn dropped(frame: &Frame) -> Line {
    if frame.dropped.is_empty() {
        return line(Style::Plain, "dropped  nothing");
    }
    let reasons: Vec<_> = frame
        .dropped
        .iter()
        .map(|dropped| format!("{} {}/s", dropped.reason, whole(dropped.packets)))
        .collect();
    line(Style::Alarm, format!("dropped  {}", reasons.join("  ")))
}

/// From here on a table is nearly full.
const PRESSURE: f64 = 0.8;

fn table(table: &TableView) -> Line {
    const BAR: usize = 20;
    let full = table.flows as f64 / table.places.max(1) as f64;
    let filled = ((full * BAR as f64).ceil() as usize).min(BAR);
    let family = match table.family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    };
    line(
        if full > PRESSURE {
            Style::Alarm
        } else {
            Style::Plain
        },
        format!(
            "flows    {family} [{}{}] {} of {} ({})",
            "#".repeat(filled),
            ".".repeat(BAR - filled),
            units::count(table.flows),
            units::count(table.places),
            units::percent(full)
        ),
    )
}

fn instance(instance: &InstanceView) -> Line {
    let since = instance
        .since_seconds
        .map_or(String::new(), |since| format!(" for {}", units::seconds(since)));
    let role = match instance.role {
        Role::Active => "ACTIVE".to_owned(),
        Role::Backup | Role::Out => instance.role.name().to_owned(),
    };
    let why = if instance.unfit.is_empty() {
        instance.reason.clone().unwrap_or_default()
    } else {
        instance.unfit.join("; ")
    };
    let separator = if why.is_empty() { "" } else { ": " };
    let style = if instance.unfit.is_empty() {
        Style::Plain
    } else {
        Style::Alarm
    };
    line(
        style,
        format!("ha       {} {role}{since}{separator}{why}", instance.name),
    )
}

fn drains(frame: &Frame) -> Vec<Line> {
    let members = frame.services.iter().flat_map(|service| &service.members);
    let drains: Vec<_> = members
        .filter_map(|member| Some((&member.view, member.view.drain.as_ref()?)))
        .filter(|(_, drain)| !drain.drained)
        .collect();
    let mut lines: Vec<_> = drains
        .iter()
        .take(MOST_DRAINS)
        .map(|(view, drain)| {
            let left = drain.remaining_seconds.map_or(String::new(), |left| {
                format!(", over in about {}", units::seconds(left))
            });
            line(
                Style::Plain,
                format!(
                    "drain    {}/{}: {} of {} flows are left{left}",
                    view.service, view.name, drain.flows, drain.flows_at_start
                ),
            )
        })
        .collect();
    if drains.len() > MOST_DRAINS {
        let more = drains.len() - MOST_DRAINS;
        lines.push(line(
            Style::Plain,
            format!("drain    and {more} more: `tandem backend`"),
        ));
    }
    lines
}

fn titles() -> String {
    row(
        "SERVICE / BACKEND",
        "STATE",
        ["WEIGHT", "FLOWS", "NEW/s", "PKT/s", "BIT/s"],
    )
}

/// 80 columns.
fn row(name: &str, state: &str, numbers: [&str; 5]) -> String {
    let [weight, flows, new, packets, bits] = numbers;
    format!("{name:<24} {state:<11} {weight:>6} {flows:>8} {new:>7} {packets:>8} {bits:>9}")
}

fn service_row(service: &Service) -> Line {
    let view = &service.view;
    let style = if view.backends_ready == 0 {
        Style::Alarm
    } else {
        Style::Strong
    };
    let ready = format!("{}/{} ready", view.backends_ready, view.backends);
    line(style, numbers(&view.name, &ready, "", view.flows, &service.rate))
}

fn backend_row(backend: &Backend) -> Line {
    let view = &backend.view;
    let style = match view.state {
        BackendState::Down { .. } | BackendState::Unresolved { .. } => Style::Alarm,
        BackendState::Ready
        | BackendState::Warming
        | BackendState::Draining
        | BackendState::Offline
        | BackendState::Removed => Style::Plain,
    };
    line(
        style,
        numbers(
            &format!("  {}", view.name),
            view.state.name(),
            &view.effective_weight.to_string(),
            view.flows,
            &backend.rate,
        ),
    )
}

fn numbers(name: &str, state: &str, weight: &str, flows: u64, rate: &Rate) -> String {
    const NAME: usize = 24;
    let name: String = name.chars().take(NAME).collect();
    row(
        &name,
        state,
        [
            weight,
            &units::count(flows),
            &whole(rate.new_flows),
            &whole(rate.packets),
            &units::bits(bits(rate)),
        ],
    )
}

fn whole(rate: f64) -> String {
    // Less than one a second is not nothing.
    if rate > 0.0 && rate < 0.95 {
        return format!("{rate:.1}");
    }
    units::count(rate.round() as u64)
}

fn bits(rate: &Rate) -> u64 {
    (rate.bytes * 8.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::{super::frame::tests::samples, *};

    fn screen(width: usize, height: usize) -> Page {
        Page {
            width,
            height,
            ..Page::whole(Sort::Config)
        }
    }

    fn text(lines: &[Line]) -> String {
        lines
            .iter()
            .map(|line| format!("{}\n", line.text.trim_end()))
            .collect()
    }

    fn example() -> Frame {
        let [before, after] = samples();
        Frame::between(&before, &after, Sort::Config)
    }

    #[test]
    fn looks_as_documented() {
        let shown = text(&draw(&example(), &screen(80, 24)));
        assert_eq!(shown, include_str!("../testdata/top.txt"), "{shown}");
    }

    #[test]
    fn fits_any_screen() {
        let frame = example();
        for (width, height) in [(80, 24), (40, 10), (200, 60), (1, 1), (80, 3)] {
            let lines = draw(&frame, &screen(width, height));
            assert!(lines.len() <= height, "{width}x{height}");
            assert!(lines.iter().all(|line| line.text.chars().count() <= width));
        }
        assert!(titles().chars().count() <= 80);
    }

    #[test]
    fn what_does_not_fit_is_reached_by_scrolling() {
        let frame = example();
        let mut page = screen(80, 15);
        let all = text(&draw(&frame, &Page::whole(Sort::Config)));
        let mut seen = String::new();
        for first in 0..=frame.rows() {
            page.first = first;
            seen.push_str(&text(&draw(&frame, &page)));
        }
        for service in &frame.services {
            for member in &service.members {
                assert!(all.contains(&member.view.name) && seen.contains(&member.view.name));
            }
        }
        page.first = 0;
        assert!(text(&draw(&frame, &page)).contains("more below"));
        page.backends = false;
        assert!(!text(&draw(&frame, &page)).contains("  web1"));
    }

    #[test]
    fn trouble_stands_out() {
        let mut frame = example();
        frame.services[0].view.backends_ready = 0;
        frame.stats.tables[0].flows = frame.stats.tables[0].places;
        let page = Page {
            trouble: Some("tandemd is not running".to_owned()),
            ..screen(80, 24)
        };
        let lines = draw(&frame, &page);
        let alarms: Vec<_> = lines
            .iter()
            .filter(|line| line.style == Style::Alarm)
            .map(|line| line.text.as_str())
            .collect();
        for word in [
            "no news: tandemd is not running",
            "flows    ipv4 [####################]",
            "web  ",
        ] {
            assert!(
                alarms.iter().any(|alarm| alarm.starts_with(word)),
                "{word}: {alarms:?}"
            );
        }
    }
}

//! `tandem trace` and `tandem capture`: packets, and what is decided of them.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    ops::ControlFlow,
    path::PathBuf,
    time::Duration,
};

use clap::Args;

use super::{
    CliError, Exit, Show,
    flow::protocol,
    pcapng::{Packet, Writer},
    units,
};
use crate::{
    api::{
        Client,
        trace::{Action, TraceRequest, TraceView},
        watch::{Moment, PacketView, Place, WatchRequest},
    },
    core::{
        frame::{Shape, TcpFlags},
        model::Protocol,
    },
};

/// Less is not waited for an answer: the program is loaded once more for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Which packets.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(super) struct Chosen {
    /// Where they come from; an address and a port, or with --follow also an address or a network.
    #[arg(long, value_name = "IP:PORT")]
    src: Option<Place>,
    /// Where they go, likewise.
    #[arg(long, value_name = "VIP:PORT")]
    dst: Option<Place>,
    /// Their protocol.
    #[arg(short, long, value_parser = protocol)]
    protocol: Option<Protocol>,
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    chosen: Chosen,
    /// Follow those that are under way, instead of asking where one would go.
    #[arg(short, long, conflicts_with_all = ["flags", "shape", "interface"])]
    follow: bool,
    #[command(flatten)]
    follower: Follower,
    /// Flags of a TCP segment, such as ack or fin+ack [default: syn].
    #[arg(long, value_name = "FLAGS")]
    flags: Option<TcpFlags>,
    /// What it looks like: whole, first-fragment, later-fragment, or error (about a reply) [default: whole].
    #[arg(long, value_name = "SHAPE")]
    shape: Option<Shape>,
    /// Interface that it comes in by [default: the first one that is configured].
    #[arg(short, long, value_name = "NAME")]
    interface: Option<String>,
}

/// How packets are followed.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(super) struct Follower {
    /// Only one of so many, by chance; rounded up to a power of two.
    #[arg(long, value_name = "N")]
    sample: Option<u32>,
    /// End after so many.
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct CaptureArguments {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    follower: Follower,
    /// File that is written, as pcapng; - for standard output.
    file: PathBuf,
    /// Bytes of each packet, at most 1536.
    #[arg(long, value_name = "N", default_value = "1536")]
    bytes: u32,
}

impl Arguments {
    pub(super) fn only_shows(&self) -> bool {
        !self.follow
    }
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    if arguments.follow {
        return follow(arguments, client, show).await;
    }
    let socket = |place: Option<Place>| place.and_then(Place::socket);
    let (Some(source), Some(destination)) = (socket(arguments.chosen.src), socket(arguments.chosen.dst))
    else {
        eprintln!(
            "tandem: a packet has --src IP:PORT and --dst VIP:PORT; --follow shows those that are under way"
        );
        return Ok(Exit::Usage);
    };
    let request = TraceRequest {
        source,
        destination,
        protocol: arguments.chosen.protocol,
        flags: arguments.flags,
        shape: arguments.shape,
        interface: arguments.interface.clone(),
    };
    let view = client.trace(&request).await?;
    if show.json {
        show.json(&view)?;
    } else {
        render(&view, show.out)?;
    }
    Ok(Exit::Success)
}

fn render(view: &TraceView, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "packet   {}, by {}", view.packet, view.interface)?;
    for step in &view.steps {
        writeln!(out, "{:<7}  {}", step.step, step.says)?;
    }
    for event in &view.events {
        writeln!(out, "counted  {event}")?;
    }
    Ok(())
}

fn request(chosen: &Chosen, follower: &Follower) -> WatchRequest {
    WatchRequest {
        source: chosen.src,
        destination: chosen.dst,
        protocol: chosen.protocol,
        sample: follower.sample,
        limit: follower.limit,
        ..WatchRequest::default()
    }
}

async fn follow<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let request = request(&arguments.chosen, &arguments.follower);
    let mut lost = 0;
    visit(&request, client, |packet| {
        if show.json {
            show.json(packet)?;
        } else {
            writeln!(show.out, "{}", line(packet))?;
        }
        if packet.lost > lost {
            eprintln!(
                "tandem: {} packets were not told of: they came too fast",
                packet.lost - lost
            );
            lost = packet.lost;
        }
        Ok(show.out.flush()?)
    })
    .await
}

/// Until there were as many as were asked for, or it fails.
async fn visit(
    request: &WatchRequest,
    client: &Client,
    mut each: impl FnMut(&PacketView) -> Result<(), CliError>,
) -> Result<Exit, CliError> {
    let mut outcome = Ok(Exit::Success);
    client
        .visit_packets(request, |packet| match each(&packet) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                outcome = Err(error);
                ControlFlow::Break(())
            }
        })
        .await?;
    outcome
}

/// `12:00:01.000001  tcp (syn) from … to …, by eth0: XDP_TX out of eth0`
fn line(packet: &PacketView) -> String {
    const DAY: u64 = 86_400;
    let (seconds, rest) = (
        packet.unix_nanoseconds / 1_000_000_000,
        packet.unix_nanoseconds % 1_000_000_000,
    );
    let of_day = seconds % DAY;
    let time = format!(
        "{:02}:{:02}:{:02}.{:06}",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        rest / 1000
    );
    format!(
        "{time}  {}, by {}: {}",
        packet.headers,
        packet.interface,
        verdict(packet)
    )
}

fn verdict(packet: &PacketView) -> String {
    let (Moment::Out, Some(action)) = (packet.moment, packet.action) else {
        return "comes in".to_owned();
    };
    match (&packet.reason, &packet.out, action) {
        (Some(reason), ..) => format!("{action}, {reason}"),
        (None, Some(out), Action::Tx | Action::Redirect) => format!("{action}, forwarded out of {out}"),
        (None, ..) => format!("{action}, forwarded"),
    }
}

pub(super) async fn capture<W: Write>(
    arguments: &CaptureArguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let failed = |source| CliError::File {
        path: arguments.file.clone(),
        source,
    };
    let to_output = arguments.file.as_os_str() == "-";
    let out: Box<dyn Write + '_> = if to_output {
        Box::new(&mut *show.out)
    } else {
        Box::new(BufWriter::new(File::create(&arguments.file).map_err(failed)?))
    };
    let mut writer = Writer::new(out).map_err(failed)?;
    let request = WatchRequest {
        both: Some(true),
        bytes: Some(arguments.bytes),
        // A packet is there twice.
        limit: arguments.follower.limit.map(|limit| limit.saturating_mul(2)),
        ..request(&arguments.chosen, &arguments.follower)
    };
    let (mut packets, mut lost) = (0, 0);
    let outcome = visit(&request, client, |packet| {
        let bytes = unhex(&packet.bytes);
        let written = writer.packet(&Packet {
            interface: packet.out.as_ref().unwrap_or(&packet.interface),
            time: packet.unix_nanoseconds,
            inbound: packet.moment == Moment::In,
            length: u32::try_from(packet.headers.bytes).unwrap_or(u32::MAX),
            bytes: &bytes,
            comment: &format!("packet {}: {}", packet.number, verdict(packet)),
        });
        packets += u64::from(packet.moment == Moment::Out);
        lost = packet.lost;
        written.map_err(|source| {
            if to_output {
                CliError::Output(source)
            } else {
                failed(source)
            }
        })
    })
    .await;
    drop(writer);
    if !to_output {
        let file = arguments.file.display();
        eprintln!(
            "{} packets in {file}, {} not told of",
            units::count(packets),
            units::count(lost)
        );
    }
    outcome
}

fn unhex(text: &str) -> Vec<u8> {
    let (digits, _) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.iter().filter_map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::testdata::golden, *};

    #[test]
    fn looks_as_documented() {
        golden("trace", render);
        golden("packets", |packets: &Vec<PacketView>, out| {
            packets
                .iter()
                .try_for_each(|packet| writeln!(out, "{}", line(packet)))
        });
    }
}

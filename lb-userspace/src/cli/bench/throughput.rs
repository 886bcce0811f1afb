//! `tandem bench throughput`

use std::{io::Write, net::SocketAddr, time::Duration};

use clap::Args;

use super::{CliError, Exit, Keep, Show, watched};
use crate::{
    bench::{
        frames::{Frames, Kind},
        generator::Flows,
        interfaces,
        template::Family,
    },
    cli::patience,
    core::neighbour::Mac,
};

#[derive(Debug, Args)]
pub(super) struct Throughput {
    /// Interface that packets leave by.
    #[arg(long, value_name = "NAME")]
    tx: String,
    /// Interface that they come back by [default: the same]
    #[arg(long, value_name = "NAME")]
    rx: Option<String>,
    /// Service of a director that datagrams are sent to, such as 192.0.2.10:53; without it they are sent to the other interface,
    /// which shows what the path itself can do.
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: Option<SocketAddr>,
    /// MAC address that frames are sent to [default: whoever answers for the address]
    #[arg(long, value_name = "MAC", value_parser = mac)]
    mac: Option<Mac>,
    /// Flows that packets are drawn from.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    flows: u32,
    /// Each packet begins another flow: how many new flows a second there can be. They are datagrams, or SYNs of connections.
    #[arg(long, value_name = "udp|tcp", conflicts_with = "flows")]
    new: Option<Kind>,
    /// Bytes of a frame, from 64 to 9014 (with IPv6 from 84, SYNs from 76 and 96), or `imix` [default: the least]
    #[arg(long)]
    frames: Option<Frames>,
    /// How often as many are sent as can be.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each time, and for each rate that is tried.
    #[arg(long, default_value = "2", value_name = "SECONDS", value_parser = patience)]
    seconds: Duration,
    /// Share of packets that may be lost at the no-drop rate, in percent.
    #[arg(long, default_value_t = 0.1, value_name = "PERCENT")]
    loss: f64,
    /// CPU that sends [default: the last]
    #[arg(long)]
    cpu: Option<usize>,
    /// Send by a packet socket, as where the driver has no XDP: slower.
    #[arg(long)]
    packet_socket: bool,
    /// Use an interface although the default route leads through it.
    #[arg(long)]
    allow_default_route: bool,
    #[command(flatten)]
    keep: Keep,
}

fn mac(text: &str) -> Result<Mac, String> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2);
        *byte = part
            .and_then(|part| u8::from_str_radix(part, 16).ok())
            .ok_or("expected six bytes, such as 02:00:5e:10:00:01")?;
    }
    if parts.next().is_some() {
        return Err("expected six bytes, such as 02:00:5e:10:00:01".to_owned());
    }
    Ok(Mac(bytes))
}

pub(super) async fn run<W: Write>(arguments: &Throughput, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    let files = arguments.keep.open()?;
    let family = match arguments.to {
        Some(SocketAddr::V6(_)) => Family::V6,
        Some(SocketAddr::V4(_)) | None => Family::V4,
    };
    let kind = arguments.new.unwrap_or_default();
    let ready = interfaces::prepare(interfaces::Options {
        tx: arguments.tx.clone(),
        rx: arguments.rx.clone().unwrap_or_else(|| arguments.tx.clone()),
        to: arguments.to,
        mac: arguments.mac,
        kind,
        flows: arguments
            .new
            .map_or(Flows::Random(arguments.flows), |_| Flows::Each),
        frames: arguments.frames.unwrap_or(Frames::Of(kind.shortest(family))),
        rounds: arguments.rounds as usize,
        turn: arguments.seconds,
        tolerated: arguments.loss / 100.0,
        cpu: arguments.cpu,
        packet_socket: arguments.packet_socket,
        allow_default_route: arguments.allow_default_route,
    })
    .await
    .map_err(CliError::Bench)?;
    let report = watched(move |tell| interfaces::run(&ready, tell)).await?;
    files.present("throughput", &report, || report.picture(), show)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses_have_six_bytes() {
        assert_eq!(mac("02:00:5e:10:00:0A"), Ok(Mac([2, 0, 0x5E, 0x10, 0, 10])));
        for wrong in [
            "",
            "02:00:5e:10:00",
            "02:00:5e:10:00:01:02",
            "2:0:5e:10:0:1",
            "02-00-5e-10-00-01",
        ] {
            assert!(mac(wrong).is_err(), "{wrong}");
        }
    }
}

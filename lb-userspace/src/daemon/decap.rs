//! `tandemd decap`: the backend's end of tunnels.

use std::{net::IpAddr, path::PathBuf};

use clap::Parser;

use super::DaemonError;
use crate::{
    core::model::GUE_PORT,
    datapath::{
        AttachMode,
        decap::{self, Decap},
    },
    net::Netlink,
};

/// Takes packets out of a director's tunnels on a backend, and hands them to its kernel.
///
/// The program stays attached when this command ends, and counts; the same command again replaces it in place. Without an
/// interface the command shows where it is attached, and what it has counted.
#[derive(Debug, Clone, Parser)]
#[command(after_help = "Exit codes: 0 done, 1 failure, 2 wrong command line, 4 no permission.")]
pub struct Args {
    /// Interface by which tunnels come in; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub interface: Vec<String>,
    /// Network that tunnels may come from, such as the directors'; may be repeated [default: from anywhere]
    #[arg(long, value_name = "ADDRESS[/LENGTH]", value_parser = network, requires = "interface")]
    pub from: Vec<(IpAddr, u8)>,
    /// Address to which tunnels lead; may be repeated [default: those of the interfaces]
    #[arg(long, value_name = "ADDRESS", requires = "interface")]
    pub address: Vec<IpAddr>,
    /// Port of GUE.
    #[arg(long, value_name = "PORT", default_value_t = GUE_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub gue_port: u16,
    /// Directory on a bpf file system in which the program and its counters outlive this command.
    #[arg(long, value_name = "DIRECTORY", default_value = decap::DEFAULT_DIRECTORY)]
    pub bpffs: PathBuf,
    /// Release the interfaces, and forget the counters.
    #[arg(long, conflicts_with_all = ["interface", "from", "address"])]
    pub detach: bool,
}

/// What the command line and the interfaces come to cannot be unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum DecapError {
    /// There is no address to lead a tunnel to.
    #[error(
        "no address of {interfaces} that a tunnel could lead to: give it one, or name one with --address"
    )]
    NoAddress {
        /// The interfaces.
        interfaces: String,
    },
    /// More than the program has room for.
    #[error("{count} {what}, and there is room for {most}: name those that count with {option}", most = decap::MOST)]
    TooMany {
        /// How many.
        count: usize,
        /// Of what.
        what: &'static str,
        /// The option that chooses.
        option: &'static str,
    },
}

fn network(text: &str) -> Result<(IpAddr, u8), String> {
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let address: IpAddr = address
        .parse()
        .map_err(|_| "expected an address, or a network such as 192.0.2.0/24".to_owned())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    match length.map_or(Ok(most), str::parse) {
        Ok(length) if length <= most => Ok((address, length)),
        Ok(_) | Err(_) => Err(format!("expected a prefix length from 0 to {most}")),
    }
}

/// Runs the command.
///
/// # Errors
/// [`DaemonError`].
pub(super) async fn run(args: &Args) -> Result<(), DaemonError> {
    let pins = decap::pins(&args.bpffs);
    if args.detach {
        let claim = pins.claim_existing()?;
        pins.remove_all()?;
        match claim {
            Some(_) => println!("released the interfaces"),
            None => println!("nothing to release"),
        }
        return Ok(());
    }
    if args.interface.is_empty() {
        return show(args);
    }
    let decap = Decap {
        addresses: addresses(args).await?,
        sources: args.from.clone(),
        gue_port: args.gue_port,
    };
    if decap.sources.len() > decap::MOST {
        return Err(DaemonError::Decap(DecapError::TooMany {
            count: decap.sources.len(),
            what: "networks",
            option: "--from",
        }));
    }
    let _claim = pins.claim()?;
    let mut program = decap.load(Some(&pins))?;
    for interface in &args.interface {
        let mode = match program.attach(interface, &pins)? {
            AttachMode::Native => "",
            AttachMode::Updated => ", replaced in place",
            AttachMode::Generic => " in GENERIC mode, which is slow: the driver has no XDP",
        };
        println!(
            "{interface}: unwrapping IP in IP, GRE, and GUE on port {}{mode}",
            args.gue_port
        );
    }
    for address in &decap.addresses {
        println!("  tunnels to {address}");
    }
    for (address, length) in &decap.sources {
        println!("  tunnels from {address}/{length}");
    }
    if decap.sources.is_empty() {
        println!("  tunnels from anywhere: name the directors' network with --from to keep others out");
    }
    Ok(())
}

/// Addresses that tunnels lead to: those that were named, or those of the interfaces.
async fn addresses(args: &Args) -> Result<Vec<IpAddr>, DaemonError> {
    let mut addresses = args.address.clone();
    if addresses.is_empty() {
        let book = Netlink::open()?.address_book().await?;
        let links = args.interface.iter().filter_map(|name| book.link(name));
        addresses.extend(links.flat_map(|link| book.on(link.ifindex).map(|found| found.address)));
    }
    match addresses.len() {
        0 => Err(DaemonError::Decap(DecapError::NoAddress {
            interfaces: args.interface.join(", "),
        })),
        count if count > decap::MOST => Err(DaemonError::Decap(DecapError::TooMany {
            count,
            what: "addresses",
            option: "--address",
        })),
        _ => Ok(addresses),
    }
}

fn show(args: &Args) -> Result<(), DaemonError> {
    let pins = decap::pins(&args.bpffs);
    let Some(counters) = decap::counters(&pins)? else {
        println!("nothing is unwrapped: `tandemd decap --interface NAME` begins to");
        return Ok(());
    };
    println!("attached to {}", pins.linked_interfaces()?.join(", "));
    for (outcome, packets) in counters {
        println!("{:<14} {packets:>12}  {}", outcome.slug(), outcome.sentence());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let v4 = |length| Ok((IpAddr::from([192, 0, 2, 0]), length));
        assert_eq!(network("192.0.2.0/24"), v4(24));
        assert_eq!(network("192.0.2.0"), v4(32));
        assert_eq!(network("192.0.2.0/0"), v4(0));
        assert_eq!(network("2001:db8::/32"), Ok(("2001:db8::".parse().unwrap(), 32)));
        for wrong in [
            "",
            "192.0.2",
            "192.0.2.0/33",
            "192.0.2.0/",
            "192.0.2.0/-1",
            "::/129",
            "here",
        ] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }
}

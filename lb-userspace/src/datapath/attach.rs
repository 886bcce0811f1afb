//! Attaching the program to interfaces, by links that outlive the daemon and are updated in place.

use std::{error::Error as _, io};

use aya::programs::{
    Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    xdp::XdpLink,
};
use nix::net::if_::if_nametoindex;

use super::{DatapathError, Pins, object::permission};

/// How a program came to its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver.
    Native,
    /// In the network stack, for drivers without XDP: slow, since every packet is an skb already.
    Generic,
    /// It was attached already; the program was replaced in place, in whatever mode it ran.
    Updated,
}

/// Attaches `program` to `interface`, or replaces the program that an earlier daemon attached: not a packet passes by
/// in between.
pub(super) fn attach(program: &mut Xdp, interface: &str, pins: &Pins) -> Result<AttachMode, DatapathError> {
    let ifindex = if_nametoindex(interface).map_err(|error| DatapathError::NoInterface {
        interface: interface.to_owned(),
        source: error.into(),
    })?;
    let path = pins.link(interface);
    pins.follow_names()?;
    if path.exists() {
        if update(program, &path) {
            return Ok(AttachMode::Updated);
        }
        // The interface went this moment.
        pins.remove(&path)?;
    }
    match program.attach_to_if_index(ifindex, XdpMode::Driver) {
        Ok(link) => pin(program, link, &path, interface, pins).map(|()| AttachMode::Native),
        Err(error) if errno(&error) == Some(libc::EOPNOTSUPP) => {
            let link = program
                .attach_to_if_index(ifindex, XdpMode::Skb)
                .map_err(|source| failed(interface, source))?;
            pin(program, link, &path, interface, pins).map(|()| AttachMode::Generic)
        }
        Err(source) => Err(failed(interface, source)),
    }
}

/// Replaces the program of a pinned link; `false` where the link no longer leads to an interface.
fn update(program: &mut Xdp, path: &std::path::Path) -> bool {
    let Ok(link) = PinnedLink::from_pin(path) else {
        return false;
    };
    let Ok(link) = XdpLink::try_from(FdLink::from(link)) else {
        return false;
    };
    let Ok(id) = program.attach_to_link(link) else {
        return false;
    };
    // The pin keeps the link alive; this handle may go without detaching it.
    program.take_link(id).is_ok()
}

fn pin(
    program: &mut Xdp,
    link: aya::programs::xdp::XdpLinkId,
    path: &std::path::Path,
    interface: &str,
    pins: &Pins,
) -> Result<(), DatapathError> {
    let link = program
        .take_link(link)
        .map_err(|source| failed(interface, source))?;
    let link = FdLink::try_from(link).map_err(|_| DatapathError::NoLink {
        interface: interface.to_owned(),
    })?;
    link.pin(path)
        .map(drop)
        .map_err(|source| DatapathError::PinObject {
            directory: pins.directory().to_owned(),
            source: Box::new(source),
        })
}

fn failed(interface: &str, source: aya::programs::ProgramError) -> DatapathError {
    let interface = interface.to_owned();
    match errno(&source) {
        Some(libc::EBUSY | libc::EEXIST) => DatapathError::Busy { interface },
        _ if permission(&source) => DatapathError::Permission {
            what: format!("attach an XDP program to `{interface}`"),
        },
        _ => DatapathError::Attach {
            interface,
            source: Box::new(source),
        },
    }
}

fn errno(error: &aya::programs::ProgramError) -> Option<i32> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.raw_os_error();
        }
        source = error.source();
    }
    None
}

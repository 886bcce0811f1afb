//! A cable: two hosts joined by a veth pair, without a switch between them.

use crate::device;
use crate::error::LabError;
use crate::host::Host;
use crate::interface::{Address, spell};
use crate::xdp::{Link, Program};

/// One end of a cable.
#[derive(Debug)]
pub struct End<'a> {
    /// The host that it is plugged into.
    pub host: &'a Host,
    /// Name of the interface; at most 15 characters.
    pub name: &'a str,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Its addresses, such as `192.0.2.1/24`.
    pub addresses: &'a [&'a str],
}

/// Joins two hosts. Both ends are up, and their addresses usable, on return.
///
/// # Errors
/// [`LabError::Address`], or what the system refused.
pub fn join(a: &End<'_>, b: &End<'_>) -> Result<(), LabError> {
    a.host.namespace().ip(&[format!(
        "link add {} address {} type veth peer name {} address {} netns {}",
        a.name,
        spell(a.mac),
        b.name,
        spell(b.mac),
        b.host.namespace().name()
    )])?;
    for end in [a, b] {
        let assign = |text: &&str| {
            let address: Address = text.parse()?;
            let nodad = if address.ip.is_ipv6() { " nodad" } else { "" };
            Ok(format!(
                "address add {}/{} dev {}{nodad}",
                address.ip, address.prefix, end.name
            ))
        };
        let mut commands = end
            .addresses
            .iter()
            .map(assign)
            .collect::<Result<Vec<_>, LabError>>()?;
        commands.push(format!("link set {} up", end.name));
        end.host.namespace().ip(&commands)?;
    }
    for end in [a, b] {
        device::wait_until_running(end.host.namespace(), end.name)?;
    }
    Ok(())
}

/// Has the end take frames from its peer's XDP, which a veth does only with a program of its own. This one passes everything.
///
/// # Errors
/// What the system refused.
pub fn take_frames(host: &Host, interface: &str) -> Result<Link, LabError> {
    Program::pass()?.attach(host.namespace(), interface)
}

//! A host's interface, the switch port at its other end, and what XDP needs of the two.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use crate::device;
use crate::error::LabError;
use crate::host::Host;
use crate::switch::{BRIDGE, Switch};
use crate::xdp::{Link, Program};

/// An address with the length of its network's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Length of the network's prefix, in bits.
    pub prefix: u8,
}

impl FromStr for Address {
    type Err = LabError;

    fn from_str(text: &str) -> Result<Self, LabError> {
        let parsed = text.split_once('/').and_then(|(ip, prefix)| {
            let ip: IpAddr = ip.parse().ok()?;
            let longest = if ip.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.parse().ok().filter(|prefix| *prefix <= longest)?;
            Some(Self { ip, prefix })
        });
        parsed.ok_or_else(|| LabError::Address(text.to_owned()))
    }
}

/// An interface of a host; a clone is the same interface.
///
/// Host and switch are joined by a veth pair: the host has the end that bears [`name`](Self::name) and
/// [`mac`](Self::mac), the switch the end named [`port`](Self::port).
#[derive(Debug, Clone)]
pub struct Interface {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    mac: [u8; 6],
    addresses: Vec<Address>,
    switch: Switch,
    port: String,
    /// Keeps the program on the switch port attached.
    pass: OnceLock<Link>,
}

impl Interface {
    /// Joins `host` to `switch`. The link is up and the addresses usable on return.
    pub(crate) fn create(
        host: &Host,
        number: usize,
        switch: &Switch,
        addresses: &[&str],
    ) -> Result<Self, LabError> {
        let addresses: Vec<Address> = addresses
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()?;
        let name = format!("eth{number}");
        let port = format!("{}-{number}", host.name());
        let mac = host.mac(number);
        let switch_name = switch.namespace().name();
        let mut commands = vec![
            format!(
                "link add {name} address {} type veth peer name {port} netns {switch_name}",
                spell(mac)
            ),
            format!("link set {name} up"),
        ];
        let assign = |address: &Address| {
            // Without `nodad` an address is tentative for a second.
            let nodad = if address.ip.is_ipv6() { " nodad" } else { "" };
            format!("address add {}/{} dev {name}{nodad}", address.ip, address.prefix)
        };
        commands.extend(addresses.iter().map(assign));
        host.namespace().ip(&commands)?;
        switch
            .namespace()
            .ip(&[format!("link set {port} master {BRIDGE} up")])?;
        device::wait_until_running(host.namespace(), &name)?;
        device::wait_until_running(switch.namespace(), &port)?;
        let shared = Shared {
            name,
            mac,
            addresses,
            switch: switch.clone(),
            port,
            pass: OnceLock::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The interface's name in its host: `eth0` is the first that was connected.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Its MAC address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.shared.mac
    }

    /// The addresses it was given when it was connected.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.shared.addresses
    }

    /// The name of the other end, in the switch's namespace.
    #[must_use]
    pub fn port(&self) -> &str {
        &self.shared.port
    }

    /// The switch at the other end.
    #[must_use]
    pub fn switch(&self) -> &Switch {
        &self.shared.switch
    }

    /// Makes the switch end fit for a host whose XDP program sends frames out of this interface.
    ///
    /// A veth end takes frames from its peer's XDP only when it polls (NAPI), which it does with a program of its own;
    /// so the port gets one that passes everything. And the port finishes what a network card would have finished
    /// before a frame is on the wire: checksums, segmentation, and VLAN tags, which the kernel otherwise keeps beside
    /// the frame, where XDP does not see them. The senders keep their offloads. A second call changes nothing.
    ///
    /// # Errors
    /// What the system refused.
    pub fn expect_xdp(&self) -> Result<(), LabError> {
        if self.shared.pass.get().is_some() {
            return Ok(());
        }
        let port = self.port();
        let namespace = self.switch().namespace();
        device::turn_off_transmit(namespace, port)?;
        let link = Program::pass()?.attach(namespace, port)?;
        let _ = self.shared.pass.set(link);
        Ok(())
    }
}

/// A MAC address as people write it.
pub(crate) fn spell(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_a_prefix_that_fits() {
        for (text, valid) in [
            ("192.0.2.1/24", true),
            ("192.0.2.1/32", true),
            ("2001:db8::1/128", true),
            ("192.0.2.1", false),
            ("192.0.2.1/33", false),
            ("2001:db8::1/129", false),
            ("192.0.2.1/-1", false),
            ("host/24", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<Address>().is_ok(), valid, "{text}");
        }
        assert_eq!(spell([2, 0, 0xab, 0, 1, 0xff]), "02:00:ab:00:01:ff");
    }
}

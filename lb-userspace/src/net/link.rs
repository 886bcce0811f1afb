//! What is to know about an interface before packets are balanced on it.

use std::collections::BTreeMap;

use rtnetlink::packet_route::link::{InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkXdp};
use serde::Serialize;

use super::{
    Netlink, NetlinkError,
    ethtool::{self, Ethtool},
    translate,
};
use crate::core::neighbour::Mac;

/// Why an interface could not be described.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no such interface in this namespace.
    #[error("there is no interface {interface} (see `ip link`)")]
    NoInterface {
        /// The name.
        interface: String,
    },
    /// The kernel would not tell.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkFacts {
    /// Its index.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// Its Ethernet address; `None` for what is no Ethernet link.
    pub mac: Option<Mac>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Whether the administrator switched it on.
    pub admin_up: bool,
    /// Whether it can carry packets now.
    pub running: bool,
    /// What kind of virtual interface it is ("veth", "vlan", "bond"), `None` for hardware.
    pub kind: Option<String>,
    /// Its driver, as `ethtool -i` names it.
    pub driver: Option<String>,
    /// The interface it rests on (of a VLAN), or the other end (of a veth).
    pub lower: Option<Lower>,
    /// VLAN ID.
    pub vlan: Option<u16>,
    /// Name of the bond or bridge that it is a port of.
    pub master: Option<String>,
    /// XDP programs attached to it, whoever attached them.
    pub xdp: Vec<XdpProgram>,
    /// Its offloads.
    pub offloads: Offloads,
}

/// The interface below another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lower {
    /// Its index, in its own namespace.
    pub ifindex: u32,
    /// Its name, where it is in this namespace.
    pub name: Option<String>,
}

/// Where in the receive path an XDP program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// In the driver ("native").
    Native,
    /// After the driver, on socket buffers ("generic"); slow.
    Generic,
    /// In the device.
    Offloaded,
}

/// An attached XDP program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct XdpProgram {
    /// How it is attached.
    pub mode: XdpMode,
    /// Its ID, as `bpftool prog` shows it.
    pub id: u32,
    /// Its name; `None` where the kernel does not tell (it takes CAP_SYS_ADMIN).
    pub name: Option<String>,
}

/// Offloads that matter to XDP; `None` where the driver does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Offloads {
    /// Checksums of sent packets are left to the device.
    pub tx_checksum: Option<bool>,
    /// Checksums of received packets are checked by the device.
    pub rx_checksum: Option<bool>,
    /// TCP segmentation offload.
    pub tso: Option<bool>,
    /// Generic receive offload; on a veth it makes the receiving end run NAPI, which XDP redirect needs.
    pub gro: Option<bool>,
    /// Large receive offload; incompatible with native XDP in most drivers.
    pub lro: Option<bool>,
}

impl Netlink {
    /// Describes an interface.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn link_facts(&self, interface: &str) -> Result<LinkFacts, LinkError> {
        let messages = self.link_messages().await?;
        let mut names = BTreeMap::new();
        let mut found = None;
        for message in &messages {
            let Some(link) = translate::link(message) else {
                continue;
            };
            if link.name == interface {
                found = Some((link.clone(), message));
            }
            names.insert(link.ifindex, link.name);
        }
        let (link, message) = found.ok_or_else(|| LinkError::NoInterface {
            interface: interface.into(),
        })?;
        let mut facts = LinkFacts {
            ifindex: link.ifindex,
            name: link.name,
            mac: link.mac,
            mtu: link.mtu,
            admin_up: message.header.flags.contains(LinkFlags::Up),
            running: link.up,
            kind: None,
            driver: None,
            lower: None,
            vlan: None,
            master: None,
            xdp: Vec::new(),
            offloads: Offloads::default(),
        };
        facts.read(&message.attributes, &names);
        facts.ask_driver();
        name_programs(&mut facts.xdp);
        Ok(facts)
    }
}

impl LinkFacts {
    fn read(&mut self, attributes: &[LinkAttribute], names: &BTreeMap<u32, String>) {
        let elsewhere = attributes
            .iter()
            .any(|attribute| matches!(attribute, LinkAttribute::LinkNetNsId(_)));
        for attribute in attributes {
            match attribute {
                LinkAttribute::Link(ifindex) if elsewhere || *ifindex != self.ifindex => {
                    let name = if elsewhere {
                        None
                    } else {
                        names.get(ifindex).cloned()
                    };
                    self.lower = Some(Lower {
                        ifindex: *ifindex,
                        name,
                    });
                }
                LinkAttribute::Controller(ifindex) => self.master = names.get(ifindex).cloned(),
                LinkAttribute::LinkInfo(infos) => infos.iter().for_each(|info| self.read_info(info)),
                LinkAttribute::Xdp(attributes) => self.xdp = xdp_programs(attributes),
                _ => {}
            }
        }
    }

    fn read_info(&mut self, info: &LinkInfo) {
        match info {
            LinkInfo::Kind(kind) => self.kind = Some(kind.to_string()),
            LinkInfo::Data(InfoData::Vlan(data)) => {
                self.vlan = data.iter().find_map(|item| match item {
                    InfoVlan::Id(id) => Some(*id),
                    _ => None,
                });
            }
            _ => {}
        }
    }

    fn ask_driver(&mut self) {
        let Ok(ethtool) = Ethtool::open() else { return };
        let is_on = |question| ethtool.is_on(&self.name, question);
        self.driver = ethtool
            .driver(&self.name)
            .ok()
            .filter(|driver| !driver.is_empty());
        self.offloads = Offloads {
            tx_checksum: is_on(ethtool::GET_TX_CHECKSUM),
            rx_checksum: is_on(ethtool::GET_RX_CHECKSUM),
            tso: is_on(ethtool::GET_TSO),
            gro: is_on(ethtool::GET_GRO),
            lro: ethtool.lro(&self.name),
        };
    }
}

fn xdp_programs(attributes: &[LinkXdp]) -> Vec<XdpProgram> {
    let programs = attributes.iter().filter_map(|attribute| match attribute {
        LinkXdp::DrvProgId(id) => Some((XdpMode::Native, *id)),
        LinkXdp::SkbProgId(id) => Some((XdpMode::Generic, *id)),
        LinkXdp::HwProgId(id) => Some((XdpMode::Offloaded, *id)),
        _ => None,
    });
    programs
        .map(|(mode, id)| XdpProgram { mode, id, name: None })
        .collect()
}

/// Looks names up among all loaded programs, which the kernel lets only the privileged do.
fn name_programs(programs: &mut [XdpProgram]) {
    if programs.is_empty() {
        return;
    }
    for info in aya::programs::loaded_programs().filter_map(Result::ok) {
        for program in programs.iter_mut().filter(|program| program.id == info.id()) {
            program.name = info.name_as_str().map(str::to_owned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xdp_programs_of_every_mode() {
        let attributes = [
            LinkXdp::ProgId(9),
            LinkXdp::SkbProgId(9),
            LinkXdp::DrvProgId(7),
            LinkXdp::HwProgId(8),
        ];
        let found: Vec<_> = xdp_programs(&attributes)
            .into_iter()
            .map(|xdp| (xdp.mode, xdp.id))
            .collect();
        assert_eq!(
            found,
            [
                (XdpMode::Generic, 9),
                (XdpMode::Native, 7),
                (XdpMode::Offloaded, 8)
            ]
        );
    }
}

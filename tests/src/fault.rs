//! Faults: what can go wrong with links and neighbours. Processes have theirs in [`Process`](crate::Process).

use std::net::IpAddr;

use crate::error::LabError;
use crate::host::Host;
use crate::interface::{Interface, spell};
use crate::xdp::{Link, Program};

impl Host {
    /// Takes an interface down, as an administrator would; its addresses stay.
    ///
    /// # Errors
    /// [`LabError::NoInterface`], or what the system refused.
    pub fn link_down(&self, interface: &str) -> Result<(), LabError> {
        self.set_link(interface, "down")
    }

    /// Takes an interface up again.
    ///
    /// # Errors
    /// [`LabError::NoInterface`], or what the system refused.
    pub fn link_up(&self, interface: &str) -> Result<(), LabError> {
        self.set_link(interface, "up")
    }

    /// Deletes an interface, as a driver does that gives up; its addresses and whatever was attached to it are gone.
    ///
    /// # Errors
    /// [`LabError::NoInterface`], or what the system refused.
    pub fn delete_interface(&self, interface: &str) -> Result<(), LabError> {
        self.interface(interface)?.demolish(self)
    }

    /// Makes an interface that was deleted anew: the same name and addresses, another index.
    ///
    /// # Errors
    /// [`LabError::NoInterface`], or what the system refused.
    pub fn recreate_interface(&self, interface: &str) -> Result<(), LabError> {
        self.interface(interface)?.build(self)
    }

    /// Gives an interface another MAC address, as a replaced machine has, and tells the network of it.
    ///
    /// # Errors
    /// [`LabError::NoInterface`], or what the system refused.
    pub fn change_mac(&self, interface: &str, mac: [u8; 6]) -> Result<(), LabError> {
        let interface = self.interface(interface)?;
        let name = interface.name();
        self.namespace()
            .set(&format!("ipv4/conf/{name}/arp_notify"), "1")?;
        self.namespace()
            .set(&format!("ipv6/conf/{name}/ndisc_notify"), "1")?;
        self.namespace()
            .ip(&[format!("link set {name} address {}", spell(mac))])
    }

    /// Makes the host forget the MAC address of a neighbour on an interface.
    ///
    /// # Errors
    /// [`LabError::Ip`] when it knows of no such neighbour.
    pub fn forget_neighbour(&self, neighbour: IpAddr, interface: &str) -> Result<(), LabError> {
        let interface = self.interface(interface)?;
        self.namespace()
            .ip(&[format!("neighbour del {neighbour} dev {}", interface.name())])
    }

    /// Loses so many of a thousand frames that come in by an interface, by chance, until the answer is dropped.
    ///
    /// # Errors
    /// [`LabError::Xdp`], also when the interface has a program already.
    pub fn lose(&self, interface: &str, per_mille: u32) -> Result<Link, LabError> {
        let interface = self.interface(interface)?;
        Program::lossy(per_mille)?.attach(self.namespace(), interface.name())
    }

    fn set_link(&self, interface: &str, state: &str) -> Result<(), LabError> {
        let interface = self.interface(interface)?;
        self.namespace()
            .ip(&[format!("link set {} {state}", interface.name())])
    }
}

impl Interface {
    /// Pulls the cable out of the switch: the host's interface stays up and loses its carrier.
    ///
    /// # Errors
    /// What the system refused.
    pub fn unplug(&self) -> Result<(), LabError> {
        self.switch()
            .namespace()
            .ip(&[format!("link set {} down", self.port())])
    }

    /// Puts the cable back.
    ///
    /// # Errors
    /// What the system refused.
    pub fn plug_in(&self) -> Result<(), LabError> {
        self.switch()
            .namespace()
            .ip(&[format!("link set {} up", self.port())])
    }
}

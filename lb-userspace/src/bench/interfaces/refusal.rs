//! What must hold before packets are sent out of somebody's interface.

use std::net::IpAddr;

use crate::{
    capability::{self, Capability},
    net::{
        NetlinkError,
        link::{LinkError, LinkFacts},
    },
};

/// Why nothing was sent: what failed, why that matters, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The process may not do it.
    #[error(
        "no permission: this process lacks {missing}; run it as root, or grant it that (`sudo`, or `setpriv`)"
    )]
    Permission {
        /// What it lacks.
        missing: String,
    },
    /// There is no such interface, or it cannot be looked at.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The kernel's tables cannot be read.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// It carries no Ethernet frames.
    #[error("{interface} is no Ethernet interface, and the benchmark sends Ethernet frames: choose another")]
    NotEthernet {
        /// The interface.
        interface: String,
    },
    /// It is switched off.
    #[error(
        "{interface} is down, so nothing would leave it or come in: `ip link set {interface} up`, then again"
    )]
    Down {
        /// The interface.
        interface: String,
    },
    /// There is nothing at the other end.
    #[error(
        "{interface} has no carrier, so nothing would leave it or come in: look for its cable, and whether the other end is up"
    )]
    NoCarrier {
        /// The interface.
        interface: String,
    },
    /// The machine may be reached by it alone.
    #[error(
        "the default route leads through {interface}, and the benchmark would fill it, so that this machine may be out of reach \
         meanwhile: choose another interface, or say --allow-default-route"
    )]
    DefaultRoute {
        /// The interface.
        interface: String,
    },
    /// A director's, perhaps.
    #[error(
        "{interface} runs the XDP program {program}, and an interface runs one: `tandem bench live` measures the program of a \
         director; any other has to be detached first, by whoever attached it"
    )]
    Busy {
        /// The interface.
        interface: String,
        /// Its program.
        program: String,
    },
    /// Frames do not fit.
    #[error(
        "frames of {length} bytes do not leave {interface}, whose MTU is {mtu}: --frames {most} is the most"
    )]
    TooLong {
        /// The interface.
        interface: String,
        /// Bytes of a frame.
        length: usize,
        /// The interface's MTU.
        mtu: u32,
        /// The most that fits.
        most: usize,
    },
    /// Nothing sends packets back.
    #[error(
        "packets from {interface} to itself need something that sends them back: name another interface with --rx, or the \
         service of a director with --to"
    )]
    Alone {
        /// The interface.
        interface: String,
    },
    /// Nobody says that it has the address.
    #[error(
        "nobody on {interface} answers for {address}: is the director up, and in that network? Behind a router, give the router's \
         MAC address with --mac"
    )]
    Unanswered {
        /// The interface.
        interface: String,
        /// Whose address was asked for.
        address: IpAddr,
    },
}

/// An interface, as the kernel describes it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) facts: LinkFacts,
    /// Whether the default route of a family leads through it.
    pub(super) is_default: bool,
}

/// What is asked of the interfaces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) allow_default_route: bool,
    /// Whether packets are sent to somebody's address, not to the other interface.
    pub(super) has_target: bool,
    /// Bytes of the longest frame.
    pub(super) longest: usize,
}

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// Whether this process may do what there is to do.
pub(super) fn examine_permissions(effective: Option<u64>) -> Result<(), Refusal> {
    // Where the kernel does not say, it will say when it is asked.
    let missing: Vec<Capability> = effective.map(capability::missing).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Refusal::Permission {
        missing: capability::list(&missing),
    })
}

/// Whether this process may see what the kernel says of BPF programs, and have it measure them.
///
/// # Errors
/// [`Refusal::Permission`].
pub fn examine_admin() -> Result<(), Refusal> {
    if capability::effective().is_none_or(capability::is_admin) {
        return Ok(());
    }
    Err(Refusal::Permission {
        missing: "CAP_SYS_ADMIN (have the kernel measure BPF programs)".to_owned(),
    })
}

/// Whether packets may be sent out of the first, and be counted on the second.
pub(super) fn examine(tx: &Seen, rx: &Seen, asked: Asked) -> Result<(), Refusal> {
    for Seen { facts, is_default } in [tx, rx] {
        let interface = || facts.name.clone();
        if facts.mac.is_none() {
            return Err(Refusal::NotEthernet {
                interface: interface(),
            });
        }
        if !facts.admin_up {
            return Err(Refusal::Down {
                interface: interface(),
            });
        }
        if !facts.running {
            return Err(Refusal::NoCarrier {
                interface: interface(),
            });
        }
        if *is_default && !asked.allow_default_route {
            return Err(Refusal::DefaultRoute {
                interface: interface(),
            });
        }
        if let Some(program) = facts.xdp.first() {
            let name = program.name.as_deref().unwrap_or("of another");
            return Err(Refusal::Busy {
                interface: interface(),
                program: format!("`{name}` (id {})", program.id),
            });
        }
    }
    if tx.facts.ifindex == rx.facts.ifindex && !asked.has_target {
        return Err(Refusal::Alone {
            interface: tx.facts.name.clone(),
        });
    }
    let most = tx.facts.mtu as usize + ETHERNET;
    if asked.longest > most {
        return Err(Refusal::TooLong {
            interface: tx.facts.name.clone(),
            length: asked.longest,
            mtu: tx.facts.mtu,
            most,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::neighbour::Mac,
        net::link::{Offloads, XdpMode, XdpProgram},
    };

    fn seen(name: &str, ifindex: u32) -> Seen {
        Seen {
            facts: LinkFacts {
                ifindex,
                name: name.to_owned(),
                mac: Some(Mac([2, 0, 0, 0, 0, 1])),
                mtu: 1500,
                admin_up: true,
                running: true,
                kind: None,
                driver: Some("a driver".to_owned()),
                lower: None,
                vlan: None,
                master: None,
                xdp: Vec::new(),
                offloads: Offloads::default(),
            },
            is_default: false,
        }
    }

    const ASKED: Asked = Asked {
        allow_default_route: false,
        has_target: true,
        longest: 1514,
    };

    fn refused(change: impl Fn(&mut Seen), asked: Asked) -> String {
        let mut texts = Vec::new();
        // What is wrong with either is said of that one.
        for wrong in [0, 1] {
            let mut both = [seen("eth0", 1), seen("eth1", 2)];
            change(&mut both[wrong]);
            let refusal = examine(&both[0], &both[1], asked).unwrap_err().to_string();
            assert!(refusal.contains(["eth0", "eth1"][wrong]), "{refusal}");
            texts.push(refusal);
        }
        texts.swap_remove(0)
    }

    #[test]
    fn interfaces_that_are_fit_are_taken() {
        assert!(examine(&seen("eth0", 1), &seen("eth1", 2), ASKED).is_ok());
        // On a stick: one interface for both.
        assert!(examine(&seen("eth0", 1), &seen("eth0", 1), ASKED).is_ok());
    }

    #[test]
    fn each_fault_has_its_reason_and_its_remedy() {
        assert!(refused(|seen| seen.facts.admin_up = false, ASKED).contains("`ip link set eth0 up`"));
        assert!(refused(|seen| seen.facts.running = false, ASKED).contains("cable"));
        assert!(refused(|seen| seen.facts.mac = None, ASKED).contains("no Ethernet"));
        assert!(refused(|seen| seen.is_default = true, ASKED).contains("--allow-default-route"));
        let program = XdpProgram {
            mode: XdpMode::Native,
            id: 17,
            name: Some("tandem".to_owned()),
        };
        let busy = refused(|seen| seen.facts.xdp.push(program.clone()), ASKED);
        assert!(
            busy.contains("`tandem` (id 17)") && busy.contains("tandem bench live"),
            "{busy}"
        );
    }

    #[test]
    fn a_default_route_is_borne_with_when_asked() {
        let mut default = seen("eth0", 1);
        default.is_default = true;
        let asked = Asked {
            allow_default_route: true,
            ..ASKED
        };
        assert!(examine(&default, &seen("eth1", 2), asked).is_ok());
    }

    #[test]
    fn what_cannot_work_is_refused_before_it_is_tried() {
        let alone = Asked {
            has_target: false,
            ..ASKED
        };
        let refusal = examine(&seen("eth0", 1), &seen("eth0", 1), alone).unwrap_err();
        assert!(refusal.to_string().contains("--to"), "{refusal}");
        let long = Asked {
            longest: 9014,
            ..ASKED
        };
        let refusal = examine(&seen("eth0", 1), &seen("eth1", 2), long).unwrap_err();
        assert!(refusal.to_string().contains("--frames 1514"), "{refusal}");
    }

    #[test]
    fn who_may_not_is_told_what_is_missing() {
        assert!(examine_permissions(Some(u64::MAX)).is_ok());
        assert!(examine_permissions(None).is_ok());
        let refusal = examine_permissions(Some(0)).unwrap_err().to_string();
        assert!(
            refusal.contains("CAP_BPF") && refusal.contains("as root"),
            "{refusal}"
        );
    }
}

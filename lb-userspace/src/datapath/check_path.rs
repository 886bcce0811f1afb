//! The way of health checks to VIPs: the classifiers of `lb-ebpf/src/bin/check_path`, for as long as somebody needs them.
//!
//! Nothing of it is pinned: without a daemon there are no checks.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use aya::{
    Ebpf, EbpfLoader, include_bytes_aligned,
    maps::{Array, MapData},
    programs::{
        SchedClassifier, TcAttachType,
        tc::{self, SchedClassifierLinkId},
    },
    util::KernelVersion,
};
use lb_common::abi::{CHECK_MARK, CHECK_VIPS, CheckAddress};
use nix::net::if_::if_nametoindex;

use super::{DatapathError, object::permission};

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/check-path"));

const OUT: &str = "check_out";
const BACK: &str = "check_back";
const VIPS: &str = "VIPS";
const PROGRAMS: [(&str, TcAttachType); 2] = [(OUT, TcAttachType::Egress), (BACK, TcAttachType::Ingress)];

/// The classifiers, where they are needed.
#[derive(Default)]
pub struct CheckPath {
    loaded: Option<Loaded>,
    /// Marks of sockets by the VIP that they are to reach.
    marks: BTreeMap<IpAddr, u32>,
}

struct Loaded {
    ebpf: Ebpf,
    vips: Array<MapData, CheckAddress>,
    /// Interfaces by name.
    on: BTreeMap<String, Attached>,
}

/// What is on an interface.
struct Attached {
    /// Which one it is.
    ifindex: u32,
    /// Programs by name.
    links: Vec<(&'static str, SchedClassifierLinkId)>,
}

impl CheckPath {
    /// Leads checks to these VIPs, out of these interfaces; those that are not there are left out, and looked for again the
    /// next time. Without VIPs nothing is on any interface.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub fn serve(
        &mut self,
        vips: &BTreeSet<IpAddr>,
        interfaces: &BTreeSet<String>,
    ) -> Result<&BTreeMap<IpAddr, u32>, DatapathError> {
        if vips.is_empty() {
            *self = Self::default();
            return Ok(&self.marks);
        }
        let loaded = match &mut self.loaded {
            Some(loaded) => loaded,
            empty => empty.insert(Loaded::load()?),
        };
        loaded.attach_to(interfaces)?;
        self.marks.retain(|vip, _| vips.contains(vip));
        for vip in vips {
            if self.marks.contains_key(vip) {
                continue;
            }
            let taken: BTreeSet<u32> = self.marks.values().copied().collect();
            let free = (0..CHECK_VIPS as u32).find(|number| !taken.contains(&(CHECK_MARK | number)));
            let Some(number) = free else {
                return Err(DatapathError::TooManyCheckedVips);
            };
            loaded
                .vips
                .set(number, words(*vip), 0)
                .map_err(|source| DatapathError::Map {
                    map: VIPS,
                    source: Box::new(source),
                })?;
            self.marks.insert(*vip, CHECK_MARK | number);
        }
        Ok(&self.marks)
    }
}

impl Loaded {
    fn load() -> Result<Self, DatapathError> {
        let mut ebpf = EbpfLoader::new()
            .load(OBJECT)
            .map_err(|error| match permission(&error) {
                true => DatapathError::Permission {
                    what: "create BPF maps".to_owned(),
                },
                false => DatapathError::Load(Box::new(error)),
            })?;
        for (name, _) in PROGRAMS {
            let program = program(&mut ebpf, name)?;
            super::object::undisturbed(|| program.load()).map_err(|source| DatapathError::Program {
                program: name,
                source: Box::new(source),
            })?;
        }
        let vips = ebpf.take_map(VIPS).ok_or(DatapathError::Missing { name: VIPS })?;
        let vips = Array::try_from(vips).map_err(|source| DatapathError::Map {
            map: VIPS,
            source: Box::new(source),
        })?;
        Ok(Self {
            ebpf,
            vips,
            on: BTreeMap::new(),
        })
    }

    fn attach_to(&mut self, interfaces: &BTreeSet<String>) -> Result<(), DatapathError> {
        let there: BTreeMap<&String, u32> = interfaces
            .iter()
            .filter_map(|name| Some((name, if_nametoindex(name.as_str()).ok()?)))
            .collect();
        let gone: Vec<String> = self
            .on
            .iter()
            .filter(|(name, attached)| there.get(name) != Some(&attached.ifindex))
            .map(|(name, _)| name.clone())
            .collect();
        for attached in gone.iter().filter_map(|name| self.on.remove(name)) {
            for (name, link) in attached.links {
                // With the interface, the link has gone as well.
                let _ = program(&mut self.ebpf, name)?.detach(link);
            }
        }
        for (name, ifindex) in there {
            if self.on.contains_key(name) {
                continue;
            }
            if KernelVersion::current().is_ok_and(|version| version < KernelVersion::new(6, 6, 0)) {
                clear(name);
            }
            let failed = |source| DatapathError::CheckPath {
                interface: name.clone(),
                source: Box::new(source),
            };
            let mut links = Vec::new();
            for (which, direction) in PROGRAMS {
                let link = program(&mut self.ebpf, which)?.attach(name, direction);
                links.push((which, link.map_err(failed)?));
            }
            self.on.insert(name.clone(), Attached { ifindex, links });
        }
        Ok(())
    }
}

/// Before there were links for classifiers (Linux 6.6), they needed a queueing discipline to hang from, and outlived their
/// daemon.
fn clear(interface: &str) {
    // It may be there already.
    let _ = tc::qdisc_add_clsact(interface);
    for (name, direction) in PROGRAMS {
        // There may be none.
        let _ = tc::qdisc_detach_program(interface, direction, name);
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier, DatapathError> {
    let program = ebpf.program_mut(name).ok_or(DatapathError::Missing { name })?;
    program.try_into().map_err(|_| DatapathError::Missing { name })
}

/// An address as it lies in a packet.
fn words(address: IpAddr) -> CheckAddress {
    match address {
        IpAddr::V4(v4) => [0, 0, 0, u32::from_ne_bytes(v4.octets())],
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            let word =
                |n: usize| u32::from_ne_bytes([octets[n], octets[n + 1], octets[n + 2], octets[n + 3]]);
            [word(0), word(4), word(8), word(12)]
        }
    }
}

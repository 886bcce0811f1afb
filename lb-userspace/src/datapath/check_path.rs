//! The way of health checks to VIPs: the classifiers of `lb-ebpf/src/bin/check_path`, for as long as somebody needs them.
//!
//! Nothing of it is pinned: without a daemon there are no checks.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::IpAddr,
};

use aya::{
    Ebpf, EbpfLoader, Pod, include_bytes_aligned,
    maps::{Array, MapData, MapError},
    programs::{
        SchedClassifier, TcAttachType,
        tc::{self, SchedClassifierLinkId},
    },
    util::KernelVersion,
};
use lb_common::abi::{BackendEntry, CHECK_MARK, CHECK_ROUTES, CheckAddress, CheckRoute, Way};
use nix::net::if_::if_nametoindex;

use super::{DatapathError, Region, kernel::region_of, object::permission};
use crate::core::health::Route;

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/check-path"));

const OUT: &str = "check_out";
const BACK: &str = "check_back";
const ROUTES: &str = "ROUTES";
const TUNNELS: &str = "TUNNELS";
const PROGRAMS: [(&str, TcAttachType); 2] = [(OUT, TcAttachType::Egress), (BACK, TcAttachType::Ingress)];

/// The classifiers, where they are needed.
#[derive(Default)]
pub struct CheckPath {
    loaded: Option<Loaded>,
    places: BTreeMap<Route, Place>,
}

/// What else a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lead {
    /// How packets get to the backend, where that is by a tunnel; `None` while nobody knows.
    pub way: Option<Way>,
    /// An address of this machine that is of the VIP's family, where the backend's is not.
    pub source: Option<IpAddr>,
}

/// Where the maps have a route.
#[derive(Debug, Clone, Copy)]
struct Place {
    number: u32,
    written: Option<CheckRoute>,
}

struct Loaded {
    ebpf: Ebpf,
    routes: Array<MapData, Plain>,
    tunnels: Region<BackendEntry>,
    /// Interfaces by name.
    on: BTreeMap<String, Attached>,
}

/// Lets aya copy a route.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
struct Plain(CheckRoute);

// SAFETY: integers without padding.
unsafe impl Pod for Plain {}

/// What is on an interface.
struct Attached {
    /// Which one it is.
    ifindex: u32,
    /// Programs by name.
    links: Vec<(&'static str, SchedClassifierLinkId)>,
}

impl CheckPath {
    /// Leads checks these ways, out of these interfaces; interfaces that are not there are left out, and looked for again the
    /// next time. Without routes nothing is on any interface.
    ///
    /// Marks of sockets by the route that their packets take; those of tunnels are there once their way is known.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub fn serve(
        &mut self,
        routes: &BTreeMap<Route, Lead>,
        interfaces: &BTreeSet<String>,
    ) -> Result<BTreeMap<Route, u32>, DatapathError> {
        if routes.is_empty() {
            *self = Self::default();
            return Ok(BTreeMap::new());
        }
        let loaded = match &mut self.loaded {
            Some(loaded) => loaded,
            empty => empty.insert(Loaded::load()?),
        };
        loaded.attach_to(interfaces)?;
        self.places.retain(|route, _| routes.contains_key(route));
        let taken: BTreeSet<u32> = self.places.values().map(|place| place.number).collect();
        let mut free = (0..CHECK_ROUTES as u32).filter(|number| !taken.contains(number));
        let mut marks = BTreeMap::new();
        for (route, lead) in routes {
            let place = match self.places.entry(*route) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(Place {
                    number: free.next().ok_or(DatapathError::TooManyCheckedVips)?,
                    written: None,
                }),
            };
            if loaded.lead(place, route, lead)? {
                marks.insert(*route, CHECK_MARK | place.number);
            }
        }
        Ok(marks)
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
        let tunnels = region_of(&mut ebpf, CHECK_ROUTES, TUNNELS)?;
        let routes = ebpf
            .take_map(ROUTES)
            .ok_or(DatapathError::Missing { name: ROUTES })?;
        let routes = Array::try_from(routes).map_err(routes_failed)?;
        Ok(Self {
            ebpf,
            routes,
            tunnels,
            on: BTreeMap::new(),
        })
    }

    /// Writes a route to its place; whether it leads to the backend.
    fn lead(&mut self, place: &mut Place, route: &Route, lead: &Lead) -> Result<bool, DatapathError> {
        let tunnel = &self.tunnels[place.number as usize];
        let ready = match route.tunnel {
            None => {
                if tunnel.in_use() {
                    tunnel.clear();
                }
                true
            }
            Some((_, backend)) => {
                if tunnel.address() != Some(backend) {
                    tunnel.assign(backend, 0);
                }
                let is_mixed = backend.is_ipv4() != route.vip.is_ipv4();
                let way = lead.way.filter(|_| !is_mixed || lead.source.is_some());
                tunnel.set_way(way.as_ref());
                way.is_some()
            }
        };
        let entry = CheckRoute {
            vip: words(route.vip),
            source: lead.source.map_or([0; 4], words),
        };
        if place.written != Some(entry) {
            self.routes
                .set(place.number, Plain(entry), 0)
                .map_err(routes_failed)?;
            place.written = Some(entry);
        }
        Ok(ready)
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

fn routes_failed(source: MapError) -> DatapathError {
    DatapathError::Map {
        map: ROUTES,
        source: Box::new(source),
    }
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

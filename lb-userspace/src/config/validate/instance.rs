//! Virtual routers.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    ops::{Range, RangeInclusive},
    time::Duration,
};

use crate::config::Spanned;

use super::{FirstSeen, Validator};
use crate::{
    config::{
        diagnostic::{Diagnostic, quote},
        duration::Time,
        file::{self, instance as table},
    },
    core::model::{
        Announce, Area, Config, DEFAULT_ADVERT_INTERVAL, DEFAULT_PRIORITY, Failback, Hooks, Instance,
        OnDuplicate, Share, Step,
    },
};

/// Steps of the advertisement interval, and the shortest (RFC 9568 section 5.2.7).
const CENTISECOND: Duration = Duration::from_millis(10);
/// The longest advertisement interval: 4095 of them.
const MAX_INTERVAL: Duration = Duration::from_millis(40_950);
/// Most IPv4 VIPs that one advertisement names.
const MAX_VIPS_V4: usize = lb_common::wire::vrrp::MAX_ADDRESSES;
/// Most IPv6 VIPs of which the advertisement fits into a packet of 1500 bytes.
const MAX_VIPS_V6: usize = 90;
/// Most unicast peers: a pair has two to eight directors.
const MAX_PEERS: usize = 16;
/// Most groups, counting instances without one: the packet path has a lease for twice as many, those before and those
/// after a reload.
const MAX_GROUPS: usize = lb_common::abi::LEASES / 2;
/// Delays of a failback, and times of announcements.
const TIMES: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(24 * 3600);
/// How long a hook may run.
const HOOK_TIMES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
/// Most announcements a second.
const MAX_RATE: u32 = 1_000_000;

/// What no two instances may share.
#[derive(Default)]
struct Seen {
    names: FirstSeen<String>,
    /// VRIDs by interface.
    routers: FirstSeen<(String, u8)>,
    vips: FirstSeen<IpAddr>,
}

impl Validator<'_> {
    pub(super) fn instances(&mut self, tables: &[table::Instance]) -> Vec<Instance> {
        let mut seen = Seen::default();
        let instances: Vec<_> = tables
            .iter()
            .filter_map(|table| self.instance(&mut seen, table))
            .collect();
        self.groups(&instances, tables);
        instances
    }

    fn instance(&mut self, seen: &mut Seen, table: &table::Instance) -> Option<Instance> {
        let (name, span) = (table.name.get_ref(), table.name.span());
        self.name("instance", &table.name);
        self.once(&mut seen.names, name.clone(), &span, || {
            Diagnostic::error(format!("two instances are called {}", quote(name)))
                .at(span.clone(), "expected another name")
        });
        let interface = self.interface(&table.interface);
        let vrid = self.small_number("vrid", &table.vrid);
        if let (Some(interface), Some(vrid)) = (&interface, vrid) {
            let span = table.vrid.span();
            self.once(&mut seen.routers, (interface.clone(), vrid), &span, || {
                Diagnostic::error(format!("two instances on {interface} have the vrid {vrid}"))
                    .at(span.clone(), "expected a number that is not in use on this link")
            });
        }
        let vips = self.instance_vips(&mut seen.vips, table);
        let priority = table.priority.as_ref();
        let priority = priority.map_or(Some(DEFAULT_PRIORITY), |given| {
            self.small_number("priority", given)
        });
        if let Some(group) = &table.group {
            self.name("group", group);
        }
        Some(Instance {
            name: name.clone(),
            vrid: vrid?,
            interface: interface?,
            priority: priority?,
            vips,
            advert_interval: self.advert_interval(table.advert_interval.as_ref()),
            failback: table.failback.unwrap_or(Failback::AfterSync),
            failback_delay: self.time(
                "failback_delay",
                table.failback_delay.as_ref(),
                Duration::ZERO,
                &TIMES,
            ),
            group: table.group.as_ref().map(|group| group.get_ref().clone()),
            virtual_mac: self.virtual_mac(table),
            peers: self.peers(table),
            announce: self.announce(table.announce.as_ref()),
            on_duplicate: table.on_duplicate.unwrap_or(OnDuplicate::Announce),
            track: self.tracks(table.track.as_ref()),
            hooks: self.hooks(table.hooks.as_ref()),
        })
    }

    pub(super) fn interface(&mut self, given: &Spanned<String>) -> Option<String> {
        if super::is_interface_name(given.get_ref()) {
            return Some(given.get_ref().clone());
        }
        self.report(super::not_an_interface(given));
        None
    }

    /// From 1 to 255.
    pub(super) fn small_number(&mut self, key: &str, given: &Spanned<i64>) -> Option<u8> {
        let number = u8::try_from(*given.get_ref()).ok().filter(|number| *number > 0);
        if number.is_none() {
            self.report(
                Diagnostic::error(format!("`{key}` is out of range")).at(given.span(), "expected 1 to 255"),
            );
        }
        number
    }

    fn instance_vips(&mut self, seen: &mut FirstSeen<IpAddr>, table: &table::Instance) -> Vec<IpAddr> {
        let (list, name) = (&table.vips, quote(table.name.get_ref()));
        if list.get_ref().is_empty() {
            self.report(Diagnostic::error(format!("instance {name} has no VIP")).at(
                list.span(),
                "expected at least one address, such as \"192.0.2.10\"",
            ));
        }
        let mut vips = Vec::new();
        for vip in list.get_ref() {
            let (text, span) = (vip.get_ref(), vip.span());
            let Some(vip) = self.address("VIP", text, &span) else {
                continue;
            };
            let is_new = self.once(seen, vip, &span, || {
                Diagnostic::error(format!("{vip} is given twice"))
                    .at(span.clone(), "expected an address that no instance has yet")
            });
            if is_new {
                vips.push(vip);
            }
        }
        for (family, count, most) in [
            (
                "IPv4",
                vips.iter().filter(|vip| vip.is_ipv4()).count(),
                MAX_VIPS_V4,
            ),
            (
                "IPv6",
                vips.iter().filter(|vip| vip.is_ipv6()).count(),
                MAX_VIPS_V6,
            ),
        ] {
            if count > most {
                self.report(
                    Diagnostic::error(format!("instance {name} has {count} {family} VIPs"))
                        .at(list.span(), format!("expected {most} at most: one advertisement names no more"))
                        .note("divide them among several instances, with one `group` if they are to move together"),
                );
            }
        }
        vips
    }

    /// An address of a host, which may be link-local here.
    pub(super) fn address(&mut self, role: &str, text: &str, span: &Range<usize>) -> Option<IpAddr> {
        let Ok(address) = text.parse::<IpAddr>() else {
            self.report(
                Diagnostic::error(format!("{} is no address, and cannot be a {role}", quote(text))).at(
                    span.clone(),
                    "expected an address alone, such as 192.0.2.10 or 2001:db8::10",
                ),
            );
            return None;
        };
        let is_link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        (is_link_local || self.host_address(role, address, span)).then_some(address)
    }

    fn advert_interval(&mut self, given: Option<&Spanned<Time>>) -> Duration {
        let Some(given) = given else {
            return DEFAULT_ADVERT_INTERVAL;
        };
        let interval = given.get_ref().0;
        let is_whole = interval.as_millis().is_multiple_of(CENTISECOND.as_millis());
        if is_whole && (CENTISECOND..=MAX_INTERVAL).contains(&interval) {
            return interval;
        }
        self.report(Diagnostic::error("`advert_interval` is out of range").at(
            given.span(),
            "expected \"10ms\" to \"40950ms\", in steps of 10 ms (RFC 9568, section 5.2.7)",
        ));
        DEFAULT_ADVERT_INTERVAL
    }

    fn peers(&mut self, table: &table::Instance) -> Vec<IpAddr> {
        let Some(list) = &table.peers else {
            return Vec::new();
        };
        let mut seen = FirstSeen::new();
        let mut peers = Vec::new();
        for peer in list.get_ref() {
            let (text, span) = (peer.get_ref(), peer.span());
            let Some(peer) = self.address("director", text, &span) else {
                continue;
            };
            let is_new = self.once(&mut seen, peer, &span, || {
                Diagnostic::error(format!("{peer} is given twice")).at(span.clone(), "once is enough")
            });
            if is_new {
                peers.push(peer);
            }
        }
        if peers.len() > MAX_PEERS {
            self.report(
                Diagnostic::error(format!("there are {} peers", peers.len()))
                    .at(list.span(), format!("expected {MAX_PEERS} at most")),
            );
        }
        let families =
            |addresses: &[IpAddr]| [IpAddr::is_ipv4, IpAddr::is_ipv6].map(|is| addresses.iter().any(is));
        let vips: Vec<IpAddr> = table
            .vips
            .get_ref()
            .iter()
            .filter_map(|vip| vip.get_ref().parse().ok())
            .collect();
        for (family, (has_vips, has_peers)) in ["IPv4", "IPv6"]
            .iter()
            .zip(families(&vips).into_iter().zip(families(&peers)))
        {
            if !peers.is_empty() && has_vips && !has_peers {
                self.report(
                    Diagnostic::error(format!("there are {family} VIPs, and no {family} peer to tell")).at(
                        list.span(),
                        format!("expected the peers' {family} addresses, too"),
                    ),
                );
            }
        }
        peers
    }

    /// Whether the VIPs have MAC addresses of their own, which not every instance can have.
    fn virtual_mac(&mut self, table: &table::Instance) -> bool {
        let Some(given) = table.virtual_mac.as_ref().filter(|given| *given.get_ref()) else {
            return false;
        };
        let name = quote(table.name.get_ref());
        let is =
            |key: &Option<Spanned<i64>>, number| key.as_ref().is_some_and(|key| *key.get_ref() == number);
        let has_peers = table
            .peers
            .as_ref()
            .is_some_and(|peers| !peers.get_ref().is_empty());
        let why = if has_peers {
            "with `peers` switches hear nothing from that address, and forget where it is; advertise to the group, or leave it out"
        } else if is(&table.priority, i64::from(u8::MAX)) {
            "with priority 255 the VIPs are the interface's own addresses, at its own MAC address; choose 254 or less"
        } else {
            return true;
        };
        self.report(
            Diagnostic::error(format!("instance {name} cannot have a virtual MAC address"))
                .at(given.span(), why),
        );
        false
    }

    fn announce(&mut self, given: Option<&table::Announce>) -> Announce {
        let default = Announce::default();
        let Some(given) = given else { return default };
        Announce {
            repeat: self.number("repeat", given.repeat.as_ref(), default.repeat.into(), &(1..=255)) as u8,
            interval: self.time("interval", given.interval.as_ref(), default.interval, &TIMES),
            rate: self.number("rate", given.rate.as_ref(), default.rate, &(1..=MAX_RATE)),
            refresh: self.time("refresh", given.refresh.as_ref(), default.refresh, &TIMES),
        }
    }

    fn hooks(&mut self, given: Option<&table::Hooks>) -> Hooks {
        let default = Hooks::default();
        let Some(given) = given else { return default };
        let commands = Step::ALL.into_iter().filter_map(|step| {
            let command = self.command(given.of(step)?)?;
            Some((step, command))
        });
        Hooks {
            commands: commands.collect(),
            timeout: self.time("timeout", given.timeout.as_ref(), default.timeout, &HOOK_TIMES),
        }
    }

    /// Instances that move together must want to move at the same time.
    fn groups(&mut self, instances: &[Instance], tables: &[table::Instance]) {
        let mut first: BTreeMap<&str, &Instance> = BTreeMap::new();
        for instance in instances {
            let name = instance.group_name();
            let table = tables.iter().find(|table| *table.name.get_ref() == instance.name);
            let Some(other) = first.get(name) else {
                first.insert(name, instance);
                if let (Some(table), true) = (table, first.len() == MAX_GROUPS + 1) {
                    self.report(Diagnostic::error("too many groups of instances").at(
                        table.name.span(),
                        format!(
                            "expected at most {MAX_GROUPS}: an instance without a group is one by itself"
                        ),
                    ));
                }
                continue;
            };
            let key = if instance.group != other.group {
                Some("name")
            } else if instance.priority != other.priority {
                Some("priority")
            } else if instance.failback != other.failback {
                Some("failback")
            } else if instance.failback_delay != other.failback_delay {
                Some("failback_delay")
            } else {
                None
            };
            if let (Some(key), Some(table)) = (key, table) {
                let (ours, theirs) = (quote(&instance.name), quote(&other.name));
                let error = match key {
                    "name" => {
                        Diagnostic::error(format!("the group {} is called like an instance", quote(name)))
                            .at(table.name.span(), "expected another name for one of them")
                    }
                    key => Diagnostic::error(format!(
                        "instances {ours} and {theirs} are in the group {}, and differ in `{key}`",
                        quote(name)
                    ))
                    .at(
                        table.name.span(),
                        format!("expected the same `{key}`: they move together"),
                    ),
                };
                self.report(error);
            }
        }
    }

    /// What instances have to do with the rest of the configuration.
    pub(super) fn fits_together(&mut self, config: &Config, tables: &file::File) {
        let Config {
            director,
            instances,
            services,
            ..
        } = config;
        if config.cluster.is_some() && director.pool_share == Share::WHOLE {
            for table in tables.services.iter().filter_map(|service| service.pool.as_ref()) {
                self.report(
                    Diagnostic::warning("all directors of the cluster give out the same ports of this pool")
                        .at(table.span(), "two connections may get the same one")
                        .note("set `pool_share` under [director]: \"1/2\" on one of two directors, \"2/2\" on the other"),
                );
            }
        }
        if instances.is_empty() {
            if let Some(track) = &tables.director.track {
                self.report(
                    Diagnostic::warning("nothing depends on what the [director] tracks")
                        .at(track.span(), "there is no [[instance]]"),
                );
            }
            return;
        }
        for (instance, table) in instances.iter().zip(&tables.instances) {
            if let Some(given) = table
                .virtual_mac
                .as_ref()
                .filter(|_| instance.virtual_mac && !director.manage_vips)
            {
                self.report(
                    Diagnostic::error(format!(
                        "instance {} cannot have a virtual MAC address",
                        quote(&instance.name)
                    ))
                    .at(
                        given.span(),
                        "with `manage_vips = false` the VIPs are put on interfaces by somebody else",
                    ),
                );
            }
            if !director.interfaces.contains(&instance.interface) {
                self.report(
                    Diagnostic::warning(format!(
                        "{} is not among the [director]'s interfaces",
                        quote(&instance.interface)
                    ))
                    .at(
                        table.interface.span(),
                        "packets for these VIPs are not balanced where they come in",
                    ),
                );
            }
        }
        let held = |vip: &IpAddr| instances.iter().any(|instance| instance.vips.contains(vip));
        for (service, table) in services.iter().zip(&tables.services) {
            let vips = service.frontends.iter().map(|frontend| frontend.vip);
            let vips = vips.chain(service.areas.iter().filter_map(Area::vip));
            let pool = service.pool.iter().flat_map(|pool| &pool.addresses);
            let mut vips = vips.chain(pool.copied());
            if let Some(vip) = vips.find(|vip| !held(vip)) {
                self.report(
                    Diagnostic::warning(format!(
                        "{vip} of service {} belongs to no instance",
                        quote(&service.name)
                    ))
                    .at(
                        table.listen.span(),
                        "where there are instances, nobody holds the other VIPs",
                    )
                    .note("add it to the `vips` of an [[instance]]"),
                );
            }
        }
    }
}

//! The slow half of the HA thread: whatever may have to wait for the kernel's network configuration lock.
//!
//! It adds and removes VIPs, watches interfaces and their addresses, and opens and closes sockets.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use super::{super::holder::Holder, post::Post, worker};
use crate::{
    core::{
        ha::{Interface, Place, VIRTUAL_MAC, VirtualMac},
        model::{Heartbeat, Medium},
        neighbour::{Link, Mac},
    },
    net::{
        NetlinkError,
        address::{AddressBook, InterfaceAddress},
        heartbeat::HeartbeatLink,
        news::News,
        vrrp::VrrpSockets,
    },
};

/// Between two looks at everything, in case word of a change was lost.
const LOOK: Duration = Duration::from_secs(1);

/// Stands for the index of an interface where there is a line instead.
const LINE: u32 = 0;

/// What the HA thread wants of it.
#[derive(Debug)]
pub(super) enum Order {
    /// Make the interfaces hold exactly these VIPs.
    Hold(Arc<BTreeSet<Place>>),
    /// Tell about exactly these interfaces and paths.
    Watch(Watch),
    /// Close these.
    Close(VrrpSockets),
    /// Close this one.
    ClosePath(HeartbeatLink),
    /// Close this one of the path, and open it anew as soon as that is possible.
    Reopen(Heartbeat, HeartbeatLink),
}

/// What the HA thread wants to know of.
#[derive(Debug)]
pub(super) struct Watch {
    /// Interfaces on which instances are.
    pub(super) interfaces: BTreeSet<String>,
    /// Heartbeat paths.
    pub(super) heartbeats: Vec<Heartbeat>,
    /// MAC addresses that VIPs are at, and the instances that depend on them.
    pub(super) virtual_macs: BTreeMap<VirtualMac, String>,
}

/// What the HA thread was told of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    /// Index and MAC address; `None` if there is no such interface.
    identity: Option<(u32, Mac)>,
    state: Interface,
}

impl Known {
    const ABSENT: Self = Self {
        identity: None,
        state: Interface::ABSENT,
    };
}

pub(super) struct Mover {
    holder: Holder,
    /// Whether VIPs are ours to put on interfaces.
    manages_vips: bool,
    watched: BTreeMap<String, Known>,
    virtual_macs: BTreeMap<VirtualMac, String>,
    /// What the HA thread was told of those of an instance: what is wrong, if something is.
    told: BTreeMap<String, Option<String>>,
    /// Heartbeat paths, and the index of the interface for which the HA thread has a socket.
    paths: Vec<(Heartbeat, Option<u32>)>,
    news: News,
    orders: mpsc::Receiver<Order>,
    ha: Post<worker::Order>,
    /// What was last said of sockets that cannot be opened.
    complaints: BTreeMap<String, String>,
}

impl Mover {
    /// # Errors
    /// When the kernel gives no sockets.
    pub(super) fn open(
        manages_vips: bool,
        orders: mpsc::Receiver<Order>,
        ha: Post<worker::Order>,
    ) -> Result<Self, NetlinkError> {
        Ok(Self {
            holder: Holder::open()?,
            manages_vips,
            watched: BTreeMap::new(),
            virtual_macs: BTreeMap::new(),
            told: BTreeMap::new(),
            paths: Vec::new(),
            news: News::open().map_err(NetlinkError::Socket)?,
            orders,
            ha,
            complaints: BTreeMap::new(),
        })
    }

    /// Works until the HA thread is gone, and then holds what it wanted last.
    pub(super) async fn run(mut self) {
        // What an earlier life left behind.
        self.hold(&BTreeSet::new()).await;
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return self.holder.take_leave().await,
                },
                changed = self.news.changed() => match changed {
                    Ok(()) => self.look().await,
                    // Looking at everything now and then has to do.
                    Err(error) => {
                        warn!(%error, "cannot hear of changes of interfaces; looking at them every second");
                        ticks.tick().await;
                    }
                },
                _ = ticks.tick() => {
                    self.keep().await;
                    self.look().await;
                }
            }
        }
    }

    /// Obeys, but of several lists of VIPs only the last.
    async fn obey(&mut self, order: Order) {
        let mut holdings = None;
        let mut next = Some(order);
        while let Some(order) = next {
            match order {
                Order::Hold(wanted) => holdings = Some(wanted),
                Order::Watch(Watch {
                    interfaces,
                    heartbeats,
                    virtual_macs,
                }) => {
                    self.holder.links.want(virtual_macs.keys().cloned().collect());
                    self.virtual_macs = virtual_macs;
                    // A group that begins anew has forgotten.
                    self.told.clear();
                    let before = std::mem::take(&mut self.paths);
                    let known = |path: &Heartbeat| before.iter().find(|(known, _)| known == path)?.1;
                    self.paths = heartbeats
                        .into_iter()
                        .map(|path| {
                            let known = known(&path);
                            (path, known)
                        })
                        .collect();
                    self.watched.retain(|name, _| interfaces.contains(name));
                    for name in interfaces {
                        self.watched.entry(name).or_insert(Known::ABSENT);
                    }
                    // Before the HA thread can want VIPs there.
                    self.keep().await;
                    self.look().await;
                }
                Order::Close(sockets) => drop(sockets),
                Order::ClosePath(link) => drop(link),
                Order::Reopen(settings, link) => {
                    drop(link);
                    let known = self.paths.iter_mut().find(|(path, _)| *path == settings);
                    known.into_iter().for_each(|(_, known)| *known = None);
                }
            }
            next = self.orders.try_recv().ok();
        }
        if let Some(wanted) = holdings {
            self.hold(&wanted).await;
        }
    }

    /// Puts back what is missing.
    async fn keep(&mut self) {
        if self.manages_vips {
            self.holder.keep().await;
            self.tell_of_links();
        }
    }

    /// Tells the HA thread whose VIPs can be at their own MAC addresses.
    fn tell_of_links(&mut self) {
        let mut now: BTreeMap<&String, Option<&str>> = BTreeMap::new();
        for (mac, instance) in &self.virtual_macs {
            let fault = now.entry(instance).or_default();
            *fault = fault.or(self.holder.links.fault(mac));
        }
        for (instance, fault) in now {
            let fault = fault.map(str::to_owned);
            if self.told.get(instance) != Some(&fault) {
                self.told.insert(instance.clone(), fault.clone());
                self.ha.send(worker::Order::Tracked {
                    instance: instance.clone(),
                    number: VIRTUAL_MAC,
                    fault,
                });
            }
        }
    }

    async fn hold(&mut self, wanted: &BTreeSet<Place>) {
        if self.manages_vips {
            for Place { interface, vip, .. } in self.holder.hold(wanted.clone()).await {
                info!(%vip, interface, "holding the VIP");
            }
        }
    }

    /// Tells the HA thread what is new.
    async fn look(&mut self) {
        if self.watched.is_empty() && self.paths.is_empty() {
            return;
        }
        // What cannot be seen now will be seen the next time.
        let Ok(book) = self.holder.netlink.address_book().await else {
            return;
        };
        for (name, known) in &mut self.watched {
            let link = book.link(name);
            let now = link.map_or(Known::ABSENT, |link| see(link, &book));
            if now == *known {
                continue;
            }
            let mut sockets = None;
            if let (Some(link), Some((_, mac))) = (link, now.identity)
                && now.identity != known.identity
            {
                match VrrpSockets::open(link, mac) {
                    Ok(opened) => sockets = Some(opened),
                    Err(error) => {
                        complain(&mut self.complaints, name, error.to_string());
                        // Tried again at the next look.
                        continue;
                    }
                }
            }
            self.complaints.remove(name);
            *known = now;
            self.ha.send(worker::Order::Interface {
                name: name.clone(),
                state: now.state,
                sockets,
                is_there: now.identity.is_some(),
            });
        }
        self.look_at_paths(&book);
    }

    /// Opens sockets for heartbeat paths whose interface is another one now.
    fn look_at_paths(&mut self, book: &AddressBook) {
        for (settings, known) in &mut self.paths {
            let now = match &settings.medium {
                Medium::Network(network) => book.link(&network.interface).map(|link| link.ifindex),
                Medium::Serial { .. } => Some(LINE),
            };
            if now == *known {
                continue;
            }
            let link = match now.map(|ifindex| HeartbeatLink::open(settings, ifindex)) {
                None => None,
                Some(Ok(link)) => Some(link),
                Some(Err(error)) => {
                    complain(&mut self.complaints, &settings.name, error.to_string());
                    continue;
                }
            };
            self.complaints.remove(&settings.name);
            *known = now;
            self.ha.send(worker::Order::Path {
                settings: settings.clone(),
                link,
            });
        }
    }
}

/// Says what is wrong, once.
fn complain(complaints: &mut BTreeMap<String, String>, of: &str, error: String) {
    if complaints.get(of) != Some(&error) {
        warn!("{error}");
        complaints.insert(of.to_owned(), error);
    }
}

fn see(link: &Link, book: &AddressBook) -> Known {
    let own = |address: &&InterfaceAddress| !address.ours && !address.unusable;
    let addresses: Vec<_> = book.on(link.ifindex).filter(own).collect();
    let mut addresses = addresses.iter().map(|address| address.address);
    let v4 = addresses.clone().find_map(|address| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    let v6 = addresses.find_map(|address| match address {
        IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    });
    Known {
        identity: link.mac.map(|mac| (link.ifindex, mac)),
        state: Interface {
            up: link.up && link.mac.is_some(),
            v4,
            v6,
        },
    }
}

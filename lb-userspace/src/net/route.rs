//! Whether the kernel has a route.

use std::net::IpAddr;

use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAttribute, RouteFlags, RouteMessage, RouteType},
};

use super::{Netlink, NetlinkError, translate::ip_address};

impl Netlink {
    /// Whether there is a unicast route to exactly this network in any of the tables, and its link is up. Reads all routes
    /// of the family.
    ///
    /// # Errors
    /// [`NetlinkError`].
    pub async fn has_route(&self, network: IpAddr, prefix: u8) -> Result<bool, NetlinkError> {
        let mut request = RouteMessage::default();
        request.header.address_family = if network.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let is_it = |message: &RouteNetlinkMessage| match message {
            RouteNetlinkMessage::NewRoute(route) => leads_to(route, network, prefix),
            _ => false,
        };
        self.any(RouteNetlinkMessage::GetRoute(request), "list the routes", is_it)
            .await
    }
}

impl Netlink {
    /// Whether the default route of either family leads through this interface, in any of the tables.
    ///
    /// # Errors
    /// [`NetlinkError`].
    pub async fn is_default(&self, ifindex: u32) -> Result<bool, NetlinkError> {
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            let is_it = |message: &RouteNetlinkMessage| match message {
                RouteNetlinkMessage::NewRoute(route) => is_default_through(route, ifindex),
                _ => false,
            };
            let request = RouteNetlinkMessage::GetRoute(request);
            if self.any(request, "list the routes", is_it).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn is_default_through(route: &RouteMessage, ifindex: u32) -> bool {
    let header = &route.header;
    let is_default = header.kind == RouteType::Unicast && header.destination_prefix_length == 0;
    is_default
        && route.attributes.iter().any(|attribute| match attribute {
            RouteAttribute::Oif(index) => *index == ifindex,
            RouteAttribute::MultiPath(hops) => hops.iter().any(|hop| hop.interface_index == ifindex),
            _ => false,
        })
}

fn leads_to(route: &RouteMessage, network: IpAddr, prefix: u8) -> bool {
    let header = &route.header;
    let is_dead = header.flags.intersects(RouteFlags::Dead | RouteFlags::Linkdown);
    if header.kind != RouteType::Unicast || header.destination_prefix_length != prefix || is_dead {
        return false;
    }
    let destination = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(address) => ip_address(address),
        _ => None,
    });
    // A default route names none.
    destination.map_or(prefix == 0, |destination| destination == network)
}

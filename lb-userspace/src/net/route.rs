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

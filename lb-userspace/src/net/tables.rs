//! Whole tables of the kernel.

use rtnetlink::packet_route::{RouteNetlinkMessage, link::LinkMessage, neighbour::NeighbourMessage};

use super::{Netlink, NetlinkError, translate};
use crate::core::neighbour::{Link, Neighbour};

impl Netlink {
    /// Every interface, as the kernel describes it.
    pub(super) async fn link_messages(&self) -> Result<Vec<LinkMessage>, NetlinkError> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let messages = self.dump(request, "list the interfaces").await?;
        let links = messages.into_iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(message) => Some(message),
            _ => None,
        });
        Ok(links.collect())
    }

    /// Every interface.
    pub(super) async fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        Ok(self
            .link_messages()
            .await?
            .iter()
            .filter_map(translate::link)
            .collect())
    }

    /// Every neighbour entry of IPv4 and IPv6.
    pub(super) async fn neighbours(&self) -> Result<Vec<Neighbour>, NetlinkError> {
        let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let messages = self.dump(request, "list the neighbours").await?;
        let neighbours = messages.iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewNeighbour(message) => translate::neighbour(message),
            _ => None,
        });
        Ok(neighbours.collect())
    }
}

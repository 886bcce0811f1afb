//! Where connections go, in words that mean the same on every director.

use core::net::IpAddr;
use std::vec::Vec;

use crate::wire::sync::{Reader, Refusal};

/// A service, as the wire names it: the first 8 bytes of the SHA-256 of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u64);

/// What becomes of a connection's packets on their way to the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Rewrite {
    /// They stay what they are.
    #[default]
    Nothing,
    /// They go to the backend's address and port: NAT.
    Destination,
    /// Besides, they come from this address of a pool, and from a port that is each connection's own: full NAT.
    Both(IpAddr),
}

/// A backend of a service, and how it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The service.
    pub service: ServiceId,
    /// The backend's address.
    pub backend: IpAddr,
    /// The backend's port; 0 where it is the frontend's.
    pub port: u16,
    /// What becomes of packets.
    pub rewrite: Rewrite,
}

const BACKEND_IS_V6: u8 = 1;
const HAS_POOL: u8 = 2;
const POOL_IS_V6: u8 = 4;
const TRANSLATED: u8 = 8;
const POOL_OF_V6: u8 = HAS_POOL | POOL_IS_V6;
/// But for the backend's address it is like the target before.
const LIKE_BEFORE: u8 = 16;

impl Target {
    /// Reads one, behind the one `before`.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) fn parse(reader: &mut Reader<'_>, before: Option<&Self>) -> Result<Self, Refusal> {
        let form = reader.u8()?;
        if form & !BACKEND_IS_V6 == LIKE_BEFORE {
            let backend = address(reader, form & BACKEND_IS_V6 != 0)?;
            let before = before.ok_or(Refusal::BadValue)?;
            return Ok(Self { backend, ..*before });
        }
        let service = ServiceId(reader.u64()?);
        let backend = address(reader, form & BACKEND_IS_V6 != 0)?;
        let port = reader.u16()?;
        let rewrite = match form & !BACKEND_IS_V6 {
            0 => Rewrite::Nothing,
            TRANSLATED => Rewrite::Destination,
            pool @ (HAS_POOL | POOL_OF_V6) => Rewrite::Both(address(reader, pool == POOL_OF_V6)?),
            _ => return Err(Refusal::BadValue),
        };
        Ok(Self {
            service,
            backend,
            port,
            rewrite,
        })
    }

    /// Length on the wire, in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        let of = |address: IpAddr| if address.is_ipv4() { 4 } else { 16 };
        let pool = match self.rewrite {
            Rewrite::Nothing | Rewrite::Destination => 0,
            Rewrite::Both(pool) => of(pool),
        };
        11 + of(self.backend) + pool
    }

    /// Whether it is like the one before but for the backend.
    pub(super) fn is_like(&self, before: &Self) -> bool {
        Self {
            backend: before.backend,
            ..*self
        } == *before
    }

    /// Length on the wire behind one that it [is like](Self::is_like), in bytes.
    pub(super) fn short_length(&self) -> usize {
        if self.backend.is_ipv4() { 5 } else { 17 }
    }

    /// Writes it behind what is in `to`, and behind one that it [is like](Self::is_like).
    pub(super) fn emit_short(&self, to: &mut Vec<u8>) {
        let backend = if self.backend.is_ipv6() { BACKEND_IS_V6 } else { 0 };
        to.push(LIKE_BEFORE | backend);
        emit_address(self.backend, to);
    }

    /// Writes it behind what is in `to`.
    pub fn emit(&self, to: &mut Vec<u8>) {
        let rewrite = match self.rewrite {
            Rewrite::Nothing => 0,
            Rewrite::Destination => TRANSLATED,
            Rewrite::Both(IpAddr::V4(_)) => HAS_POOL,
            Rewrite::Both(IpAddr::V6(_)) => POOL_OF_V6,
        };
        let backend = if self.backend.is_ipv6() { BACKEND_IS_V6 } else { 0 };
        to.push(rewrite | backend);
        to.extend_from_slice(&self.service.0.to_be_bytes());
        emit_address(self.backend, to);
        to.extend_from_slice(&self.port.to_be_bytes());
        if let Rewrite::Both(pool) = self.rewrite {
            emit_address(pool, to);
        }
    }
}

fn address(reader: &mut Reader<'_>, is_v6: bool) -> Result<IpAddr, Refusal> {
    if is_v6 {
        reader.array::<16>().map(IpAddr::from)
    } else {
        reader.array::<4>().map(IpAddr::from)
    }
}

fn emit_address(address: IpAddr, to: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => to.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => to.extend_from_slice(&address.octets()),
    }
}

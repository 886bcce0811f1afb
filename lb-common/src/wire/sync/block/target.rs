//! Where connections go, in words that mean the same on every director.

use core::net::IpAddr;
use std::vec::Vec;

use crate::wire::sync::{Reader, Refusal};

/// A service, as the wire names it: the first 8 bytes of the SHA-256 of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u64);

/// A backend of a service, and the address that its connections' sources are translated to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The service.
    pub service: ServiceId,
    /// The backend's address.
    pub backend: IpAddr,
    /// The backend's port; 0 where it is the frontend's.
    pub port: u16,
    /// Address of the pool; `None` where sources stay what they are.
    pub pool: Option<IpAddr>,
}

const BACKEND_IS_V6: u8 = 1;
const HAS_POOL: u8 = 2;
const POOL_IS_V6: u8 = 4;

impl Target {
    /// Reads one.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        let form = reader.u8()?;
        let service = ServiceId(reader.u64()?);
        let backend = address(reader, form & BACKEND_IS_V6 != 0)?;
        let port = reader.u16()?;
        let pool = match form {
            0 | BACKEND_IS_V6 => None,
            _ if form & HAS_POOL != 0 && form < 8 => Some(address(reader, form & POOL_IS_V6 != 0)?),
            _ => return Err(Refusal::BadValue),
        };
        Ok(Self {
            service,
            backend,
            port,
            pool,
        })
    }

    /// Length on the wire, in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        let of = |address: IpAddr| if address.is_ipv4() { 4 } else { 16 };
        11 + of(self.backend) + self.pool.map_or(0, of)
    }

    /// Writes it behind what is in `to`.
    pub fn emit(&self, to: &mut Vec<u8>) {
        let mut form = 0;
        if self.backend.is_ipv6() {
            form |= BACKEND_IS_V6;
        }
        if let Some(pool) = self.pool {
            form |= HAS_POOL;
            if pool.is_ipv6() {
                form |= POOL_IS_V6;
            }
        }
        to.push(form);
        to.extend_from_slice(&self.service.0.to_be_bytes());
        emit_address(self.backend, to);
        to.extend_from_slice(&self.port.to_be_bytes());
        if let Some(pool) = self.pool {
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

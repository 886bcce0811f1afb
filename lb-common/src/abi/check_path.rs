//! What the programs that send checks to VIPs share with the daemon.

/// High half of the mark of a socket whose packets go to a VIP; the low half is the number of the route, below
/// [`CHECK_ROUTES`].
pub const CHECK_MARK: u32 = 0x7a6d_0000;
/// The bits of [`CHECK_MARK`] that are compared.
pub const CHECK_MARK_MASK: u32 = 0xffff_0000;
/// Routes that may be in use at the same time: one for each VIP, and in tunnels one for each VIP and backend.
pub const CHECK_ROUTES: usize = 16_384;
/// Ways back: by local port, TCP's before UDP's.
pub const CHECK_RETURNS: usize = 2 << 16;

/// An address: an IPv4 one in the last four bytes, as it lies in a packet; IPv6 in all.
pub type CheckAddress = [u32; 4];

/// Where a marked socket's packets go. In a tunnel, a `BackendEntry` under the same number says in which.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckRoute {
    /// The VIP.
    pub vip: CheckAddress,
    /// Where they come from, if the backend's own address, and so the socket's, is not of the VIP's family; else zero.
    pub source: CheckAddress,
}

/// Whose answer it is that comes to a local port.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckReturn {
    /// The VIP that was asked, and whose answer it seems to be.
    pub vip: CheckAddress,
    /// The backend that was asked in truth.
    pub backend: CheckAddress,
    /// The address that the socket has.
    pub local: CheckAddress,
}

/// Whether this is an IPv4 address.
#[inline(always)]
#[must_use]
pub const fn is_v4(address: &CheckAddress) -> bool {
    address[0] | address[1] | address[2] == 0
}

const _: () = assert!(size_of::<CheckRoute>() == 32 && size_of::<CheckReturn>() == 48);

//! What the programs that send checks to VIPs share with the daemon.

/// High half of the mark of a socket whose packets go to a VIP; the low half is the VIP's number, below [`CHECK_VIPS`].
pub const CHECK_MARK: u32 = 0x7a6d_0000;
/// The bits of [`CHECK_MARK`] that are compared.
pub const CHECK_MARK_MASK: u32 = 0xffff_0000;
/// VIPs that may be checked at the same time.
pub const CHECK_VIPS: usize = 4096;
/// Ways back: by local port, TCP's before UDP's.
pub const CHECK_RETURNS: usize = 2 << 16;

/// An address: an IPv4 one in the last four bytes, as it lies in a packet; IPv6 in all.
pub type CheckAddress = [u32; 4];

/// Whose answer it is that comes to a local port.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckReturn {
    /// The VIP that was asked, and whose answer it seems to be.
    pub vip: CheckAddress,
    /// The backend that was asked in truth.
    pub backend: CheckAddress,
}

const _: () = assert!(size_of::<CheckReturn>() == 32);

//! Where the least balancer sends packets: the layout that it and the benchmark share.

/// Places of the least balancer's table; a power of two.
pub(crate) const CHOICES: u32 = 1024;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub(crate) struct Choice {
    /// Index of the interface that packets leave by.
    pub(crate) interface: u32,
    /// Destination and source MAC address, as they lie in memory.
    pub(crate) macs: [u32; 3],
}

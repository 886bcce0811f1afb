//! Flow keys, divided into what is the client's and what many connections share.

use crate::packet::{FlowKey4, FlowKey6};

/// A flow key that can go over the wire.
pub trait WireKey: Copy + PartialEq {
    /// Length of the client's part, in bytes.
    const CLIENT: usize;
    /// Length of the frontend's part, in bytes.
    const FRONTEND: usize;
    /// The client's address and port.
    type Client: AsRef<[u8]>;
    /// VIP, port, protocol and kind of key.
    type Frontend: Copy + Eq + AsRef<[u8]>;

    /// Both parts, as they go over the wire.
    fn split(&self) -> (Self::Client, Self::Frontend);

    /// The key of both parts; `None` if `client` has the wrong length.
    fn join(client: &[u8], frontend: Self::Frontend) -> Option<Self>;
}

/// The client's port as the packet has it.
#[inline]
const fn client_port(tail: u64) -> [u8; 2] {
    (tail as u16).to_ne_bytes()
}

/// The frontend's port as the packet has it, then protocol and kind.
#[inline]
const fn frontend_tail(tail: u64) -> ([u8; 2], [u8; 4]) {
    (
        ((tail >> 16) as u16).to_ne_bytes(),
        ((tail >> 32) as u32).to_le_bytes(),
    )
}

#[inline]
const fn tail(client_port: [u8; 2], port: [u8; 2], kind: [u8; 4]) -> u64 {
    u16::from_ne_bytes(client_port) as u64
        | (u16::from_ne_bytes(port) as u64) << 16
        | (u32::from_le_bytes(kind) as u64) << 32
}

impl WireKey for FlowKey4 {
    const CLIENT: usize = 6;
    const FRONTEND: usize = 10;
    type Client = [u8; 6];
    type Frontend = [u8; 10];

    #[inline]
    fn split(&self) -> ([u8; 6], [u8; 10]) {
        let [c0, c1, c2, c3] = (self.words[0] as u32).to_ne_bytes();
        let [v0, v1, v2, v3] = ((self.words[0] >> 32) as u32).to_ne_bytes();
        let [c4, c5] = client_port(self.words[1]);
        let ([p0, p1], [k0, k1, k2, k3]) = frontend_tail(self.words[1]);
        ([c0, c1, c2, c3, c4, c5], [v0, v1, v2, v3, p0, p1, k0, k1, k2, k3])
    }

    #[inline]
    fn join(client: &[u8], frontend: [u8; 10]) -> Option<Self> {
        let [c0, c1, c2, c3, c4, c5] = *client else {
            return None;
        };
        let [v0, v1, v2, v3, p0, p1, k0, k1, k2, k3] = frontend;
        let client = u32::from_ne_bytes([c0, c1, c2, c3]);
        let vip = u32::from_ne_bytes([v0, v1, v2, v3]);
        Some(Self {
            words: [
                u64::from(client) | u64::from(vip) << 32,
                tail([c4, c5], [p0, p1], [k0, k1, k2, k3]),
            ],
        })
    }
}

impl WireKey for FlowKey6 {
    const CLIENT: usize = 18;
    const FRONTEND: usize = 22;
    type Client = [u8; 18];
    type Frontend = [u8; 22];

    #[inline]
    fn split(&self) -> ([u8; 18], [u8; 22]) {
        let [last, source0, source1, vip0, vip1] = self.words;
        let (mut client, mut frontend) = ([0; 18], [0; 22]);
        client[..8].copy_from_slice(&source0.to_ne_bytes());
        client[8..16].copy_from_slice(&source1.to_ne_bytes());
        client[16..].copy_from_slice(&client_port(last));
        frontend[..8].copy_from_slice(&vip0.to_ne_bytes());
        frontend[8..16].copy_from_slice(&vip1.to_ne_bytes());
        let (port, kind) = frontend_tail(last);
        frontend[16..18].copy_from_slice(&port);
        frontend[18..].copy_from_slice(&kind);
        (client, frontend)
    }

    #[inline]
    fn join(client: &[u8], frontend: [u8; 22]) -> Option<Self> {
        let ([source0, source1], &[c0, c1]) = words(client)? else {
            return None;
        };
        let ([vip0, vip1], &[p0, p1, k0, k1, k2, k3]) = words(&frontend)? else {
            return None;
        };
        let last = tail([c0, c1], [p0, p1], [k0, k1, k2, k3]);
        Some(Self {
            words: [last, source0, source1, vip0, vip1],
        })
    }
}

/// The two words of an IPv6 address, and what follows it.
#[inline]
fn words(bytes: &[u8]) -> Option<([u64; 2], &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    let (second, rest) = rest.split_first_chunk()?;
    Some(([u64::from_ne_bytes(*first), u64::from_ne_bytes(*second)], rest))
}

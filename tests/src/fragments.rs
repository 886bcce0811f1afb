//! Cutting packets into fragments, as a sender or a router would.

use etherparse::checksum::Sum16BitWords;

/// Length of a link header without tags.
const LINK: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;
const FRAGMENT_HEADER: u8 = 44;

/// The fragments of an IPv4 packet without options that is called `name`; each has `part` bytes of its payload, a multiple of
/// eight.
#[must_use]
pub fn parts4(frame: &[u8], name: u16, part: usize) -> Vec<Vec<u8>> {
    let (header, payload) = frame.split_at(LINK + IPV4);
    let cut = |(n, piece): (usize, &[u8])| {
        let mut header = header.to_vec();
        let ip = &mut header[LINK..];
        let more = u16::from((n + 1) * part < payload.len()) << 13;
        ip[2..4].copy_from_slice(&((IPV4 + piece.len()) as u16).to_be_bytes());
        ip[4..6].copy_from_slice(&name.to_be_bytes());
        ip[6..8].copy_from_slice(&(more | (n * part / 8) as u16).to_be_bytes());
        ip[10..12].fill(0);
        let checksum = Sum16BitWords::new().add_slice(ip).ones_complement();
        ip[10..12].copy_from_slice(&checksum.to_ne_bytes());
        [&header, piece].concat()
    };
    payload.chunks(part).enumerate().map(cut).collect()
}

/// The fragments of an IPv6 packet without extension headers that is called `name`, likewise.
#[must_use]
pub fn parts6(frame: &[u8], name: u32, part: usize) -> Vec<Vec<u8>> {
    let (header, payload) = frame.split_at(LINK + IPV6);
    let cut = |(n, piece): (usize, &[u8])| {
        let mut header = header.to_vec();
        let ip = &mut header[LINK..];
        let next = std::mem::replace(&mut ip[6], FRAGMENT_HEADER);
        ip[4..6].copy_from_slice(&((8 + piece.len()) as u16).to_be_bytes());
        let field = (n * part) as u16 | u16::from((n + 1) * part < payload.len());
        let [a, b] = field.to_be_bytes();
        let extension = [&[next, 0, a, b][..], &name.to_be_bytes()].concat();
        [&header, &extension, piece].concat()
    };
    payload.chunks(part).enumerate().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder, SlicedPacket};

    use super::*;

    /// An independent parser understands them, and they make the whole again.
    #[test]
    fn the_parts_are_the_whole() {
        let data: Vec<u8> = (0..3000).map(|n| n as u8).collect();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .udp(1, 2)
            .write(&mut v4, &data)
            .expect("memory takes everything");
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv6([1; 16], [2; 16], 64)
            .udp(1, 2)
            .write(&mut v6, &data)
            .expect("memory takes everything");
        for (whole, header, parts) in [
            (&v4, LINK + IPV4, parts4(&v4, 7, 1200)),
            (&v6, LINK + IPV6, parts6(&v6, 7, 1200)),
        ] {
            assert_eq!(parts.len(), 3);
            let mut payload = Vec::new();
            for part in &parts {
                let sliced = SlicedPacket::from_ethernet(part).expect("a packet");
                assert!(sliced.is_ip_payload_fragmented());
                payload.extend_from_slice(sliced.ip_payload().expect("a payload").payload);
            }
            assert_eq!(payload, whole[header..]);
        }
    }
}

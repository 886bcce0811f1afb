//! Packets inside packets: IP in IP, GUE and GRE.

use super::{Frame, IpVersion, protocol};
use crate::checksum::fold;

const UDP_HEADER: usize = 8;
const GUE_HEADER: usize = 4;
const GRE_HEADER: usize = 4;

/// A packet in the payload of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside {
    /// Of which version it is.
    pub version: IpVersion,
    /// Offset in the frame, in bytes.
    pub offset: usize,
    /// Bytes that are left for it.
    pub length: usize,
    /// Sum over what is between the outer network header and the packet, and the part of the outer pseudo header that is not
    /// addresses; `None` where there is no checksum over it.
    pub sum: Option<u16>,
    /// Whether that checksum covers the outer addresses, too.
    pub covers_addresses: bool,
}

/// Why the payload is not unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotInside {
    /// It is no packet of a tunnel.
    NoTunnel,
    /// It is, and its headers are nonsense, or ask for what is not understood.
    Malformed,
}

/// The packet inside the payload `kind` at `offset`, `length` bytes long; `gue_port` is where GUE is listened for.
///
/// # Errors
/// [`NotInside`].
#[inline(always)]
pub fn inside<F: Frame + ?Sized>(
    frame: &F,
    kind: u8,
    offset: usize,
    length: usize,
    gue_port: u16,
) -> Result<Inside, NotInside> {
    match kind {
        protocol::IPV4 => Ok(plain(IpVersion::V4, offset, length)),
        protocol::IPV6 => Ok(plain(IpVersion::V6, offset, length)),
        protocol::GRE => gre(frame, offset, length),
        protocol::UDP => gue(frame, offset, length, gue_port),
        _ => Err(NotInside::NoTunnel),
    }
}

const fn plain(version: IpVersion, offset: usize, length: usize) -> Inside {
    Inside {
        version,
        offset,
        length,
        sum: None,
        covers_addresses: false,
    }
}

/// RFC 2784, without what RFC 2890 added.
#[inline(always)]
fn gre<F: Frame + ?Sized>(frame: &F, offset: usize, length: usize) -> Result<Inside, NotInside> {
    const CHECKSUM: u16 = 0x8000;
    let header = frame.window::<GRE_HEADER>(offset).ok_or(NotInside::Malformed)?;
    let flags = header.be16::<0>();
    let version = match header.be16::<2>() {
        0x0800 => IpVersion::V4,
        0x86DD => IpVersion::V6,
        _ => return Err(NotInside::NoTunnel),
    };
    if flags & !CHECKSUM != 0 {
        return Err(NotInside::Malformed);
    }
    let (header, sum) = if flags & CHECKSUM == 0 {
        (GRE_HEADER, None)
    } else {
        let whole = frame
            .window::<{ 2 * GRE_HEADER }>(offset)
            .ok_or(NotInside::Malformed)?;
        let sum = u64::from(whole.raw32::<0>()) + u64::from(whole.raw32::<4>());
        (2 * GRE_HEADER, Some(fold(sum)))
    };
    behind(
        header,
        offset,
        length,
        Inside {
            sum,
            ..plain(version, 0, 0)
        },
    )
}

/// GUE's variant 0 without options, and variant 1, in which the packet follows the UDP header at once
/// (draft-ietf-intarea-gue).
#[inline(always)]
fn gue<F: Frame + ?Sized>(
    frame: &F,
    offset: usize,
    length: usize,
    gue_port: u16,
) -> Result<Inside, NotInside> {
    const HEADER: usize = UDP_HEADER + GUE_HEADER;
    let udp = frame.window::<UDP_HEADER>(offset).ok_or(NotInside::NoTunnel)?;
    if udp.be16::<2>() != gue_port {
        return Err(NotInside::NoTunnel);
    }
    let datagram = usize::from(udp.be16::<4>());
    let header = frame.window::<HEADER>(offset).ok_or(NotInside::Malformed)?;
    if datagram < HEADER || datagram > length {
        return Err(NotInside::Malformed);
    }
    let (skipped, version, gue) = match (header.byte::<8>(), header.byte::<9>(), header.raw16::<10>()) {
        (0, protocol::IPV4, 0) => (HEADER, IpVersion::V4, header.raw32::<8>()),
        (0, protocol::IPV6, 0) => (HEADER, IpVersion::V6, header.raw32::<8>()),
        (0x40..=0x4F, ..) => (UDP_HEADER, IpVersion::V4, 0),
        (0x60..=0x6F, ..) => (UDP_HEADER, IpVersion::V6, 0),
        _ => return Err(NotInside::Malformed),
    };
    let sum = (udp.raw16::<6>() != 0).then(|| {
        let own = u64::from(udp.raw32::<0>()) + u64::from(udp.raw32::<4>()) + u64::from(gue);
        let pseudo = u64::from(udp.raw16::<4>()) + u64::from(u16::from(protocol::UDP).to_be());
        fold(own + pseudo)
    });
    let found = Inside {
        sum,
        covers_addresses: true,
        ..plain(version, 0, 0)
    };
    behind(skipped, offset, datagram, found)
}

/// The packet behind `header` bytes of the payload.
#[inline(always)]
fn behind(header: usize, offset: usize, length: usize, found: Inside) -> Result<Inside, NotInside> {
    if header > length {
        return Err(NotInside::Malformed);
    }
    Ok(Inside {
        offset: offset + header,
        length: length - header,
        ..found
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const PORT: u16 = 6080;
    /// The payload does not begin the frame.
    const OFFSET: usize = 3;

    fn look(kind: u8, payload: &[u8]) -> Result<Inside, NotInside> {
        let frame: Vec<u8> = [&[0xEE; OFFSET][..], payload, &[0xDD; 4]].concat();
        inside(&frame[..], kind, OFFSET, payload.len(), PORT)
    }

    fn udp(port: u16, length: u16, checksum: u16, payload: &[u8]) -> Vec<u8> {
        let words = [0xC123, port, length, checksum].map(u16::to_be_bytes);
        [words.as_flattened(), payload].concat()
    }

    fn gue(payload: &[u8]) -> Vec<u8> {
        udp(PORT, 8 + payload.len() as u16, 0, payload)
    }

    #[test]
    fn every_form_is_taken_apart() {
        let found =
            |kind, payload: &[u8]| look(kind, payload).map(|i| (i.version, i.offset - OFFSET, i.length));
        let (v4, v6) = (IpVersion::V4, IpVersion::V6);
        assert_eq!(found(4, &[0x45; 20]), Ok((v4, 0, 20)));
        assert_eq!(found(41, &[0x60; 40]), Ok((v6, 0, 40)));
        assert_eq!(found(47, &[0, 0, 8, 0, 0x45]), Ok((v4, 4, 1)));
        assert_eq!(found(47, &[0, 0, 0x86, 0xDD, 0x60]), Ok((v6, 4, 1)));
        assert_eq!(found(47, &[0x80, 0, 8, 0, 1, 2, 0, 0, 0x45]), Ok((v4, 8, 1)));
        assert_eq!(found(17, &gue(&[0, 4, 0, 0, 0x45])), Ok((v4, 12, 1)));
        assert_eq!(found(17, &gue(&[0, 41, 0, 0, 0x60])), Ok((v6, 12, 1)));
        assert_eq!(found(17, &gue(&[0x45, 0, 0, 20])), Ok((v4, 8, 4)), "variant 1");
        assert_eq!(found(17, &gue(&[0x60, 0, 0, 0])), Ok((v6, 8, 4)), "variant 1");
        // What UDP does not count is not inside.
        let longer = [gue(&[0, 4, 0, 0, 0x45]), std::vec![1, 2, 3]].concat();
        assert_eq!(found(17, &longer), Ok((v4, 12, 1)));
    }

    #[test]
    fn what_is_no_tunnel_is_told_from_what_is_wrong() {
        use NotInside::{Malformed, NoTunnel};
        for (kind, payload, expected) in [
            (6, std::vec![0x45; 40], NoTunnel),
            (17, udp(53, 13, 0, &[0, 4, 0, 0, 0x45]), NoTunnel),
            (47, std::vec![0, 0, 0x65, 0x58, 0, 0], NoTunnel),
            (47, std::vec![0x20, 0, 8, 0, 0, 0, 0, 1, 0x45], Malformed),
            (47, std::vec![0, 1, 8, 0, 0x45], Malformed),
            (17, udp(PORT, 11, 0, &[0, 4, 0, 0, 0x45]), Malformed),
            (17, udp(PORT, 14, 0, &[0, 4, 0, 0, 0x45]), Malformed),
            (17, gue(&[1, 4, 0, 0, 9, 9, 9, 9, 0x45]), Malformed),
            (17, gue(&[0x20, 4, 0, 0, 0x45]), Malformed),
            (17, gue(&[0, 4, 0, 1, 0x45]), Malformed),
            (17, gue(&[0, 6, 0, 0, 0x45]), Malformed),
            (17, gue(&[0x80, 4, 0, 0, 0x45]), Malformed),
        ] {
            assert_eq!(look(kind, &payload), Err(expected), "{kind} {payload:02x?}");
        }
        let short = [0x80, 0, 8, 0, 1, 2];
        assert_eq!(inside(&short[..], 47, 0, 6, PORT), Err(Malformed), "cut off");
        assert_eq!(
            inside(&[0u8, 0, 8][..], 47, 0, 3, PORT),
            Err(Malformed),
            "cut off"
        );
    }
}

//! Captures as pcapng (draft-ietf-opsawg-pcapng), which Wireshark reads.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const ETHERNET: u16 = 1;
/// Options of all blocks.
const COMMENT: u16 = 1;
/// Of the section.
const APPLICATION: u16 = 4;
/// Of an interface: its name, and the unit of times as a power of ten.
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;
/// Of a packet: in which direction it went.
const FLAGS: u16 = 2;

/// A packet that is to be written.
#[derive(Debug, Clone)]
pub(super) struct Packet<'a> {
    pub(super) interface: &'a str,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) inbound: bool,
    /// Length on the wire.
    pub(super) length: u32,
    pub(super) bytes: &'a [u8],
    pub(super) comment: &'a str,
}

/// Writes a file.
pub(super) struct Writer<W> {
    out: W,
    interfaces: BTreeMap<String, u32>,
}

impl<W: Write> Writer<W> {
    /// Begins the file.
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        let mut body = Vec::new();
        // The order of bytes, version 1.0, and a section that ends with the file.
        body.extend(0x1A2B_3C4D_u32.to_le_bytes());
        body.extend(1_u16.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        body.extend(u64::MAX.to_le_bytes());
        option(
            &mut body,
            APPLICATION,
            concat!("tandem ", env!("CARGO_PKG_VERSION")).as_bytes(),
        );
        end(&mut body);
        block(&mut out, SECTION_HEADER, &body)?;
        Ok(Self {
            out,
            interfaces: BTreeMap::new(),
        })
    }

    /// Adds a packet, whole.
    pub(super) fn packet(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let interface = self.interface(packet.interface)?;
        let mut body = Vec::new();
        let words = [
            interface,
            (packet.time >> 32) as u32,
            packet.time as u32,
            packet.bytes.len() as u32,
            packet.length,
        ];
        words.iter().for_each(|word| body.extend(word.to_le_bytes()));
        padded(&mut body, packet.bytes);
        option(&mut body, COMMENT, packet.comment.as_bytes());
        let direction: u32 = if packet.inbound { 1 } else { 2 };
        option(&mut body, FLAGS, &direction.to_le_bytes());
        end(&mut body);
        block(&mut self.out, ENHANCED_PACKET, &body)?;
        self.out.flush()
    }

    /// Number of the interface, which is described before its first packet.
    fn interface(&mut self, name: &str) -> io::Result<u32> {
        if let Some(number) = self.interfaces.get(name) {
            return Ok(*number);
        }
        let number = self.interfaces.len() as u32;
        self.interfaces.insert(name.to_owned(), number);
        let mut body = Vec::new();
        body.extend(ETHERNET.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        // No limit to lengths.
        body.extend(0_u32.to_le_bytes());
        option(&mut body, NAME, name.as_bytes());
        option(&mut body, RESOLUTION, &[9]);
        end(&mut body);
        block(&mut self.out, INTERFACE_DESCRIPTION, &body)?;
        Ok(number)
    }
}

fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = (body.len() as u32 + 12).to_le_bytes();
    let whole = [&kind.to_le_bytes()[..], &length, body, &length].concat();
    out.write_all(&whole)
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    padded(body, value);
}

fn end(body: &mut Vec<u8>) {
    body.extend([0; 4]);
}

/// To whole words.
fn padded(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend(bytes);
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_whole_and_interfaces_come_first() {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file).unwrap();
        for (interface, bytes) in [("eth0", &[1, 2, 3][..]), ("eth1", &[4; 8]), ("eth0", &[])] {
            writer
                .packet(&Packet {
                    interface,
                    time: 5_000_000_001,
                    inbound: true,
                    length: 60,
                    bytes,
                    comment: "drop: no_backend",
                })
                .unwrap();
        }
        let mut rest = &file[..];
        let mut kinds = Vec::new();
        while !rest.is_empty() {
            let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            let length = word(4) as usize;
            assert!(length.is_multiple_of(4) && word(length - 4) as usize == length);
            kinds.push(word(0));
            rest = &rest[length..];
        }
        let (packet, interface) = (ENHANCED_PACKET, INTERFACE_DESCRIPTION);
        assert_eq!(
            kinds,
            [SECTION_HEADER, interface, packet, interface, packet, packet]
        );
    }
}

//! What becomes of a fragment, and all of that in one number.

use lb_common::{
    flow_table::Target,
    packet::{TcpFlags, Transport},
};

use crate::outcome::{Refusal, decode, decode_target, encode, encode_target};

/// What is to be done with a fragment.
pub(crate) enum Part {
    /// It is the first one, of this protocol, to be balanced by its ports; and then to be [remembered](super::remember4). Its
    /// transport header lies there.
    First(u8, Transport, usize),
    /// It follows the first one.
    Later(Target),
}

/// With a first fragment's place of the transport header (bits 48..62), protocol (40..48), flags (32..40) and ports (0..32).
const FIRST: u64 = 1 << 62;
/// More than a frame's first buffer has.
const PLACE: u64 = 0x3FFF;

impl Part {
    #[inline(always)]
    pub(super) fn encode(result: &Result<Self, Refusal>) -> u64 {
        match *result {
            Ok(Self::First(protocol, Transport { ports, flags }, offset)) => {
                let header = u64::from(flags.bits()) << 32 | u64::from(protocol) << 40;
                u64::from(ports) | header | (offset as u64 & PLACE) << 48 | FIRST
            }
            Ok(Self::Later(target)) => encode_target(Ok(target)),
            Err(refusal) => encode(Err(refusal)),
        }
    }

    #[inline(always)]
    pub(super) fn decode(number: u64) -> Result<Self, Refusal> {
        let known = decode(number)?;
        if known & FIRST == 0 {
            return decode_target(known).map(Self::Later);
        }
        let transport = Transport {
            ports: known as u32,
            flags: TcpFlags::new((known >> 32) as u8),
        };
        let offset = (known >> 48 & PLACE) as usize;
        Ok(Self::First((known >> 40) as u8, transport, offset))
    }
}

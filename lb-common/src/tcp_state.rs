//! How a TCP flow gets from one state to another: a total table, after IPVS (`net/netfilter/ipvs/ip_vs_proto_tcp.c`).
//!
//! A director that translates addresses hears both sides; with direct routing and tunnels the replies do not pass by, and
//! it hears the client alone. "Established" then means that the client answered the handshake, and the client's FIN or RST
//! shortens the flow's life without proof that the server agreed.
//!
//! What differs from IPVS:
//! * A segment in the middle of a connection that is new here makes it established, where IPVS closes it: another director
//!   may have had it before.
//! * A plain segment of the client revives a flow that was reset: the RST may have been forged. If it was not, the server
//!   answers with another.
//! * A RST closes a half-open flow.
//! * Where the client alone is heard, its FIN leads to `fin_wait` from whatever state.

use crate::{
    flow_state::FlowState,
    packet::{TcpFlags, protocol},
};

/// Who sent a segment, and who else is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Heard {
    /// The client, and nobody else.
    ClientAlone = 0,
    /// The client, as one of two.
    Client = 1,
    /// The server.
    Server = 2,
}

/// What a segment does to a connection: its control bits, the most significant first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Segment {
    /// SYN, perhaps with an ACK.
    Syn = 0,
    /// FIN.
    Fin = 1,
    /// Neither of the others.
    Ack = 2,
    /// RST, whatever else.
    Rst = 3,
}

impl Segment {
    /// The kind of a segment with these flags.
    #[inline(always)]
    #[must_use]
    pub const fn of(flags: TcpFlags) -> Self {
        if flags.rst() {
            Self::Rst
        } else if flags.syn() {
            Self::Syn
        } else if flags.fin() {
            Self::Fin
        } else {
            Self::Ack
        }
    }
}

/// State after a segment. SCTP's states follow what its packets say in TCP's words; UDP's stays as it is.
#[inline(always)]
#[must_use]
pub const fn next(state: FlowState, heard: Heard, segment: Segment) -> FlowState {
    use FlowState::*;
    match state {
        Udp | Template => state,
        SctpInit | SctpEstablished | SctpShutdown | SctpClosed => sctp(state, segment),
        // The first segment of a connection that was ended becomes a reset for the backend, the next is answered with one.
        Ended | Severed => match segment {
            Segment::Syn => SynRecv,
            Segment::Fin | Segment::Ack | Segment::Rst => Close,
        },
        None | Established | SynSent | SynRecv | FinWait | TimeWait | Close | CloseWait | LastAck
        | Listen | SynAck => match (heard, segment) {
            (Heard::ClientAlone | Heard::Client, Segment::Syn) => client_opens(state),
            (Heard::ClientAlone, Segment::Fin) => FinWait,
            (Heard::Client, Segment::Fin) => client_closes(state),
            (Heard::ClientAlone | Heard::Client, Segment::Ack) => client_goes_on(state),
            (Heard::ClientAlone | Heard::Client, Segment::Rst) => client_resets(state),
            (Heard::Server, Segment::Syn) => server_opens(state),
            (Heard::Server, Segment::Fin) => server_closes(state),
            (Heard::Server, Segment::Ack) => server_goes_on(state),
            (Heard::Server, Segment::Rst) => server_resets(state),
        },
    }
}

/// An association, of which the client alone is heard.
const fn sctp(state: FlowState, segment: Segment) -> FlowState {
    use FlowState::*;
    match (state, segment) {
        // An association that lives may be begun anew in its place (RFC 9260 section 5.2.2).
        (SctpEstablished, Segment::Syn | Segment::Ack) => SctpEstablished,
        (_, Segment::Syn) => SctpInit,
        (SctpShutdown, Segment::Ack) => SctpShutdown,
        // What follows an abort shows that it was forged.
        (_, Segment::Ack) => SctpEstablished,
        (_, Segment::Fin) => SctpShutdown,
        (_, Segment::Rst) => SctpClosed,
    }
}

const fn client_opens(state: FlowState) -> FlowState {
    use FlowState::*;
    match state {
        // The server answers a SYN inside a living connection with a challenge ACK (RFC 9293 section 3.10.7.4).
        Established | SynSent => Established,
        _ => SynRecv,
    }
}

const fn client_closes(state: FlowState) -> FlowState {
    use FlowState::*;
    match state {
        Established => CloseWait,
        SynRecv | FinWait | TimeWait | SynAck => TimeWait,
        None => FinWait,
        _ => state,
    }
}

const fn client_goes_on(state: FlowState) -> FlowState {
    use FlowState::*;
    match state {
        None | SynRecv | SynAck | Close => Established,
        LastAck => Close,
        _ => state,
    }
}

const fn client_resets(state: FlowState) -> FlowState {
    use FlowState::*;
    match state {
        LastAck | Listen => state,
        _ => Close,
    }
}

const fn server_opens(state: FlowState) -> FlowState {
    use FlowState::*;
    match state {
        Established | SynSent | SynRecv | Listen => state,
        SynAck => SynRecv,
        _ => SynSent,
    }
}

const fn server_closes(state: FlowState) -> FlowState {
    use FlowState::*;
    match state {
        Established => FinWait,
        None | SynRecv | CloseWait | SynAck => TimeWait,
        _ => state,
    }
}

const fn server_goes_on(state: FlowState) -> FlowState {
    use FlowState::*;
    match state {
        None | SynRecv | Listen | SynAck => Established,
        _ => state,
    }
}

const fn server_resets(state: FlowState) -> FlowState {
    use FlowState::*;
    match state {
        SynSent | TimeWait => state,
        _ => Close,
    }
}

/// State of a flow whose first packet bears `flags`.
#[inline(always)]
#[must_use]
pub const fn first(flags: TcpFlags) -> FlowState {
    next(FlowState::None, Heard::ClientAlone, Segment::of(flags))
}

/// State of a flow of this protocol whose first packet bears `flags`.
#[inline(always)]
#[must_use]
pub const fn first_of(protocol: u8, flags: TcpFlags) -> FlowState {
    match protocol {
        protocol::TCP => first(flags),
        protocol::SCTP => next(FlowState::SctpInit, Heard::ClientAlone, Segment::of(flags)),
        _ => FlowState::Udp,
    }
}

/// Whether a client's SYN on a flow in this state begins another connection, which is to be scheduled anew: the client uses
/// the port again.
#[must_use]
pub const fn is_over(state: FlowState, heard: Heard) -> bool {
    use FlowState::*;
    match state {
        TimeWait | Close | LastAck | Ended | Severed | SctpShutdown | SctpClosed => true,
        // Where the server is heard, its client may still be reading what was sent before.
        FinWait => matches!(heard, Heard::ClientAlone),
        None | Established | SynSent | SynRecv | CloseWait | Listen | SynAck | Udp | SctpInit
        | SctpEstablished | Template => false,
    }
}

/// [`is_over`] by the number of the state, as bits.
const OVER: [u32; 2] = {
    let mut bits = [0; 2];
    let mut state = 0;
    while state < FlowState::ALL.len() {
        bits[0] |= (is_over(FlowState::ALL[state], Heard::ClientAlone) as u32) << state;
        bits[1] |= (is_over(FlowState::ALL[state], Heard::Client) as u32) << state;
        state += 1;
    }
    bits
};

/// Whether a packet of the client begins another connection on a flow in the state of this number.
#[inline(always)]
#[must_use]
pub const fn begins_anew(state: u8, heard: Heard, flags: TcpFlags) -> bool {
    let over = match heard {
        Heard::ClientAlone => OVER[0],
        Heard::Client => OVER[1],
        Heard::Server => 0,
    };
    flags.syn() && !flags.ack() && over >> (state & (FlowState::LIMIT as u8 - 1)) & 1 != 0
}

/// Rows of [`TRANSITIONS`]: four kinds of segments for each [`Heard`], and four that are not used, so that any index that
/// was masked is inside.
const ROWS: usize = 16;

/// [`next`] by numbers, which costs a load: row `heard × 4 + segment`, column the state.
static TRANSITIONS: [[u8; FlowState::LIMIT]; ROWS] = {
    const HEARD: [Heard; 3] = [Heard::ClientAlone, Heard::Client, Heard::Server];
    const SEGMENTS: [Segment; 4] = [Segment::Syn, Segment::Fin, Segment::Ack, Segment::Rst];
    let mut table = [[FlowState::Close as u8; FlowState::LIMIT]; ROWS];
    let mut row = 0;
    while row < HEARD.len() * SEGMENTS.len() {
        let mut state = 0;
        while state < FlowState::ALL.len() {
            let after = next(
                FlowState::ALL[state],
                HEARD[row / SEGMENTS.len()],
                SEGMENTS[row % SEGMENTS.len()],
            );
            table[row][state] = after as u8;
            state += 1;
        }
        row += 1;
    }
    table
};

/// [`next`], as the XDP program looks it up: the number of the state after a segment. An unknown number is a closed flow's.
#[inline(always)]
#[must_use]
pub fn next_number(state: u8, heard: Heard, segment: Segment) -> u8 {
    let row = (heard as usize * 4 + segment as usize) & (ROWS - 1);
    TRANSITIONS[row][state as usize & (FlowState::LIMIT - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use FlowState::{None as Nothing, *};

    const SEGMENTS: [Segment; 4] = [Segment::Syn, Segment::Fin, Segment::Ack, Segment::Rst];

    /// The whole table. A star marks what IPVS has otherwise; see the head of this file.
    #[test]
    fn every_state_and_every_segment() {
        #[rustfmt::skip]
        let table = [
            //               client alone: SYN        FIN*      ACK          RST
            (Heard::ClientAlone, Nothing,     [SynRecv,     FinWait,  Established, Close]),
            (Heard::ClientAlone, Established, [Established, FinWait,  Established, Close]),
            (Heard::ClientAlone, SynSent,     [Established, FinWait,  SynSent,     Close]),
            (Heard::ClientAlone, SynRecv,     [SynRecv,     FinWait,  Established, Close]),
            (Heard::ClientAlone, FinWait,     [SynRecv,     FinWait,  FinWait,     Close]),
            (Heard::ClientAlone, TimeWait,    [SynRecv,     FinWait,  TimeWait,    Close]),
            (Heard::ClientAlone, Close,       [SynRecv,     FinWait,  Established, Close]),
            (Heard::ClientAlone, CloseWait,   [SynRecv,     FinWait,  CloseWait,   Close]),
            (Heard::ClientAlone, LastAck,     [SynRecv,     FinWait,  Close,       LastAck]),
            (Heard::ClientAlone, Listen,      [SynRecv,     FinWait,  Listen,      Listen]),
            (Heard::ClientAlone, SynAck,      [SynRecv,     FinWait,  Established, Close]),
            //               client of two: SYN       FIN        ACK          RST
            (Heard::Client,      Nothing,     [SynRecv,     FinWait,   Established, Close]),
            (Heard::Client,      Established, [Established, CloseWait, Established, Close]),
            (Heard::Client,      SynSent,     [Established, SynSent,   SynSent,     Close]),
            (Heard::Client,      SynRecv,     [SynRecv,     TimeWait,  Established, Close]),
            (Heard::Client,      FinWait,     [SynRecv,     TimeWait,  FinWait,     Close]),
            (Heard::Client,      TimeWait,    [SynRecv,     TimeWait,  TimeWait,    Close]),
            (Heard::Client,      Close,       [SynRecv,     Close,     Established, Close]),
            (Heard::Client,      CloseWait,   [SynRecv,     CloseWait, CloseWait,   Close]),
            (Heard::Client,      LastAck,     [SynRecv,     LastAck,   Close,       LastAck]),
            (Heard::Client,      Listen,      [SynRecv,     Listen,    Listen,      Listen]),
            (Heard::Client,      SynAck,      [SynRecv,     TimeWait,  Established, Close]),
            //               server: SYN              FIN       ACK          RST
            (Heard::Server,      Nothing,     [SynSent,     TimeWait, Established, Close]),
            (Heard::Server,      Established, [Established, FinWait,  Established, Close]),
            (Heard::Server,      SynSent,     [SynSent,     SynSent,  SynSent,     SynSent]),
            (Heard::Server,      SynRecv,     [SynRecv,     TimeWait, Established, Close]),
            (Heard::Server,      FinWait,     [SynSent,     FinWait,  FinWait,     Close]),
            (Heard::Server,      TimeWait,    [SynSent,     TimeWait, TimeWait,    TimeWait]),
            (Heard::Server,      Close,       [SynSent,     Close,    Close,       Close]),
            (Heard::Server,      CloseWait,   [SynSent,     TimeWait, CloseWait,   Close]),
            (Heard::Server,      LastAck,     [SynSent,     LastAck,  LastAck,     Close]),
            (Heard::Server,      Listen,      [Listen,      Listen,   Established, Close]),
            (Heard::Server,      SynAck,      [SynRecv,     TimeWait, Established, Close]),
        ];
        for (heard, state, after) in table {
            for (segment, expected) in SEGMENTS.into_iter().zip(after) {
                assert_eq!(
                    next(state, heard, segment),
                    expected,
                    "{state:?} {heard:?} {segment:?}"
                );
            }
        }
        assert_eq!(table.len(), 3 * 11);
    }

    #[test]
    fn the_table_of_numbers_is_the_same() {
        for heard in [Heard::ClientAlone, Heard::Client, Heard::Server] {
            for segment in SEGMENTS {
                for state in FlowState::ALL {
                    let after = next_number(state as u8, heard, segment);
                    assert_eq!(FlowState::from_number(after), Some(next(state, heard, segment)));
                }
                assert_eq!(next_number(31, heard, segment), Close as u8);
            }
        }
    }

    #[test]
    fn other_protocols_have_no_segments() {
        for state in [Udp, Template] {
            for segment in SEGMENTS {
                assert_eq!(next(state, Heard::ClientAlone, segment), state);
                assert!(!is_over(state, Heard::ClientAlone));
            }
        }
    }

    #[test]
    fn associations_of_sctp() {
        #[rustfmt::skip]
        let table = [
            //                INIT             SHUTDOWN      all else         ABORT
            (SctpInit,        [SctpInit,        SctpShutdown, SctpEstablished, SctpClosed], false),
            (SctpEstablished, [SctpEstablished, SctpShutdown, SctpEstablished, SctpClosed], false),
            (SctpShutdown,    [SctpInit,        SctpShutdown, SctpShutdown,    SctpClosed], true),
            (SctpClosed,      [SctpInit,        SctpShutdown, SctpEstablished, SctpClosed], true),
        ];
        for (state, after, over) in table {
            assert_eq!(
                SEGMENTS.map(|segment| next(state, Heard::ClientAlone, segment)),
                after
            );
            assert_eq!(is_over(state, Heard::ClientAlone), over);
        }
        let of = |flags| first_of(protocol::SCTP, TcpFlags::new(flags));
        assert_eq!(
            [of(2), of(1), of(0x10), of(4)],
            [SctpInit, SctpShutdown, SctpEstablished, SctpClosed]
        );
        assert_eq!(first_of(protocol::UDP, TcpFlags::NONE), Udp);
        assert_eq!(first_of(protocol::TCP, TcpFlags::new(2)), SynRecv);
    }

    /// So no packet of it is taken for one of those that change nothing.
    #[test]
    fn a_connection_that_was_ended_goes_on_in_no_way() {
        for heard in [Heard::ClientAlone, Heard::Client, Heard::Server] {
            assert_eq!(
                SEGMENTS.map(|segment| next(Ended, heard, segment)),
                [SynRecv, Close, Close, Close]
            );
        }
    }

    /// The packet in the middle of an established connection, which is nearly every packet, changes nothing.
    #[test]
    fn plain_segments_leave_an_established_flow_alone() {
        for bits in 0..=255 {
            let flags = TcpFlags::new(bits);
            if flags.is_plain() {
                for heard in [Heard::ClientAlone, Heard::Client, Heard::Server] {
                    assert_eq!(next(Established, heard, Segment::of(flags)), Established);
                }
            }
        }
    }

    #[test]
    fn a_port_is_used_again_only_after_the_end() {
        for heard in [Heard::ClientAlone, Heard::Client] {
            for state in FlowState::ALL {
                let over = is_over(state, heard);
                for bits in 0..=255 {
                    let flags = TcpFlags::new(bits);
                    let opens = flags.syn() && !flags.ack();
                    assert_eq!(begins_anew(state as u8, heard, flags), over && opens, "{state:?}");
                }
                // Whoever is scheduled anew begins like one who is new.
                if over {
                    let first = match state {
                        SctpShutdown | SctpClosed => SctpInit,
                        _ => SynRecv,
                    };
                    assert_eq!(next(state, heard, Segment::Syn), first, "{state:?}");
                }
            }
        }
        assert!(is_over(FinWait, Heard::ClientAlone) && !is_over(FinWait, Heard::Client));
        assert!(!is_over(Established, Heard::ClientAlone) && !is_over(SynRecv, Heard::ClientAlone));
    }
}

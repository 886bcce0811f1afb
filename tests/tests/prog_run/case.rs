//! A fixture: packet in, action and bytes out, and exactly the counters that move.

use std::collections::BTreeMap;

use lb_tests::prog_run::{Action, DIRECTOR_MAC, Outcome, backend_mac};

use crate::world::{self, Service, address};

/// What becomes of the flow table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The packet's flow is entered.
    New,
    /// Nothing is entered: the flow is known, or the packet is not worth one.
    Old,
}

/// One row of a fixture table.
pub(crate) struct Case {
    name: &'static str,
    before: Vec<Vec<u8>>,
    metadata: u8,
    pub(crate) packet: Vec<u8>,
    pub(crate) expected: Outcome,
}

impl Case {
    fn new(name: &'static str, packet: Vec<u8>, action: Action, counted: BTreeMap<String, u64>) -> Self {
        Self {
            name,
            before: Vec::new(),
            metadata: 0,
            expected: Outcome {
                action,
                packet: packet.clone(),
                counted,
            },
            packet,
        }
    }

    /// The kernel gets the packet untouched.
    pub(crate) fn passes(name: &'static str, reason: &str, packet: Vec<u8>) -> Self {
        Self::new(
            name,
            packet,
            Action::Pass,
            counts([(format!("reason.{reason}"), 1)]),
        )
    }

    /// The packet is dropped.
    pub(crate) fn drops(name: &'static str, reason: &str, packet: Vec<u8>) -> Self {
        Self::new(
            name,
            packet,
            Action::Drop,
            counts([(format!("reason.{reason}"), 1)]),
        )
    }

    /// The packet comes back as `answer`.
    pub(crate) fn answers(name: &'static str, reason: &str, packet: Vec<u8>, answer: Vec<u8>) -> Self {
        let counted = counts([(format!("reason.{reason}"), 1)]);
        let mut case = Self::new(name, packet, Action::Tx, counted);
        case.expected.packet = answer;
        case
    }

    /// The sender gets this reset.
    pub(crate) fn resets(name: &'static str, packet: Vec<u8>, reset: Vec<u8>) -> Self {
        let counted = counts([("reason.reset_sent".to_owned(), 1)]);
        let mut case = Self::new(name, packet, Action::Tx, counted);
        case.expected.packet = reset;
        case
    }

    /// The frame goes to the service's backend, with other MAC addresses and otherwise as it was.
    pub(crate) fn forwards(name: &'static str, to: &Service, flow: Flow, packet: Vec<u8>) -> Self {
        let counter = |what: &str| format!("backend.{}.{what}", address(to.backend));
        let counted = counts([(counter("packets"), 1), (counter("bytes"), packet.len() as u64)]);
        let mut case = Self::new(name, packet, Action::Tx, counted);
        case.expected.packet[..6].copy_from_slice(&backend_mac(to.backend));
        case.expected.packet[6..12].copy_from_slice(&DIRECTOR_MAC);
        if flow == Flow::New { case.opens(to) } else { case }
    }

    /// A flow to the service's backend is entered.
    pub(crate) fn opens(mut self, to: &Service) -> Self {
        let flows = format!("backend.{}.flows", address(to.backend));
        self.expected
            .counted
            .extend(counts([(flows, 1), ("event.flow_created".to_owned(), 1)]));
        self
    }

    /// This counter moves as well.
    pub(crate) fn also(mut self, counter: &str) -> Self {
        self.expected.counted.extend(counts([(counter.to_owned(), 1)]));
        self
    }

    /// By another interface.
    pub(crate) fn redirected(mut self) -> Self {
        self.expected.action = Action::Redirect;
        self
    }

    /// So many bytes are counted: the frame has padding behind its packet.
    pub(crate) fn with_bytes(mut self, bytes: usize) -> Self {
        let counter = self
            .expected
            .counted
            .iter_mut()
            .find(|(name, _)| name.ends_with(".bytes"));
        *counter.expect("a packet that is forwarded").1 = bytes as u64;
        self
    }

    /// The packet comes out as this.
    pub(crate) fn with_packet(mut self, packet: Vec<u8>) -> Self {
        self.expected.packet = packet;
        self
    }

    /// With so many bytes of metadata in front of the packet.
    pub(crate) fn behind(mut self, metadata: u8) -> Self {
        self.metadata = metadata;
        self
    }

    /// After these packets.
    pub(crate) fn after<const N: usize>(mut self, packets: [Vec<u8>; N]) -> Self {
        self.before.extend(packets);
        self
    }
}

fn counts<const N: usize>(counters: [(String, u64); N]) -> BTreeMap<String, u64> {
    BTreeMap::from(counters)
}

/// Runs each case with empty flow tables, and tells of all that went wrong.
pub(crate) fn check(cases: &[Case]) {
    let mut rig = world::rig();
    let mut wrong = String::new();
    for case in cases {
        rig.forget_flows();
        for packet in &case.before {
            rig.run(packet).expect("the kernel takes the packet");
        }
        let outcome = rig
            .run_behind(case.metadata, &case.packet)
            .expect("the kernel takes the packet");
        if outcome != case.expected {
            wrong += &format!(
                "\n{}: {:?}, {:?}\n   expected: {:?}, {:?}\n",
                case.name, outcome.action, outcome.counted, case.expected.action, case.expected.counted
            );
            if outcome.packet != case.expected.packet {
                wrong += &format!("      out: {:02x?}\n", outcome.packet);
                wrong += &format!(" expected: {:02x?}\n", case.expected.packet);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

//! Whatever packets come in whatever order: a reply reaches the client that asked, from the VIP that it asked, and no two living
//! flows share what their replies are named by.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use lb_common::{
    flow_table::{Bucket, Entry, Target, TranslationEntry, translation_at},
    packet::FlowKey,
};
use lb_tests::prog_run::{Action, Rig};
use proptest::{prelude::*, sample::select, test_runner::Config};

use crate::{
    nat::{
        FULL, NAT, OTHER, SAME_PORT, SERVER_PORT, Sent, answered, asked, forwarded, returned, rig, source_of,
    },
    packets::*,
};

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A client sends something.
    Ask {
        v4: bool,
        client: u16,
        port: u16,
        flags: Option<u8>,
    },
    /// A server answers the packet that it got this many packets ago, or the last one but that.
    Answer { ago: usize, flags: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let flags = || select(vec![SYN, ACK, ACK, PSH | ACK, FIN | ACK, RST | ACK]);
    let ask = (
        any::<bool>(),
        0..7_u16,
        select(vec![NAT, OTHER, FULL, FULL, SAME_PORT]),
        prop_oneof![3 => flags().prop_map(Some), 1 => Just(None)],
    );
    prop_oneof![
        3 => ask.prop_map(|(v4, client, port, flags)| Step::Ask { v4, client, port, flags }),
        2 => (0..20_usize, flags()).prop_map(|(ago, flags)| Step::Answer { ago, flags }),
    ]
}

/// Why a client's packet may be refused.
const REFUSALS: [&str; 4] = [
    "reason.translation_conflict",
    "reason.pool_exhausted",
    "reason.no_translation",
    "reason.translation_lost",
];

/// What names a reply: its two ends, and whether it is UDP.
type Reply = (std::net::SocketAddr, std::net::SocketAddr, bool);

#[derive(Default)]
struct Model {
    /// What servers got, and what the client had sent.
    received: Vec<(Sent, Sent)>,
    /// Who asked last, by what the replies to it are named by.
    asked: BTreeMap<Reply, Sent>,
}

impl Model {
    fn take(&mut self, rig: &mut Rig, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Ask {
                v4,
                client,
                port,
                flags,
            } => self.ask(rig, asked(v4, CLIENT_PORT + client, port, flags)),
            Step::Answer { ago, flags } if !self.received.is_empty() => {
                let last = self.received.len() - 1;
                self.answer(rig, last - ago.min(last), flags)
            }
            Step::Answer { .. } => Ok(()),
        }
    }

    fn ask(&mut self, rig: &mut Rig, ask: Sent) -> Result<(), TestCaseError> {
        let outcome = rig.run(&ask.build(b"data")).expect("the kernel takes the packet");
        if outcome.action == Action::Drop {
            let refused = |reason: &str| outcome.counted.contains_key(reason);
            prop_assert!(
                REFUSALS.into_iter().any(refused),
                "{ask:?}: {:?}",
                outcome.counted
            );
            return Ok(());
        }
        prop_assert_eq!(outcome.action, Action::Tx);
        let server_port = if ask.to.port() == SAME_PORT {
            SAME_PORT
        } else {
            SERVER_PORT
        };
        let from = source_of(&outcome.packet);
        prop_assert_eq!(ask.to.port() == FULL, from != ask.from);
        let got = forwarded(ask, from, server_port);
        prop_assert_eq!(&outcome.packet, &got.build(b"data"));
        self.asked.insert((got.to, got.from, ask.flags.is_none()), ask);
        self.received.push((got, ask));
        Ok(())
    }

    fn answer(&self, rig: &mut Rig, number: usize, flags: u8) -> Result<(), TestCaseError> {
        let (got, _) = self.received[number];
        let answer = answered(got, got.flags.map(|_| flags));
        let outcome = rig
            .run(&answer.build(b"data"))
            .expect("the kernel takes the packet");
        if outcome.action == Action::Pass {
            // Its connection is gone.
            prop_assert_eq!(&outcome.counted, &[("reason.not_vip".to_owned(), 1)].into());
            return Ok(());
        }
        prop_assert_eq!(outcome.action, Action::Tx);
        let ask = self.asked[&(got.to, got.from, got.flags.is_none())];
        prop_assert_eq!(outcome.packet, returned(answer, ask).build(b"data"));
        Ok(())
    }
}

/// Every flow has its own translation, and every reply's tuple is one flow's.
fn is_sound<E: Entry, T: TranslationEntry<Flow = E::Key>>(
    flows: &[Bucket<E>],
    translations: &[Bucket<T>],
) -> Result<(), TestCaseError>
where
    FlowKey: From<E::Key>,
{
    let mut replies = BTreeSet::new();
    for found in translations
        .iter()
        .flat_map(|bucket| &bucket.entries)
        .filter_map(Entry::snapshot)
    {
        let reply = FlowKey::from(found.key.reply);
        let is_new = replies.insert(format!("{reply:?}"));
        prop_assert!(is_new, "{reply:?} stands twice");
    }
    let mut places = BTreeSet::new();
    for found in flows
        .iter()
        .flat_map(|bucket| &bucket.entries)
        .filter_map(Entry::snapshot)
    {
        let Target::Translation(place) = found.control.target() else {
            return Err(TestCaseError::fail("a flow that is not translated"));
        };
        prop_assert!(places.insert(place));
        prop_assert!(translation_at(translations, place, &found.key).is_some());
    }
    Ok(())
}

#[test]
fn replies_find_back_and_tuples_are_ones_own() {
    let rig = RefCell::new(rig());
    let config = Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    };
    proptest!(config, |(steps in proptest::collection::vec(step(), 1..80))| {
        let mut rig = rig.borrow_mut();
        rig.forget_flows();
        let mut model = Model::default();
        for step in steps {
            model.take(&mut rig, step)?;
            is_sound(&rig.kernel.tables.flows_v4, &rig.kernel.tables.translations_v4)?;
            is_sound(&rig.kernel.tables.flows_v6, &rig.kernel.tables.translations_v6)?;
        }
    });
}

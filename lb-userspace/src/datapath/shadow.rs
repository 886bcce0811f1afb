//! The program once more, with maps of its own, to ask where a packet would go without sending one.
//!
//! What decides is copied from the maps of the living, so whatever the program writes is written into copies, and nobody
//! else sees it.

use std::sync::Arc;

use aya::programs::{TestRun as _, TestRunOptions};
use lb_common::{
    abi::{Event, Settings},
    flow_table::{
        Bucket, Clock, Control, Entry, Entry4, Entry6, NewFlow, Target, Translation4, Translation6,
        TranslationEntry, insert, insert_sparing, lookup, translation_at,
    },
    hash::Seed,
    packet::{FlowKey, FlowKey4, FlowKey6},
    reason::Reason,
};

use super::{DatapathError, JiffyClock, Kernel, MapSizes, Region, Tables, Totals};

/// Buckets of the flow tables and those of translations: there are a few flows at most.
const BUCKETS: u32 = 1024;
/// Bytes that the program may put before a packet.
const HEADROOM: usize = 256;

/// The program with maps of its own.
pub struct Shadow {
    kernel: Kernel,
}

/// The tables of flows that are looked into.
#[derive(Debug, Clone)]
pub struct Living {
    /// IPv4 flows.
    pub flows_v4: Arc<Region<Bucket<Entry4>>>,
    /// IPv6 flows.
    pub flows_v6: Arc<Region<Bucket<Entry6>>>,
    /// Their translations.
    pub translations_v4: Arc<Region<Bucket<Translation4>>>,
    /// Their translations.
    pub translations_v6: Arc<Region<Bucket<Translation6>>>,
}

/// A flow in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// State, timeout class and target.
    pub control: Control,
    /// Number of its backend; `None` when its translation is gone.
    pub backend: Option<u32>,
    /// Latest packet, in jiffies (the lower 32 bits).
    pub last_seen: u32,
    /// First packet, in units of 256 jiffies.
    pub created: u32,
    /// How its replies come to the director, where it is translated.
    pub reply: Option<FlowKey>,
}

/// What the program made of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// XDP action (`enum xdp_action` of linux/bpf.h).
    pub action: u32,
    /// The packet as the program left it.
    pub packet: Vec<u8>,
    /// Why it was not forwarded; `None` when it was.
    pub reason: Option<Reason>,
    /// What else was counted.
    pub events: Vec<Event>,
    /// Number of the backend that it was forwarded to.
    pub backend: Option<u32>,
}

impl Shadow {
    /// Loads the program. It takes as long as the verifier does: a second or so.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub fn load(sizes: &MapSizes, settings: &Settings, clock: JiffyClock) -> Result<Self, DatapathError> {
        let sizes = MapSizes {
            flows_v4: BUCKETS,
            flows_v6: BUCKETS,
            translations_v4: BUCKETS,
            translations_v6: BUCKETS,
            ..*sizes
        };
        let settings = Settings {
            flow_mask_v4: BUCKETS - 1,
            flow_mask_v6: BUCKETS - 1,
            translation_mask_v4: BUCKETS - 1,
            translation_mask_v6: BUCKETS - 1,
            ..*settings
        };
        Ok(Self {
            kernel: Kernel::apart(&sizes, &settings, clock)?,
        })
    }

    /// Copies what decides, but for flows. The one writer of the tables may not be at work meanwhile.
    pub fn follow(&self, live: &Tables) {
        self.kernel.tables.follow(live);
    }

    /// Copies how many flows clients have begun in this second.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub fn follow_sources(&mut self, live: &Kernel) -> Result<(), DatapathError> {
        self.kernel.copy_sources(live)
    }

    /// Takes over a flow if it lives, with its translation; what is known of it.
    ///
    /// # Errors
    /// [`DatapathError::Clock`].
    pub fn adopt(&mut self, live: &Living, key: &FlowKey) -> Result<Option<Known>, DatapathError> {
        let now = self.kernel.jiffies()?;
        let own = &self.kernel.tables;
        let clock = Clock {
            now,
            timeouts: &own.timeouts[0],
        };
        let seed = &own.seed;
        Ok(if let Some(key) = key.to_v4() {
            let theirs = (&live.flows_v4[..], &live.translations_v4[..]);
            let ours = (&own.flows_v4[..], &own.translations_v4[..]);
            adopt(theirs, ours, &key, FlowKey4::hash, seed, &clock)
        } else if let Some(key) = key.to_v6() {
            let theirs = (&live.flows_v6[..], &live.translations_v6[..]);
            let ours = (&own.flows_v6[..], &own.translations_v6[..]);
            adopt(theirs, ours, &key, FlowKey6::hash, seed, &clock)
        } else {
            None
        })
    }

    /// What is known of a flow here.
    #[must_use]
    pub fn known(&self, key: &FlowKey) -> Option<Known> {
        self.find(&self.kernel.living(), key)
    }

    /// What the living know of a flow.
    #[must_use]
    pub fn find(&self, living: &Living, key: &FlowKey) -> Option<Known> {
        let seed = &self.kernel.tables.seed;
        if let Some(key) = key.to_v4() {
            known(&living.flows_v4, &living.translations_v4, &key, key.hash(seed))
        } else {
            let key = key.to_v6()?;
            known(&living.flows_v6, &living.translations_v6, &key, key.hash(seed))
        }
    }

    /// Keys of the templates by which the client of this flow, or its destination, would keep a backend; none where nobody does.
    #[must_use]
    pub fn templates(&self, key: &FlowKey, service: u32) -> Vec<FlowKey> {
        let Some(entry) = self.kernel.tables.services.get(service as usize) else {
            return Vec::new();
        };
        let persistence = entry.persistence();
        if persistence.service == 0 {
            return Vec::new();
        }
        let replicas = 0..persistence.keeper.most();
        replicas
            .filter_map(|replica| {
                let four = key
                    .to_v4()
                    .map(|key| FlowKey::from(key.template(persistence, replica)));
                four.or_else(|| {
                    key.to_v6()
                        .map(|key| FlowKey::from(key.template(persistence, replica)))
                })
            })
            .collect()
    }

    /// Number of the service of a backend.
    #[must_use]
    pub fn service(&self, backend: u32) -> Option<u32> {
        Some(self.kernel.tables.backends.get(backend as usize)?.service())
    }

    /// Forgets all flows.
    pub fn forget(&self) {
        self.kernel.tables.forget_flows();
    }

    /// Runs the program on a packet that comes in by this interface; it could go to one of these backends.
    ///
    /// # Errors
    /// [`DatapathError`]; the kernel takes no packet shorter than an Ethernet header, and no interface that is not there.
    pub fn run(&mut self, packet: &[u8], ifindex: u32, backends: &[u32]) -> Result<Decision, DatapathError> {
        let before = self.kernel.totals()?;
        let forwarded = |kernel: &Kernel, backend: u32| Ok(kernel.backend_totals(backend)?.packets);
        let packets: Vec<u64> = backends
            .iter()
            .map(|&backend| forwarded(&self.kernel, backend))
            .collect::<Result<_, DatapathError>>()?;
        let mut output = vec![0; packet.len() + HEADROOM];
        // `xdp_md` (linux/bpf.h): data, data_end, data_meta, the interface it came in by and its queue, and none to go out by.
        let context = [0, packet.len() as u32, 0, ifindex, 0, 0].map(u32::to_ne_bytes);
        let mut options = TestRunOptions::new();
        options.data_in = Some(packet);
        options.data_out = Some(&mut output);
        options.ctx_in = Some(context.as_flattened());
        let result = self
            .kernel
            .program()?
            .test_run(options)
            .map_err(|error| DatapathError::TestRun(error.to_string()))?;
        output.truncate(result.data_size_out as usize);
        let after = self.kernel.totals()?;
        let mut backend = None;
        for (&number, packets) in backends.iter().zip(packets) {
            if forwarded(&self.kernel, number)? > packets {
                backend = Some(number);
            }
        }
        let counted = |count: &dyn Fn(&Totals) -> u64| count(&after) > count(&before);
        Ok(Decision {
            action: result.return_value,
            packet: output,
            reason: Reason::ALL
                .iter()
                .copied()
                .find(|&reason| counted(&|totals| totals.reason(reason))),
            events: Event::ALL
                .into_iter()
                .filter(|&event| counted(&|totals| totals.event(event)))
                .collect(),
            backend,
        })
    }
}

fn adopt<E: Entry, T: TranslationEntry<Flow = E::Key>>(
    (flows, translations): (&[Bucket<E>], &[Bucket<T>]),
    (own_flows, own_translations): (&[Bucket<E>], &[Bucket<T>]),
    key: &E::Key,
    hash: impl Fn(&E::Key, &Seed) -> u64,
    seed: &Seed,
    clock: &Clock<'_>,
) -> Option<Known>
where
    FlowKey: From<E::Key>,
{
    let found = known(flows, translations, key, hash(key, seed))?;
    let control = found.control;
    let target = match control.target() {
        Target::Backend(number) => Target::Backend(number),
        Target::Translation(place) => {
            // Without it the flow begins anew, as it would if it were not there.
            let theirs = translation_at(translations, place, key)?;
            let translation = theirs.entry.key();
            let hash = hash(&translation.reply, seed);
            let entry = NewFlow {
                key: translation,
                hash,
                target: Target::Backend(theirs.control.backend()?),
                state: theirs.control.state(),
                class: theirs.control.class(),
            };
            insert_sparing(own_translations, &entry, clock);
            Target::Translation(lookup(own_translations, &translation, hash)?.place)
        }
    };
    let flow = NewFlow {
        key: *key,
        hash: hash(key, seed),
        target,
        state: control.state(),
        class: control.class(),
    };
    insert(own_flows, &flow, clock);
    let entry = lookup(own_flows, key, flow.hash)?.entry;
    entry.last_seen().store(found.last_seen);
    entry.created().store(found.created);
    Some(found)
}

fn known<E: Entry, T: TranslationEntry<Flow = E::Key>>(
    flows: &[Bucket<E>],
    translations: &[Bucket<T>],
    key: &E::Key,
    hash: u64,
) -> Option<Known>
where
    FlowKey: From<E::Key>,
{
    let hit = lookup(flows, key, hash)?;
    let translation = match hit.control.target() {
        Target::Backend(_) => None,
        Target::Translation(place) => translation_at(translations, place, key),
    };
    Some(Known {
        control: hit.control,
        backend: hit
            .control
            .backend()
            .or_else(|| translation.as_ref()?.control.backend()),
        last_seen: hit.entry.last_seen().load(),
        created: hit.entry.created().load(),
        reply: translation.map(|translation| FlowKey::from(translation.entry.key().reply)),
    })
}

//! The flow tables, as the API reads them: beside the daemon's loop.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use lb_common::{
    abi::{BackendLoad, TimeoutTable},
    flow_table::{
        Bucket, Clock, Control, Entry, Entry4, Entry6, Snapshot, Translation4, Translation6, TranslationEntry,
    },
    packet::{FlowKey, protocol},
};

use crate::{
    api::{
        query::{FlowFilter, FlowSource},
        types::{FlowView, StateName},
    },
    core::model::Protocol,
    datapath::{Ending, Kernel, Region, backend_of, end_flow},
};

/// Who a backend's number stands for.
#[derive(Debug, Clone)]
pub(super) struct BackendName {
    pub(super) service: String,
    pub(super) name: String,
    pub(super) address: IpAddr,
}

/// Who the numbers stand for at present.
pub(super) type Names = HashMap<u32, BackendName>;

/// Reads living flows.
pub(super) struct Flows {
    v4: Arc<Region<Bucket<Entry4>>>,
    v6: Arc<Region<Bucket<Entry6>>>,
    translations_v4: Arc<Region<Bucket<Translation4>>>,
    translations_v6: Arc<Region<Bucket<Translation6>>>,
    timeouts: Arc<Region<TimeoutTable>>,
    hz: u32,
    /// Jiffies, as of the daemon's latest tick.
    now: AtomicU64,
    names: RwLock<Arc<Names>>,
}

impl Flows {
    pub(super) fn new(kernel: &Kernel) -> Self {
        Self {
            v4: Arc::clone(&kernel.tables.flows_v4),
            v6: Arc::clone(&kernel.tables.flows_v6),
            translations_v4: Arc::clone(&kernel.tables.translations_v4),
            translations_v6: Arc::clone(&kernel.tables.translations_v6),
            timeouts: Arc::clone(&kernel.tables.timeouts),
            hz: kernel.clock().hz(),
            now: AtomicU64::new(0),
            names: RwLock::default(),
        }
    }

    /// The time goes on.
    pub(super) fn set_now(&self, jiffies: u64) {
        self.now.store(jiffies, Ordering::Relaxed);
    }

    /// The numbers stand for others.
    pub(super) fn set_names(&self, names: Names) {
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(names);
    }

    fn view(
        &self,
        key: FlowKey,
        flow: &Snapshot<impl Copy>,
        backend: Option<u32>,
        clock: &Clock<'_>,
        names: &Names,
    ) -> Option<FlowView> {
        let protocol = protocol_of(key.protocol)?;
        let seconds = |jiffies: u64| jiffies / u64::from(self.hz.max(1));
        let idle = u64::from(clock.idle(flow.last_seen));
        let timeout = u64::from(clock.timeouts.of(flow.control));
        let backend = backend.and_then(|number| names.get(&number));
        Some(FlowView {
            protocol,
            client: SocketAddr::new(key.source, key.source_port),
            vip: SocketAddr::new(key.destination, key.destination_port),
            service: backend.map(|backend| backend.service.clone()),
            backend: backend.map(|backend| backend.name.clone()),
            backend_address: backend.map(|backend| backend.address),
            state: StateName(flow.control.state()),
            age_seconds: seconds(clock.now.saturating_sub(u64::from(flow.created) << 8)),
            idle_seconds: seconds(idle),
            timeout_seconds: seconds(timeout.saturating_sub(idle)),
        })
    }

    fn clock(&self) -> Clock<'_> {
        Clock {
            now: self.now.load(Ordering::Relaxed),
            timeouts: &self.timeouts[0],
        }
    }

    fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn visit_table<E: Entry, T: TranslationEntry<Flow = E::Key>>(
        &self,
        table: &[Bucket<E>],
        translations: &[Bucket<T>],
        filter: &FlowFilter,
        each: &mut dyn FnMut(&E, Control, FlowView) -> ControlFlow<()>,
    ) -> ControlFlow<()>
    where
        FlowKey: From<E::Key>,
    {
        let (clock, names) = (self.clock(), self.names());
        for entry in table.iter().flat_map(|bucket| &bucket.entries) {
            let Some(flow) = entry.snapshot() else { continue };
            let backend = backend_of(translations, &flow.key, flow.control);
            let view = self.view(FlowKey::from(flow.key), &flow, backend, &clock, &names);
            if let Some(view) = view.filter(|view| filter.matches(view)) {
                each(entry, flow.control, view)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Ends the flows that match, as many as the filter's limit allows, and says how many those were.
    ///
    /// Runs beside the packet path. A flow that a packet changes at the same moment goes on.
    pub(super) fn end(&self, filter: &FlowFilter, how: Ending, loads: &[BackendLoad]) -> u64 {
        let most = filter.limit.unwrap_or(u64::MAX);
        let ended = self.end_in(&self.v4, &self.translations_v4, filter, how, loads, most);
        ended + self.end_in(&self.v6, &self.translations_v6, filter, how, loads, most - ended)
    }

    fn end_in<E: Entry, T: TranslationEntry<Flow = E::Key>>(
        &self,
        table: &[Bucket<E>],
        translations: &[Bucket<T>],
        filter: &FlowFilter,
        how: Ending,
        loads: &[BackendLoad],
        most: u64,
    ) -> u64
    where
        FlowKey: From<E::Key>,
    {
        let mut ended = 0;
        if most == 0 {
            return 0;
        }
        let _ = self.visit_table(table, translations, filter, &mut |entry, control, _| {
            ended += u64::from(end_flow(entry, control, translations, loads, |_| Some(how)));
            if ended == most {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        ended
    }
}

impl FlowSource for Flows {
    fn visit(&self, filter: &FlowFilter, each: &mut dyn FnMut(FlowView) -> ControlFlow<()>) {
        let four = self.visit_table(&self.v4, &self.translations_v4, filter, &mut |_, _, view| {
            each(view)
        });
        if four.is_continue() {
            let each = &mut |_: &Entry6, _, view| each(view);
            let _ = self.visit_table(&self.v6, &self.translations_v6, filter, each);
        }
    }
}

/// The protocol of a flow; templates have another.
pub(super) fn protocol_of(number: u8) -> Option<Protocol> {
    match number {
        protocol::TCP => Some(Protocol::Tcp),
        protocol::UDP => Some(Protocol::Udp),
        protocol::SCTP => Some(Protocol::Sctp),
        _ => None,
    }
}

//! Where a packet would go: asked of a copy of the program, beside the one that packets go through.
//!
//! The copy is loaded on a thread of its own, which takes the verifier its time; the daemon's loop fills it with what is in force,
//! which takes some milliseconds; the run and what is made of it are beside the loop again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_common::{
    abi::Event,
    packet::FlowKey,
    reason::{Fate, Reason},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};
use tracing::warn;

use super::{
    director::Director,
    flows::{BackendName, Names},
};
use crate::{
    api::{
        query::Refusal,
        trace::{Action, TraceRequest, TraceStep, TraceView, TracedFlow},
        types::{BackendState, BackendView, ServiceView, StateName},
    },
    core::{
        frame::{Frames, Headers, Probe, Shape, TcpFlags},
        model::{Area, Flood, Protocol},
    },
    datapath::{DatapathError, Decision, Known, Living, MapSizes, Shadow},
};

/// Copies that may wait for the loop; the API asks for fewer at a time.
const WAITING: usize = 4;

/// Where the answer goes.
type Reply = oneshot::Sender<Result<TraceView, Refusal>>;

/// Loads copies of the program.
pub(super) struct Tracer {
    loaded: mpsc::Sender<Loaded>,
    waiting: mpsc::Receiver<Loaded>,
}

/// A copy that is to be filled, and what for.
pub(super) struct Loaded {
    shadow: Shadow,
    request: TraceRequest,
    reply: Reply,
}

impl Tracer {
    pub(super) fn new() -> Self {
        let (loaded, waiting) = mpsc::channel(WAITING);
        Self { loaded, waiting }
    }

    /// Begins to answer.
    pub(super) fn begin(&self, director: &Director, request: TraceRequest, reply: Reply) {
        let sizes = MapSizes::new(&director.config.limits);
        let (settings, clock) = (*director.kernel.settings(), director.kernel.clock());
        let loaded = self.loaded.clone();
        spawn_blocking(move || match Shadow::load(&sizes, &settings, clock) {
            Ok(shadow) => {
                let loaded = loaded.blocking_send(Loaded {
                    shadow,
                    request,
                    reply,
                });
                // The daemon is at its end.
                drop(loaded);
            }
            Err(error) => fail(reply, &error),
        });
    }

    /// The next copy that is to be filled.
    pub(super) async fn loaded(&mut self) -> Loaded {
        match self.waiting.recv().await {
            Some(loaded) => loaded,
            None => unreachable!("there is a sender as long as there is a tracer"),
        }
    }
}

fn fail(reply: Reply, error: &DatapathError) {
    warn!(%error, "a packet cannot be traced");
    let hint = "the log of tandemd has the same; packets are not concerned";
    let _ = reply.send(Err(Refusal::harmful(
        format!("the program cannot be asked: {error}"),
        hint,
    )));
}

/// What the answer needs to know of the configuration, as it is at the moment of the copy.
struct Context {
    interface: String,
    ifindex: u32,
    vips: BTreeSet<IpAddr>,
    /// Where services listen, the narrowest first.
    listening: Vec<(Area, String)>,
    services: Vec<ServiceView>,
    /// Limits of those that have any.
    floods: BTreeMap<String, Flood>,
    backends: Vec<BackendView>,
    names: Names,
    living: Living,
    hz: u32,
    now: u64,
}

impl Director {
    /// Fills the copy with what is in force, and has the packet go through it.
    pub(super) fn trace(&mut self, loaded: Loaded) {
        let Loaded {
            mut shadow,
            request,
            reply,
        } = loaded;
        let context = match self.context(&request) {
            Ok(context) => context,
            Err(refusal) => return drop(reply.send(Err(refusal))),
        };
        let probe = Probe {
            protocol: request.protocol.unwrap_or(Protocol::Tcp),
            source: request.source,
            destination: request.destination,
            flags: request.flags.unwrap_or(TcpFlags::SYN),
        };
        let shape = request.shape.unwrap_or_default();
        let Some(frames) = probe.frames(shape) else {
            let refusal = Refusal::wrong("the two addresses are not of one family");
            return drop(reply.send(Err(refusal)));
        };
        shadow.follow(&self.kernel.tables);
        if let Err(error) = shadow.follow_sources(&self.kernel) {
            return fail(reply, &error);
        }
        spawn_blocking(move || match ask(&mut shadow, &context, &probe, shape, &frames) {
            // Who asked may have gone.
            Ok(view) => drop(reply.send(Ok(view))),
            Err(error) => fail(reply, &error),
        });
    }

    fn context(&mut self, request: &TraceRequest) -> Result<Context, Refusal> {
        let interfaces = &self.config.director.interfaces;
        let interface = match &request.interface {
            None => interfaces.first().cloned().unwrap_or_default(),
            Some(name) if interfaces.contains(name) => name.clone(),
            Some(name) => {
                let known = interfaces.iter().map(String::as_str);
                return Err(Refusal::not_found("interface", name, known));
            }
        };
        let ifindex = nix::net::if_::if_nametoindex(&*interface).map_err(|_| {
            Refusal::harmful(
                format!("the interface {interface} is not there at the moment"),
                "name another one with --interface",
            )
        })?;
        let broken = |error: DatapathError| Refusal::harmful(error.to_string(), "ask again");
        let services = &self.config.services;
        let limited = services
            .iter()
            .filter(|service| service.connections.flood.limits().is_some());
        let limited = limited.map(|service| (service.name.clone(), service.connections.flood));
        let mut listening: Vec<(Area, String)> = services
            .iter()
            .flat_map(|service| {
                let frontends = service.frontends.iter().copied().map(Area::from);
                let all = frontends.chain(service.areas.iter().copied());
                all.map(|area| (area, service.name.clone()))
            })
            .collect();
        listening.sort_by_key(|(area, _)| area.rank());
        Ok(Context {
            interface,
            ifindex,
            vips: self.addresses.clone(),
            listening,
            services: self.services().map_err(broken)?,
            floods: limited.collect(),
            living: self.kernel.living(),
            backends: self.backends().map_err(broken)?,
            names: self.names(),
            hz: self.kernel.clock().hz(),
            now: self.kernel.jiffies().map_err(broken)?,
        })
    }
}

/// Has the packet go through the program, after those that came before it, and says what it found on its way.
fn ask(
    shadow: &mut Shadow,
    context: &Context,
    probe: &Probe,
    shape: Shape,
    frames: &Frames,
) -> Result<TraceView, DatapathError> {
    let key = FlowKey {
        source: probe.source.ip(),
        destination: probe.destination.ip(),
        source_port: probe.source.port(),
        destination_port: probe.destination.port(),
        protocol: probe.protocol.number(),
    };
    let numbers: Vec<u32> = context.names.keys().copied().collect();
    let before = shadow.adopt(&context.living, &key)?;
    let Frames { earlier, frame } = frames;
    let run = |shadow: &mut Shadow| -> Result<Decision, DatapathError> {
        if let Some(earlier) = earlier {
            shadow.run(earlier, context.ifindex, &numbers)?;
        }
        shadow.run(frame, context.ifindex, &numbers)
    };
    let mut decision = run(shadow)?;
    // Only now is it known whose client it is: who keeps its backend is asked for again, with what is known of it.
    let mut kept = None;
    if before.is_none()
        && let Some(service) = decision.backend.and_then(|backend| shadow.service(backend))
        && let templates = shadow.templates(&key, service)
        && templates
            .iter()
            .any(|template| shadow.find(&context.living, template).is_some())
    {
        shadow.forget();
        for template in templates {
            let found = shadow.adopt(&context.living, &template)?;
            kept = kept.or(found);
        }
        decision = run(shadow)?;
    }
    let number = decision
        .backend
        .or_else(|| shadow.known(&key).and_then(|known| known.backend))
        .or_else(|| before.and_then(|known| known.backend));
    let backend = number.and_then(|number| context.names.get(&number));
    let story = Story {
        context,
        probe,
        shape,
        before,
        kept,
        decision: &decision,
        backend,
    };
    let steps = story.steps();
    let Decision {
        action,
        packet,
        reason,
        events,
        ..
    } = &decision;
    Ok(TraceView {
        interface: context.interface.clone(),
        packet: Headers::of(frame, frame.len()),
        steps,
        service: story.service().map(str::to_owned),
        backend: backend.map(|backend| backend.name.clone()),
        backend_address: backend.map(|backend| backend.address),
        flow: before.map(|known| story.flow(known)),
        action: Action::from_number(*action),
        reason: reason.map(|reason| reason.slug().to_owned()),
        events: events.iter().map(|event| event.slug().to_owned()).collect(),
        result: Headers::of(packet, packet.len()),
        bytes: packet.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

/// What there is to tell.
struct Story<'a> {
    context: &'a Context,
    probe: &'a Probe,
    shape: Shape,
    /// The flow, if there was one.
    before: Option<Known>,
    /// What was noted of the client.
    kept: Option<Known>,
    decision: &'a Decision,
    backend: Option<&'a BackendName>,
}

impl Story<'_> {
    fn steps(&self) -> Vec<TraceStep> {
        let vip = self.probe.destination.ip();
        let is_vip = self.context.vips.contains(&vip)
            || self.context.listening.iter().any(|(area, _)| area.contains(vip));
        let mut steps = Vec::new();
        let mut say = |step: &str, says: String| {
            steps.push(TraceStep {
                step: step.to_owned(),
                says,
            });
        };
        if !is_vip {
            say("vip", format!("{vip} is no VIP of this director"));
            say("verdict", self.verdict());
            return steps;
        }
        say("vip", format!("{vip} is a VIP"));
        match self.shape {
            Shape::Whole => {}
            Shape::FirstFragment => say(
                "part",
                "the first fragment, which has the ports; the others go where it goes".to_owned(),
            ),
            Shape::LaterFragment => say(
                "part",
                "a fragment without ports; the first one of its packet has passed a moment ago".to_owned(),
            ),
            Shape::Error => say(
                "error",
                format!(
                    "about a reply from {} to {} that was too big; it concerns whoever sent that",
                    self.probe.destination, self.probe.source
                ),
            ),
        }
        match (self.listener(), self.service()) {
            (Some((area, service)), _) => say("service", format!("{service} listens at {area}")),
            (None, Some(service)) => say(
                "service",
                format!("{service}, which does not listen there any more"),
            ),
            (None, None) => say("service", "nobody listens there".to_owned()),
        }
        match self.before {
            Some(known) => {
                let flow = self.flow(known);
                say(
                    "flow",
                    format!(
                        "known: {}, for {} s, idle for {} s",
                        flow.state.0.name(),
                        flow.age_seconds,
                        flow.idle_seconds
                    ),
                );
            }
            None if self.decision.reason == Some(Reason::NoService) => {}
            None => say("flow", "none yet".to_owned()),
        }
        if let Some(says) = self.flood() {
            say("flood", says);
        }
        if let Some(name) = self.kept.and_then(|kept| self.context.names.get(&kept.backend?)) {
            say(
                "client",
                format!("it, or its destination, is to keep {}", name.name),
            );
        }
        if let Some(backend) = self.backend {
            say("backend", self.choice(backend));
        }
        if self.decision.reason.is_none() {
            say("forward", self.forward());
        }
        say("verdict", self.verdict());
        steps
    }

    /// What the service's limits say of a new flow, as the counters are at this moment.
    fn flood(&self) -> Option<String> {
        let begins = self.before.is_none() && matches!(self.shape, Shape::Whole | Shape::FirstFragment);
        let Flood {
            syn_rate,
            source_rate,
        } = *self.context.floods.get(self.service()?).filter(|_| begins)?;
        let limit =
            |what: &str, rate: Option<std::num::NonZeroU32>| rate.map(|rate| format!("{what} {rate}"));
        let limits: Vec<String> = [limit("syn_rate", syn_rate), limit("source_rate", source_rate)]
            .into_iter()
            .flatten()
            .collect();
        let says = if self.decision.reason == Some(Reason::SourceFlood) {
            "the client has begun more in this second"
        } else if self.decision.events.contains(&Event::SynUnentered) {
            "more SYNs have come in this second: it goes on without an entry"
        } else {
            "neither is reached in this second"
        };
        Some(format!("{}: {says}", limits.join(", ")))
    }

    /// Where it comes in, and whose that is.
    fn listener(&self) -> Option<&(Area, String)> {
        let Probe {
            protocol,
            destination,
            ..
        } = *self.probe;
        self.context.listening.iter().find(|(area, _)| {
            area.protocol == protocol
                && area.contains(destination.ip())
                && (area.first..=area.last).contains(&destination.port())
        })
    }

    fn service(&self) -> Option<&str> {
        let of_backend = self.backend.map(|backend| backend.service.as_str());
        of_backend.or_else(|| Some(self.listener()?.1.as_str()))
    }

    fn flow(&self, known: Known) -> TracedFlow {
        let hz = u64::from(self.context.hz.max(1));
        let now = self.context.now;
        let idle = (now as u32).wrapping_sub(known.last_seen);
        TracedFlow {
            state: StateName(known.control.state()),
            age_seconds: now.saturating_sub(u64::from(known.created) << 8) / hz,
            // A stamp from the future is no time at all.
            idle_seconds: if idle > u32::MAX / 2 {
                0
            } else {
                u64::from(idle) / hz
            },
        }
    }

    /// Why this backend, and how it is.
    fn choice(&self, backend: &BackendName) -> String {
        let how = match (self.before, self.kept, self.service_of(backend)) {
            (Some(_), ..) => "as the flow has it".to_owned(),
            (None, Some(_), _) => "as was noted of its client or destination".to_owned(),
            (None, None, Some(service)) => format!("chosen by {}", service.scheduler),
            (None, None, None) => "chosen".to_owned(),
        };
        let text = format!("{} ({}), {how}", backend.name, backend.address);
        let Some(view) = self.view_of(backend) else {
            return text + "; no longer configured";
        };
        let state = match &view.state {
            BackendState::Down { reason } | BackendState::Unresolved { reason } => {
                format!("{}, {reason}", view.state.name())
            }
            _ => view.state.name().to_owned(),
        };
        let share = view.share.map_or_else(String::new, |share| {
            format!(", {:.1}% of new flows", share * 100.0)
        });
        format!(
            "{text}; it is {state}, with weight {} of {}{share}",
            view.effective_weight, view.weight
        )
    }

    fn service_of(&self, backend: &BackendName) -> Option<&ServiceView> {
        let mut services = self.context.services.iter();
        services.find(|service| service.name == backend.service)
    }

    fn view_of(&self, backend: &BackendName) -> Option<&BackendView> {
        let mut views = self.context.backends.iter();
        views.find(|view| view.service == backend.service && view.address == backend.address)
    }

    /// What was done to the packet.
    fn forward(&self) -> String {
        let service = self.backend.and_then(|backend| self.service_of(backend));
        let method = service.map_or_else(|| "as before".to_owned(), ServiceView::method);
        let headers = Headers::of(&self.decision.packet, self.decision.packet.len());
        format!("{method}: to {}, {headers}", headers.destination_mac)
    }

    fn verdict(&self) -> String {
        let action = Action::from_number(self.decision.action);
        let interface = self
            .backend
            .and_then(|backend| self.view_of(backend)?.interface.as_deref());
        let Some(reason) = self.decision.reason else {
            return match (action, interface) {
                (Action::Tx, _) => format!(
                    "{action}: forwarded out of {}, where it came in",
                    self.context.interface
                ),
                (Action::Redirect, Some(interface)) => format!("{action}: forwarded out of {interface}"),
                (Action::Pass, _) => format!("{action}: this machine is the backend"),
                (action, _) => format!("{action}"),
            };
        };
        let what = match reason.fate() {
            Fate::Pass => "left to the kernel",
            Fate::Drop => "dropped",
            Fate::Answer => "answered",
        };
        format!("{action}: {what}, {}: {}", reason.slug(), reason.sentence())
    }
}

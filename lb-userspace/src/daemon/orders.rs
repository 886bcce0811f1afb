//! Orders: given, kept, carried out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, task::spawn_blocking};
use tracing::error;

use super::{director::Director, keeper::Keeper, maintenance::Maintenance, state::StateDirectory};
use crate::{
    api::{
        orders::{Covered, OrderAnswer, OrderRequest, OrderView, Verb},
        query::{OrderReply, Refusal},
    },
    core::{
        backend::Effective,
        drain::Progress,
        event::{self, Timestamp},
        model::{Backend, MAX_WEIGHT, Service},
        order::{AtDeadline, Book, Command, Deadline, Due, Order, Scope},
        sync::Store,
    },
    datapath::{Ages, Ending, end},
    notify::Sink,
};

/// Censuses after an order until "no flows" can be believed: a packet that was under way may have entered its flow behind
/// the back of the first one.
const QUIET_CENSUSES: u32 = 2;
/// Longest times that an order can be given for.
const LONGEST: u64 = 366 * 86_400;
const LONGEST_RAMP: u64 = 86_400;
const LONGEST_TEXT: usize = 500;

/// The orders that stand, and how they are carried out.
pub(super) struct Orders {
    pub(super) book: Book,
    /// What was said of orders in the cluster.
    pub(super) words: Store,
    pub(super) keeper: Keeper,
    pub(super) maintenance: Maintenance,
    drains: BTreeMap<(String, IpAddr), Drain>,
    clock: Clock,
    /// Whether it was told that the book cannot be kept.
    unsaved: bool,
}

/// A backend that takes no new flows because it was ordered so.
pub(super) struct Drain {
    pub(super) progress: Progress,
    began: Duration,
    /// What the backend was ever given when it began.
    given: u64,
    /// Censuses since then.
    censuses: u32,
    /// Censuses in a row without a flow.
    quiet: u32,
    pub(super) drained: bool,
    pub(super) ages: Ages,
}

/// The wall clock, as it was when the daemon began, and the time that has passed since: whoever sets the clock meanwhile
/// does not move the deadlines of what runs.
struct Clock {
    began: Timestamp,
    since: Instant,
}

impl Clock {
    fn now(&self) -> Timestamp {
        self.began.after(self.since.elapsed())
    }
}

impl Orders {
    /// Takes up the orders of an earlier daemon.
    pub(super) fn open(state: StateDirectory, events: &Sink) -> Self {
        let maintenance = Maintenance::open(state.clone());
        let keeper = Keeper::new(state);
        let read = match keeper.read() {
            Ok(None) => Ok((Book::default(), Store::default())),
            Ok(Some(json)) => Book::from_json(&json).map_err(|error| match keeper.put_aside(&json) {
                Ok(name) => format!("{error}; it is kept as {name}"),
                Err(_) => error,
            }),
            Err(error) => Err(error.to_string()),
        };
        let (book, words) = read.unwrap_or_else(|reason| {
            events.tell(event::Order::Unreadable { reason });
            (Book::default(), Store::default())
        });
        Self {
            book,
            words,
            keeper,
            maintenance,
            drains: BTreeMap::new(),
            clock: Clock {
                began: crate::notify::now(),
                since: Instant::now(),
            },
            unsaved: false,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn drain(&self, service: &str, address: IpAddr) -> Option<&Drain> {
        self.drains.get(&(service.to_owned(), address))
    }

    pub(super) fn keep(&mut self) -> oneshot::Receiver<Result<(), String>> {
        match self.book.to_json(&self.words) {
            Ok(json) => self.keeper.keep(json),
            Err(error) => {
                error!(%error, "orders have no JSON form");
                oneshot::channel().1
            }
        }
    }
}

/// The service, the backend.
pub(super) type Member<'a> = (&'a Service, &'a Backend);

impl Director {
    /// Carries out an order, and has the answer sent once it is kept.
    pub(super) fn order(&mut self, request: &OrderRequest, who: String, reply: OrderReply) {
        match self.try_order(request, who) {
            Err(refusal) => drop(reply.send(Err(refusal))),
            Ok((mut answer, kept)) => {
                self.converge();
                tokio::spawn(async move {
                    let kept = kept
                        .await
                        .unwrap_or_else(|_| Err("the daemon is stopping".to_owned()));
                    if let Err(error) = kept {
                        answer.remarks.push(format!(
                            "it is in force, but a restart of the daemon would forget it: {error}"
                        ));
                    }
                    // Who ordered it may have gone.
                    let _ = reply.send(Ok(answer));
                });
            }
        }
    }

    fn try_order(
        &mut self,
        request: &OrderRequest,
        who: String,
    ) -> Result<(OrderAnswer, oneshot::Receiver<Result<(), String>>), Refusal> {
        let scope = self.scope(request)?;
        let members = self.members(&scope);
        let covers: Vec<Covered> = members.iter().map(covered).collect();
        let mut answer = OrderAnswer {
            covers,
            order: None,
            lifted: Vec::new(),
            remarks: Vec::new(),
        };
        let mut book = self.orders.book.clone();
        let next = self.next_start(request, &members)?;
        let whom: Vec<_> = members
            .iter()
            .map(|(service, backend)| (service.name.clone(), backend.address))
            .collect();
        let who = self.known_to_all(&scope, who);
        let mut said = Vec::new();
        let told: Vec<event::Order> = if request.verb == Verb::Ready {
            let lifted = book.lift(&scope);
            said.extend(lifted.iter().map(|order| (order.scope.clone(), None)));
            answer.lifted = lifted.iter().map(OrderView::from).collect();
            let covers_one = |order: &Scope| {
                let mut whom = whom.iter();
                whom.any(|(service, address)| order.covers(service, *address))
            };
            let still = book.iter().filter(|order| covers_one(&order.scope));
            answer.remarks.extend(still.map(|order| {
                format!(
                    "another order still stands, for {}: {}",
                    order.scope,
                    order.because()
                )
            }));
            let told = |order| event::Order::Lifted {
                order,
                who: who.clone(),
            };
            lifted.into_iter().map(told).collect()
        } else {
            let order = self.compose(request, &scope, &members, who)?;
            let instead_of = book.place(order.clone());
            answer.lifted.extend(instead_of.as_ref().map(OrderView::from));
            said.push((scope.clone(), Some(order.clone())));
            if !request.force {
                self.ensure_served(&book, &members)?;
                if request.verb == Verb::Remove {
                    self.ensure_empty(&members)?;
                }
            }
            answer.order = Some(OrderView::from(&order));
            let covers = answer.covers.iter().map(ToString::to_string).collect();
            vec![event::Order::Placed {
                order,
                covers,
                instead_of: instead_of.map(Box::new),
            }]
        };
        self.orders.book = book;
        self.say(said);
        self.set_next_starts(&whom, next);
        told.into_iter().for_each(|event| self.events.tell(event));
        self.watch_drains();
        Ok((answer, self.orders.keep()))
    }

    /// Whom the request is about.
    fn scope(&self, request: &OrderRequest) -> Result<Scope, Refusal> {
        let services = &self.config.services;
        if let Some(name) = &request.service
            && !services.iter().any(|service| service.name == *name)
        {
            let known = services.iter().map(|service| service.name.as_str());
            return Err(Refusal::not_found("service", name, known));
        }
        let Some(backend) = &request.backend else {
            return Ok(match &request.service {
                Some(service) => Scope::Service(service.clone()),
                None => Scope::Director,
            });
        };
        let of = |service: &&Service| request.service.as_ref().is_none_or(|name| service.name == *name);
        let candidates = || {
            services
                .iter()
                .filter(of)
                .flat_map(|service| service.backends.iter().map(move |backend| (service, backend)))
        };
        let address = backend.parse().ok();
        let named =
            candidates().filter(|(_, found)| found.name == *backend || Some(found.address) == address);
        let addresses: BTreeSet<IpAddr> = named.clone().map(|(_, found)| found.address).collect();
        let mut addresses = addresses.into_iter();
        match (addresses.next(), addresses.next()) {
            (None, _) => Err(Refusal::not_found(
                "backend",
                backend,
                candidates().map(|(_, found)| found.name.as_str()),
            )),
            (Some(_), Some(_)) => Err(Refusal::ambiguous(backend, named.map(|member| covered(&member)))),
            (Some(address), None) => Ok(match &request.service {
                Some(service) => Scope::Backend {
                    service: service.clone(),
                    address,
                },
                None => Scope::Host(address),
            }),
        }
    }

    pub(super) fn members(&self, scope: &Scope) -> Vec<Member<'_>> {
        let all = self
            .config
            .services
            .iter()
            .flat_map(|service| service.backends.iter().map(move |backend| (service, backend)));
        all.filter(|(service, backend)| scope.covers(&service.name, backend.address))
            .collect()
    }

    fn compose(
        &self,
        request: &OrderRequest,
        scope: &Scope,
        members: &[Member<'_>],
        who: String,
    ) -> Result<Order, Refusal> {
        let command = match (request.verb, request.weight) {
            (Verb::Weight, Some(weight @ 0..=MAX_WEIGHT)) => Command::Weight(weight),
            (Verb::Weight, _) => {
                return Err(Refusal::wrong(format!(
                    "a weight is a number from 0 to {MAX_WEIGHT}"
                )));
            }
            (_, Some(_)) => return Err(Refusal::wrong("only `weight` takes a weight")),
            (Verb::Drain, None) => Command::Drain,
            (Verb::Offline, None) => Command::Offline,
            (Verb::Remove, None) => Command::Remove,
            (Verb::Ready, None) => return Err(Refusal::wrong("`ready` lifts orders")),
        };
        let times = [request.deadline_seconds, request.for_seconds];
        if times.into_iter().flatten().any(|seconds| seconds > LONGEST) {
            return Err(Refusal::wrong("an order can be given for a year at most"));
        }
        let ends_flows = matches!(request.verb, Verb::Drain | Verb::Offline);
        if !ends_flows && (request.deadline_seconds.is_some() || request.at_deadline.is_some()) {
            return Err(Refusal::wrong(format!("`{}` has no deadline", request.verb)));
        }
        let now = self.orders.now();
        let later = |seconds: u64| now.after(Duration::from_secs(seconds));
        let deadline = if ends_flows {
            deadline(request, members)
        } else {
            None
        };
        let one_line = |text: &str| crate::io::one_line(&text.chars().take(LONGEST_TEXT).collect::<String>());
        Ok(Order {
            scope: scope.clone(),
            command,
            who,
            why: one_line(&request.reason),
            at: now,
            until: request.for_seconds.map(later),
            deadline: deadline.map(|(seconds, then)| Deadline {
                at: later(seconds),
                then,
                done: false,
            }),
        })
    }

    /// How slowly those that come back by this request are to start, if it says.
    fn next_start(
        &self,
        request: &OrderRequest,
        members: &[Member<'_>],
    ) -> Result<Option<Duration>, Refusal> {
        let Some(seconds) = request.ramp_seconds else {
            return Ok(None);
        };
        if request.verb != Verb::Ready {
            return Err(Refusal::wrong("only `ready` takes a ramp"));
        }
        if seconds > LONGEST_RAMP {
            return Err(Refusal::wrong("a ramp takes a day at most"));
        }
        let serves = |(service, backend): &Member<'_>| self.effective(service, backend).serves();
        if members.iter().all(serves) {
            return Err(Refusal::wrong(
                "all of them serve already: there is nothing to ramp up",
            ));
        }
        Ok(Some(Duration::from_secs(seconds)))
    }

    /// Whether, of every service that somebody serves now, somebody would go on serving under `book`.
    fn ensure_served(&self, book: &Book, members: &[Member<'_>]) -> Result<(), Refusal> {
        let services: BTreeMap<&str, &Service> = members
            .iter()
            .map(|(service, _)| (service.name.as_str(), *service))
            .collect();
        let serves = |service: &Service, book: &Book| {
            let (_, standing) = self.stand(service, book, &self.addresses);
            standing.backends.iter().any(Effective::serves)
        };
        let left = services
            .into_values()
            .filter(|service| serves(service, &self.orders.book) && !serves(service, book));
        let left: Vec<&str> = left.map(|service| service.name.as_str()).collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(Refusal::last(&left))
        }
    }

    /// Whether no flows are left.
    fn ensure_empty(&self, members: &[Member<'_>]) -> Result<(), Refusal> {
        let flows = |&(service, backend): &Member<'_>| {
            if let Some(drain) = self.orders.drain(&service.name, backend.address)
                && drain.censuses > 0
            {
                return Some(drain.progress.flows());
            }
            let number = self
                .planner
                .backend_number(self.planner.service_number(&service.name)?, backend.address)?;
            Some(u64::from(self.census.of_backend(number)))
        };
        let busy = members
            .iter()
            .filter_map(|member| Some((covered(member), flows(member)?)));
        let busy: Vec<_> = busy.filter(|(_, flows)| *flows > 0).collect();
        if busy.is_empty() {
            Ok(())
        } else {
            Err(Refusal::busy(&busy))
        }
    }

    /// What time has brought for the orders.
    pub(super) fn advance_orders(&mut self) {
        let mut changed = false;
        let now = self.orders.now();
        for due in self.orders.book.advance(now) {
            changed = true;
            match due {
                Due::Expired(order) => {
                    self.say([(order.scope.clone(), None)]);
                    self.events.tell(event::Order::Expired { order });
                }
                Due::Deadline(order, then) => self.meet_deadline(order, then),
            }
        }
        if changed {
            self.watch_drains();
            drop(self.orders.keep());
            self.converge();
        }
        self.orders.keeper.catch_up();
    }

    fn meet_deadline(&mut self, order: Order, then: AtDeadline) {
        let left: Vec<(Covered, u32)> = self
            .members(&order.scope)
            .iter()
            .filter_map(|member| {
                let (service, backend) = member;
                let number = self
                    .planner
                    .backend_number(self.planner.service_number(&service.name)?, backend.address)?;
                Some((covered(member), number))
            })
            .filter(|(_, number)| self.census.of_backend(*number) > 0)
            .collect();
        if left.is_empty() && order.command == Command::Drain {
            return;
        }
        if order.command == Command::Drain {
            self.events.tell(event::Order::Deadline { order, then });
        }
        match then {
            AtDeadline::Keep => {}
            AtDeadline::Reschedule => self.end(left, Ending::Forget),
            AtDeadline::Reset => self.end(left, Ending::Reset),
        }
    }

    /// Ends the flows of these backends, whose numbers stand beside them, and tells how many there were.
    fn end(&self, backends: Vec<(Covered, u32)>, ending: Ending) {
        if let Some(sync) = &self.sync {
            backends.iter().for_each(|(_, number)| sync.release(*number));
        }
        let flows_v4 = Arc::clone(&self.kernel.tables.flows_v4);
        let flows_v6 = Arc::clone(&self.kernel.tables.flows_v6);
        let translations_v4 = Arc::clone(&self.kernel.tables.translations_v4);
        let translations_v6 = Arc::clone(&self.kernel.tables.translations_v6);
        let loads = Arc::clone(&self.kernel.tables.loads);
        let events = self.events.clone();
        let numbers = backends.iter().map(|(_, number)| *number).collect();
        let questions = (ending == Ending::Reset).then(|| self.questions(numbers));
        spawn_blocking(move || {
            for (covered, number) in backends {
                let wanted = BTreeMap::from([(number, ending)]);
                let flows = end(&flows_v4, &translations_v4, &loads, &wanted)
                    + end(&flows_v6, &translations_v6, &loads, &wanted);
                events.tell(event::Order::Ended {
                    service: covered.service,
                    backend: covered.backend,
                    flows,
                });
            }
            if let Some(ask) = questions {
                ask();
            }
        });
    }

    /// Orders to remove what the configuration has no more are done with.
    pub(super) fn drop_orders_that_were_followed(&mut self) {
        let config = &self.config;
        let known = |scope: &Scope| {
            let mut all = config
                .services
                .iter()
                .flat_map(|service| service.backends.iter().map(move |backend| (service, backend)));
            all.any(|(service, backend)| scope.covers(&service.name, backend.address))
        };
        let removes: BTreeSet<Scope> = self
            .orders
            .book
            .iter()
            .filter(|order| order.command == Command::Remove)
            .map(|order| order.scope.clone())
            .collect();
        let dropped = self
            .orders
            .book
            .retain(|scope| !removes.contains(scope) || known(scope));
        if !dropped.is_empty() {
            dropped
                .into_iter()
                .for_each(|order| self.events.tell(event::Order::Dropped { order }));
            drop(self.orders.keep());
        }
    }

    /// Begins to watch backends that are newly drained, and leaves off where that is over.
    pub(super) fn watch_drains(&mut self) {
        let now = self.opened.elapsed();
        let mut drains = std::mem::take(&mut self.orders.drains);
        let mut watched = BTreeMap::new();
        for (service, backend) in self.members(&Scope::Director) {
            let order = self.orders.book.order(&service.name, backend.address);
            if order.is_none_or(|order| matches!(order.command, Command::Weight(_))) {
                continue;
            }
            let key = (service.name.clone(), backend.address);
            let drain = match drains.remove(&key) {
                Some(drain) => drain,
                None => {
                    let (flows, given) = self.flows_of(&service.name, backend.address);
                    Drain {
                        progress: Progress::new(flows, given, now),
                        began: now,
                        given,
                        censuses: 0,
                        quiet: 0,
                        drained: false,
                        ages: Ages::default(),
                    }
                }
            };
            watched.insert(key, drain);
        }
        self.orders.drains = watched;
    }

    /// Flows at the last census, and how many it was ever given.
    fn flows_of(&self, service: &str, address: IpAddr) -> (u64, u64) {
        let number = self
            .planner
            .service_number(service)
            .and_then(|service| self.planner.backend_number(service, address));
        number.map_or((0, 0), |number| {
            let given = self
                .kernel
                .backend_totals(number)
                .map_or(0, |totals| totals.flows);
            (self.census.of_backend(number).into(), given)
        })
    }

    /// Numbers of the backends whose flows a census is to tell apart by age.
    pub(super) fn watched(&self) -> BTreeSet<u32> {
        let number = |(service, address): &(String, IpAddr)| {
            self.planner
                .backend_number(self.planner.service_number(service)?, *address)
        };
        self.orders.drains.keys().filter_map(number).collect()
    }

    /// Takes note of how far drains have come.
    pub(super) fn note_drains(&mut self) {
        let now = self.opened.elapsed();
        let mut drains = std::mem::take(&mut self.orders.drains);
        for ((service, address), drain) in &mut drains {
            let (_, given) = self.flows_of(service, *address);
            let number = self.planner.service_number(service);
            let number = number.and_then(|service| self.planner.backend_number(service, *address));
            let ages = match number {
                // The planner has forgotten it, since no flow named it.
                None => Ages::default(),
                // A census that began before it was watched says nothing.
                Some(number) => match self.census.ages.get(&number) {
                    None => continue,
                    Some(ages) => *ages,
                },
            };
            let flows = ages.flows();
            if drain.censuses == 0 {
                drain.progress = Progress::new(flows, drain.given, now);
            }
            drain.progress.note(flows, given, now);
            drain.censuses += 1;
            drain.ages = ages;
            drain.quiet = if flows == 0 { drain.quiet + 1 } else { 0 };
            let drained = drain.quiet >= QUIET_CENSUSES;
            if drained && !drain.drained {
                let name = self
                    .config
                    .services
                    .iter()
                    .find(|found| found.name == *service)
                    .and_then(|found| found.backends.iter().find(|backend| backend.address == *address));
                self.events.tell(event::Order::Drained {
                    service: service.clone(),
                    backend: name.map_or_else(|| address.to_string(), |backend| backend.name.clone()),
                    flows: drain.progress.at_start() + drain.progress.new_since_start(),
                    seconds: (now.saturating_sub(drain.began)).as_secs(),
                });
            }
            drain.drained = drained;
        }
        self.orders.drains = drains;
    }

    /// Takes note of whether the book could be kept.
    pub(super) fn note_kept(&mut self, kept: Result<(), String>) {
        match kept {
            Ok(()) if self.orders.unsaved => self.events.tell(event::Order::Saved),
            Err(reason) if !self.orders.unsaved => {
                self.events.tell(event::Order::Unsaved { reason });
                self.orders.unsaved = true;
                return;
            }
            Ok(()) | Err(_) => {}
        }
        self.orders.unsaved &= self.orders.keeper.is_behind();
    }
}

pub(super) fn covered(&(service, backend): &Member<'_>) -> Covered {
    Covered {
        service: service.name.clone(),
        backend: backend.name.clone(),
        address: backend.address,
    }
}

/// Seconds to the deadline, and what is done then: as ordered, or else as the services have it, of which the most patient
/// counts; whoever goes offline does so at once.
fn deadline(request: &OrderRequest, members: &[Member<'_>]) -> Option<(u64, AtDeadline)> {
    let usual: Option<Vec<_>> = members.iter().map(|(service, _)| service.drain).collect();
    let usual = usual
        .unwrap_or_default()
        .into_iter()
        .max_by_key(|drain| drain.deadline);
    let seconds = match (request.deadline_seconds, request.verb) {
        (Some(seconds), _) => Some(seconds),
        (None, Verb::Offline) => Some(0),
        (None, Verb::Drain | Verb::Remove | Verb::Weight | Verb::Ready) => {
            usual.map(|usual| usual.deadline.as_secs())
        }
    };
    let usual = usual.map_or(AtDeadline::Reschedule, |usual| usual.at_deadline);
    Some((seconds?, request.at_deadline.unwrap_or(usual)))
}

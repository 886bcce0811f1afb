//! The daemon: the loop that ties configuration, the kernel's network tables, the datapath and the operator together.

mod args;
mod check_path;
mod courses;
mod cut;
mod decap;
mod director;
mod exit;
mod failure;
mod flows;
mod follow;
mod fragments;
mod gone;
mod ha;
mod handover;
mod health;
mod history;
mod holder;
mod identity;
mod keeper;
mod links;
mod maintenance;
mod orders;
mod pair;
mod passive;
mod resets;
mod returns;
mod service_manager;
mod shared;
mod standing;
mod state;
mod survey;
pub mod sync;
mod trace;
mod verdicts;
mod views;
mod vips;
mod virtual_links;

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, IsTerminal as _},
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tracing::{info, warn};

pub use self::args::Args;
pub use self::director::DirectorError;
pub use self::failure::DaemonError;
pub use self::ha::HaError;
pub use self::identity::Identity;
pub use self::state::{StateDirectory, StateError};
pub use self::sync::SyncError;
use self::{
    check_path::CheckWay, director::Director, follow::Watcher, fragments::Fragments, history::History,
    orders::Orders, returns::Returns, service_manager::ServiceManager, survey::Survey, trace::Tracer,
    vips::Vips,
};
use crate::{
    api::{
        self, Access, ApiSocket, Bounds, Sources,
        config::{ConfigView, ReloadAnswer, ReloadRequest},
        query::{self, Query, Refusal, ReloadReply},
        types::ProbesView,
    },
    capability, config,
    core::{event, model::Config, neighbour::Timing},
    datapath::Pins,
    net::monitor::Monitor,
    notify::Notifier,
    probe::{News, Prober, Watches},
};

/// How long a configuration waits for its backends to be found before it is adopted without those that are missing.
const SETTLE: Duration = Duration::from_secs(1);
/// How long news of health waits for others that come with it.
const GATHER: Duration = Duration::from_millis(1);
/// Between two censuses of the flow table.
const CENSUS: Duration = Duration::from_secs(1);

/// Runs `tandemd`. Exit codes: 0 ended as asked, 1 failure, 2 usage or configuration, 4 permission.
#[must_use]
pub fn main(args: &Args) -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("TANDEM_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&DaemonError::Setup(error)),
    };
    if let Some(args::Command::Decap(decap)) = &args.command {
        return end(runtime.block_on(decap::run(decap)));
    }
    if args.detach {
        return end(runtime.block_on(detach(&args.bpffs)));
    }
    let loaded = match args.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            eprint!("{}", error.render());
            return failure::exit_code_of(&error);
        }
    };
    eprint!("{}", loaded.warnings);
    end(runtime.block_on(run(args, loaded.config)))
}

fn end(outcome: Result<(), DaemonError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &DaemonError) -> ExitCode {
    eprintln!("error: {error}");
    error.exit_code()
}

/// Ends balancing.
async fn detach(bpffs: &Path) -> Result<(), DaemonError> {
    let pins = Pins::new(bpffs);
    let claim = pins.claim_existing()?;
    Vips::open()?.drop_all().await?;
    if claim.is_some() {
        pins.remove_all()?;
        info!("released the interfaces, and forgot the connections");
    } else {
        info!(directory = %bpffs.display(), "nothing to detach");
    }
    Ok(())
}

/// A configuration that waits for its backends to be found.
struct Pending {
    config: Config,
    access: Access,
    targets: BTreeSet<IpAddr>,
    deadline: Instant,
    /// What may be unwise about it.
    warnings: String,
    /// Who waits for it to be in force.
    waiting: Vec<ReloadReply>,
}

/// What ends when the daemon does as it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The daemon; the kernel goes on balancing.
    Daemon,
    /// Balancing too.
    Balancing,
}

/// The daemon's parts.
struct Daemon {
    director: Director,
    monitor: Monitor,
    followed: BTreeSet<IpAddr>,
    returns: Returns,
    prober: Prober,
    watched: Watches,
    checks: CheckWay,
    pending: Option<Pending>,
    survey: Survey,
    tracer: Tracer,
    watcher: Watcher,
    config_path: Option<PathBuf>,
    queries: mpsc::Receiver<Query>,
    signals: Signals,
    service_manager: ServiceManager,
    /// What was in force before.
    history: History,
    /// Who may use the socket, and where that is.
    access: watch::Sender<Access>,
    socket: PathBuf,
    /// Where metrics are to be had.
    metrics: watch::Sender<Vec<SocketAddr>>,
    /// Last, so that it tells what the others have to tell at the end.
    notifier: Notifier,
}

/// What the operator and the service manager say.
struct Signals {
    reload: Signal,
    stop: [Signal; 2],
}

impl Signals {
    /// From now on none of them ends the process by itself.
    fn catch() -> io::Result<Self> {
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            stop: [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?],
        })
    }
}

async fn run(args: &Args, config: Config) -> Result<(), DaemonError> {
    // First of all: who asks for a reload while the daemon starts must not kill it.
    let signals = Signals::catch()?;
    ensure_capable()?;
    let source = match args.config_path() {
        Some(path) => path.display().to_string(),
        None => "command line".to_owned(),
    };
    let notifier = Notifier::start(&config.director.name, &config.events)?;
    let state = StateDirectory::new(&args.state);
    let history = History::open(state.clone());
    let access = Access::of(&config.api)?;
    let identity = Identity::begin(&config, &state)?;
    let orders = Orders::open(state, &notifier.sink());
    let pins = Pins::new(&args.bpffs);
    let vips = Vips::open()?;
    let mut director = Director::open(
        config.clone(),
        source,
        identity,
        pins,
        vips,
        notifier.sink(),
        orders,
    )?;
    let socket = ApiSocket::bind(&args.socket)?;
    let path = director.kernel.fragments().map_err(DirectorError::from)?;
    let _fragments = Fragments::start(path)?;
    let (asked, queries) = query::channel();
    let mut daemon = Daemon {
        survey: Survey::new(&director.kernel),
        tracer: Tracer::new(),
        watcher: Watcher::new(),
        director,
        monitor: Monitor::spawn(Timing::default())?,
        followed: BTreeSet::new(),
        returns: Returns::default(),
        prober: Prober::start()?,
        watched: Watches::new(),
        checks: CheckWay::default(),
        pending: None,
        config_path: args.config_path().map(Path::to_owned),
        queries,
        signals,
        service_manager: ServiceManager::find(),
        history,
        access: watch::Sender::new(access),
        socket: args.socket.clone(),
        metrics: watch::Sender::new(Vec::new()),
        notifier,
    };
    daemon.tell(event::Director::Started {
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    daemon.prepare(config, access, String::new(), None);
    let sources = Sources {
        queries: asked,
        flows: daemon.director.flows.clone(),
        events: daemon.notifier.journal(),
        access: daemon.access.subscribe(),
    };
    let metrics = api::serve_metrics(daemon.metrics.subscribe(), sources.clone());
    let metrics = tokio::spawn(metrics);
    let api = tokio::spawn(api::serve(socket, sources, Bounds::default()));
    let outcome = daemon.serve().await;
    daemon.watcher.end(&mut daemon.director);
    daemon.director.leave_pair().await;
    daemon.director.leave_sync().await;
    let outcome = match outcome {
        Ok(End::Balancing) => daemon.end_balancing(&args.bpffs).await,
        Ok(End::Daemon) => Ok(()),
        Err(error) => Err(error),
    };
    api.abort();
    metrics.abort();
    outcome
}

/// Ends the start before anything has happened if it could not end well.
fn ensure_capable() -> Result<(), DaemonError> {
    // Who cannot tell finds out.
    let missing = capability::effective().map_or_else(Vec::new, capability::missing);
    if missing.is_empty() {
        Ok(())
    } else {
        Err(DaemonError::Capabilities(capability::list(&missing)))
    }
}

impl Daemon {
    async fn serve(&mut self) -> Result<End, DaemonError> {
        let mut ticks = interval(CENSUS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut started = false;
        loop {
            let deadline = self.pending.as_ref().map(|pending| pending.deadline);
            let [terminate, interrupt] = &mut self.signals.stop;
            tokio::select! {
                change = self.monitor.next() => self.note(change?)?,
                error = ha::ended(&mut self.director.ha) => return Err(error.into()),
                news = sync::news(&mut self.director.sync) => match news {
                    sync::News::Wanted(wanted) => {
                        self.director.host(&wanted);
                        self.follow();
                    }
                    sync::News::Said(said) => {
                        self.director.hear(said);
                        self.follow();
                    }
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
                _ = ticks.tick() => self.tick().await?,
                () = self.service_manager.next_sign_of_life() => self.service_manager.alive(),
                mut census = self.survey.finished() => {
                    self.returns.follow(std::mem::take(&mut census.silent));
                    self.director.note_census(census)?;
                    self.follow();
                }
                step = self.watcher.next() => self.watcher.take(step, &mut self.director),
                loaded = self.tracer.loaded() => self.director.trace(loaded),
                Some(query) = self.queries.recv() => {
                    if self.answer(query).await.is_break() {
                        self.service_manager.stopping();
                        return Ok(End::Balancing);
                    }
                }
                news = self.prober.next() => self.note_health(news).await,
                kept = self.director.orders.keeper.finished() => self.director.note_kept(kept),
                _ = self.signals.reload.recv() => self.reload(None),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
            if let Some(pending) = self.due() {
                let before =
                    (started && pending.config != self.director.config).then(|| self.director.config.clone());
                let outcome = self.director.adopt(pending.config).await;
                self.follow();
                match outcome {
                    Ok(()) => {
                        if let Some(before) = before {
                            self.history.note(&before);
                        }
                        self.watcher.renew(&mut self.director);
                        self.let_in(pending.access);
                        let config = &self.director.config;
                        self.notifier.configure(&config.director.name, &config.events);
                        self.metrics.send_replace(config.metrics.listen.clone());
                        let services = config.services.len();
                        self.tell(event::Director::Adopted { services });
                        self.service_manager
                            .ready(&format!("balancing, services: {services}"));
                        for reply in pending.waiting {
                            let warnings = pending.warnings.clone();
                            // Who asked may have gone.
                            let _ = reply.send(Ok(ReloadAnswer { services, warnings }));
                        }
                    }
                    Err(error) if started => {
                        let error = error.to_string();
                        refuse_all(pending.waiting, &error);
                        self.refuse(error);
                    }
                    Err(error) => return Err(error.into()),
                }
                started = true;
            }
        }
        self.tell(event::Director::Stopping);
        self.service_manager.stopping();
        Ok(End::Daemon)
    }

    /// Leaves nothing behind that balances.
    async fn end_balancing(&mut self, bpffs: &Path) -> Result<(), DaemonError> {
        sleep(exit::FAREWELL).await;
        self.director.end_balancing().await?;
        Pins::new(bpffs).remove_all()?;
        info!("released the interfaces, and forgot the connections");
        Ok(())
    }

    /// Has these use the socket.
    fn let_in(&self, access: Access) {
        self.access.send_replace(access);
        if let Err(error) = api::open_to(&self.socket, access.is_by_group()) {
            warn!(%error, socket = %self.socket.display(), "the socket's mode cannot be changed");
        }
    }

    /// Says that a configuration was refused.
    fn refuse(&self, reason: String) {
        self.service_manager
            .ready("balancing by the old configuration: the new one was refused, see the log");
        self.tell(event::Director::Refused { reason });
    }

    fn tell(&self, event: event::Director) {
        self.director.events.tell(event);
    }

    /// Takes note of this change and of all that wait behind it, and then acts once.
    fn note(&mut self, change: crate::net::monitor::Change) -> Result<(), DaemonError> {
        let mut matters = self.director.note(change);
        while let Some(change) = self.monitor.next().now_or_never() {
            matters |= self.director.note(change?);
        }
        if matters {
            self.director.converge();
            self.lead_checks();
        }
        Ok(())
    }

    /// Checks go the way of clients: as the packet path knows it now.
    fn lead_checks(&mut self) {
        if self.checks.lead(&self.watched, &self.director) {
            self.prober.watch(self.watched.clone(), self.checks.marks.clone());
        }
    }

    /// Takes note of this and of all that is known at the same time, and then acts once: when many backends fail together,
    /// each service's schedule is made anew once.
    async fn note_health(&mut self, news: News) {
        let first = news.at;
        let mut matters = self.director.note_health(news.watch, news.report);
        // The runtime's timers have whole milliseconds, and would take two.
        thread::sleep(GATHER);
        while let Some(news) = self.prober.next().now_or_never() {
            matters |= self.director.note_health(news.watch, news.report);
        }
        if matters {
            self.director.converge();
            self.director.reaction.note(first.elapsed());
        }
    }

    async fn tick(&mut self) -> Result<(), DaemonError> {
        if self.director.reattach() {
            self.watcher.renew(&mut self.director);
        }
        self.director.keep_vips().await;
        self.director.catch_up();
        self.director.advance_orders();
        self.director.pass_time();
        // An interface may have come or gone.
        self.lead_checks();
        let (ended, failed) = self.prober.ended();
        self.director.probes = ProbesView { ended, failed };
        let jiffies = self.director.kernel.jiffies().map_err(DirectorError::from)?;
        self.director.flows.set_now(jiffies);
        self.director.keep_sync(jiffies).await;
        let watched = &self.director.watched() | &self.director.observed();
        self.survey.start(jiffies, &watched);
        Ok(())
    }

    /// Begins to change over to a configuration: its backends are looked up first, so that no service is without any.
    fn prepare(&mut self, config: Config, access: Access, warnings: String, reply: Option<ReloadReply>) {
        let targets = self.director.targets(&config);
        // One that replaces another waits no longer than that would have: reloads in a row must not put off for ever what
        // they ask for.
        let (deadline, mut waiting) = match self.pending.take() {
            Some(pending) => (pending.deadline, pending.waiting),
            None => (Instant::now() + SETTLE, Vec::new()),
        };
        waiting.extend(reply);
        self.pending = Some(Pending {
            config,
            access,
            targets,
            deadline,
            warnings,
            waiting,
        });
        self.follow();
    }

    /// The configuration whose time has come.
    fn due(&mut self) -> Option<Pending> {
        self.pending.take_if(|pending| {
            let known = self.director.links.settled(&pending.targets)
                && self.director.health_is_known(&pending.config);
            known || Instant::now() >= pending.deadline
        })
    }

    /// Tells the monitor which backends matter.
    fn follow(&mut self) {
        let mut targets = self.director.targets(&self.director.config);
        if let Some(pending) = &self.pending {
            targets.extend(&pending.targets);
        }
        if targets != self.followed {
            self.director.links.retain(&targets);
            self.monitor.set_targets(targets.iter().copied().collect());
            self.followed = targets;
        }
        // What a configuration that waits asks counts already.
        let mut watches = self.director.watches(&self.director.config);
        if let Some(pending) = &self.pending {
            watches.extend(self.director.watches(&pending.config));
        }
        if watches != self.watched {
            self.director.retain_health(&watches, &self.watched);
            self.checks.lead(&watches, &self.director);
            self.prober.watch(watches.clone(), self.checks.marks.clone());
            self.watched = watches;
        }
    }

    /// Answers what the director does not know of; breaks if balancing is to end.
    async fn answer(&mut self, query: Query) -> ControlFlow<()> {
        match query {
            Query::Config(to) => {
                let view = ConfigView {
                    path: self.config_path.clone(),
                    toml: config::to_toml(&self.director.config),
                    previous: self.history.previous().cloned(),
                };
                // Who asked may have gone.
                let _ = to.send(view);
            }
            Query::Reload(request, to) if request.rollback => self.roll_back(to),
            Query::Reload(ReloadRequest { .. }, to) => self.reload(Some(to)),
            Query::Trace(request, to) => self.tracer.begin(&self.director, request, to),
            Query::Watch(request, to) => self.watcher.begin(&self.director, &request, to),
            Query::Exit(request, who, to) => {
                if self.director.consents(request, who, to) {
                    return ControlFlow::Break(());
                }
            }
            query => self.director.answer(query).await,
        }
        ControlFlow::Continue(())
    }

    /// Reads the file again, and tells who asked for it what became of that.
    fn reload(&mut self, reply: Option<ReloadReply>) {
        let Some(path) = &self.config_path else {
            const NOTHING: &str = "nothing to reload: the configuration came from the command line";
            warn!("{NOTHING}");
            return refuse_all(reply, NOTHING);
        };
        let path = path.clone();
        self.service_manager.reloading();
        info!(path = %path.display(), "reloading");
        self.consider(config::load(&path), reply);
    }

    /// Puts in force again what was before.
    fn roll_back(&mut self, reply: ReloadReply) {
        let Some(loaded) = self.history.load(&self.director.config.director.name) else {
            return refuse_all([reply], "there was no other configuration before this one");
        };
        self.service_manager.reloading();
        info!("rolling back");
        self.consider(loaded, Some(reply));
    }

    /// Begins to change over to what was read, or tells who asked for it why not.
    fn consider(&mut self, loaded: Result<config::Loaded, config::ConfigError>, reply: Option<ReloadReply>) {
        let outcome = loaded.map_err(|error| error.render()).and_then(|loaded| {
            let access = Access::of(&loaded.config.api).map_err(|error| format!("error: {error}\n"))?;
            Ok((loaded, access))
        });
        match outcome {
            Ok((loaded, access)) => {
                warn_of(&loaded.warnings);
                self.prepare(loaded.config, access, loaded.warnings.to_string(), reply);
            }
            Err(error) => {
                refuse_all(reply, &error);
                self.refuse(error);
            }
        }
    }
}

/// Tells them why their configuration is not adopted.
fn refuse_all(waiting: impl IntoIterator<Item = ReloadReply>, error: &str) {
    for reply in waiting {
        // Who asked may have gone.
        let _ = reply.send(Err(Refusal::config(error)));
    }
}

fn warn_of(warnings: &impl fmt::Display) {
    let text = warnings.to_string();
    if !text.is_empty() {
        warn!("{text}");
    }
}

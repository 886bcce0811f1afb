//! The API server of the daemon, with answers that are always the same.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use lb_tests::tandem::binary;
use lb_userspace::api::{
    self, Access, ApiSocket, Bounds, Sources,
    config::{ConfigView, ReloadAnswer},
    flows::EndAnswer,
    query::{FlowFilter, FlowSource, Query, Refusal, channel},
    types::FlowView,
};
use lb_userspace::notify::Journal;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

/// For what ought to happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A view as the unit tests of the command line know it, and how it looks as text.
pub(crate) fn example(name: &str) -> Result<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lb-userspace/src/cli/testdata");
    let path = directory.join(name);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn view<T: DeserializeOwned>(name: &str) -> Result<T> {
    Ok(serde_json::from_str(&example(&format!("{name}.json"))?)?)
}

/// A directory of its own, removed in the end.
pub(crate) struct Directory(TempDir);

impl Directory {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(tempfile::Builder::new().prefix("tandem-cli-").tempdir()?))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("tandem.sock")
    }
}

/// The flows of the example, over and over.
struct Flows {
    flows: Vec<FlowView>,
    times: usize,
}

impl FlowSource for Flows {
    fn visit(&self, filter: &FlowFilter, each: &mut dyn FnMut(FlowView) -> ControlFlow<()>) {
        let flows = self.flows.iter().cycle().take(self.flows.len() * self.times);
        let _ = flows
            .filter(|flow| filter.matches(flow))
            .cloned()
            .try_for_each(each);
    }
}

/// A server with a thread of its own; ends when it is dropped.
pub(crate) struct Server {
    directory: Directory,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Server {
    /// With the flows of the example.
    pub(crate) fn start() -> Result<Self> {
        Self::with_flows(1)
    }

    /// With the flows of the example, so many times over.
    pub(crate) fn with_flows(times: usize) -> Result<Self> {
        let directory = Directory::new()?;
        let socket = ApiSocket::bind(&directory.socket())?;
        let flows = Flows {
            flows: view("flows")?,
            times,
        };
        let (end, ended) = oneshot::channel();
        let thread = thread::spawn(move || serve(socket, flows, ended));
        Ok(Self {
            directory,
            end: Some(end),
            thread: Some(thread),
        })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.socket()
    }

    /// A command that asks this server.
    pub(crate) fn tandem(&self, arguments: &[&str]) -> Result<Command> {
        tandem(&self.socket(), arguments)
    }

    /// Asks this server.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<Said> {
        Said::by(&mut self.tandem(arguments)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        let outcome = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(matches!(outcome, Some(Ok(Ok(())))), "{outcome:?}");
        }
    }
}

fn serve(socket: ApiSocket, flows: Flows, ended: oneshot::Receiver<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (sender, mut queries) = channel();
    let sources = Sources {
        queries: sender,
        flows: Arc::new(flows),
        events: Arc::new(Journal::new(100)),
        access: watch::channel(Access::default()).1,
    };
    let answers = async {
        while let Some(query) = queries.recv().await {
            // Whoever asked may have gone.
            match query {
                Query::Status(to) => drop(to.send(view("status")?)),
                Query::Services(to) => drop(to.send(view("services")?)),
                Query::Backends(to) => drop(to.send(view("backends")?)),
                Query::Stats(to) => drop(to.send(view("stats")?)),
                Query::Orders(to) => drop(to.send(view("orders")?)),
                Query::Order(_, _, to) => drop(to.send(Ok(view("order_drain")?))),
                Query::EndFlows(request, _, to) => drop(to.send(Ok(EndAnswer {
                    ended: request.filter.limit.unwrap_or(3),
                }))),
                Query::Config(to) => drop(to.send(ConfigView {
                    path: None,
                    toml: "[director]\n".to_owned(),
                    previous: None,
                })),
                Query::Reload(request, to) if request.rollback => drop(to.send(Ok(ReloadAnswer {
                    services: 2,
                    warnings: String::new(),
                }))),
                Query::Reload(_, to) => drop(to.send(Err(Refusal::config("line 3")))),
                Query::Ha(to) => drop(to.send(view("ha")?)),
                Query::Verify(_, to) => drop(to.send(view("sync_verify")?)),
                Query::Sync(to) => drop(to.send(view("sync")?)),
                Query::Trace(_, to) => drop(to.send(Ok(view("trace")?))),
                Query::Watch(_, to) => {
                    drop(to.send(Err(Refusal::harmful("somebody follows packets already", "wait"))));
                }
                Query::Exit(_, _, to) => {
                    drop(to.send(Err(Refusal::harmful("web1 is not drained", "drain first"))));
                }
                Query::HaOrder(_, _, to) => drop(to.send(Ok(view("ha_order")?))),
            }
        }
        Ok(())
    };
    runtime.block_on(async {
        tokio::select! {
            outcome = api::serve(socket, sources, Bounds::default()) => {
                Err(anyhow!("the server ended: {outcome:?}"))
            }
            outcome = answers => outcome,
            _ = ended => Ok(()),
        }
    })
}

/// A command that asks whoever listens there.
pub(crate) fn tandem(socket: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary("tandem")?);
    command.env("TANDEM_SOCKET", socket).args(arguments);
    Ok(command)
}

/// What a command said, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn by(command: &mut Command) -> Result<Self> {
        let Output {
            status,
            stdout,
            stderr,
        } = command.output()?;
        Ok(Self {
            code: status.code(),
            out: String::from_utf8(stdout)?,
            err: String::from_utf8(stderr)?,
        })
    }

    /// Confirms that all went well and nothing was complained of.
    pub(crate) fn expect(self) -> Result<String> {
        if self.code == Some(0) && self.err.is_empty() {
            Ok(self.out)
        } else {
            Err(anyhow!("{self:?}"))
        }
    }

    pub(crate) fn json(self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.out).with_context(|| format!("{self:?}"))
    }
}

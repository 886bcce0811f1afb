//! Looks at what instances depend on, on a thread of its own that may wait.

use std::{fs, io, path::Path, time::Duration};

use nix::sys::statvfs::{FsFlags, statvfs};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, spawn_blocking},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{post::Post, worker};
use crate::{
    core::model::{Instance, Track, Tracked},
    io::program::Program,
    net::{Netlink, carrier::Carrier, ping, solicit},
};

/// Instances by their names, with all that is looked at for them.
pub(super) type Wanted = Vec<Instance>;

/// Output of a program that is kept, to be shown.
const MOST_OUTPUT: usize = 200;

/// Something that is looked at, once for all that depend on it.
struct Look {
    track: Track,
    /// The interface that it is looked at through, where that matters.
    interface: Option<String>,
    /// Who depends on it: names of instances, and its numbers there.
    dependents: Vec<(String, usize)>,
}

/// Looks at everything that the last list of instances names, until there are no more lists.
pub(super) async fn run(mut wanted: mpsc::Receiver<Wanted>, ha: Post<worker::Order>) {
    let mut tasks: Vec<AbortHandle> = Vec::new();
    while let Some(instances) = wanted.recv().await {
        for task in tasks.drain(..) {
            task.abort();
        }
        for look in looks(instances) {
            tasks.push(tokio::spawn(watch(look, ha.clone())).abort_handle());
        }
    }
}

fn looks(instances: Wanted) -> Vec<Look> {
    let mut looks: Vec<Look> = Vec::new();
    for instance in instances {
        for (number, track) in instance.track.into_iter().enumerate() {
            let interface = match &track.what {
                // The HA thread is told how many are reached.
                Tracked::Backends(_) => continue,
                Tracked::Ping(_) | Tracked::Gateway(_) => Some(instance.interface.clone()),
                Tracked::Interface(_)
                | Tracked::Route { .. }
                | Tracked::File(_)
                | Tracked::Process(_)
                | Tracked::Program(_)
                | Tracked::Disk { .. } => None,
            };
            // What its failure does is no matter of those who look.
            let same = |look: &&mut Look| {
                let effect = track.effect;
                look.interface == interface
                    && Track {
                        effect,
                        ..look.track.clone()
                    } == track
            };
            let dependent = (instance.name.clone(), number);
            match looks.iter_mut().find(same) {
                Some(look) => look.dependents.push(dependent),
                None => looks.push(Look {
                    track,
                    interface,
                    dependents: vec![dependent],
                }),
            }
        }
    }
    looks
}

/// Looks at one thing, and tells of changes.
async fn watch(look: Look, ha: Post<worker::Order>) {
    let Look {
        track,
        interface,
        dependents,
    } = look;
    let interface = interface.unwrap_or_default();
    let mut ticks = interval(track.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What was told, and how many looks in a row said the contrary.
    let mut told: Option<bool> = None;
    let mut contrary = 0;
    loop {
        ticks.tick().await;
        let looked = timeout(track.timeout, see(&track.what, &interface, track.timeout)).await;
        let fault =
            looked.unwrap_or_else(|_| Some(format!("no answer within {} ms", track.timeout.as_millis())));
        let is_well = fault.is_none();
        if told == Some(is_well) {
            contrary = 0;
            continue;
        }
        contrary += 1;
        let needed = if is_well { track.rise } else { track.fall };
        // The first look counts at once.
        if told.is_none() || contrary >= needed {
            (told, contrary) = (Some(is_well), 0);
            for (instance, number) in &dependents {
                ha.send(worker::Order::Tracked {
                    instance: instance.clone(),
                    number: *number,
                    fault: fault.clone(),
                });
            }
        }
    }
}

/// What is wrong with it; `None` if nothing is.
async fn see(what: &Tracked, interface: &str, patience: Duration) -> Option<String> {
    match what {
        Tracked::Interface(name) => match Carrier::open() {
            Ok(carrier) => (!carrier.is_up(name)).then(|| "it is down or has no carrier".to_owned()),
            Err(error) => Some(error.to_string()),
        },
        Tracked::Route { network, prefix } => match Netlink::open() {
            Ok(netlink) => match netlink.has_route(*network, *prefix).await {
                Ok(true) => None,
                Ok(false) => Some("there is none".to_owned()),
                Err(error) => Some(error.to_string()),
            },
            Err(error) => Some(error.to_string()),
        },
        Tracked::Ping(address) => {
            let (address, interface) = (*address, interface.to_owned());
            wait(move || ping::ping(address, &interface, patience)).await
        }
        Tracked::Gateway(address) => {
            let (address, interface) = (*address, interface.to_owned());
            wait(move || solicit::solicit(address, &interface, patience).map(drop)).await
        }
        Tracked::Disk { path, free } => {
            let (path, needed) = (path.clone(), *free);
            wait(move || disk(&path, needed)).await
        }
        // Nobody looks at them here.
        Tracked::Backends(_) => None,
        Tracked::File(path) => {
            let path = path.clone();
            wait(move || fs::metadata(path).map(drop)).await
        }
        Tracked::Process(name) => {
            let name = name.clone();
            let runs = spawn_blocking(move || runs(&name)).await.unwrap_or(false);
            (!runs).then(|| "there is none".to_owned())
        }
        Tracked::Program(command) => {
            let program = Program {
                command,
                environment: &[],
                input: &[],
                timeout: patience,
                most_output: MOST_OUTPUT,
            };
            match program.run().await {
                Ok(ended) if ended.code == Some(0) => None,
                Ok(ended) => {
                    let said = String::from_utf8_lossy(&ended.output);
                    let said = said.lines().next().unwrap_or_default();
                    let code = ended
                        .code
                        .map_or("a signal".to_owned(), |code| format!("code {code}"));
                    Some(format!("it ended with {code}: {said}"))
                }
                Err(error) => Some(error.to_string()),
            }
        }
    }
}

/// What goes wrong with something that may have to wait.
async fn wait(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Option<String> {
    match spawn_blocking(work).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

/// Fails where the file system of `path` cannot be written to, or less than `needed` percent of it is free.
fn disk(path: &Path, needed: u8) -> io::Result<()> {
    let system = statvfs(path)?;
    if system.flags().contains(FsFlags::ST_RDONLY) {
        return Err(io::Error::other("it is mounted read-only"));
    }
    let free = (u128::from(system.blocks_available()) * 100)
        .checked_div(system.blocks().into())
        .unwrap_or(100);
    if free < needed.into() {
        return Err(io::Error::other(format!(
            "{free}% are free, and {needed}% are needed"
        )));
    }
    Ok(())
}

/// Whether a process of this name runs, as `/proc/PID/comm` has it.
fn runs(name: &str) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else {
        return false;
    };
    // The kernel keeps the first 15 bytes.
    let name = &name.as_bytes()[..name.len().min(15)];
    let is_it = |path: &Path| fs::read(path.join("comm")).is_ok_and(|comm| comm.trim_ascii_end() == name);
    processes.flatten().any(|process| {
        let is_process = process
            .file_name()
            .as_encoded_bytes()
            .iter()
            .all(u8::is_ascii_digit);
        is_process && is_it(&process.path())
    })
}

//! Looks at what instances depend on, on a thread of its own that may wait.

use std::{fs, path::Path, time::Duration};

use tokio::{
    sync::mpsc,
    task::{AbortHandle, spawn_blocking},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{post::Post, worker};
use crate::{
    core::model::{Instance, Track, Tracked},
    io::program::Program,
    net::{carrier::Carrier, ping},
};

/// Instances by their names, with all that is looked at for them.
pub(super) type Wanted = Vec<Instance>;

/// Output of a program that is kept, to be shown.
const MOST_OUTPUT: usize = 200;

/// Looks at everything that the last list of instances names, until there are no more lists.
pub(super) async fn run(mut wanted: mpsc::Receiver<Wanted>, ha: Post<worker::Order>) {
    let mut tasks: Vec<AbortHandle> = Vec::new();
    while let Some(instances) = wanted.recv().await {
        for task in tasks.drain(..) {
            task.abort();
        }
        for instance in instances {
            for (number, track) in instance.track.into_iter().enumerate() {
                let (name, interface) = (instance.name.clone(), instance.interface.clone());
                let task = tokio::spawn(watch(name, number, track, interface, ha.clone()));
                tasks.push(task.abort_handle());
            }
        }
    }
}

/// Looks at one thing, and tells of changes.
async fn watch(instance: String, number: usize, track: Track, interface: String, ha: Post<worker::Order>) {
    let mut ticks = interval(track.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What was told, and how many looks in a row said the contrary.
    let mut told: Option<bool> = None;
    let mut contrary = 0;
    loop {
        ticks.tick().await;
        let looked = timeout(track.timeout, look(&track.what, &interface, track.timeout)).await;
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
            ha.send(worker::Order::Tracked {
                instance: instance.clone(),
                number,
                fault,
            });
        }
    }
}

/// What is wrong with it; `None` if nothing is.
async fn look(what: &Tracked, interface: &str, patience: Duration) -> Option<String> {
    match what {
        Tracked::Interface(name) => match Carrier::open() {
            Ok(carrier) => (!carrier.is_up(name)).then(|| "it is down or has no carrier".to_owned()),
            Err(error) => Some(error.to_string()),
        },
        Tracked::Ping(address) => {
            let (address, interface) = (*address, interface.to_owned());
            let asked = spawn_blocking(move || ping::ping(address, &interface, patience)).await;
            match asked {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            }
        }
        Tracked::File(path) => {
            let path = path.clone();
            let found = spawn_blocking(move || fs::metadata(path)).await;
            match found {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            }
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

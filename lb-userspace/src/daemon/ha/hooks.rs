//! Runs the operator's programs when VIPs move, beside the HA thread, which waits for none of them.
//!
//! Those of a group run one after the other, so that what comes before something has ended before what comes after it
//! begins; those of different groups do not wait for each other.

use std::{collections::BTreeMap, time::Instant};

use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::JoinSet,
};

use super::{post::Post, worker};
use crate::{
    core::{
        ha::{Call, Ran, Run},
        model::Step,
    },
    io::program::Program,
    notify::Sink,
};

/// What a group's programs have to wait for at most.
const WAITING: usize = 16;
/// Output of a program that is kept, to be told.
const MOST_OUTPUT: usize = 200;

/// Programs to be run.
#[derive(Debug)]
pub(super) struct Job {
    /// Name of this director.
    pub(super) director: String,
    /// The programs.
    pub(super) run: Run,
}

/// Runs what comes, until nothing comes any more and everything has ended.
pub(super) async fn run(mut jobs: mpsc::Receiver<Job>, ha: Post<worker::Order>, events: Sink) {
    let mut groups: BTreeMap<String, mpsc::Sender<Job>> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    while let Some(job) = jobs.recv().await {
        groups.retain(|_, queue| !queue.is_closed());
        let queue = groups.entry(job.run.group.clone()).or_insert_with(|| {
            let (queue, waiting) = mpsc::channel(WAITING);
            tasks.spawn(in_turn(waiting, ha.clone(), events.clone()));
            queue
        });
        if let Err(TrySendError::Full(job) | TrySendError::Closed(job)) = queue.try_send(job) {
            for call in &job.run.calls {
                let ran = Ran::Failed("it was not run: too many wait already".to_owned());
                events.tell(job.run.event(call, ran, std::time::Duration::ZERO));
            }
        }
    }
    drop(groups);
    while tasks.join_next().await.is_some() {}
}

async fn in_turn(mut jobs: mpsc::Receiver<Job>, ha: Post<worker::Order>, events: Sink) {
    while let Some(Job { director, run }) = jobs.recv().await {
        let mut veto = None;
        for call in &run.calls {
            let began = Instant::now();
            let ran = call_of(&director, &run, call).await;
            if let Ran::Refused(said) = &ran {
                veto.get_or_insert_with(|| said.clone());
            }
            events.tell(run.event(call, ran, began.elapsed()));
        }
        if let Some(id) = run.id {
            let group = run.group;
            ha.send(worker::Order::Ran { group, id, veto });
        }
    }
}

async fn call_of(director: &str, run: &Run, call: &Call) -> Ran {
    let vips: Vec<_> = call.vips.iter().map(ToString::to_string).collect();
    let environment = [
        ("TANDEM_DIRECTOR", director.to_owned()),
        ("TANDEM_HOOK", run.step.name().to_owned()),
        ("TANDEM_DIRECTION", run.direction.name().to_owned()),
        ("TANDEM_GROUP", run.group.clone()),
        ("TANDEM_INSTANCE", call.instance.clone()),
        ("TANDEM_INTERFACE", call.interface.clone()),
        ("TANDEM_VIPS", vips.join(" ")),
        ("TANDEM_REASON", run.why.clone()),
    ];
    let program = Program {
        command: &call.command,
        environment: &environment,
        input: &[],
        timeout: call.timeout,
        most_output: MOST_OUTPUT,
    };
    match program.run().await {
        Ok(ended) if ended.code == Some(0) => Ran::Well,
        Ok(ended) => {
            let said = String::from_utf8_lossy(&ended.output);
            let said = said.lines().next().unwrap_or_default();
            match ended.code {
                Some(code) if run.step == Step::Test => Ran::Refused(format!("code {code}: {said}")),
                Some(code) => Ran::Failed(format!("code {code}: {said}")),
                None => Ran::Failed(format!("a signal ended it: {said}")),
            }
        }
        Err(error) => Ran::Failed(error.to_string()),
    }
}

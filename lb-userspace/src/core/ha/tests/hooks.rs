//! Programs of the operator around moves of VIPs.

use super::*;
use crate::core::model::Step;

/// An instance with these programs; `Active_Down_Interval` is 350 ms, each program may take 500 ms.
fn with(steps: &[Step]) -> Instance {
    let commands = steps.iter().map(|step| (*step, vec![format!("/{step}")]));
    Instance {
        hooks: Hooks {
            commands: commands.collect(),
            ..Hooks::default()
        },
        ..instance("front", 51, &[V4])
    }
}

impl Stage {
    /// Steps that were to be run since the last call.
    fn ran(&mut self) -> Vec<(Step, Direction)> {
        let runs = std::mem::take(&mut self.runs);
        runs.into_iter().map(|run| (run.step, run.direction)).collect()
    }

    /// The programs that are waited for have ended.
    fn end(&mut self, veto: Option<&str>) {
        let id = self
            .runs
            .iter()
            .find_map(|run| run.id)
            .expect("something is waited for");
        self.handle(Input::Ran {
            group: "front",
            id,
            veto,
        });
        self.handle(Input::Tick { is_drained: true });
    }
}

#[test]
fn a_takeover_waits_for_test_and_pre_acquire_and_is_followed_by_post_acquire() {
    let mut stage = Stage::new(2, &[with(&Step::ALL)]);
    stage.pass(350 * MS);
    assert_eq!(stage.role(), Role::Backup);
    let [run] = &stage.runs[..] else {
        panic!("{:?}", stage.runs)
    };
    assert_eq!((run.step, run.direction), (Step::Test, Direction::Acquire));
    assert_eq!(run.calls[0].command, ["/test"]);
    assert_eq!(run.calls[0].vips, [ip(V4)]);
    stage.end(None);
    assert_eq!(stage.role(), Role::Backup);
    stage.runs.remove(0);
    assert_eq!(stage.runs[0].step, Step::PreAcquire);
    stage.end(None);
    assert_eq!(stage.role(), Role::Active);
    stage.runs.remove(0);
    assert_eq!(stage.ran(), [(Step::PostAcquire, Direction::Acquire)]);
    // What is lost is lost: the programs hear of it, in their order, and nobody waits.
    stage.set(
        "eth0",
        Interface {
            up: false,
            ..interface(2)
        },
    );
    assert_eq!(stage.role(), Role::Initialize);
    assert_eq!(
        stage.ran(),
        [
            (Step::PreRelease, Direction::Release),
            (Step::PostRelease, Direction::Release)
        ]
    );
}

#[test]
fn a_veto_keeps_the_director_from_taking_over_and_others_from_waiting_for_it() {
    let mut stage = Stage::new(2, &[with(&[Step::Test])]);
    stage.pass(350 * MS);
    stage.end(Some("not today"));
    stage.runs.clear();
    assert_eq!(stage.role(), Role::Backup);
    assert!(!stage.member.groups[0].part(stage.now).fit);
    assert_eq!(
        stage.group().remarks(stage.now),
        ["does not take the VIPs, as its test says: not today"]
    );
    stage.pass(29_000 * MS);
    assert_eq!((stage.role(), stage.runs.len()), (Role::Backup, 0));
    stage.pass(1001 * MS);
    assert_eq!(stage.runs.len(), 1, "it is asked again");
    stage.end(None);
    assert_eq!(stage.role(), Role::Active);
    assert!(stage.member.groups[0].part(stage.now).fit);
}

/// Of a program that does not end in time nobody knows what it would have said.
#[test]
fn programs_that_hang_are_waited_for_no_longer_than_they_may_take() {
    let mut stage = Stage::new(2, &[with(&[Step::Test, Step::PreAcquire])]);
    stage.pass(350 * MS);
    stage.pass(999 * MS);
    assert_eq!(stage.ran(), [(Step::Test, Direction::Acquire)]);
    stage.pass(MS);
    assert_eq!(stage.ran(), [(Step::PreAcquire, Direction::Acquire)]);
    stage.pass(1000 * MS);
    assert_eq!(stage.role(), Role::Active);
}

#[test]
fn an_active_that_is_heard_meanwhile_ends_the_question() {
    let mut stage = Stage::new(2, &[with(&[Step::Test])]);
    stage.pass(350 * MS);
    let run = stage.runs.remove(0);
    stage.hear(3, 51, Family::V4, 200);
    stage.handle(Input::Tick { is_drained: true });
    stage.handle(Input::Ran {
        group: "front",
        id: run.id.expect("it was waited for"),
        veto: None,
    });
    stage.handle(Input::Tick { is_drained: true });
    assert_eq!(stage.role(), Role::Backup);
    assert_eq!(stage.ran(), []);
    // When that one falls silent, the question is a new one.
    stage.pass(400 * MS);
    assert_eq!(stage.ran(), [(Step::Test, Direction::Acquire)]);
}

#[test]
fn without_programs_nothing_waits() {
    let mut stage = Stage::new(2, &[with(&[Step::PostRelease])]);
    stage.pass(350 * MS);
    assert_eq!((stage.role(), stage.ran()), (Role::Active, vec![]));
    stage.handle(Input::Stop);
    assert_eq!(stage.ran(), [(Step::PostRelease, Direction::Release)]);
}

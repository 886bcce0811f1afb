//! Keeps orders in a file, beside the daemon's loop: a disk that hangs holds up nobody but whoever wants to know.

use std::{future::pending, sync::Arc};

use tokio::{
    sync::oneshot,
    task::{JoinHandle, spawn_blocking},
};

use super::state::{StateDirectory, StateError};

/// Name of the file.
const FILE: &str = "orders.json";

/// Writes the latest content there is, one write at a time.
pub(super) struct Keeper {
    state: Arc<StateDirectory>,
    content: Arc<Vec<u8>>,
    /// Rises with the content.
    version: u64,
    saved: u64,
    running: Option<(u64, JoinHandle<Result<(), StateError>>)>,
    /// Who wants to know when this version is saved, or cannot be.
    waiting: Vec<(u64, oneshot::Sender<Result<(), String>>)>,
}

impl Keeper {
    pub(super) fn new(state: StateDirectory) -> Self {
        Self {
            state: Arc::new(state),
            content: Arc::default(),
            version: 0,
            saved: 0,
            running: None,
            waiting: Vec::new(),
        }
    }

    /// What an earlier daemon kept.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.state.read(FILE)
    }

    /// Puts aside a file that nobody can read, so that it is not written over; where it is then.
    pub(super) fn put_aside(&self, content: &[u8]) -> Result<String, StateError> {
        let name = format!("{FILE}.unreadable");
        self.state.replace(&name, content)?;
        Ok(name)
    }

    /// Keeps this from now on; tells how that went.
    pub(super) fn keep(&mut self, content: Vec<u8>) -> oneshot::Receiver<Result<(), String>> {
        self.content = Arc::new(content);
        self.version += 1;
        let (told, tell) = oneshot::channel();
        self.waiting.push((self.version, told));
        self.start();
        tell
    }

    /// Tries again what failed before.
    pub(super) fn catch_up(&mut self) {
        if self.is_behind() {
            self.start();
        }
    }

    /// Whether the latest is not saved.
    pub(super) fn is_behind(&self) -> bool {
        self.saved < self.version
    }

    fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        let (state, content) = (Arc::clone(&self.state), Arc::clone(&self.content));
        let write = spawn_blocking(move || state.replace(FILE, &content));
        self.running = Some((self.version, write));
    }

    /// How the write that was under way ended; never, when none is. Cancelling loses nothing.
    pub(super) async fn finished(&mut self) -> Result<(), String> {
        let Some((version, running)) = &mut self.running else {
            return pending().await;
        };
        let version = *version;
        let outcome = running.await;
        self.running = None;
        let outcome = match outcome {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if outcome.is_ok() {
            self.saved = version;
        }
        for (_, told) in self.waiting.extract_if(.., |(waits, _)| *waits <= version) {
            // Who asked may have gone.
            let _ = told.send(outcome.clone());
        }
        if self.version > version {
            self.start();
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_latest_is_kept_and_everybody_learns_of_his_own() {
        let directory = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::new(StateDirectory::new(directory.path()));
        assert!(keeper.read().unwrap().is_none());
        let told: Vec<_> = (0..3).map(|n| keeper.keep(vec![n])).collect();
        while keeper.saved < 3 {
            keeper.finished().await.unwrap();
        }
        for told in told {
            assert_eq!(told.await.unwrap(), Ok(()));
        }
        assert_eq!(keeper.read().unwrap().unwrap(), [2]);
        keeper.catch_up();
        assert!(keeper.running.is_none(), "there is nothing to be caught up with");
    }

    #[tokio::test]
    async fn what_cannot_be_kept_is_said_and_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        std::fs::write(&path, "in the way").unwrap();
        let mut keeper = Keeper::new(StateDirectory::new(&path));
        let told = keeper.keep(vec![7]);
        keeper.finished().await.unwrap_err();
        assert!(told.await.unwrap().is_err());
        std::fs::remove_file(&path).unwrap();
        keeper.catch_up();
        keeper.finished().await.unwrap();
        assert_eq!(keeper.read().unwrap().unwrap(), [7]);
    }
}

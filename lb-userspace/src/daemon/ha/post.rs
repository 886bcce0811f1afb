//! Messages to a thread that sleeps in poll(2).

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// Messages that may wait.
const WAITING: usize = 64;

/// Where messages are sent from.
#[derive(Debug)]
pub(in crate::daemon) struct Post<T> {
    sender: SyncSender<T>,
    bell: Arc<EventFd>,
}

impl<T> Clone for Post<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            bell: Arc::clone(&self.bell),
        }
    }
}

/// Where they arrive.
#[derive(Debug)]
pub(in crate::daemon) struct Inbox<T> {
    receiver: Receiver<T>,
    bell: Arc<EventFd>,
}

/// The two ends.
pub(in crate::daemon) fn post<T>() -> io::Result<(Post<T>, Inbox<T>)> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let bell = Arc::new(EventFd::from_value_and_flags(0, flags)?);
    let (sender, receiver) = sync_channel(WAITING);
    let post = Post {
        sender,
        bell: Arc::clone(&bell),
    };
    Ok((post, Inbox { receiver, bell }))
}

impl<T> Post<T> {
    /// Sends, and waits where too many wait already. To a thread that has ended it sends nothing.
    pub(in crate::daemon) fn send(&self, message: T) {
        if self.sender.send(message).is_ok() {
            self.ring();
        }
    }

    /// Sends, unless too many wait already or the thread has ended.
    pub(in crate::daemon) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.sender.try_send(message)?;
        self.ring();
        Ok(())
    }

    fn ring(&self) {
        // It fails when it rings already.
        let _ = self.bell.write(1);
    }
}

impl<T> Inbox<T> {
    /// The next message, if there is one.
    pub(in crate::daemon) fn next(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// Stops the bell, before messages are read: one that comes meanwhile rings again.
    pub(in crate::daemon) fn silence(&self) {
        // It fails when it does not ring.
        let _ = self.bell.read();
    }
}

impl<T> AsFd for Inbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

//! Requests to rtnetlink and their answers.

use std::{io, pin::pin, time::Duration};

use futures_util::StreamExt;
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
};
use tokio::{task::JoinHandle, time::timeout};

/// The kernel answers at once; what takes longer than this was lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// A dump that the kernel's tables changed under is repeated this often before it is taken as it is.
const DUMP_ATTEMPTS: u32 = 4;

/// Why the kernel could not be asked, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket.
    #[error("cannot open a netlink socket: {0}")]
    Socket(io::Error),
    /// EPERM or EACCES.
    #[error(
        "cannot {what}: permission denied; it needs the capability CAP_NET_ADMIN (run as root, or let the service \
         manager grant it)"
    )]
    Permission {
        /// What was asked.
        what: String,
    },
    /// Any other errno.
    #[error("cannot {what}: the kernel says: {error}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it answered.
        error: io::Error,
    },
    /// No answer.
    #[error("cannot {what}: the kernel did not answer within {} seconds", PATIENCE.as_secs())]
    Silent {
        /// What was asked.
        what: String,
    },
    /// The task that serves the socket is gone, which happens when its runtime shuts down.
    #[error("cannot {what}: the netlink socket is closed")]
    Closed {
        /// What was asked.
        what: String,
    },
}

impl NetlinkError {
    fn from_errno(what: &str, errno: i32) -> Self {
        let what = what.to_string();
        match errno {
            libc::EPERM | libc::EACCES => Self::Permission { what },
            errno => Self::Refused {
                what,
                error: io::Error::from_raw_os_error(errno),
            },
        }
    }

    /// The kernel's answer, where it gave one.
    pub(super) fn errno(&self) -> Option<i32> {
        match self {
            Self::Permission { .. } => Some(libc::EPERM),
            Self::Refused { error, .. } => error.raw_os_error(),
            Self::Socket(_) | Self::Silent { .. } | Self::Closed { .. } => None,
        }
    }
}

/// A socket for requests. Its answers are read by a task of the runtime it was opened in.
#[derive(Debug)]
pub struct Netlink {
    handle: Handle,
    driver: JoinHandle<()>,
}

impl Netlink {
    /// Opens it in the calling thread's network namespace.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Errors
    /// [`NetlinkError::Socket`].
    pub fn open() -> Result<Self, NetlinkError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(NetlinkError::Socket)?;
        Ok(Self {
            handle,
            driver: tokio::spawn(connection),
        })
    }

    /// Has the kernel do something. `flags` are NLM_F_* besides REQUEST and ACK; `what` completes "cannot …".
    pub(super) async fn order(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        what: &str,
    ) -> Result<(), NetlinkError> {
        self.exchange(message, NLM_F_ACK | flags, what).await.map(drop)
    }

    /// Asks for one object.
    pub(super) async fn get(
        &self,
        message: RouteNetlinkMessage,
        what: &str,
    ) -> Result<Option<RouteNetlinkMessage>, NetlinkError> {
        Ok(self.exchange(message, 0, what).await?.messages.pop())
    }

    /// Asks for a whole table.
    pub(super) async fn dump(
        &self,
        message: RouteNetlinkMessage,
        what: &str,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let mut answer = self.exchange(message.clone(), NLM_F_DUMP, what).await?;
        for _ in 1..DUMP_ATTEMPTS {
            if !answer.interrupted {
                break;
            }
            answer = self.exchange(message.clone(), NLM_F_DUMP, what).await?;
        }
        Ok(answer.messages)
    }

    /// Whether a table has something that `is_it`; however long it is, no more than that is kept of it.
    pub(super) async fn any(
        &self,
        message: RouteNetlinkMessage,
        what: &str,
        is_it: impl Fn(&RouteNetlinkMessage) -> bool,
    ) -> Result<bool, NetlinkError> {
        let answer = self.exchange_for(message, NLM_F_DUMP, what, is_it).await?;
        Ok(!answer.messages.is_empty())
    }

    async fn exchange(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        what: &str,
    ) -> Result<Answer, NetlinkError> {
        self.exchange_for(message, flags, what, |_| true).await
    }

    /// Of the answer only that is kept which `matters`.
    async fn exchange_for(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        what: &str,
        matters: impl Fn(&RouteNetlinkMessage) -> bool,
    ) -> Result<Answer, NetlinkError> {
        timeout(PATIENCE, self.exchange_patiently(message, flags, what, matters))
            .await
            .map_err(|_| NetlinkError::Silent {
                what: what.to_string(),
            })?
    }

    async fn exchange_patiently(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        what: &str,
        matters: impl Fn(&RouteNetlinkMessage) -> bool,
    ) -> Result<Answer, NetlinkError> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        let closed = |_| NetlinkError::Closed {
            what: what.to_string(),
        };
        let mut replies = pin!(self.handle.clone().request(request).map_err(closed)?);
        let mut answer = Answer {
            messages: Vec::new(),
            interrupted: false,
        };
        while let Some(reply) = replies.next().await {
            answer.interrupted |= reply.header.flags & NLM_F_DUMP_INTR != 0;
            match reply.payload {
                NetlinkPayload::InnerMessage(message) if matters(&message) => answer.messages.push(message),
                NetlinkPayload::Error(error) if error.code.is_some() => {
                    return Err(NetlinkError::from_errno(what, -error.raw_code()));
                }
                _ => {}
            }
        }
        if self.driver.is_finished() {
            return Err(NetlinkError::Closed {
                what: what.to_string(),
            });
        }
        Ok(answer)
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

struct Answer {
    messages: Vec<RouteNetlinkMessage>,
    interrupted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_capability_is_named() {
        let text = NetlinkError::from_errno("add 192.0.2.1 to eth0", libc::EPERM).to_string();
        assert!(
            text.starts_with("cannot add 192.0.2.1 to eth0: permission denied"),
            "{text}"
        );
        assert!(text.contains("CAP_NET_ADMIN"), "{text}");
    }

    #[test]
    fn other_refusals_keep_the_kernels_words() {
        let error = NetlinkError::from_errno("do it", libc::ENODEV);
        assert_eq!(
            error.to_string(),
            "cannot do it: the kernel says: No such device (os error 19)"
        );
        assert_eq!(error.errno(), Some(libc::ENODEV));
    }
}

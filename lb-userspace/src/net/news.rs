//! Word that interfaces or their addresses have changed; what has changed is for the listener to look up.

use std::io;

use rtnetlink::MulticastGroup;
use tokio::io::unix::AsyncFd;

use super::subscription::Subscription;

/// Hears of every change of a link or an address.
#[derive(Debug)]
pub struct News(AsyncFd<Subscription>);

impl News {
    /// Opens it in the calling thread's network namespace.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its I/O driver on.
    ///
    /// # Errors
    /// When the kernel gives no socket.
    pub fn open() -> io::Result<Self> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
        ];
        Ok(Self(Subscription::open(&groups)?.into_async()?))
    }

    /// Waits until something has changed since the last call. Cancelling loses nothing.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn changed(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            // Cleared before reading: what arrives while we read announces itself again.
            ready.clear_ready();
            if self.0.get_ref().drain() {
                return Ok(());
            }
        }
    }
}

//! Many slow transfers at the same time, each byte of which is checked.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Builder,
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

use super::{ClientError, Counts, count, http};
use crate::{host::Host, server::slow_byte};

/// Transfers whose first answer is waited for at the same time.
const AT_ONCE: usize = 256;
/// For the first answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// A transfer that gets nothing for this long is stuck: a server that sends a kilobyte a second is not.
const STUCK: Duration = Duration::from_secs(30);
/// The longest head of an answer, in bytes.
const LONGEST_HEAD: usize = 4096;

/// How transfers are going.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Course {
    /// Under way, by the backend that serves them.
    pub under_way: BTreeMap<String, u64>,
    /// Complete, each byte as it should be.
    pub complete: u64,
    /// Those that will never be, by reason.
    pub failed: Counts,
}

impl Course {
    /// Transfers under way.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.under_way.values().sum()
    }

    /// Transfers that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

/// Transfers of nginx's `/slow` that run in the background.
#[derive(Debug)]
pub struct Transfers {
    course: Arc<Mutex<Course>>,
    thread: JoinHandle<Result<(), ClientError>>,
}

impl Transfers {
    /// Starts so many transfers of `length` bytes each.
    ///
    /// # Errors
    /// [`ClientError::Start`].
    pub fn start(host: &Host, to: SocketAddr, number: usize, length: usize) -> Result<Self, ClientError> {
        let course = Arc::new(Mutex::new(Course::default()));
        let (host, shared) = (host.clone(), Arc::clone(&course));
        let run = move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(ClientError::Start)?;
            host.enter(|| runtime.block_on(all(to, number, length, shared)))?;
            Ok(())
        };
        let thread = thread::Builder::new()
            .name("transfers".to_owned())
            .spawn(run)
            .map_err(ClientError::Start)?;
        Ok(Self { course, thread })
    }

    /// How they are going.
    #[must_use]
    pub fn course(&self) -> Course {
        lock(&self.course).clone()
    }

    /// Waits for the last one's end, and says how all went.
    ///
    /// # Errors
    /// [`ClientError`] when the client could not run.
    pub fn finish(self) -> Result<Course, ClientError> {
        self.thread.join().map_err(|_| ClientError::Panicked)??;
        Ok(lock(&self.course).clone())
    }
}

async fn all(to: SocketAddr, number: usize, length: usize, course: Arc<Mutex<Course>>) {
    let openings = Arc::new(Semaphore::new(AT_ONCE));
    let mut transfers = JoinSet::new();
    for _ in 0..number {
        let (openings, course) = (Arc::clone(&openings), Arc::clone(&course));
        transfers.spawn(async move {
            let opened = {
                let _permit = openings.acquire().await;
                timeout(PATIENCE, open(to, length)).await
            };
            let opened = opened.unwrap_or_else(|elapsed| Err(elapsed.into()));
            let (stream, backend, begun) = match opened {
                Ok(opened) => opened,
                Err(error) => return count(&mut lock(&course).failed, format!("at the start: {error}")),
            };
            *lock(&course).under_way.entry(backend.clone()).or_default() += 1;
            let outcome = read(stream, begun, length).await;
            let mut course = lock(&course);
            if let Some(open) = course.under_way.get_mut(&backend) {
                *open -= 1;
            }
            match outcome {
                Ok(()) => course.complete += 1,
                Err(error) => count(&mut course.failed, error.to_string()),
            }
        });
    }
    while transfers.join_next().await.is_some() {}
}

/// Asks for the first `length` bytes; who answers, and what of them has come already.
async fn open(to: SocketAddr, length: usize) -> io::Result<(TcpStream, String, Vec<u8>)> {
    let mut stream = TcpStream::connect(to).await?;
    let last = length - 1;
    let request =
        format!("GET /slow HTTP/1.1\r\nHost: lab\r\nRange: bytes=0-{last}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(head) = http::Head::parse(&answer)? {
            let nameless = || io::Error::new(io::ErrorKind::InvalidData, "no X-Backend in the answer");
            let backend = head.field("x-backend").ok_or_else(nameless)?.to_owned();
            let begun = answer.split_off(head.length);
            return Ok((stream, backend, begun));
        }
        if answer.len() > LONGEST_HEAD {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a head without end"));
        }
    }
}

/// Reads all of it, and compares it with what the server has.
async fn read(mut stream: TcpStream, begun: Vec<u8>, length: usize) -> io::Result<()> {
    let (mut part, mut place) = (begun, 0);
    loop {
        let wrong = part
            .iter()
            .zip(place..)
            .find(|(byte, place)| **byte != slow_byte(*place));
        if let Some((_, place)) = wrong {
            let what = format!("byte {place} is another one");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        place += part.len();
        if place >= length {
            return Ok(());
        }
        part.clear();
        if timeout(STUCK, stream.read_buf(&mut part)).await?? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn lock(course: &Mutex<Course>) -> MutexGuard<'_, Course> {
    course.lock().unwrap_or_else(PoisonError::into_inner)
}

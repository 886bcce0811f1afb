//! Clients that ask and wait for the answer, again and again.

use std::{
    cell::Cell,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime,
    task::{JoinSet, LocalSet},
    time::timeout,
};

use crate::{Host, bench::machine};

/// Bytes of a question, which is a line.
const QUESTION: usize = 64;
/// An answer that takes longer than this is not coming.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// As long as the measurement.
    Long,
    /// One question.
    Short,
}

/// Asks from `host` over so many connections at a time for so long, on this CPU; how many answers came.
///
/// # Errors
/// When a connection fails, or an answer does not come.
pub(super) fn ask(
    host: &Host,
    cpu: usize,
    to: SocketAddr,
    clients: u32,
    life: Life,
    duration: Duration,
) -> Result<(u64, Duration)> {
    host.enter(|| {
        machine::pin(Some(cpu))?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, async {
            let start = Instant::now();
            let answers = std::rc::Rc::new(Cell::new(0_u64));
            let mut asking = JoinSet::new();
            for _ in 0..clients {
                let answers = std::rc::Rc::clone(&answers);
                asking.spawn_local(async move { client(to, life, start + duration, &answers).await });
            }
            while let Some(ended) = asking.join_next().await {
                ended??;
            }
            Ok((answers.get(), start.elapsed()))
        })
    })?
}

async fn client(to: SocketAddr, life: Life, end: Instant, answers: &Cell<u64>) -> Result<()> {
    let mut connection = connect(to).await?;
    while Instant::now() < end {
        exchange(&mut connection).await?;
        answers.set(answers.get() + 1);
        if life == Life::Short {
            connection = connect(to).await?;
        }
    }
    Ok(())
}

async fn connect(to: SocketAddr) -> Result<TcpStream> {
    let connected = timeout(PATIENCE, TcpStream::connect(to)).await;
    let connection = connected
        .context("no answer to a SYN")?
        .with_context(|| format!("connecting to {to}"))?;
    connection.set_nodelay(true)?;
    // Ended by a reset: its port is free at once, and no reply is waited for.
    nix::sys::socket::setsockopt(
        &connection,
        nix::sys::socket::sockopt::Linger,
        &libc::linger {
            l_onoff: 1,
            l_linger: 0,
        },
    )?;
    Ok(connection)
}

async fn exchange(connection: &mut TcpStream) -> Result<()> {
    let mut question = [b'.'; QUESTION];
    question[QUESTION - 1] = b'\n';
    let asked = async {
        connection.write_all(&question).await?;
        let mut answer = [0; 256];
        let length = connection.read(&mut answer).await?;
        anyhow::ensure!(length > 0, "the connection was ended");
        Ok(())
    };
    timeout(PATIENCE, asked).await.context("no answer")?
}

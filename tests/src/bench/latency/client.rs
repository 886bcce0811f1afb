//! A client that asks at a fixed rate, whatever comes back.

use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime,
    task::{JoinSet, LocalSet},
    time::{sleep_until, timeout},
};

use crate::{Host, bench::machine};

/// What takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests that wait for their answers at a time: when there are more, the rate is too high for the machine.
const MOST: usize = 2000;

/// What became of the requests of a turn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Asked {
    /// Microseconds from the moment at which each answered one was due until all of its answer was there.
    pub microseconds: Vec<f64>,
    /// Those that got none, by what was said of it.
    pub failed: Vec<String>,
}

/// Asks for a page of `to` at this rate for so long, from `host` and on this CPU.
///
/// # Errors
/// When the machine cannot keep the rate.
pub(super) fn ask(host: &Host, cpu: usize, to: SocketAddr, rate: f64, duration: Duration) -> Result<Asked> {
    host.enter(|| {
        machine::pin(Some(cpu))?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, async {
            let asked = Rc::new(RefCell::new(Asked::default()));
            let mut asking = JoinSet::new();
            let start = Instant::now();
            let requests = (rate * duration.as_secs_f64()) as u32;
            for number in 0..requests {
                let due = start + Duration::from_secs_f64(f64::from(number) / rate);
                sleep_until(due.into()).await;
                while asking.try_join_next().is_some() {}
                ensure!(
                    asking.len() < MOST,
                    "{MOST} requests are waiting for answers: ask for fewer a second"
                );
                let asked = Rc::clone(&asked);
                asking.spawn_local(async move {
                    let outcome = timeout(PATIENCE, request(to)).await;
                    let mut asked = asked.borrow_mut();
                    match outcome {
                        Ok(Ok(())) => asked.microseconds.push(due.elapsed().as_secs_f64() * 1e6),
                        Ok(Err(error)) => asked.failed.push(format!("{error:#}")),
                        Err(_) => asked.failed.push("no answer".to_owned()),
                    }
                });
            }
            while asking.join_next().await.is_some() {}
            Ok(asked.take())
        })
    })?
}

async fn request(to: SocketAddr) -> Result<()> {
    let mut connection = TcpStream::connect(to).await?;
    connection.set_nodelay(true)?;
    connection
        .write_all(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::with_capacity(1024);
    connection.read_to_end(&mut answer).await?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "another answer than 200");
    Ok(())
}

//! Dumps of flows: on a thread of their own, at the pace of whoever reads, in bounded memory.

use std::{io, ops::ControlFlow, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    task::spawn_blocking,
};

use super::{
    query::{FlowFilter, FlowSource},
    types::FlowView,
};

/// Bytes that are collected before they are sent.
const PIECE: usize = 32 << 10;
/// Pieces that may wait for the reader.
const WAITING: usize = 4;

enum Piece {
    Lines(Bytes),
    /// All flows were seen. A dump that ends without it has failed, and must not look complete.
    End,
}

/// The flows as JSON, one a line. `permit` is held until the last was read or the reader has gone.
pub(super) fn lines(flows: Arc<dyn FlowSource>, filter: FlowFilter, permit: OwnedSemaphorePermit) -> Body {
    let (sender, receiver) = mpsc::channel(WAITING);
    spawn_blocking(move || {
        let _permit = permit;
        // A reader that has gone ends the dump, and wants to know no more.
        let _ = write_lines(&*flows, &filter, &sender);
    });
    Body::from_stream(stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Piece::Lines(lines)) => Some((Ok(lines), Some(receiver))),
            Some(Piece::End) => None,
            None => Some((Err(io::Error::other("the dump broke off")), None)),
        }
    }))
}

/// The reader has gone.
struct Gone;

fn write_lines(
    flows: &dyn FlowSource,
    filter: &FlowFilter,
    sender: &mpsc::Sender<Piece>,
) -> Result<(), Gone> {
    let send = |piece| sender.blocking_send(piece).map_err(|_| Gone);
    let mut lines = Vec::with_capacity(PIECE);
    let mut outcome = Ok(());
    visit(flows, filter, &mut |flow| {
        let written = serde_json::to_writer(&mut lines, &flow);
        debug_assert!(written.is_ok(), "a flow has a JSON form, and memory takes it");
        lines.push(b'\n');
        if lines.len() >= PIECE {
            outcome = send(Piece::Lines(Bytes::from(std::mem::take(&mut lines))));
        }
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(Gone) => ControlFlow::Break(()),
        }
    });
    outcome?;
    if !lines.is_empty() {
        send(Piece::Lines(lines.into()))?;
    }
    send(Piece::End)
}

/// How many flows there are; `None` if they could not be counted.
pub(super) async fn count(
    flows: Arc<dyn FlowSource>,
    filter: FlowFilter,
    permit: OwnedSemaphorePermit,
) -> Option<u64> {
    let (sender, answer) = oneshot::channel();
    spawn_blocking(move || {
        let _permit = permit;
        let mut count = 0;
        visit(&*flows, &filter, &mut |_| {
            count += 1;
            if sender.is_closed() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        // Who asked may have gone.
        let _ = sender.send(count);
    });
    answer.await.ok()
}

/// Visits at most as many flows as the filter's limit allows.
fn visit(flows: &dyn FlowSource, filter: &FlowFilter, each: &mut dyn FnMut(FlowView) -> ControlFlow<()>) {
    let mut left = filter.limit.unwrap_or(u64::MAX);
    if left == 0 {
        return;
    }
    flows.visit(filter, &mut |flow| {
        each(flow)?;
        left -= 1;
        if left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
}

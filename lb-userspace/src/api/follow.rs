//! Events as they happen, one a line, at the pace of whoever reads.

use std::{convert::Infallible, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    core::event::{Batch, Director, Filter, Log, Record},
    notify::{Journal, now},
};

/// Events that are written at once.
const PIECE: usize = 100;

/// Events that there are: the latest `limit`, or those from number `from` on.
pub(super) fn present(journal: &Journal, filter: &Filter, from: Option<u64>, limit: Option<u64>) -> Body {
    let limit = limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX);
    let batch = match from {
        None => Batch {
            events: journal.tail(filter, limit),
            ..Batch::default()
        },
        Some(from) => journal.read(from, filter, limit),
    };
    Body::from(lines(&batch))
}

/// Events from number `from` on and whatever will happen; or else the latest `limit` and whatever will happen. The answer
/// ends with the reader, and `permit` is held as long.
pub(super) fn follow(
    journal: Arc<Journal>,
    filter: Filter,
    from: Option<u64>,
    limit: Option<u64>,
    permit: OwnedSemaphorePermit,
) -> Body {
    let limit = limit
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(usize::MAX);
    // In this order nothing is missed that happens in between, and nothing told twice.
    let end = journal.end();
    let events = match from {
        Some(_) => Vec::new(),
        None => journal.tail(&filter, limit),
    };
    let after = events.last().map_or(0, |event| event.number + 1);
    let next = from.unwrap_or(end.max(after));
    let first = Some(Batch {
        events,
        ..Batch::default()
    });
    let state = (first, next, permit);
    Body::from_stream(stream::unfold(state, move |(first, mut next, permit)| {
        let (journal, filter) = (Arc::clone(&journal), filter.clone());
        async move {
            if let Some(first) = first.filter(|first| !first.events.is_empty()) {
                return Some((Ok::<_, Infallible>(lines(&first)), (None, next, permit)));
            }
            loop {
                journal.wait_for(next).await;
                let batch = journal.read(next, &filter, PIECE);
                next = batch.next;
                if !batch.events.is_empty() || batch.lost > 0 {
                    return Some((Ok(lines(&batch)), (None, next, permit)));
                }
            }
        }
    }))
}

fn lines(batch: &Batch) -> Bytes {
    let mut lines = Vec::new();
    let mut write = |event: &Record| {
        let written = serde_json::to_writer(&mut lines, event);
        debug_assert!(written.is_ok(), "an event has a JSON form, and memory takes it");
        lines.push(b'\n');
    };
    if batch.lost > 0 {
        // Whoever follows has to learn that something is missing, in the form of everything else.
        let mut lost = Log::new(1);
        write(&lost.enter(Director::Lost { events: batch.lost }.into(), now()));
    }
    batch.events.iter().for_each(|event| write(event));
    lines.into()
}

//! What must hold for every payload of the sync protocol: all that it says can be read, within the bounds that the protocol
//! has. The fuzz target and the ordinary test that replays the corpus share this file.

use lb_common::wire::sync::{Block, Body, MAX_INTERVALS, MAX_NAME, MAX_PEERS, Message, Refusal};

/// Reads everything that the payload says.
///
/// # Errors
/// What is wrong with it.
///
/// # Panics
/// When something that was found good is not.
pub(crate) fn read(payload: &[u8]) -> Result<(), Refusal> {
    match Message::parse(payload)?.body {
        Body::Updates { block, .. } | Body::Contents { block, .. } => check(&block),
        Body::Digests(digests) => assert!(usize::from(digests.first) + digests.iter().len() <= 1 << 16),
        Body::Hello(hello) => assert!(hello.name.len() <= MAX_NAME && hello.acks.len() <= MAX_PEERS),
        Body::Nack(nack) => assert!(nack.missing.len() <= MAX_INTERVALS),
        Body::WantedDigests { branches, .. } => assert!(branches.len() <= MAX_INTERVALS),
        Body::WantedLeaves(leaves) => assert!(leaves.len() <= MAX_INTERVALS),
        Body::Store(items) => assert!(items.iter().all(|item| !item.key.is_empty())),
        Body::Survey(_) | Body::Services(_) => {}
    }
    Ok(())
}

fn check(block: &Block<'_>) {
    let targets = block.targets().count();
    let four = block.records4().map(|record| (record.target, record.state));
    let six = block.records6().map(|record| (record.target, record.state));
    let mut records = 0;
    for (target, state) in four.chain(six) {
        records += 1;
        assert!(target.is_none_or(|target| usize::from(target) < targets));
        assert!(state < 32 && (state == 0) == target.is_none());
    }
    assert_eq!(records, block.len());
}

//! Orders and verdicts on the wire.
//!
//! ```text
//! count (2), then each: length of key (1) | key | stamp (8) | author (8) | length of value (2) | value
//! ```
//! The length 0xFFFF stands for a value that was removed.

use std::vec::Vec;

use super::{Reader, Refusal};
use crate::wire::seal::NodeId;

/// Longest key, in bytes.
pub const MAX_KEY: usize = 255;
/// Longest value, in bytes.
pub const MAX_VALUE: usize = 1024;

const REMOVED: u16 = u16::MAX;

/// An item of the replicated store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreItem<'a> {
    /// What it is about.
    pub key: &'a str,
    /// When it was said, in the cluster's milliseconds.
    pub stamp: u64,
    /// Which director said it first.
    pub author: NodeId,
    /// What was said; `None` if it was taken back.
    pub value: Option<&'a str>,
}

impl StoreItem<'_> {
    /// Length on the wire, in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        1 + self.key.len() + 8 + 8 + 2 + self.value.map_or(0, str::len)
    }

    /// Writes the item behind what is in `to`.
    pub fn emit(&self, to: &mut Vec<u8>) {
        to.push(self.key.len() as u8);
        to.extend_from_slice(self.key.as_bytes());
        to.extend_from_slice(&self.stamp.to_be_bytes());
        to.extend_from_slice(&self.author.0.to_be_bytes());
        match self.value {
            None => to.extend_from_slice(&REMOVED.to_be_bytes()),
            Some(value) => {
                to.extend_from_slice(&(value.len() as u16).to_be_bytes());
                to.extend_from_slice(value.as_bytes());
            }
        }
    }
}

/// Reads the body of a store message.
///
/// # Errors
/// [`Refusal`]; keys and values that are too long are [`Refusal::BadValue`].
pub(super) fn store(mut reader: Reader<'_>) -> Result<Vec<StoreItem<'_>>, Refusal> {
    let count = reader.u16()?;
    let mut items = Vec::new();
    for _ in 0..count {
        let length = usize::from(reader.u8()?);
        let key = text(&mut reader, length)?;
        let (stamp, author) = (reader.u64()?, NodeId(reader.u64()?));
        let value = match reader.u16()? {
            REMOVED => None,
            length if usize::from(length) <= MAX_VALUE => Some(text(&mut reader, length.into())?),
            _ => return Err(Refusal::BadValue),
        };
        if key.is_empty() {
            return Err(Refusal::BadValue);
        }
        items.push(StoreItem {
            key,
            stamp,
            author,
            value,
        });
    }
    reader.end()?;
    Ok(items)
}

fn text<'a>(reader: &mut Reader<'a>, length: usize) -> Result<&'a str, Refusal> {
    core::str::from_utf8(reader.bytes(length)?).map_err(|_| Refusal::BadValue)
}

/// Writes the body of a store message behind what is in `to`.
pub(super) fn emit<'a>(items: impl ExactSizeIterator<Item = StoreItem<'a>>, to: &mut Vec<u8>) {
    to.extend_from_slice(&(items.len() as u16).to_be_bytes());
    for item in items {
        item.emit(to);
    }
}

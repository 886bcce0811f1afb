//! Short texts.

use core::fmt::{self, Display, Formatter};

use super::Malformed;

/// UTF-8 of at most `N` bytes, with one byte for its length in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    count: usize,
}

impl<const N: usize> Text<N> {
    /// As much of `text` as there is room for.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let count = (0..=N.min(text.len()))
            .rev()
            .find(|&end| text.is_char_boundary(end))
            .unwrap_or(0);
        let mut bytes = [0; N];
        bytes[..count].copy_from_slice(&text.as_bytes()[..count]);
        Self { bytes, count }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Nothing else gets in.
        core::str::from_utf8(&self.bytes[..self.count]).unwrap_or_default()
    }

    /// Length on the wire, in bytes.
    #[must_use]
    pub const fn length(&self) -> usize {
        1 + self.count
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let (&count, rest) = bytes.split_first().ok_or(Malformed)?;
        let (own, rest) = rest.split_at_checked(usize::from(count)).ok_or(Malformed)?;
        let text = core::str::from_utf8(own).map_err(|_| Malformed)?;
        if own.len() > N {
            return Err(Malformed);
        }
        Ok((Self::new(text), rest))
    }

    /// Writes the text to the start of `buffer`, and returns what follows it; `None` where it does not fit.
    pub(super) fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (own, rest) = buffer.split_at_mut_checked(self.length())?;
        own[0] = self.count as u8;
        own[1..].copy_from_slice(&self.bytes[..self.count]);
        Some(rest)
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self {
            bytes: [0; N],
            count: 0,
        }
    }
}

impl<const N: usize> Display for Text<N> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

//! Reading numbers, one after the other.

use super::Refusal;

/// What is left of a message.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

macro_rules! numbers {
    ($($name:ident, $type:ty;)+) => {
        $(
            /// The next number, in network order.
            ///
            /// # Errors
            /// [`Refusal::Truncated`].
            #[inline]
            pub fn $name(&mut self) -> Result<$type, Refusal> {
                self.array().map(<$type>::from_be_bytes)
            }
        )+
    };
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    numbers! {
        u8, u8;
        u16, u16;
        u32, u32;
        u64, u64;
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`Refusal::Truncated`].
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Refusal::Truncated)?;
        self.0 = rest;
        Ok(*array)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// [`Refusal::Truncated`].
    #[inline]
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], Refusal> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Refusal::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// All that is left.
    #[must_use]
    pub const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`Refusal::Overlong`].
    pub const fn end(self) -> Result<(), Refusal> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Refusal::Overlong)
        }
    }
}

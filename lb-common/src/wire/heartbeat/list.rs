//! Short lists of items of one length each.

use super::Malformed;

/// Something with a fixed form on the wire.
pub trait Item: Copy + Default {
    /// Its length, in bytes.
    const LENGTH: usize;

    /// Reads it from exactly [`LENGTH`](Self::LENGTH) bytes.
    ///
    /// # Errors
    /// [`Malformed`].
    fn read(bytes: &[u8]) -> Result<Self, Malformed>;

    /// Writes it to exactly [`LENGTH`](Self::LENGTH) bytes.
    fn write(&self, bytes: &mut [u8]);
}

/// At most `N` items, with one byte for their number in front of them.
#[derive(Debug, Clone, Copy)]
pub struct List<T, const N: usize> {
    items: [T; N],
    count: usize,
}

impl<T: Item, const N: usize> List<T, N> {
    /// Adds an item; `false`, and nothing changed, if there is no room for it.
    pub fn push(&mut self, item: T) -> bool {
        let room = self.items.get_mut(self.count);
        let pushed = room.is_some();
        if let Some(room) = room {
            *room = item;
            self.count += 1;
        }
        pushed
    }

    /// The items.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.items[..self.count]
    }

    /// Length on the wire, in bytes.
    #[must_use]
    pub const fn length(&self) -> usize {
        1 + self.count * T::LENGTH
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let (&count, rest) = bytes.split_first().ok_or(Malformed)?;
        let count = usize::from(count);
        if count > N {
            return Err(Malformed);
        }
        let (own, rest) = rest.split_at_checked(count * T::LENGTH).ok_or(Malformed)?;
        let mut list = Self::default();
        for item in own.chunks_exact(T::LENGTH) {
            list.push(T::read(item)?);
        }
        Ok((list, rest))
    }

    /// Writes the list to the start of `buffer`, and returns what follows it; `None` where it does not fit.
    pub(super) fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (own, rest) = buffer.split_at_mut_checked(self.length())?;
        let (count, places) = own.split_first_mut()?;
        *count = self.count as u8;
        for (place, item) in places.chunks_exact_mut(T::LENGTH).zip(self.as_slice()) {
            item.write(place);
        }
        Some(rest)
    }
}

impl<T: Item + PartialEq, const N: usize> PartialEq for List<T, N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: Item + Eq, const N: usize> Eq for List<T, N> {}

impl<T: Item, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self {
            items: [T::default(); N],
            count: 0,
        }
    }
}

impl<T: Item, const N: usize> FromIterator<T> for List<T, N> {
    /// As many as fit.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut list = Self::default();
        for item in items.into_iter().take(N) {
            list.push(item);
        }
        list
    }
}

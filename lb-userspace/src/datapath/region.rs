//! A slice of shared words: the memory of a BPF array, or of the heap.

use std::{
    fmt, io,
    marker::PhantomData,
    ops::Deref,
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use memmap2::{MmapOptions, MmapRaw};

/// `len` elements of `T` that live as long as the region.
///
/// `T` is one of the layouts of `lb_common::abi` or a bucket of the flow table: made of shared words alone, for which
/// all-zero is a valid value.
pub struct Region<T> {
    memory: MmapRaw,
    len: usize,
    element: PhantomData<T>,
}

/// Layouts that may be laid over shared memory.
///
/// # Safety
/// The type consists of `Word`s and `HalfWord`s only: any bytes are a value, and access from elsewhere is no data race.
pub unsafe trait Shared {}

// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::Runtime {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::AddressSet {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::Strangers {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::AreaEntry {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::ServiceEntry {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::ServiceName {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::TimeoutTable {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::LeaseTable {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::ClaimTable {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::JournalRing {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::SlotLine {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::BackendEntry {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::BackendLoad {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::FrontendBucket<lb_common::abi::Frontend4> {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::FrontendBucket<lb_common::abi::Frontend6> {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::flow_table::Bucket<lb_common::flow_table::Entry4> {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::flow_table::Bucket<lb_common::flow_table::Entry6> {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::flow_table::Bucket<lb_common::flow_table::Translation4> {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::flow_table::Bucket<lb_common::flow_table::Translation6> {}
// SAFETY: words and half words only.
unsafe impl Shared for lb_common::abi::Pool {}
// SAFETY: words only.
unsafe impl Shared for lb_common::abi::ServerIdLine {}

impl<T: Shared> Region<T> {
    /// Zeroed memory of this process.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        let memory = MmapOptions::new().len(len * size_of::<T>()).map_anon()?;
        Ok(Self {
            memory: memory.into(),
            len,
            element: PhantomData,
        })
    }

    /// The elements of an array map made with `BPF_F_MMAPABLE` (Linux 5.5).
    ///
    /// # Errors
    /// When the map cannot be mapped, as when it has fewer than `len` elements.
    pub fn of_map(map: &impl AsRawFd, len: usize) -> io::Result<Self> {
        let memory = MmapOptions::new().len(len * size_of::<T>()).map_raw(map)?;
        Ok(Self {
            memory,
            len,
            element: PhantomData,
        })
    }
}

impl<T: Shared> Region<T> {
    /// Takes over what stands in another region of this length; in one of another length, as far as both go.
    ///
    /// Each word is copied whole. Whoever wants all of them from one moment sees to it that nobody writes meanwhile.
    pub fn copy_from(&self, other: &Self) {
        let words = self.len.min(other.len) * size_of::<T>() / size_of::<AtomicU64>();
        let slice = |region: &Self| {
            // SAFETY: the mapping starts at a page, has that many bytes, and lives as long as the region; any bytes are a
            // word, and whoever writes meanwhile does so by atomics.
            unsafe { std::slice::from_raw_parts(region.memory.as_ptr().cast::<AtomicU64>(), words) }
        };
        let (to, from): (&[AtomicU64], &[AtomicU64]) = (slice(self), slice(other));
        for (to, from) in to.iter().zip(from) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

impl<T> Deref for Region<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the mapping covers `len` elements, starts at a page, and lives as long as the region; any bytes are a
        // `T`, and `T` is made of atomics, so others may write meanwhile.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.len) }
    }
}

/// The elements of a region that others hold as well.
#[derive(Debug)]
pub struct Elements<T>(pub Arc<Region<T>>);

impl<T> Deref for Elements<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

/// The first element of a region that others hold as well, and that has one at least.
#[derive(Debug)]
pub struct First<T>(pub Arc<Region<T>>);

impl<T> Deref for First<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0[0]
    }
}

impl<T> fmt::Debug for Region<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

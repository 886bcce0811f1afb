//! Pinned XDP links, asked by bpf(2) itself where they lead: aya does not say.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

/// linux/bpf.h
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;

/// The head of `union bpf_attr` for BPF_OBJ_GET.
#[repr(C)]
struct Get {
    path: u64,
    fd: u32,
    flags: u32,
}

/// The head of `union bpf_attr` for BPF_OBJ_GET_INFO_BY_FD.
#[repr(C)]
struct GetInfo {
    fd: RawFd,
    length: u32,
    info: u64,
}

/// `struct bpf_link_info`, as far as an XDP link fills it; what the union has beyond that is padding here.
#[repr(C)]
#[derive(Default)]
struct Info {
    kind: u32,
    id: u32,
    program: u32,
    hole: u32,
    ifindex: u32,
    rest: [u32; 11],
}

/// Index of the interface to which the link that is pinned at `path` leads; `None` when that interface is gone.
///
/// # Errors
/// Without the pin, or the permission to read it.
pub(super) fn ifindex(path: &Path) -> io::Result<Option<u32>> {
    Ok(Some(info(path)?.ifindex).filter(|&ifindex| ifindex != 0))
}

/// ID of the program of the link that is pinned at `path`.
///
/// # Errors
/// Without the pin, or the permission to read it.
pub(super) fn program(path: &Path) -> io::Result<u32> {
    Ok(info(path)?.program)
}

fn info(path: &Path) -> io::Result<Info> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut get = Get {
        path: path.as_ptr() as u64,
        fd: 0,
        flags: 0,
    };
    // SAFETY: the path is a string that ends in zero.
    let fd = unsafe { bpf(BPF_OBJ_GET, &mut get) }?;
    // SAFETY: the kernel has just given us this descriptor.
    let link = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut info = Info::default();
    let mut ask = GetInfo {
        fd: link.as_raw_fd(),
        length: size_of::<Info>() as u32,
        info: (&raw mut info) as u64,
    };
    // SAFETY: `info` has the length that the request says.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &mut ask) }?;
    Ok(info)
}

/// # Safety
/// Every pointer in `request` must be valid for what `command` does with it.
unsafe fn bpf<T>(command: libc::c_int, request: &mut T) -> io::Result<RawFd> {
    let size = size_of::<T>() as libc::c_uint;
    // SAFETY: `request` is valid for its size; the rest is the caller's promise.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(request), size) };
    match RawFd::try_from(done) {
        Ok(done) if done >= 0 => Ok(done),
        _ => Err(io::Error::last_os_error()),
    }
}

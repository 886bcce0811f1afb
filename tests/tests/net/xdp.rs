//! A two-instruction XDP program, loaded and attached by bpf(2) itself: a known name in a known mode.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// XDP_FLAGS_DRV_MODE.
pub(crate) const NATIVE: u32 = 1 << 2;
/// XDP_FLAGS_SKB_MODE.
pub(crate) const GENERIC: u32 = 1 << 1;

const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// `r0 = XDP_PASS; exit`.
const PASS: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];

/// The head of union bpf_attr for BPF_PROG_LOAD.
#[repr(C)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// The head of union bpf_attr for BPF_LINK_CREATE.
#[repr(C)]
struct Attach {
    program: RawFd,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// Attaches a program that passes everything; dropping what it returns detaches it.
pub(crate) fn attach_pass(name: &str, ifindex: u32, flags: u32) -> OwnedFd {
    let mut padded = [0; 16];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    let load = Load {
        program_type: PROG_TYPE_XDP,
        instruction_count: PASS.len() as u32,
        instructions: PASS.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: padded,
    };
    let program = bpf(PROG_LOAD, &load);
    bpf(
        LINK_CREATE,
        &Attach {
            program: program.as_raw_fd(),
            ifindex,
            attach_type: ATTACH_XDP,
            flags,
        },
    )
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> OwnedFd {
    // SAFETY: the attributes are the head of the union for this command, as long as we say, and what they point to
    // lives through the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    assert!(fd >= 0, "bpf({command}): {}", std::io::Error::last_os_error());
    // SAFETY: both commands return a new descriptor.
    unsafe { OwnedFd::from_raw_fd(RawFd::try_from(fd).expect("a descriptor")) }
}

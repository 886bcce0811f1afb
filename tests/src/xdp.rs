//! XDP programs of a few hand-written instructions, loaded with bpf(2): no eBPF toolchain is needed to build a lab.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::error::LabError;
use crate::netns::Namespace;

/// linux/bpf.h
const BPF_PROG_LOAD: i32 = 5;
const BPF_LINK_CREATE: i32 = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
/// A frame may lie in several buffers; without it, the interface takes no jumbo frames (kernel 5.18).
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
/// linux/if_link.h: in the driver, never the slow generic way.
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// Room for what the verifier says of a small program, in bytes.
const LOG_SIZE: usize = 64 * 1024;

/// The fields of `union bpf_attr` for BPF_PROG_LOAD, as far as they are used.
#[repr(C)]
#[derive(Default)]
struct LoadRequest {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// The fields of `union bpf_attr` for BPF_LINK_CREATE, as far as they are used.
#[repr(C)]
struct LinkRequest {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// A loaded XDP program.
#[derive(Debug)]
pub struct Program {
    name: String,
    fd: OwnedFd,
}

/// A program on an interface, detached when this is dropped or the process ends.
#[derive(Debug)]
pub struct Link {
    _fd: OwnedFd,
}

/// Builds one instruction: operation, destination and source registers, offset, immediate value (linux/bpf.h).
#[must_use]
pub const fn instruction(code: u8, dst: u8, src: u8, offset: i16, value: i32) -> u64 {
    code as u64
        | (dst as u64) << 8
        | (src as u64) << 12
        | (offset.cast_unsigned() as u64) << 16
        | (value.cast_unsigned() as u64) << 32
}

impl Program {
    /// Loads a program that bears with frames in several buffers (`xdp.frags`); `name` is what `bpftool prog` will show, cut after 15 bytes.
    ///
    /// # Errors
    /// [`LabError::Xdp`], with the verifier's log where it refused.
    pub fn load(name: &str, instructions: &[u64]) -> Result<Self, LabError> {
        let mut log = vec![0_u8; LOG_SIZE];
        let mut request = LoadRequest {
            kind: BPF_PROG_TYPE_XDP,
            instruction_count: u32::try_from(instructions.len()).unwrap_or(u32::MAX),
            instructions: instructions.as_ptr() as u64,
            license: c"Dual MIT/GPL".as_ptr() as u64,
            log_level: 1,
            log_size: LOG_SIZE as u32,
            log_buffer: log.as_mut_ptr() as u64,
            flags: BPF_F_XDP_HAS_FRAGS,
            ..LoadRequest::default()
        };
        for (to, from) in request.name[..15].iter_mut().zip(name.bytes()) {
            *to = from;
        }
        // SAFETY: the pointers in the request lead to `instructions`, a static string and `log`, of the sizes given.
        let fd = unsafe { bpf(BPF_PROG_LOAD, &mut request) }.map_err(|source| LabError::Xdp {
            doing: format!("load XDP program {name}"),
            source,
            log: String::from_utf8_lossy(&log).trim_end_matches('\0').to_owned(),
        })?;
        Ok(Self {
            name: name.to_owned(),
            fd,
        })
    }

    /// The program that lets every frame pass.
    pub(crate) fn pass() -> Result<Self, LabError> {
        const MOV64_IMM: u8 = 0xb7;
        const EXIT: u8 = 0x95;
        const XDP_PASS: i32 = 2;
        Self::load(
            "lab_pass",
            &[
                instruction(MOV64_IMM, 0, 0, 0, XDP_PASS),
                instruction(EXIT, 0, 0, 0, 0),
            ],
        )
    }

    /// The program that loses so many of a thousand frames, by chance.
    pub(crate) fn lossy(per_mille: u32) -> Result<Self, LabError> {
        const CALL: u8 = 0x85;
        const GET_PRANDOM_U32: i32 = 7;
        const JUMP_IF_32_BITS_LESS: u8 = 0xa6;
        const MOV64_IMM: u8 = 0xb7;
        const EXIT: u8 = 0x95;
        const XDP_DROP: i32 = 1;
        const XDP_PASS: i32 = 2;
        let threshold = (u64::from(u32::MAX) * u64::from(per_mille.min(1000)) / 1000) as u32;
        Self::load(
            "lab_lossy",
            &[
                instruction(CALL, 0, 0, 0, GET_PRANDOM_U32),
                instruction(JUMP_IF_32_BITS_LESS, 0, 0, 2, threshold.cast_signed()),
                instruction(MOV64_IMM, 0, 0, 0, XDP_PASS),
                instruction(EXIT, 0, 0, 0, 0),
                instruction(MOV64_IMM, 0, 0, 0, XDP_DROP),
                instruction(EXIT, 0, 0, 0, 0),
            ],
        )
    }

    /// Attaches the program to an interface, in native mode.
    ///
    /// # Errors
    /// [`LabError::Xdp`] when there is no such interface, its driver has no XDP, or another program holds it.
    pub fn attach(&self, namespace: &Namespace, interface: &str) -> Result<Link, LabError> {
        let attached = namespace.enter(|| {
            let mut request = LinkRequest {
                program: self.fd.as_raw_fd().cast_unsigned(),
                interface: interface_index(interface)?,
                attach_type: BPF_XDP,
                flags: XDP_FLAGS_DRV_MODE,
            };
            // SAFETY: the request holds no pointers.
            unsafe { bpf(BPF_LINK_CREATE, &mut request) }
        })?;
        let fd = attached.map_err(|source| LabError::Xdp {
            doing: format!(
                "attach XDP program {} to {interface} in {}",
                self.name,
                namespace.name()
            ),
            source,
            log: String::new(),
        })?;
        Ok(Link { _fd: fd })
    }
}

/// The index of an interface in the calling thread's namespace.
pub(crate) fn interface_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: a string that ends in zero.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// # Safety
/// Every pointer in `request` must be valid for what `command` does with it.
unsafe fn bpf<T>(command: i32, request: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: `request` is valid for its size; the rest is the caller's promise.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(request),
            size_of::<T>(),
        )
    };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

//! bpf(2): loading a program that is run by an iterator, and opening the iterator.
//!
//! All descriptors that bpf(2) makes close on exec from birth.
//!
//! # Safety
//!
//! Each call hands the kernel a structure that is as large as it says, and in it addresses of memory
//! that outlives the call. The kernel checks a program before it runs it.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use rustix::io::Errno;
use std::ffi::CStr;

const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const ITER_CREATE: libc::c_int = 33;
/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY: u32 = 2;
/// `BPF_PROG_TYPE_TRACING`.
const TRACING: u32 = 26;
/// `BPF_TRACE_ITER`.
const TRACE_ITER: u32 = 28;
/// What the verifier may say; it says more only of programs far longer than ours.
const LOG: usize = 64 * 1024;

/// `union bpf_attr` of `BPF_PROG_LOAD`, as far as it is used.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// `union bpf_attr` of `BPF_LINK_CREATE`.
#[repr(C)]
struct Link {
    prog_fd: RawFd,
    target_fd: RawFd,
    attach_type: u32,
    flags: u32,
}

/// `union bpf_attr` of `BPF_ITER_CREATE`.
#[repr(C)]
struct Iter {
    link_fd: RawFd,
    flags: u32,
}

/// `union bpf_attr` of `BPF_MAP_CREATE`, as far as it is used.
#[repr(C)]
struct Map {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

/// `union bpf_attr` of `BPF_MAP_UPDATE_ELEM`.
#[repr(C)]
struct Update {
    map_fd: RawFd,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// A map that is an array with this one value.
pub(crate) fn array_of_one(value: &[u8]) -> Result<OwnedFd, Errno> {
    let value_size = u32::try_from(value.len()).map_err(|_| Errno::TOOBIG)?;
    let attributes = Map { map_type: ARRAY, key_size: 4, value_size, max_entries: 1, map_flags: 0 };
    // SAFETY: numbers only.
    let map = unsafe { bpf(MAP_CREATE, &attributes) }?;
    let key = 0u32;
    let attributes = Update {
        map_fd: map.as_raw_fd(),
        padding: 0,
        key: (&raw const key).expose_provenance() as u64,
        value: value.as_ptr().expose_provenance() as u64,
        flags: 0,
    };
    // SAFETY: key and value outlive the call, and are as large as the map was made for.
    unsafe { call(MAP_UPDATE_ELEM, &attributes) }?;
    Ok(map)
}

/// Loads a program for the iterator whose function has that number in the kernel's BTF. With `log`, also
/// says what the verifier thinks of it.
pub(crate) fn load(
    instructions: &[[u8; 8]],
    attach: u32,
    license: &CStr,
    log: Option<&mut Vec<u8>>,
) -> Result<OwnedFd, Errno> {
    let mut attributes = Load {
        prog_type: TRACING,
        insn_cnt: u32::try_from(instructions.len()).map_err(|_| Errno::TOOBIG)?,
        insns: instructions.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        expected_attach_type: TRACE_ITER,
        attach_btf_id: attach,
        ..Load::default()
    };
    if let Some(log) = log {
        log.clear();
        log.resize(LOG, 0);
        attributes.log_level = 1;
        attributes.log_size = LOG as u32;
        attributes.log_buf = log.as_mut_ptr().expose_provenance() as u64;
    }
    // SAFETY: instructions, licence (which ends with a NUL) and log outlive the call, and the counts are
    // theirs. The log is reached through the pointer that was taken from its unique reference.
    unsafe { bpf(PROG_LOAD, &attributes) }
}

/// Attaches a program to its iterator. The link holds the program; nothing runs yet.
pub(crate) fn link(program: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let attributes = Link { prog_fd: program.as_raw_fd(), target_fd: 0, attach_type: TRACE_ITER, flags: 0 };
    // SAFETY: numbers only.
    unsafe { bpf(LINK_CREATE, &attributes) }
}

/// Opens the iterator: reading it to the end runs the program once for each object, in the caller's
/// network namespace at this moment.
pub(crate) fn iterator(link: impl AsFd) -> Result<OwnedFd, Errno> {
    let attributes = Iter { link_fd: link.as_fd().as_raw_fd(), flags: 0 };
    // SAFETY: numbers only.
    unsafe { bpf(ITER_CREATE, &attributes) }
}

/// A command that makes a descriptor.
///
/// # Safety
///
/// As [`call`].
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> Result<OwnedFd, Errno> {
    // SAFETY: the caller vouches for the attributes, and the kernel just made this descriptor for us.
    unsafe { call(command, attributes).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

/// # Safety
///
/// What the attributes point to must be as large as they say and live through the call.
unsafe fn call<T>(command: libc::c_int, attributes: &T) -> Result<RawFd, Errno> {
    // SAFETY: the structure is as large as stated; for what it points to, the caller vouches.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    match RawFd::try_from(answer) {
        Ok(number) if number >= 0 => Ok(number),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

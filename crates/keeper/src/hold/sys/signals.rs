#![allow(unsafe_code)]
//! Signals as something to read: sigprocmask(2), signalfd(2).
//!
//! # Safety
//! The calls fill or read a `sigset_t` that lives on the caller's stack, and nothing else of ours; no handler is named.

use rustix::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::io;
use std::mem::MaybeUninit;

/// `ssi_code`, and `SI_KERNEL` in it: the terminal sent it, and to the whole foreground process group.
const CODE: usize = 8;
const SI_KERNEL: i32 = 0x80;

/// `ssi_pid`.
const SENDER: usize = 12;

/// Bytes of a `signalfd_siginfo`.
const RECORD: usize = 128;

/// Signals that are read, and no longer interrupt.
#[derive(Debug)]
pub(in crate::hold) struct Signals {
    fd: OwnedFd,
    /// What was blocked before: bit `n - 1` for signal `n`.
    before: u64,
    /// What was ignored before, as nohup(1) does it.
    ignored: Vec<i32>,
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hold) struct Arrived {
    /// Its number.
    pub(in crate::hold) number: i32,
    /// Whether the terminal sent it: then the program got it too.
    pub(in crate::hold) from_terminal: bool,
    /// The process that sent it; `None` for the kernel, and for one that has no number here.
    pub(in crate::hold) sender: Option<u32>,
    /// Whether whoever started us wanted it ignored (nohup(1), a shell's background job).
    pub(in crate::hold) was_ignored: bool,
}

impl Signals {
    /// From now on these signals are read here.
    pub(in crate::hold) fn read(numbers: &[i32]) -> io::Result<Signals> {
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        let wanted = set(numbers.iter().copied());
        // SAFETY: both sets are valid for the call, which fills the second one.
        let before = unsafe {
            if libc::pthread_sigmask(libc::SIG_BLOCK, &raw const wanted, before.as_mut_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
            before.assume_init()
        };
        // SAFETY: sigismember reads a set that the kernel filled.
        let is_in = |n: &i32| unsafe { libc::sigismember(&raw const before, *n) == 1 };
        let before = (1..=64).filter(is_in).fold(0, |mask, n| mask | 1 << (n - 1));
        // SAFETY: the set is valid, and a new descriptor has no other owner.
        let fd = unsafe {
            match libc::signalfd(-1, &raw const wanted, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
                -1 => return Err(io::Error::last_os_error()),
                fd => OwnedFd::from_raw_fd(fd),
            }
        };
        let ignored = numbers.iter().copied().filter(|number| is_ignored(*number)).collect();
        Ok(Signals { fd, before, ignored })
    }

    /// The next one, if one has come.
    pub(in crate::hold) fn next(&self) -> Option<Arrived> {
        let mut record = [0u8; RECORD];
        if rustix::io::read(&self.fd, &mut record) != Ok(RECORD) {
            return None;
        }
        let word = |at: usize| {
            record.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok()).map_or(0, i32::from_ne_bytes)
        };
        let number = word(0);
        let was_ignored = self.ignored.contains(&number);
        let from_terminal = word(CODE) == SI_KERNEL;
        Some(Arrived { number, from_terminal, sender: super::number::known(word(SENDER)), was_ignored })
    }

    /// The mask that the program is to start with.
    pub(in crate::hold) fn before(&self) -> u64 {
        self.before
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Blocks exactly these signals: bit `n - 1` for signal `n`.
pub(in crate::hold) fn block_only(mask: u64) {
    let wanted = set((1..=64).filter(|n| mask & (1 << (n - 1)) != 0));
    // SAFETY: the set is valid; no old one is asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const wanted, std::ptr::null_mut()) };
}

/// Ignores these signals: bit `n - 1` for signal `n`.
pub(in crate::hold) fn ignore(signals: u64) {
    for number in (1..=64).filter(|n| signals & (1 << (n - 1)) != 0) {
        // SAFETY: it names no handler; the kernel refuses a number whose signal cannot be ignored.
        unsafe { libc::signal(number, libc::SIG_IGN) };
    }
}

fn is_ignored(number: i32) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only fills `now`, which is read when it succeeded.
    unsafe {
        libc::sigaction(number, std::ptr::null(), now.as_mut_ptr()) == 0
            && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

fn set(numbers: impl Iterator<Item = i32>) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset fills the set before it is read; sigaddset refuses numbers that are none.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for number in numbers {
            libc::sigaddset(set.as_mut_ptr(), number);
        }
        set.assume_init()
    }
}

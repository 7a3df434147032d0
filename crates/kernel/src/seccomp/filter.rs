//! The filter: a classic BPF program over `struct seccomp_data`, built as plain values.
//!
//! It first looks at the architecture, so that a number is never read as that of another table, and then
//! compares numbers only, with one exception: shutdown(2) that only ends sending (`SHUT_WR`) never ends a
//! listener (`inet_shutdown`), and programs use it on every connection. A program that decides by architecture
//! and number alone is recognised by the kernel, which then lets those calls pass without running it
//! (`seccomp_cache_prepare`): everything but shutdown costs nothing.
//!
//! Not here: giving it to the kernel (`install`).

use crate::sys::classic_bpf::Instruction;

/// A call that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// bind(2).
    Bind,
    /// listen(2).
    Listen,
    /// shutdown(2) with `SHUT_RD` or `SHUT_RDWR`.
    Shutdown,
}

impl Call {
    /// The call with this number in the table of this program's own architecture.
    pub(super) fn from_number(number: i32) -> Option<Call> {
        match i64::from(number) {
            libc::SYS_bind => Some(Call::Bind),
            libc::SYS_listen => Some(Call::Listen),
            libc::SYS_shutdown => Some(Call::Shutdown),
            _ => None,
        }
    }
}

/// `AUDIT_ARCH_` of include/uapi/linux/audit.h: the machine of ELF, 64 bits, little endian.
const ARCH: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_003e)
} else if cfg!(target_arch = "aarch64") {
    Some(0xc000_00b7)
} else {
    None
};

/// `BPF_LD | BPF_W | BPF_ABS`.
const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const JUMP_IF_EQUAL: u16 = 0x15;
/// `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;
/// Offsets in `struct seccomp_data`; the second argument's low half, on a little-endian machine.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const SECOND_ARGUMENT: u32 = 24;
/// `SECCOMP_RET_ALLOW`, `SECCOMP_RET_USER_NOTIF`.
const ALLOW: u32 = 0x7fff_0000;
const ASK: u32 = 0x7fc0_0000;

/// The filter for this architecture; `None` where the numbers are not known.
pub(super) fn program() -> Option<[Instruction; 10]> {
    let arch = ARCH?;
    let call = |number: libc::c_long| u32::try_from(number).ok();
    let one = |code, jt, jf, k| Instruction { code, jt, jf, k };
    Some([
        one(LOAD, 0, 0, ARCHITECTURE),
        one(JUMP_IF_EQUAL, 0, 7, arch),
        // An x32 call has bit 30 set in its number, and equals none of these.
        one(LOAD, 0, 0, NUMBER),
        one(JUMP_IF_EQUAL, 4, 0, call(libc::SYS_bind)?),
        one(JUMP_IF_EQUAL, 3, 0, call(libc::SYS_listen)?),
        one(JUMP_IF_EQUAL, 0, 3, call(libc::SYS_shutdown)?),
        // The kernel takes `how` as an int: the upper half does not count.
        one(LOAD, 0, 0, SECOND_ARGUMENT),
        one(JUMP_IF_EQUAL, 1, 0, libc::SHUT_WR as u32),
        one(RETURN, 0, 0, ASK),
        one(RETURN, 0, 0, ALLOW),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `struct seccomp_data`.
    fn data(arch: u32, number: u32, arguments: [u64; 6]) -> Vec<u8> {
        let mut bytes = number.to_ne_bytes().to_vec();
        bytes.extend(arch.to_ne_bytes());
        bytes.extend(0xdead_beef_u64.to_ne_bytes());
        bytes.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
        bytes
    }

    /// The kernel's evaluator, as far as this program goes. What it may not do ends the test.
    fn run(program: &[Instruction], data: &[u8]) -> u32 {
        let (mut at, mut word) = (0, 0);
        for _ in 0..program.len() {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            match code {
                LOAD => {
                    assert_eq!(k % 4, 0, "seccomp_check_filter refuses it");
                    let bytes = data.get(k as usize..k as usize + 4).expect("within seccomp_data");
                    word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                }
                JUMP_IF_EQUAL => at += usize::from(if word == k { jt } else { jf }),
                RETURN => return k,
                other => panic!("instruction {other:#x}"),
            }
        }
        panic!("the program does not return")
    }

    fn arch() -> u32 {
        ARCH.expect("an architecture that the tests run on")
    }

    #[track_caller]
    fn check(arch: u32, number: i64, how: u64, expect: u32) {
        let program = program().expect("known here");
        let data = data(arch, number as u32, [3, how, 0, 0, 0, 0]);
        assert_eq!(run(&program, &data), expect, "arch {arch:#x}, call {number}, second argument {how:#x}");
    }

    #[test]
    fn three_calls_are_asked_about() {
        for how in [0, 1, 2, u64::MAX] {
            check(arch(), libc::SYS_bind, how, ASK);
            check(arch(), libc::SYS_listen, how, ASK);
        }
        for (how, expect) in [
            (0, ASK),
            (1, ALLOW),
            (2, ASK),
            (3, ASK),
            (u64::MAX, ASK),
            // The upper half does not count, as in the kernel.
            (0xffff_ffff_0000_0001, ALLOW),
            (0x0000_0001_0000_0002, ASK),
        ] {
            check(arch(), libc::SYS_shutdown, how, expect);
        }
    }

    #[test]
    fn what_the_stub_itself_calls_is_not() {
        for call in [
            libc::SYS_sendmsg,
            libc::SYS_recvmsg,
            libc::SYS_ppoll,
            libc::SYS_execve,
            libc::SYS_close,
            libc::SYS_connect,
            libc::SYS_accept4,
            libc::SYS_socket,
            libc::SYS_fcntl,
        ] {
            check(arch(), call, 0, ALLOW);
        }
    }

    #[test]
    fn foreign_tables_pass_untouched() {
        const I386: u32 = 0x4000_0003;
        const X32: i64 = 0x4000_0000;
        // i386: bind 361, listen 363, shutdown 373, and socketcall 102 with its sub-calls 2, 4 and 13.
        for (number, first) in [(361, 3), (363, 3), (373, 3), (102, 2), (102, 4), (102, 13)] {
            check(I386, number, first, ALLOW);
        }
        for call in [libc::SYS_bind, libc::SYS_listen, libc::SYS_shutdown] {
            check(I386, call, 0, ALLOW);
            check(arch(), call | X32, 0, ALLOW);
            check(0, call, 0, ALLOW);
        }
    }

    #[test]
    fn jumps_stay_inside_and_the_last_instruction_returns() {
        let program = program().expect("known here");
        for (at, one) in program.iter().enumerate().filter(|(_, one)| one.code == JUMP_IF_EQUAL) {
            assert!(at + 1 + usize::from(one.jt.max(one.jf)) < program.len());
        }
        assert_eq!(program.last().map(|last| last.code), Some(RETURN));
    }

    proptest! {
        #[test]
        fn every_other_call_passes(arch: u32, number: u32, arguments: [u64; 6]) {
            let program = program().expect("known here");
            let ours = arch == super::tests::arch() && Call::from_number(number as i32).is_some();
            prop_assume!(!ours);
            prop_assert_eq!(run(&program, &data(arch, number, arguments)), ALLOW);
        }
    }
}

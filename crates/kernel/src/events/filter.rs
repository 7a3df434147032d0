//! The classic BPF program that lets an announcement through only if its local port is wanted.
//!
//! Bytes only; `sys::attach_filter` gives it to the kernel. Where it reads: `idiag_sport` stands after the
//! header of the message (16 bytes) and the first four bytes of `struct inet_diag_msg`, in network order,
//! which is what a BPF load takes for granted. A message too short for that is dropped by the kernel.

use crate::sys::classic_bpf::Instruction;

/// `BPF_LD | BPF_H | BPF_ABS`: loads two bytes of the message.
const LOAD_HALF: u16 = 0x28;
/// `BPF_JMP | BPF_JGE | BPF_K`.
const JUMP_IF_AT_LEAST: u16 = 0x35;
/// `BPF_JMP | BPF_JGT | BPF_K`.
const JUMP_IF_ABOVE: u16 = 0x25;
/// `BPF_RET | BPF_K`: how many bytes of the message to keep.
const RETURN: u16 = 0x06;
/// Where the local port is.
const LOCAL_PORT: u32 = 16 + 4;
/// Ranges that fit in a program: the kernel takes 4096 instructions (`BPF_MAXINSNS`), a range is three.
const MOST_RANGES: usize = 1024;

/// A program that keeps messages about sockets with one of these local ports. So many scattered ports
/// that they do not fit are taken for one range from the lowest to the highest.
pub(super) fn local_ports(ports: impl IntoIterator<Item = u16>) -> Vec<Instruction> {
    let mut ports: Vec<u16> = ports.into_iter().collect();
    ports.sort_unstable();
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match ranges.last_mut() {
            Some((_, last)) if port <= last.saturating_add(1) => *last = port,
            _ => ranges.push((port, port)),
        }
    }
    if ranges.len() > MOST_RANGES
        && let (Some(&(low, _)), Some(&(_, high))) = (ranges.first(), ranges.last())
    {
        ranges = vec![(low, high)];
    }
    let instruction = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let mut program = vec![instruction(LOAD_HALF, 0, 0, LOCAL_PORT)];
    for (low, high) in ranges {
        program.push(instruction(JUMP_IF_AT_LEAST, 0, 2, low.into()));
        program.push(instruction(JUMP_IF_ABOVE, 1, 0, high.into()));
        program.push(instruction(RETURN, 0, 0, u32::MAX));
    }
    program.push(instruction(RETURN, 0, 0, 0));
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The kernel's evaluator, as far as this program goes: whether the message is kept.
    fn keeps(program: &[Instruction], message: &[u8]) -> bool {
        let (mut at, mut port) = (0, 0);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            match code {
                LOAD_HALF => match message.get(k as usize..k as usize + 2) {
                    Some(bytes) => port = u32::from(u16::from_be_bytes([bytes[0], bytes[1]])),
                    None => return false,
                },
                JUMP_IF_AT_LEAST => at += usize::from(if port >= k { jt } else { jf }),
                JUMP_IF_ABOVE => at += usize::from(if port > k { jt } else { jf }),
                RETURN => return k != 0,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn about(port: u16) -> Vec<u8> {
        let mut message = vec![0xee; 96];
        message[20..22].copy_from_slice(&port.to_be_bytes());
        message
    }

    proptest! {
        #[test]
        fn exactly_the_wanted_ports_pass(wanted in prop::collection::vec(0u16..40, 0..12), port in 0u16..42) {
            let program = local_ports(wanted.iter().copied());
            prop_assert_eq!(keeps(&program, &about(port)), wanted.contains(&port));
        }
    }

    #[test]
    fn the_ends_of_the_port_numbers_and_a_short_message() {
        let program = local_ports([0, u16::MAX]);
        assert!(keeps(&program, &about(0)) && keeps(&program, &about(u16::MAX)));
        assert!(!keeps(&program, &about(1)));
        assert!(!keeps(&program, &[0; 21]), "too short to hold a port");
        assert!(!keeps(&local_ports([]), &about(80)));
    }

    #[test]
    fn neighbours_are_one_range_and_too_many_ranges_are_one() {
        assert_eq!(local_ports([3002, 3000, 3001, 3000]).len(), 1 + 3 + 1);
        let scattered = local_ports((0..4000).map(|port| port * 2));
        assert_eq!(scattered.len(), 1 + 3 + 1);
        assert!(keeps(&scattered, &about(7998)) && !keeps(&scattered, &about(7999)));
    }
}

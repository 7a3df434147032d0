//! The filter that the kernel runs over every row, so that only wanted rows are copied out.
//!
//! `inet_diag_bc_run` in net/ipv4/inet_diag.c runs it, `inet_diag_bc_audit` checks it first. A program is
//! a list of operations of four bytes, `struct inet_diag_bc_op { u8 code, u8 yes, u16 no }`: when the
//! condition holds it goes on `yes` bytes further, else `no` bytes. A row is wanted when the program
//! stops exactly at its end; a jump to four bytes after it refuses. A condition on a port takes a second
//! operation that only carries the port, in its `no`.

/// One condition on a row. A row is wanted when all of them hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The local port is this (Linux 4.16).
    LocalIs(u16),
    /// The local port is this or higher.
    LocalFrom(u16),
    /// The local port is this or lower.
    LocalTo(u16),
    /// The remote port is this (Linux 4.16).
    RemoteIs(u16),
    /// The remote port is this or higher.
    RemoteFrom(u16),
    /// The remote port is this or lower.
    RemoteTo(u16),
    /// The port was not asked for with bind(): `SOCK_BINDPORT_LOCK` is not set. Holds for every
    /// small time-wait socket.
    PortNotAskedFor,
}

/// Bytes of one operation.
const OPERATION: u16 = 4;

impl Condition {
    /// `INET_DIAG_BC_*`, and the port to compare with.
    const fn operation(self) -> (u8, Option<u16>) {
        match self {
            Condition::LocalFrom(port) => (2, Some(port)),
            Condition::LocalTo(port) => (3, Some(port)),
            Condition::RemoteFrom(port) => (4, Some(port)),
            Condition::RemoteTo(port) => (5, Some(port)),
            Condition::PortNotAskedFor => (6, None),
            Condition::LocalIs(port) => (11, Some(port)),
            Condition::RemoteIs(port) => (12, Some(port)),
        }
    }

    const fn size(self) -> u16 {
        match self {
            Condition::PortNotAskedFor => OPERATION,
            _ => 2 * OPERATION,
        }
    }

    /// The same said without the equality operations, for a kernel that refuses them.
    pub fn without_equality(self) -> Vec<Condition> {
        match self {
            Condition::LocalIs(port) => vec![Condition::LocalFrom(port), Condition::LocalTo(port)],
            Condition::RemoteIs(port) => vec![Condition::RemoteFrom(port), Condition::RemoteTo(port)],
            other => vec![other],
        }
    }
}

/// The program that accepts a row when all conditions hold. Empty for no condition: send no program.
pub fn assemble(conditions: &[Condition]) -> Vec<u8> {
    let length: u16 = conditions.iter().map(|condition| condition.size()).sum();
    let mut program = Vec::with_capacity(length.into());
    for condition in conditions {
        let (code, port) = condition.operation();
        let refuse = length - u16::try_from(program.len()).unwrap_or(length) + OPERATION;
        operation(&mut program, code, condition.size() as u8, refuse);
        if let Some(port) = port {
            operation(&mut program, 0, 0, port);
        }
    }
    program
}

fn operation(program: &mut Vec<u8>, code: u8, yes: u8, no: u16) {
    program.extend_from_slice(&[code, yes]);
    program.extend_from_slice(&no.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a row looks like to a program.
    #[derive(Clone, Copy, Debug)]
    struct Row {
        local: u16,
        remote: u16,
        asked_for: bool,
    }

    /// What the conditions mean.
    fn wanted(conditions: &[Condition], row: Row) -> bool {
        conditions.iter().all(|condition| match *condition {
            Condition::LocalIs(port) => row.local == port,
            Condition::LocalFrom(port) => row.local >= port,
            Condition::LocalTo(port) => row.local <= port,
            Condition::RemoteIs(port) => row.remote == port,
            Condition::RemoteFrom(port) => row.remote >= port,
            Condition::RemoteTo(port) => row.remote <= port,
            Condition::PortNotAskedFor => !row.asked_for,
        })
    }

    fn operation_at(program: &[u8], at: usize) -> (u8, u8, u16) {
        (program[at], program[at + 1], u16::from_ne_bytes([program[at + 2], program[at + 3]]))
    }

    /// The kernel's evaluator.
    fn run(program: &[u8], row: Row) -> bool {
        let mut at = 0;
        while at < program.len() {
            let (code, yes, no) = operation_at(program, at);
            let port = || operation_at(program, at + 4).2;
            let holds = match code {
                2 => row.local >= port(),
                3 => row.local <= port(),
                4 => row.remote >= port(),
                5 => row.remote <= port(),
                6 => !row.asked_for,
                11 => row.local == port(),
                12 => row.remote == port(),
                other => panic!("operation {other}"),
            };
            at += if holds { usize::from(yes) } else { usize::from(no) };
        }
        at == program.len()
    }

    /// The kernel's check: jumps go forward, to operations or just behind the end.
    fn audit(program: &[u8]) -> bool {
        let mut at = 0;
        while at < program.len() {
            let left = program.len() - at;
            let (code, yes, no) = operation_at(program, at);
            let least = if code == 6 { 4 } else { 8 };
            let fits = |jump: usize| jump >= least && jump <= left + 4 && jump.is_multiple_of(4);
            if left < least || !fits(yes.into()) || !fits(no.into()) {
                return false;
            }
            at += usize::from(yes);
        }
        at == program.len()
    }

    fn condition() -> impl Strategy<Value = Condition> {
        (0..7, 0u16..6).prop_map(|(which, port)| match which {
            0 => Condition::LocalIs(port),
            1 => Condition::LocalFrom(port),
            2 => Condition::LocalTo(port),
            3 => Condition::RemoteIs(port),
            4 => Condition::RemoteFrom(port),
            5 => Condition::RemoteTo(port),
            _ => Condition::PortNotAskedFor,
        })
    }

    proptest! {
        #[test]
        fn a_program_means_its_conditions(
            conditions in prop::collection::vec(condition(), 0..6),
            local in 0u16..6, remote in 0u16..6, asked_for: bool,
        ) {
            let row = Row { local, remote, asked_for };
            let program = assemble(&conditions);
            prop_assert!(audit(&program), "{program:?}");
            prop_assert_eq!(run(&program, row), wanted(&conditions, row));
            let older: Vec<_> = conditions.iter().flat_map(|c| c.without_equality()).collect();
            prop_assert_eq!(run(&assemble(&older), row), wanted(&older, row));
            prop_assert_eq!(wanted(&older, row), wanted(&conditions, row));
        }
    }

    #[test]
    fn one_port_is_two_operations() {
        let mut expect = vec![11, 8];
        expect.extend_from_slice(&12u16.to_ne_bytes());
        expect.extend_from_slice(&[0, 0]);
        expect.extend_from_slice(&8080u16.to_ne_bytes());
        assert_eq!(assemble(&[Condition::LocalIs(8080)]), expect);
        assert_eq!(assemble(&[]), []);
    }
}

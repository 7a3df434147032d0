//! Which rows are wanted: transport, ports, states.

use super::bytecode::Condition;
use inuse_rules::{State, Transport};

/// Which tcp or udp rows are wanted. Both families are asked for, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InetQuery {
    /// TCP or UDP.
    pub transport: Transport,
    /// Which ports.
    pub ports: Ports,
    /// Which states.
    pub states: States,
}

impl InetQuery {
    /// The LISTEN sockets of a tcp port, or the sockets of a udp port: the cheap question.
    pub const fn listeners(transport: Transport, port: u16) -> InetQuery {
        let states = match transport {
            Transport::Tcp => States::LISTEN,
            Transport::Udp => States::ALL,
        };
        InetQuery { transport, ports: Ports::Local(port, port), states }
    }

    /// Every socket of a port, in every state.
    pub const fn port(transport: Transport, port: u16) -> InetQuery {
        InetQuery { transport, ports: Ports::Local(port, port), states: States::ALL }
    }

    /// Every socket whose *remote* port is this one: the other ends of a port's connections.
    pub const fn peers(transport: Transport, port: u16) -> InetQuery {
        InetQuery { transport, ports: Ports::Remote(port, port), states: States::ALL }
    }

    /// Every socket.
    pub const fn everything(transport: Transport) -> InetQuery {
        InetQuery { transport, ports: Ports::All, states: States::ALL }
    }
}

/// Which ports are wanted; ranges include both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// All of them.
    All,
    /// Local ports from the first to the second.
    Local(u16, u16),
    /// Remote ports from the first to the second.
    Remote(u16, u16),
}

impl Ports {
    /// What the kernel's filter must check.
    pub(super) fn conditions(self) -> Vec<Condition> {
        match self {
            Ports::All => Vec::new(),
            Ports::Local(low, high) if low == high => vec![Condition::LocalIs(low)],
            Ports::Local(low, high) => vec![Condition::LocalFrom(low), Condition::LocalTo(high)],
            Ports::Remote(low, high) if low == high => vec![Condition::RemoteIs(low)],
            Ports::Remote(low, high) => vec![Condition::RemoteFrom(low), Condition::RemoteTo(high)],
        }
    }

    /// The local and remote port that the request's header names: before any filter runs, the kernel
    /// passes over rows with another one. Zero is any.
    pub(super) fn header(self) -> (u16, u16) {
        match self {
            Ports::Local(low, high) if low == high => (low, 0),
            Ports::Remote(low, high) if low == high => (0, low),
            _ => (0, 0),
        }
    }
}

/// A set of states, as sock_diag's `idiag_states` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct States(u32);

impl States {
    /// Every state, including bound and not listening.
    pub const ALL: States = States(0xffff_ffff);
    /// `LISTEN` alone.
    pub const LISTEN: States = States(1 << 10);

    /// These states.
    pub fn of(states: &[State]) -> States {
        States(states.iter().fold(0, |bits, state| bits | 1 << number(*state)))
    }

    pub(super) const fn bits(self) -> u32 {
        self.0
    }
}

/// The state with that number in a row: 7 (`TCP_CLOSE`) is bound for tcp, unconnected for the others.
pub(crate) fn state(number: u8, tcp: bool) -> Option<State> {
    Some(match number {
        1 => State::Established,
        2 => State::SynSent,
        3 | 12 => State::SynRecv,
        4 => State::FinWait1,
        5 => State::FinWait2,
        6 => State::TimeWait,
        7 if tcp => State::Bound,
        7 => State::Unconn,
        8 => State::CloseWait,
        9 => State::LastAck,
        10 => State::Listen,
        11 => State::Closing,
        13 => State::Bound,
        _ => return None,
    })
}

/// The number by which a request names it (include/net/tcp_states.h).
const fn number(state: State) -> u32 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynRecv => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Unconn => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
        State::Bound => 13,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_number() {
        for state_in in State::ALL {
            let tcp = state_in != State::Unconn;
            let number = u8::try_from(number(state_in)).unwrap();
            assert_eq!(state(number, tcp), Some(state_in));
        }
        assert_eq!(state(0, true), None);
        assert_eq!(state(14, false), None);
        assert_eq!(States::of(&[State::Listen]), States::LISTEN);
    }
}

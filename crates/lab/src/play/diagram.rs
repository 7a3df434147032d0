//! The TCP state diagram (RFC 9293, figure 5), as far as it is walked by sockets that can be seen.
//!
//! Data and nothing else: where a state stands, what leads from one to the next, and what it means in one
//! sentence. Which of them a socket is in, the kernel says.

use inuse_rules::socket::State;

/// A state's place.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The state; `None` is CLOSED, in which a socket shows nowhere.
    pub state: Option<State>,
    /// The column: 0 is the side that closes first, 2 the one that closes second.
    pub column: u8,
    /// The row, from the top.
    pub row: u8,
    /// What it means.
    pub says: &'static str,
}

/// A way from one state to another.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// From here.
    pub from: Option<State>,
    /// To there.
    pub to: Option<State>,
    /// What happens: a call or a segment.
    pub by: &'static str,
}

const fn place(state: Option<State>, column: u8, row: u8, says: &'static str) -> Place {
    Place { state, column, row, says }
}

const fn way(from: Option<State>, to: Option<State>, by: &'static str) -> Way {
    Way { from, to, by }
}

use State::*;

/// Every state of the diagram.
pub const PLACES: [Place; 13] = [
    place(None, 1, 0, "no connection; a socket that was never bound shows nowhere"),
    place(Some(Bound), 0, 0, "bound and not listening; it has its address, and nothing else yet"),
    place(Some(Listen), 0, 1, "waits for clients"),
    place(Some(SynSent), 2, 1, "a client that waits for the answer to its SYN"),
    place(Some(SynRecv), 0, 2, "a handshake that is under way"),
    place(Some(Established), 1, 3, "open, both sides may send"),
    place(Some(FinWait1), 0, 4, "closed first: its FIN is on the way, not acknowledged yet"),
    place(Some(CloseWait), 2, 4, "the other side has closed; our program has not"),
    place(Some(FinWait2), 0, 5, "closed first, and waits for the other side to close too"),
    place(Some(Closing), 1, 5, "both sides closed at the same moment"),
    place(Some(LastAck), 2, 5, "closed second, and waits for the last acknowledgement"),
    place(Some(TimeWait), 0, 6, "closed first; the kernel keeps the addresses for a minute"),
    place(None, 2, 6, "gone"),
];

/// Every way of the diagram.
pub const WAYS: [Way; 17] = [
    way(None, Some(Bound), "bind()"),
    way(Some(Bound), Some(Listen), "listen()"),
    way(None, Some(SynSent), "connect(): SYN"),
    way(Some(Listen), Some(SynRecv), "SYN"),
    way(Some(SynSent), Some(SynRecv), "SYN"),
    way(Some(SynRecv), Some(Established), "ACK"),
    way(Some(SynSent), Some(Established), "SYN+ACK"),
    way(Some(Established), Some(FinWait1), "close(): FIN"),
    way(Some(Established), Some(CloseWait), "FIN"),
    way(Some(FinWait1), Some(FinWait2), "ACK"),
    way(Some(FinWait1), Some(Closing), "FIN"),
    way(Some(FinWait1), Some(TimeWait), "FIN+ACK"),
    way(Some(Closing), Some(TimeWait), "ACK"),
    way(Some(FinWait2), Some(TimeWait), "FIN"),
    way(Some(CloseWait), Some(LastAck), "close(): FIN"),
    way(Some(LastAck), None, "ACK"),
    way(Some(TimeWait), None, "60 s"),
];

/// The path that a state lies on, in the order of time, and which of it the state is. `None` for what is not
/// in the diagram.
pub fn path(state: State) -> Option<(&'static [&'static str], usize)> {
    const SERVING: &[&str] = &["CLOSED", "BOUND", "LISTEN"];
    const ASKING: &[&str] = &["CLOSED", "SYN_SENT", "ESTABLISHED"];
    const ANSWERING: &[&str] = &["LISTEN", "SYN_RECV", "ESTABLISHED"];
    const OPEN: &[&str] = &["SYN_SENT or SYN_RECV", "ESTABLISHED", "FIN_WAIT_1 or CLOSE_WAIT"];
    const FIRST: &[&str] = &["ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT", "CLOSED"];
    const SECOND: &[&str] = &["ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSED"];
    const BOTH: &[&str] = &["FIN_WAIT_1", "CLOSING", "TIME_WAIT", "CLOSED"];
    let path = match state {
        Bound | Listen => SERVING,
        SynSent => ASKING,
        SynRecv => ANSWERING,
        Established => OPEN,
        FinWait1 | FinWait2 | TimeWait => FIRST,
        CloseWait | LastAck => SECOND,
        Closing => BOTH,
        Unconn => return None,
    };
    Some((path, path.iter().position(|name| *name == state.name())?))
}

/// What a state means, in a few words.
pub fn says(state: State) -> &'static str {
    PLACES.iter().find(|place| place.state == Some(state)).map_or("open, not connected", |place| place.says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_place_and_its_path() {
        for state in State::ALL.into_iter().filter(|state| *state != Unconn) {
            assert_eq!(PLACES.iter().filter(|place| place.state == Some(state)).count(), 1, "{state:?}");
            let (names, at) = path(state).unwrap();
            assert_eq!(names[at], state.name());
            assert!(WAYS.iter().any(|way| way.to == Some(state)), "{state:?}");
            assert!(WAYS.iter().any(|way| way.from == Some(state)), "{state:?}");
        }
        let cells: std::collections::HashSet<_> =
            PLACES.iter().map(|place| (place.column, place.row)).collect();
        assert_eq!(cells.len(), PLACES.len(), "two states in one place");
    }
}

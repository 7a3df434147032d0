//! Whose a socket is, from its first row to its last: the kernel forgets the process long before the socket
//! is gone, and a small time-wait socket has another cookie than the one that it replaces.

use super::moment::{Gone, Seen};
use crate::stage::End;
use inuse_rules::socket::State;

/// What has been seen so far.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    known: Vec<Known>,
    next: usize,
}

#[derive(Debug)]
struct Known {
    id: usize,
    whose: String,
    end: End,
}

impl Tracker {
    /// Compares with the last look.
    pub(super) fn look(&mut self, ends: Vec<End>) -> (Vec<Seen>, Vec<Gone>) {
        let mut seen: Vec<Seen> = Vec::new();
        for end in &ends {
            // Two sockets of one address are told apart by their cookies.
            let taken = |known: &&Known| !seen.iter().any(|seen| seen.id == known.id);
            let same = self.known.iter().filter(taken).find(|known| known.end.cookie == end.cookie);
            let grown = || {
                let alone = |known: &&Known| !ends.iter().any(|other| other.cookie == known.end.cookie);
                self.known.iter().filter(taken).filter(alone).find(|known| {
                    known.end.local == end.local && known.end.remote == end.remote && end.remote.is_some()
                })
            };
            let (id, whose, before, news) = match same.or_else(grown) {
                Some(known) => {
                    (known.id, known.whose.clone(), Some(known.end.state), differs(&known.end, end))
                }
                None => {
                    self.next += 1;
                    (self.next, String::new(), None, true)
                }
            };
            seen.push(Seen { id, whose, end: end.clone(), before, news });
        }
        let listeners: Vec<(String, String)> = seen
            .iter()
            .filter(|seen| seen.end.state == State::Listen)
            .filter_map(|seen| Some((port_of(&seen.end.local).to_owned(), holder(seen)?)))
            .collect();
        for seen in &mut seen {
            // An heir gets it only when the one who had it is gone.
            let still = seen.end.held_by.contains(&seen.whose);
            if !still && let Some(first) = seen.end.held_by.first() {
                seen.whose.clone_from(first);
            }
            if seen.whose.is_empty() {
                // Not accepted yet: it belongs to its listener.
                let port = port_of(&seen.end.local);
                let listener = listeners.iter().find(|(of, _)| of == port).map(|(_, whose)| whose.clone());
                seen.whose = listener.unwrap_or_else(|| "kernel".into());
            }
        }
        let gone = self.known.iter().filter(|known| !seen.iter().any(|seen| seen.id == known.id));
        let gone = gone.map(|known| Gone {
            id: known.id,
            whose: known.whose.clone(),
            local: known.end.local.clone(),
            state: known.end.state,
        });
        let gone = gone.collect();
        self.known = seen
            .iter()
            .map(|seen| Known { id: seen.id, whose: seen.whose.clone(), end: seen.end.clone() })
            .collect();
        (seen, gone)
    }
}

/// Whether a row tells anything new. A timer runs all the time, and is no news.
fn differs(old: &End, new: &End) -> bool {
    let told = |end: &End| (end.state, end.recv_q, end.send_q, end.inode != 0, end.held_by.clone());
    told(old) != told(new)
}

fn holder(seen: &Seen) -> Option<String> {
    seen.end.held_by.first().cloned().or_else(|| Some(seen.whose.clone()).filter(|whose| !whose.is_empty()))
}

/// The port of an address as it is written.
fn port_of(address: &str) -> &str {
    address.rsplit(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(local: &str, remote: Option<&str>, state: State, cookie: u64, held_by: &[&str]) -> End {
        End {
            local: local.into(),
            remote: remote.map(str::to_owned),
            state,
            recv_q: 0,
            send_q: 0,
            timer_ms: None,
            inode: u64::from(!held_by.is_empty()),
            cookie,
            held_by: held_by.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn an_end_keeps_its_owner_when_the_kernel_has_forgotten_him() {
        let mut tracker = Tracker::default();
        let (here, there) = ("tcp/127.0.0.1:8080", Some("127.0.0.1:40000"));
        let listener = || end(here, None, State::Listen, 1, &["server"]);
        let (seen, _) = tracker.look(vec![listener(), end(here, there, State::Established, 2, &[])]);
        assert_eq!(seen[1].whose, "server", "not accepted yet");
        let (seen, _) = tracker.look(vec![listener(), end(here, there, State::FinWait2, 2, &[])]);
        assert_eq!((seen[1].before, seen[1].news), (Some(State::Established), true));
        let (seen, gone) = tracker.look(vec![end(here, there, State::TimeWait, 0, &[])]);
        assert_eq!((seen[0].id, &seen[0].whose[..]), (2, "server"), "another cookie");
        assert_eq!((gone.len(), gone[0].state), (1, State::Listen));
        let (_, gone) = tracker.look(vec![]);
        assert_eq!((gone.len(), gone[0].id), (1, 2));
    }

    #[test]
    fn an_heir_takes_over() {
        let mut tracker = Tracker::default();
        let listener = |held_by: &[&str]| end("tcp/0.0.0.0:80", None, State::Listen, 1, held_by);
        let whose = |seen: (Vec<Seen>, Vec<Gone>)| seen.0[0].whose.clone();
        assert_eq!(whose(tracker.look(vec![listener(&["server"])])), "server");
        assert_eq!(whose(tracker.look(vec![listener(&["server", "child"])])), "server");
        assert_eq!(whose(tracker.look(vec![listener(&["child"])])), "child");
    }
}

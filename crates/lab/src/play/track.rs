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
        for seen in &mut seen {
            // An heir gets it only when the one who had it is gone.
            let still = seen.end.held_by.contains(&seen.whose);
            if !still && let Some(first) = seen.end.held_by.first() {
                seen.whose.clone_from(first);
            }
        }
        self.give_to_listeners(&mut seen);
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

    /// What nobody has accepted yet belongs to its listener: of several on the address, to the one whose queue
    /// has grown.
    fn give_to_listeners(&self, seen: &mut [Seen]) {
        let mut listeners: Vec<Listener> = seen
            .iter()
            .filter(|seen| seen.end.state == State::Listen && !seen.whose.is_empty())
            .map(|seen| {
                let before = self.known.iter().find(|known| known.id == seen.id);
                let before = before.map_or(0, |known| known.end.recv_q);
                Listener {
                    local: seen.end.local.clone(),
                    whose: seen.whose.clone(),
                    grown: seen.end.recv_q.saturating_sub(before),
                }
            })
            .collect();
        for seen in seen.iter_mut().filter(|seen| seen.whose.is_empty()) {
            let reach = listeners.iter().filter_map(|listener| listener.reach(&seen.end.local)).max();
            let all = listeners.iter_mut().filter(|of| of.reach(&seen.end.local) == reach && reach.is_some());
            seen.whose = match all.max_by_key(|listener| listener.grown) {
                Some(listener) => {
                    listener.grown = listener.grown.saturating_sub(1);
                    listener.whose.clone()
                }
                None => "kernel".into(),
            };
        }
    }
}

/// A listener, and how many connections have come into its queue since the last look.
struct Listener {
    local: String,
    whose: String,
    grown: u32,
}

impl Listener {
    /// How exactly it is meant by who connects to an address: by it, or by a wildcard.
    fn reach(&self, local: &str) -> Option<u8> {
        let wildcard = ["0.0.0.0:", "[::]:", "*:"].iter().any(|any| self.local.contains(any));
        match () {
            () if self.local == local => Some(2),
            () if wildcard && port_of(&self.local) == port_of(local) => Some(1),
            () => None,
        }
    }
}

/// Whether a row tells anything new. A timer runs all the time, and is no news.
fn differs(old: &End, new: &End) -> bool {
    let told = |end: &End| (end.state, end.recv_q, end.send_q, end.inode != 0, end.held_by.clone());
    told(old) != told(new)
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
    fn who_connects_reaches_the_listener_that_is_meant() {
        let mut tracker = Tracker::default();
        let (one, two) = ("tcp/127.0.0.1:80", "tcp/127.0.0.2:80");
        let listener = |at: &str, cookie, who: &str, queue| {
            let end = end(at, None, State::Listen, cookie, &[who]);
            End { recv_q: queue, ..end }
        };
        let client = |at: &str, port: &str, cookie| end(at, Some(port), State::Established, cookie, &[]);
        let (seen, _) = tracker.look(vec![
            listener(one, 1, "first", 0),
            listener(two, 2, "second", 1),
            client(two, "127.0.0.1:9", 3),
            client("tcp/127.0.0.3:80", "127.0.0.1:9", 4),
        ]);
        assert_eq!((&seen[2].whose[..], &seen[3].whose[..]), ("second", "kernel"));
        // Two on one address: the queues tell.
        let mut tracker = Tracker::default();
        tracker.look(vec![listener(one, 1, "first", 0), listener(one, 2, "second", 0)]);
        let (seen, _) = tracker.look(vec![
            listener(one, 1, "first", 0),
            listener(one, 2, "second", 1),
            client(one, "127.0.0.1:9", 3),
        ]);
        assert_eq!(seen[2].whose, "second");
        let (seen, _) = tracker.look(vec![
            listener(one, 1, "first", 1),
            listener(one, 2, "second", 1),
            client(one, "127.0.0.1:9", 3),
            client(one, "127.0.0.1:10", 4),
        ]);
        assert_eq!((&seen[2].whose[..], &seen[3].whose[..]), ("second", "first"));
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

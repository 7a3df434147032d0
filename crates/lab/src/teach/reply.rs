//! The kinds that answer each client alone: `reply`, `ack` and `upper`.
//!
//! TCP keeps no borders between messages. A message ends here with a line feed, where the sender pauses, or where
//! it stops sending: so a client that ends its lines and one that does not are both answered.

use super::service::{Echo, Id, Service, To, Wishes};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

const REPLY: &[u8] = b"Receive your message --- server\n";
const ACKNOWLEDGED: &[u8] = b"I have received your message.\n";

/// Prints each message, and answers with a sentence.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// Whose last message has no answer yet.
    unanswered: BTreeSet<Id>,
}

impl Service for Reply {
    fn opened(&mut self, _id: Id, _peer: SocketAddr, _wishes: &mut Wishes) {}

    fn heard(&mut self, id: Id, bytes: &mut [u8], wishes: &mut Wishes) -> Echo {
        wishes.print.extend_from_slice(bytes);
        if bytes.ends_with(b"\n") {
            self.unanswered.remove(&id);
            wishes.send(To::One(id), REPLY);
        } else {
            self.unanswered.insert(id);
        }
        Echo::No
    }

    fn paused(&mut self, id: Id, wishes: &mut Wishes) {
        if self.unanswered.remove(&id) {
            wishes.print.push(b'\n');
            wishes.send(To::One(id), REPLY);
        }
    }

    fn closed(&mut self, id: Id, _wishes: &mut Wishes) {
        self.unanswered.remove(&id);
    }
}

/// Takes one message, acknowledges it, and closes.
#[derive(Debug, Default)]
pub(super) struct Ack {
    /// Who is still to be acknowledged, and whether something came.
    open: BTreeMap<Id, bool>,
}

impl Ack {
    fn acknowledge(&mut self, id: Id, wishes: &mut Wishes) {
        if self.open.remove(&id).is_some() {
            wishes.send(To::One(id), ACKNOWLEDGED);
            wishes.finish.push(id);
        }
    }
}

impl Service for Ack {
    fn opened(&mut self, id: Id, _peer: SocketAddr, _wishes: &mut Wishes) {
        self.open.insert(id, false);
    }

    fn heard(&mut self, id: Id, bytes: &mut [u8], wishes: &mut Wishes) -> Echo {
        if let Some(came) = self.open.get_mut(&id) {
            *came = true;
            wishes.print.extend_from_slice(bytes);
            if bytes.ends_with(b"\n") {
                self.acknowledge(id, wishes);
            }
        }
        Echo::No
    }

    fn paused(&mut self, id: Id, wishes: &mut Wishes) {
        if self.open.get(&id) == Some(&true) {
            wishes.print.push(b'\n');
            self.acknowledge(id, wishes);
        }
    }

    fn closed(&mut self, id: Id, _wishes: &mut Wishes) {
        self.open.remove(&id);
    }
}

/// Sends everything back in upper case. Bytes that are no ASCII letters pass through unchanged.
#[derive(Debug)]
pub(super) struct Upper;

impl Service for Upper {
    fn opened(&mut self, _id: Id, peer: SocketAddr, wishes: &mut Wishes) {
        wishes.print.extend_from_slice(format!("client {peer}\n").as_bytes());
    }

    fn heard(&mut self, _id: Id, bytes: &mut [u8], _wishes: &mut Wishes) -> Echo {
        bytes.make_ascii_uppercase();
        Echo::Yes
    }

    fn closed(&mut self, _id: Id, _wishes: &mut Wishes) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 40112))
    }

    /// What the chunks, and then a pause, bring about: printed, sent to the client, and whether it is closed.
    fn play(service: &mut dyn Service, chunks: &[&[u8]]) -> (Vec<u8>, Vec<u8>, bool) {
        let mut wishes = Wishes::default();
        service.opened(7, peer(), &mut wishes);
        for chunk in chunks {
            let mut bytes = chunk.to_vec();
            if service.heard(7, &mut bytes, &mut wishes) == Echo::Yes {
                wishes.send(To::One(7), bytes);
            }
        }
        service.paused(7, &mut wishes);
        service.paused(7, &mut wishes);
        let sent = wishes.send.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        (wishes.print, sent, wishes.finish == [7])
    }

    #[test]
    fn reply_answers_lines_and_what_has_no_line_feed() {
        let twice = [REPLY, REPLY].concat();
        let check = |chunks: &[&[u8]], printed: &[u8], sent: &[u8]| {
            assert_eq!(
                play(&mut Reply::default(), chunks),
                (printed.to_vec(), sent.to_vec(), false),
                "{chunks:?}"
            );
        };
        check(&[b"hello\n"], b"hello\n", REPLY);
        check(&[b"hello"], b"hello\n", REPLY);
        check(&[b"hel", b"lo\n"], b"hello\n", REPLY);
        check(&[b"a\n", b"b"], b"a\nb\n", &twice);
        check(&[b"\xff\x00"], b"\xff\x00\n", REPLY);
        check(&[], b"", b"");
    }

    #[test]
    fn ack_answers_once_and_closes() {
        let check = |chunks: &[&[u8]], printed: &[u8], sent: &[u8], closes| {
            let expect = (printed.to_vec(), sent.to_vec(), closes);
            assert_eq!(play(&mut Ack::default(), chunks), expect, "{chunks:?}");
        };
        check(&[b"hello\n", b"more\n"], b"hello\n", ACKNOWLEDGED, true);
        check(&[b"hello"], b"hello\n", ACKNOWLEDGED, true);
        check(&[], b"", b"", false);
    }

    #[test]
    fn upper_leaves_other_bytes_alone() {
        let (printed, sent, _) = play(&mut Upper, &[b"aZ-\xc3\xa9\xff\x00 9\n"]);
        assert_eq!(sent, b"AZ-\xc3\xa9\xff\x00 9\n");
        assert_eq!(printed, b"client 127.0.0.1:40112\n");
    }
}

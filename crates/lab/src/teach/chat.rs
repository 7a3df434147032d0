//! `chat`: a room for many people. One line is one message; a line that starts with `/` is for the room itself.
//!
//! What people write reaches the terminals of others, so control characters are taken out and lines are bounded.

use super::service::{Echo, Id, Service, To, Wishes};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Bytes of a line; what is longer is cut.
const LONGEST_LINE: usize = 1000;
/// Characters of a nickname.
const LONGEST_NAME: usize = 20;
/// Names that `/who` tells.
const MOST_NAMES: usize = 50;

const HELP: &str = "* /nick NAME changes your name, /who lists everybody, /quit leaves\n";

/// The room.
#[derive(Debug, Default)]
pub(super) struct Chat {
    people: BTreeMap<Id, Person>,
    guests: u64,
}

#[derive(Debug)]
struct Person {
    name: String,
    /// The start of a line whose end has not come.
    line: Vec<u8>,
}

impl Chat {
    /// A line of this person has ended.
    fn said(&mut self, id: Id, line: &[u8], wishes: &mut Wishes) {
        let text = legible(line);
        let Some(person) = self.people.get(&id) else { return };
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        match word {
            "" if rest.is_empty() => {}
            "/nick" => self.renamed(id, rest.trim(), wishes),
            "/who" => wishes.send(To::One(id), self.who()),
            "/quit" => {
                wishes.send(To::One(id), "* bye\n");
                wishes.finish.push(id);
            }
            word if word.starts_with('/') => wishes.send(To::One(id), HELP),
            _ => wishes.send(To::AllBut(id), format!("{}: {text}\n", person.name)),
        }
    }

    fn renamed(&mut self, id: Id, name: &str, wishes: &mut Wishes) {
        let fits = !name.is_empty()
            && name.chars().count() <= LONGEST_NAME
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if !fits {
            let rule =
                format!("* a name has 1 to {LONGEST_NAME} letters, digits, dots, dashes or underscores\n");
            return wishes.send(To::One(id), rule);
        }
        if self.people.values().any(|person| person.name == name) {
            return wishes.send(To::One(id), format!("* {name} is somebody already\n"));
        }
        if let Some(person) = self.people.get_mut(&id) {
            let old = std::mem::replace(&mut person.name, name.to_owned());
            wishes.send(To::All, format!("* {old} is now {name}\n"));
        }
    }

    fn who(&self) -> String {
        let names: Vec<&str> =
            self.people.values().take(MOST_NAMES).map(|person| person.name.as_str()).collect();
        let more = match self.people.len() - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("* here: {}{more}\n", names.join(", "))
    }

    fn here(&self) -> String {
        match self.people.len() {
            1 => "nobody else is here".into(),
            2 => "1 other is here".into(),
            n => format!("{} others are here", n.saturating_sub(1)),
        }
    }
}

impl Service for Chat {
    fn opened(&mut self, id: Id, peer: SocketAddr, wishes: &mut Wishes) {
        let name = loop {
            self.guests += 1;
            let name = format!("guest{}", self.guests);
            if !self.people.values().any(|person| person.name == name) {
                break name;
            }
        };
        wishes.print.extend_from_slice(format!("{name} is {peer}\n").as_bytes());
        wishes.send(To::AllBut(id), format!("* {name} came in\n"));
        self.people.insert(id, Person { name: name.clone(), line: Vec::new() });
        wishes.send(To::One(id), format!("* Welcome. You are {name}; {}.\n{HELP}", self.here()));
    }

    fn heard(&mut self, id: Id, bytes: &mut [u8], wishes: &mut Wishes) -> Echo {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let Some(person) = self.people.get_mut(&id) else { break };
            let room = LONGEST_LINE.saturating_sub(person.line.len());
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            person.line.extend_from_slice(text.get(..room).unwrap_or(text));
            if ended {
                let line = std::mem::take(&mut person.line);
                self.said(id, &line, wishes);
            }
        }
        Echo::No
    }

    fn ended(&mut self, id: Id, wishes: &mut Wishes) {
        if let Some(person) = self.people.get_mut(&id) {
            let line = std::mem::take(&mut person.line);
            self.said(id, &line, wishes);
        }
    }

    fn closed(&mut self, id: Id, wishes: &mut Wishes) {
        if let Some(person) = self.people.remove(&id) {
            wishes.print.extend_from_slice(format!("{} left\n", person.name).as_bytes());
            wishes.send(To::AllBut(id), format!("* {} left\n", person.name));
        }
    }
}

/// Text that does nothing to a terminal. Bytes that are no UTF-8 become the replacement character.
fn legible(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end().chars().filter(|&c| !inuse_rules::address::deceives(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(people: u64) -> Chat {
        let mut chat = Chat::default();
        for id in 0..people {
            chat.opened(id, SocketAddr::from(([127, 0, 0, 1], 1)), &mut Wishes::default());
        }
        chat
    }

    fn says(chat: &mut Chat, id: Id, chunks: &[&[u8]]) -> Vec<(To, String)> {
        let mut wishes = Wishes::default();
        for chunk in chunks {
            chat.heard(id, &mut chunk.to_vec(), &mut wishes);
        }
        wishes.send.into_iter().map(|(to, text)| (to, String::from_utf8(text).unwrap())).collect()
    }

    #[test]
    fn a_line_goes_to_everybody_else() {
        let check = |chunks: &[&[u8]], expect: &str| {
            assert_eq!(says(&mut room(3), 1, chunks), [(To::AllBut(1), expect.to_owned())], "{chunks:?}");
        };
        check(&[b"hello\n"], "guest2: hello\n");
        check(&[b"hel", b"lo\r\n"], "guest2: hello\n");
        check(&[b"\x1b[31mred\x07\n"], "guest2: [31mred\n");
        check(&["\u{202e}txt\n".as_bytes()], "guest2: txt\n");
        check(&[b"caf\xc3\xa9 \xff\n"], "guest2: café \u{fffd}\n");
        let long = [vec![b'x'; 5000], b"\n".to_vec()].concat();
        check(&[&long], &format!("guest2: {}\n", "x".repeat(LONGEST_LINE)));
        check(&[&long[..3000], b"\n"], &format!("guest2: {}\n", "x".repeat(LONGEST_LINE)));
        assert_eq!(says(&mut room(3), 1, &[b"\n\r\n"]), []);
        assert_eq!(says(&mut room(3), 9, &[b"nobody\n"]), []);
    }

    #[test]
    fn names_are_chosen_and_told() {
        let mut chat = room(2);
        let check = |chat: &mut Chat, line: &str, to, expect: &str| {
            assert_eq!(says(chat, 0, &[line.as_bytes()]), [(to, expect.to_owned())], "{line}");
        };
        let one = To::One(0);
        check(&mut chat, "/nick ann\n", To::All, "* guest1 is now ann\n");
        check(&mut chat, "/nick guest2\n", one, "* guest2 is somebody already\n");
        let rule = "* a name has 1 to 20 letters, digits, dots, dashes or underscores\n";
        check(&mut chat, "/nick\n", one, rule);
        check(&mut chat, "/nick a b\n", one, rule);
        check(&mut chat, "/nick 012345678901234567890\n", one, rule);
        check(&mut chat, "/who\n", one, "* here: ann, guest2\n");
        check(&mut chat, "/tea\n", one, HELP);
        check(&mut chat, "/quit\n", one, "* bye\n");
        assert_eq!(room(60).who().matches("guest").count(), MOST_NAMES);
        assert!(room(60).who().ends_with(" and 10 more\n"));
    }

    #[test]
    fn coming_and_leaving_is_told() {
        let mut chat = room(2);
        let mut wishes = Wishes::default();
        chat.closed(0, &mut wishes);
        chat.closed(0, &mut wishes);
        assert_eq!(wishes.send, [(To::AllBut(0), b"* guest1 left\n".to_vec())]);
        assert_eq!(chat.here(), "nobody else is here");
    }
}

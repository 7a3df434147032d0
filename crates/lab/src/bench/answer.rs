//! What a program answered: which processes have the listener of which port, read from the output that
//! people read.
//!
//! Pure: text in, ports and pids out. An answer that cannot be read names nobody, and is then wrong.

use std::collections::{BTreeMap, BTreeSet};

/// Which processes have which local port.
pub(super) type Owners = BTreeMap<u16, BTreeSet<u32>>;

/// How a program writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `(pid 7)`, for the port that was asked for.
    Why,
    /// The table of `inuse ls`.
    Ls,
    /// `users:(("server",pid=7,fd=3))`.
    Ss,
    /// Bare numbers, for the port that was asked for.
    Fuser,
    /// A line a descriptor.
    Lsof,
    /// `7/server` in the last column.
    Netstat,
    /// Prose with the port and the process's name, and no pid.
    Killport,
    /// An array of JSON objects.
    Somo,
}

impl Form {
    /// What the output says. `asked` is the port in question, if it was one.
    pub(super) fn read(self, text: &str, asked: Option<u16>) -> Owners {
        let mut owners = Owners::new();
        let mut add = |port: Option<u16>, pid: Option<u32>| {
            if let (Some(port), Some(pid)) = (port, pid)
                && asked.is_none_or(|asked| asked == port)
            {
                owners.entry(port).or_default().insert(pid);
            }
        };
        match self {
            Form::Why => text.split("(pid ").skip(1).for_each(|rest| add(asked, number(rest))),
            Form::Fuser => text.split_whitespace().for_each(|word| add(asked, word.parse().ok())),
            Form::Ls => {
                for words in rows(text, "tcp") {
                    let [_, local, rest @ ..] = words.as_slice() else { continue };
                    let pids = match rest {
                        // With --all there is a state, and a listener has no other end.
                        ["LISTEN", pids, ..] | [pids, ..] => pids,
                        [] => continue,
                    };
                    pids.split(',').for_each(|pid| add(port_of(local), pid.parse().ok()));
                }
            }
            Form::Ss => {
                for line in text.lines() {
                    let port = line.split_whitespace().nth(3).and_then(port_of);
                    line.split("pid=").skip(1).for_each(|rest| add(port, number(rest)));
                }
            }
            Form::Lsof => {
                for line in text.lines().skip(1) {
                    let mut words = line.split_whitespace();
                    let pid = words.nth(1).and_then(|pid| pid.parse().ok());
                    // Behind user, descriptor, type, device, size and protocol.
                    let local = words.nth(6).and_then(|ends| ends.split("->").next());
                    add(local.and_then(port_of), pid);
                }
            }
            Form::Netstat => {
                for words in rows(text, "tcp") {
                    if let [_, _, _, local, _, "LISTEN", owner, ..] = words.as_slice() {
                        add(port_of(local), number(owner));
                    }
                }
            }
            Form::Killport => {}
            Form::Somo => {
                let rows: Vec<BTreeMap<String, serde_json::Value>> =
                    serde_json::from_str(text).unwrap_or_default();
                for row in rows {
                    // Numbers are texts there.
                    let text =
                        |name: &str| row.get(name).and_then(|value| value.as_str()).unwrap_or_default();
                    add(text("local_port").parse().ok(), text("pid").parse().ok());
                }
            }
        }
        owners
    }
}

/// The rows of a table whose first word begins so.
fn rows<'a>(text: &'a str, first: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(move |words| words.first().is_some_and(|word| word.starts_with(first)))
}

/// The port behind the last colon.
fn port_of(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.parse().ok()
}

/// The number that a text begins with.
fn number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(form: Form, asked: Option<u16>, text: &str, expect: &[(u16, &[u32])]) {
        let expect: Owners =
            expect.iter().map(|(port, pids)| (*port, pids.iter().copied().collect())).collect();
        assert_eq!(form.read(text, asked), expect, "{form:?} {text}");
    }

    #[test]
    fn inuse() {
        let why = "crowd-1 (pid 41) listens on 127.0.0.1:80.\n  x  (pid 41)\n  child of bash (7)\n";
        check(Form::Why, Some(80), why, &[(80, &[41])]);
        check(Form::Why, Some(80), "80 is free\n", &[]);
        let ls = "PROTO  ADDRESS       PID    USER  PROGRAM\ntcp    127.0.0.1:80  41,42  root  crowd-1\n\
                  udp    127.0.0.1:53  9  root  x\ntcp    [::]:81  ?  root  (hidden)\n";
        check(Form::Ls, None, ls, &[(80, &[41, 42])]);
        let all = "PROTO  ADDRESS  REMOTE  STATE  PID  USER  PROGRAM\ntcp  127.0.0.1:80   LISTEN  41  root  crowd-1\n\
                   tcp  127.0.0.1:80  127.0.0.1:4000  TIME_WAIT  -  -  (no process)\n";
        check(Form::Ls, None, all, &[(80, &[41])]);
    }

    #[test]
    fn ss() {
        let text = "State  Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n\
                    LISTEN 0      128        127.0.0.1:80        0.0.0.0:*    users:((\"a\",pid=41,fd=3),(\"b\",pid=42,fd=3))\n\
                    ESTAB  0      0          127.0.0.1:80      127.0.0.1:4000 users:((\"a\",pid=41,fd=9))\n\
                    LISTEN 0      128        127.0.0.1:81        0.0.0.0:*\n";
        check(Form::Ss, None, text, &[(80, &[41, 42])]);
        check(Form::Ss, Some(81), text, &[]);
    }

    #[test]
    fn fuser_and_netstat() {
        check(Form::Fuser, Some(80), "   41   42\n", &[(80, &[41, 42])]);
        let text = "Proto Recv-Q Send-Q Local Address  Foreign Address  State   PID/Program name\n\
                    tcp        0      0 127.0.0.1:80   0.0.0.0:*        LISTEN  41/crowd-1\n\
                    tcp        0      0 127.0.0.1:80   127.0.0.1:4000   ESTABLISHED  41/crowd-1\n\
                    tcp6       0      0 :::81          :::*             LISTEN  -\n";
        check(Form::Netstat, None, text, &[(80, &[41])]);
        check(Form::Netstat, Some(81), text, &[]);
    }

    #[test]
    fn lsof() {
        let text = "COMMAND  PID USER   FD   TYPE DEVICE SIZE/OFF NODE NAME\n\
                    crowd-1   41 root    3u  IPv4   5555      0t0  TCP 127.0.0.1:80 (LISTEN)\n\
                    crowd-1   41 root    4u  IPv4   5556      0t0  TCP 127.0.0.1:4000->127.0.0.1:80 (ESTABLISHED)\n";
        check(Form::Lsof, None, text, &[(80, &[41]), (4000, &[41])]);
        check(Form::Lsof, Some(80), text, &[(80, &[41])]);
    }

    #[test]
    fn somo() {
        let text = r#"[{"proto":"tcp","local_port":"80","pid":"41","program":"crowd-1","state":"listen"},
                       {"proto":"tcp","local_port":"81","pid":"-","program":"-","state":"listen"}]"#;
        check(Form::Somo, None, text, &[(80, &[41])]);
    }

    #[test]
    fn what_cannot_be_read_names_nobody() {
        for form in [Form::Why, Form::Ls, Form::Ss, Form::Fuser, Form::Lsof, Form::Netstat, Form::Somo] {
            for text in ["", "\n\n", "tcp", "tcp :", "x\ntcp a:99999 99999999999", "pid= (pid ", "é │ │"]
            {
                check(form, None, text, &[]);
            }
        }
    }
}

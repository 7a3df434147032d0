//! What a program says to its supervisor (sd_notify(3)): lines of `KEY=VALUE`.
//!
//! The bytes are the program's own: any are taken, none make this fail, and what is not known is passed over.

/// The longest message that is read; systemd takes no longer ones either.
pub(in crate::hold) const LONGEST: usize = 4096;

/// The longest status that is kept, in characters.
const LONGEST_STATUS: usize = 256;

/// What a message says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::hold) struct Message {
    /// `READY=1`.
    pub(in crate::hold) ready: bool,
    /// `STOPPING=1`.
    pub(in crate::hold) stopping: bool,
    /// `STATUS=`, cut, as it was written: to be escaped before it is shown.
    pub(in crate::hold) status: Option<String>,
    /// `EXTEND_TIMEOUT_USEC=`.
    pub(in crate::hold) extend_usec: Option<u64>,
}

impl Message {
    /// Reads one datagram.
    pub(in crate::hold) fn parse(bytes: &[u8]) -> Message {
        let mut message = Message::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let Some(at) = line.iter().position(|byte| *byte == b'=') else { continue };
            let (key, value) = line.split_at(at);
            match (key, value.get(1..).unwrap_or_default()) {
                (b"READY", b"1") => message.ready = true,
                (b"STOPPING", b"1") => message.stopping = true,
                (b"STATUS", text) => {
                    message.status =
                        Some(String::from_utf8_lossy(text).chars().take(LONGEST_STATUS).collect());
                }
                (b"EXTEND_TIMEOUT_USEC", digits) => message.extend_usec = number(digits),
                _ => {}
            }
        }
        message
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| all_digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_read_and_the_rest_is_passed_over() {
        let ready = Message { ready: true, ..Message::default() };
        let status = |text: &str| Message { status: Some(text.into()), ..Message::default() };
        let check = |bytes: &[u8], expect: &Message| {
            assert_eq!(Message::parse(bytes), *expect, "{}", bytes.escape_ascii());
        };
        check(b"READY=1", &ready);
        check(b"READY=1\n", &ready);
        check(b"MAINPID=7\nREADY=1\nFDSTORE=1", &ready);
        check(b"STATUS=a=b\n", &status("a=b"));
        check(b"STATUS=\xff", &status("\u{fffd}"));
        check(b"STATUS=", &status(""));
        check(b"EXTEND_TIMEOUT_USEC=5", &Message { extend_usec: Some(5), ..Message::default() });
        check(b"STOPPING=1", &Message { stopping: true, ..Message::default() });
        for nothing in [
            &b""[..],
            b"\n\n",
            b"=",
            b"=1",
            b"READY",
            b"READY=",
            b"READY=0",
            b"READY=11",
            b" READY=1",
            b"ready=1",
            b"READY=1\0",
            b"\0READY=1",
            b"EXTEND_TIMEOUT_USEC=-1",
            b"EXTEND_TIMEOUT_USEC=99999999999999999999",
        ] {
            check(nothing, &Message::default());
        }
        let long = [b"STATUS=".as_slice(), &[b'x'; LONGEST]].concat();
        assert_eq!(Message::parse(&long).status.map(|text| text.len()), Some(LONGEST_STATUS));
    }
}

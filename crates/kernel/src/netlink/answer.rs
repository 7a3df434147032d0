//! The answer to one request, datagram by datagram: which messages belong to it, when it is complete,
//! and what it was worth.
//!
//! Bytes only; the descriptor that they come from is in `socket`.

use super::wire::{Message, Messages, Said};

/// What was seen so far of the answer to one request.
#[derive(Debug)]
pub(crate) struct Answer {
    sequence: u32,
    many: bool,
    interrupted: bool,
    malformed: Option<&'static str>,
}

/// A complete answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Complete {
    /// The table changed meanwhile, or messages were lost: rows may be missing or twice there.
    pub(crate) interrupted: bool,
}

/// Why there is no answer, or no whole one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The kernel refused with this errno, perhaps in words.
    Refused(i32, Option<String>),
    /// A message that is none: what is wrong with it.
    Malformed(&'static str),
}

impl Answer {
    /// The answer to a dump request with that number: many messages, and one that ends them.
    pub(crate) fn of_dump(sequence: u32) -> Answer {
        Answer { sequence, many: true, interrupted: false, malformed: None }
    }

    /// The answer of one message to the request with that number.
    pub(crate) fn of_one(sequence: u32) -> Answer {
        Answer { many: false, ..Answer::of_dump(sequence) }
    }

    /// Notes that a datagram was lost.
    pub(crate) fn lost(&mut self) {
        self.interrupted = true;
    }

    /// Takes one datagram, and hands the message type and payload of each row to `each`. `Some` when the
    /// answer is complete.
    ///
    /// Messages that answer another request are passed over. A malformed message ends the reading but
    /// not the receiving: what is left of a dump must not be taken for the answer to the next request.
    pub(crate) fn take(
        &mut self,
        datagram: &[u8],
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> Option<Result<Complete, Failure>> {
        for message in Messages::new(datagram) {
            let Message { sequence, interrupted, said } = match message {
                Ok(message) => message,
                Err(malformed) => {
                    self.malformed.get_or_insert(malformed.0);
                    return if self.many { None } else { Some(self.end(0, None)) };
                }
            };
            if sequence != self.sequence {
                continue;
            }
            self.interrupted |= interrupted;
            match said {
                Said::Row(kind, payload) => {
                    if self.malformed.is_none() {
                        each(kind, payload);
                    }
                    if !self.many {
                        return Some(self.end(0, None));
                    }
                }
                Said::Done(errno, words) | Said::Error(errno, words) => return Some(self.end(errno, words)),
            }
        }
        None
    }

    /// The answer if nothing more comes: the end of a dump was lost.
    pub(crate) fn cut_off(&mut self) -> Result<Complete, Failure> {
        self.lost();
        self.end(0, None)
    }

    fn end(&self, errno: i32, words: Option<&str>) -> Result<Complete, Failure> {
        match self.malformed {
            _ if errno > 0 => Err(Failure::Refused(errno, words.map(str::to_owned))),
            Some(what) => Err(Failure::Malformed(what)),
            None => Ok(Complete { interrupted: self.interrupted }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE: u32 = 7;
    const ROW: u16 = 20;
    const ERROR: u16 = 2;
    const DONE: u16 = 3;
    const INTERRUPTED: u16 = 0x10;

    fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + payload.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), [0; 4], sequence.to_ne_bytes(), [0; 4]].concat();
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn row(payload: &[u8]) -> Vec<u8> {
        message(ROW, 0, SEQUENCE, payload)
    }

    fn done() -> Vec<u8> {
        message(DONE, 0, SEQUENCE, &0i32.to_ne_bytes())
    }

    fn with_length(length: u32, mut bytes: Vec<u8>) -> Vec<u8> {
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    /// `NLMSG_ERROR` as the kernel builds it: errno, the request's header and perhaps its payload, and
    /// attributes.
    fn error(errno: i32, flags: u16, request_payload: &[u8], attributes: &[u8]) -> Vec<u8> {
        let mut payload = (-errno).to_ne_bytes().to_vec();
        payload.extend(message(ROW, 0, SEQUENCE, request_payload));
        payload.extend_from_slice(attributes);
        message(ERROR, flags, SEQUENCE, &payload)
    }

    fn words(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len() + 5).unwrap();
        [&length.to_ne_bytes(), &1u16.to_ne_bytes(), text.as_bytes(), b"\0"].concat()
    }

    /// The rows handed on, and how the answer ended; `None`: it waits for more.
    type Outcome = (Vec<Vec<u8>>, Option<Result<bool, Failure>>);

    #[track_caller]
    fn check(name: &str, mut answer: Answer, datagrams: &[Vec<u8>], expect: Outcome) {
        let mut rows = Vec::new();
        let mut end = None;
        for datagram in datagrams {
            end = answer.take(datagram, &mut |_, payload| rows.push(payload.to_vec()));
            if end.is_some() {
                break;
            }
        }
        let end = end.map(|end| end.map(|complete| complete.interrupted));
        assert_eq!((rows, end), expect, "{name}");
    }

    fn refused(errno: i32, words: Option<&str>) -> Option<Result<bool, Failure>> {
        Some(Err(Failure::Refused(errno, words.map(str::to_owned))))
    }

    fn malformed(what: &'static str) -> Option<Result<bool, Failure>> {
        Some(Err(Failure::Malformed(what)))
    }

    const SHORT: &str = "a message shorter than its header";
    const CUT: &str = "a message that ends after its datagram, or before its header";

    #[test]
    fn dumps_whole_and_faulty() {
        let [a, b] = [b"aaaa".to_vec(), b"bbbb".to_vec()];
        let rows = |rows: &[&Vec<u8>]| rows.iter().map(|row| (*row).clone()).collect::<Vec<_>>();
        let check = |name, datagrams: &[Vec<u8>], found: &[&Vec<u8>], end| {
            check(name, Answer::of_dump(SEQUENCE), datagrams, (rows(found), end));
        };
        check("empty", &[done()], &[], Some(Ok(false)));
        check("one part", &[[row(&a), done()].concat()], &[&a], Some(Ok(false)));
        check("many parts", &[row(&a), row(&b), done()], &[&a, &b], Some(Ok(false)));
        check("not over", &[row(&a)], &[&a], None);
        check("empty datagram", &[Vec::new(), done()], &[], Some(Ok(false)));
        check("unpadded end", &[row(b"abc")[..19].to_vec(), done()], &[&b"abc".to_vec()], Some(Ok(false)));

        let changed = message(ROW, INTERRUPTED, SEQUENCE, &a);
        check("interrupted row", &[changed, done()], &[&a], Some(Ok(true)));
        let changed = message(DONE, INTERRUPTED, SEQUENCE, &0i32.to_ne_bytes());
        check("interrupted end", &[row(&a), changed], &[&a], Some(Ok(true)));

        check("data after done", &[[done(), row(&a)].concat()], &[], Some(Ok(false)));
        let other = message(ROW, 0, SEQUENCE - 1, &a);
        check("wrong sequence", &[[other, row(&b), done()].concat()], &[&b], Some(Ok(false)));
        let other = message(DONE, 0, SEQUENCE - 1, &0i32.to_ne_bytes());
        check("end of another", &[other, row(&b), done()], &[&b], Some(Ok(false)));

        check("short header", &[vec![1, 2, 3], done()], &[], malformed(SHORT));
        check("truncated", &[[row(&a), row(&b)].concat()[..38].to_vec(), done()], &[&a], malformed(CUT));
        check("length zero", &[with_length(0, row(&a)), done()], &[], malformed(CUT));
        check("length of a header's half", &[with_length(8, row(&a)), done()], &[], malformed(CUT));
        check("endless length", &[with_length(u32::MAX, row(&a)), done()], &[], malformed(CUT));
        check("rows after a fault", &[vec![1], row(&a), done()], &[], malformed(SHORT));
        check(
            "error without number",
            &[message(ERROR, 0, SEQUENCE, b"ab"), done()],
            &[],
            malformed("an error without its number"),
        );

        check("done without number", &[message(DONE, 0, SEQUENCE, &[])], &[], Some(Ok(false)));
        let failed = message(DONE, 0, SEQUENCE, &(-2i32).to_ne_bytes());
        check("done with an errno", &[row(&a), failed], &[&a], refused(2, None));
        check("error", &[error(22, 0, b"request.", b"")], &[], refused(22, None));
        check(
            "smallest errno",
            &[message(ERROR, 0, SEQUENCE, &i32::MIN.to_ne_bytes())],
            &[],
            refused(i32::MAX, None),
        );
        check("error after a fault", &[vec![1], error(22, 0, b"", b"")], &[], refused(22, None));
    }

    #[test]
    fn errors_in_words() {
        const TLVS: u16 = 0x200;
        const CAPPED: u16 = 0x100;
        let check = |name, datagram: Vec<u8>, text| {
            check(name, Answer::of_dump(SEQUENCE), &[datagram], (Vec::new(), refused(22, text)));
        };
        check(
            "whole request",
            error(22, TLVS, b"request.", &words("no such filter")),
            Some("no such filter"),
        );
        let capped = message(ERROR, TLVS | CAPPED, SEQUENCE, &{
            let mut payload = (-22i32).to_ne_bytes().to_vec();
            payload.extend_from_slice(&with_length(500, message(ROW, 0, SEQUENCE, b"")));
            payload.extend(words("capped"));
            payload
        });
        check("capped request", capped, Some("capped"));
        check("not announced", error(22, 0, b"request.", &words("words")), None);
        check("none there", error(22, TLVS, b"request.", b""), None);
        check("not text", error(22, TLVS, b"request.", &words("x").map_last(0xff)), None);
        check("garbage length", error(22, TLVS, b"request.", &[0xff, 0xff, 1, 0, b'x']), None);
        let done =
            message(DONE, TLVS, SEQUENCE, &[&(-22i32).to_ne_bytes()[..], &words("at the end")].concat());
        check("at the end of a dump", done, Some("at the end"));
    }

    #[test]
    fn single_answers() {
        let check = |name, datagrams: &[Vec<u8>], found: &[&[u8]], end| {
            let rows = found.iter().map(|row| row.to_vec()).collect();
            check(name, Answer::of_one(SEQUENCE), datagrams, (rows, end));
        };
        check("row", &[row(b"aaaa")], &[b"aaaa"], Some(Ok(false)));
        check("only the first", &[[row(b"aaaa"), row(b"bbbb")].concat()], &[b"aaaa"], Some(Ok(false)));
        check("refused", &[error(2, 0, b"", b"")], &[], refused(2, None));
        check("garbage", &[vec![0; 5]], &[], malformed(SHORT));
        check("another's, then ours", &[message(ROW, 0, 1, b"x"), row(b"aaaa")], &[b"aaaa"], Some(Ok(false)));
    }

    #[test]
    fn lost_datagrams_make_an_answer_doubtful() {
        let mut answer = Answer::of_dump(SEQUENCE);
        answer.lost();
        assert_eq!(answer.take(&done(), &mut |_, _| {}), Some(Ok(Complete { interrupted: true })));
        assert_eq!(Answer::of_dump(SEQUENCE).cut_off(), Ok(Complete { interrupted: true }));
    }

    /// Words whose last letter is another byte.
    trait MapLast {
        fn map_last(self, byte: u8) -> Self;
    }

    impl MapLast for Vec<u8> {
        fn map_last(mut self, byte: u8) -> Vec<u8> {
            let at = self.len() - 2;
            self[at] = byte;
            self
        }
    }
}

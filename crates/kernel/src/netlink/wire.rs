//! Netlink messages and attributes as bytes: building requests, walking answers.
//!
//! Nothing here can fail on what the kernel, or somebody who plays the kernel, wrote: a length that does
//! not fit ends the walk. All numbers are in the byte order of the host (struct nlmsghdr, struct nlattr
//! in include/uapi/linux/netlink.h).

/// `NLMSG_ERROR`: an errno, zero for an acknowledgement.
const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump, with an errno of its own.
const DONE: u16 = 3;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`.
#[cfg(feature = "destroy")]
const ACK: u16 = 0x4;
/// `NLM_F_DUMP_INTR`: the table changed while it was dumped.
const DUMP_INTR: u16 = 0x10;
/// `NLM_F_CAPPED`: the error does not repeat the request's payload.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes follow the error.
const ACK_TLVS: u16 = 0x200;
/// `NLM_F_DUMP`: `NLM_F_ROOT | NLM_F_MATCH`.
const DUMP: u16 = 0x300;
/// `NLMSGERR_ATTR_MSG`: the error in words.
const ERROR_TEXT: u16 = 1;
/// The bits of an attribute's type that are flags (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const ATTRIBUTE_FLAGS: u16 = 0xc000;

/// Bytes in `struct nlmsghdr`.
const HEADER: usize = 16;

/// A request under construction.
pub(crate) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// One question of that message type, answered by one message.
    pub(crate) fn one(kind: u16, body: &[u8]) -> Request {
        Request::new(kind, REQUEST, body)
    }

    /// An act of that message type, acknowledged by an errno that may be zero.
    #[cfg(feature = "destroy")]
    pub(crate) fn act(kind: u16, body: &[u8]) -> Request {
        Request::new(kind, REQUEST | ACK, body)
    }

    /// A question of that message type, answered by a dump.
    pub(crate) fn dump(kind: u16, body: &[u8]) -> Request {
        Request::new(kind, REQUEST | DUMP, body)
    }

    fn new(kind: u16, flags: u16, body: &[u8]) -> Request {
        let mut bytes = vec![0; HEADER];
        put(&mut bytes, 4, &kind.to_ne_bytes());
        put(&mut bytes, 6, &flags.to_ne_bytes());
        bytes.extend_from_slice(body);
        Request { bytes }
    }

    /// Adds an attribute. Values longer than an attribute can hold are not ours to send.
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Request {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// The bytes to send, numbered `sequence`.
    pub(crate) fn bytes(&mut self, sequence: u32) -> &[u8] {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        put(&mut self.bytes, 0, &length.to_ne_bytes());
        put(&mut self.bytes, 8, &sequence.to_ne_bytes());
        &self.bytes
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// A row of an answer: message type and payload.
    Row(u16, &'a [u8]),
    /// The end of a dump; not zero: it failed with that errno, perhaps with words.
    Done(i32, Option<&'a str>),
    /// The request failed with that errno (zero: it was done), perhaps with words.
    Error(i32, Option<&'a str>),
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// The number of the request that it answers.
    pub(crate) sequence: u32,
    /// Whether the kernel says that the table changed under the dump.
    pub(crate) interrupted: bool,
    /// What it says.
    pub(crate) said: Said<'a>,
}

/// Bytes that are no message: what is wrong with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The messages of one datagram. After the first that is malformed there is none.
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    pub(crate) fn new(datagram: &'a [u8]) -> Messages<'a> {
        Messages { rest: datagram }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.rest);
        let Some((length, kind, flags, sequence)) = header(bytes) else {
            return Some(Err(Malformed("a message shorter than its header")));
        };
        let Some(payload) = bytes.get(HEADER..length) else {
            return Some(Err(Malformed("a message that ends after its datagram, or before its header")));
        };
        self.rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        let said = match kind {
            DONE => {
                let words = payload.get(4..).and_then(|after| text(after, flags));
                Said::Done(i32_at(payload, 0).unwrap_or(0).saturating_neg(), words)
            }
            ERROR => match i32_at(payload, 0) {
                Some(errno) => Said::Error(errno.saturating_neg(), error_text(payload, flags)),
                None => return Some(Err(Malformed("an error without its number"))),
            },
            kind => Said::Row(kind, payload),
        };
        Some(Ok(Message { sequence, interrupted: flags & DUMP_INTR != 0, said }))
    }
}

fn header(bytes: &[u8]) -> Option<(usize, u16, u16, u32)> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    u32_at(bytes, 12)?;
    Some((length, u16_at(bytes, 4)?, u16_at(bytes, 6)?, u32_at(bytes, 8)?))
}

/// The words of an `NLMSG_ERROR`: after the errno stands the request's header, then (unless capped) its
/// payload, then attributes.
fn error_text(payload: &[u8], flags: u16) -> Option<&str> {
    let request = usize::try_from(u32_at(payload, 4)?).ok()?;
    let repeated = if flags & CAPPED != 0 { HEADER } else { request.checked_next_multiple_of(4)? };
    text(payload.get(repeated.checked_add(4)?..)?, flags)
}

/// The words among the attributes of an extended acknowledgement.
fn text(attributes: &[u8], flags: u16) -> Option<&str> {
    if flags & ACK_TLVS == 0 {
        return None;
    }
    let (_, text) = Attributes::new(attributes).find(|&(kind, _)| kind == ERROR_TEXT)?;
    std::str::from_utf8(text.strip_suffix(b"\0").unwrap_or(text)).ok()
}

/// The attributes of a message: type without flags, and value. A length that does not fit ends the walk;
/// what came before it stands.
pub(crate) struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Attributes<'a> {
        Attributes { rest: bytes }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.rest);
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & !ATTRIBUTE_FLAGS;
        let value = bytes.get(4..length)?;
        self.rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// The byte at `at`.
pub(crate) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// The number in host order at `at`.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_ne_bytes)
}

/// The number in host order at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_ne_bytes)
}

/// The number in host order at `at`.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_ne_bytes)
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    array_at(bytes, at).map(i32::from_ne_bytes)
}

/// The bytes at `at`, if they are there.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(bytes: &[u8], expect: &[(u16, &[u8])]) {
        assert_eq!(Attributes::new(bytes).collect::<Vec<_>>(), expect, "{bytes:?}");
    }

    fn attribute(length: u16, kind: u16, value: &[u8]) -> Vec<u8> {
        [&length.to_ne_bytes(), &kind.to_ne_bytes(), value].concat()
    }

    #[test]
    fn attributes_whole_and_faulty() {
        let good = attribute(5, 1, &[7, 0, 0, 0]);
        check(&[], &[]);
        check(&good, &[(1, &[7])]);
        check(&[good.clone(), attribute(4, 2, &[])].concat(), &[(1, &[7]), (2, &[])]);
        check(&attribute(5, 1 | ATTRIBUTE_FLAGS, &[7]), &[(1, &[7])]);
        check(&[good.clone(), attribute(0, 2, &[])].concat(), &[(1, &[7])]);
        check(&[good.clone(), attribute(3, 2, &[])].concat(), &[(1, &[7])]);
        check(&[good.clone(), attribute(9, 2, &[1])].concat(), &[(1, &[7])]);
        check(&[good.clone(), attribute(u16::MAX, 2, &[1])].concat(), &[(1, &[7])]);
        check(&[good, vec![9, 0, 1]].concat(), &[(1, &[7])]);
    }

    #[test]
    fn a_request_is_numbered_measured_and_padded() {
        let mut request = Request::dump(20, &[1, 2, 3, 4]).attribute(1, &[9]);
        let bytes = request.bytes(7).to_vec();
        let message = Messages::new(&bytes).next().unwrap().unwrap();
        assert_eq!((message.sequence, bytes.len()), (7, 28));
        let Said::Row(20, payload) = message.said else { panic!("{message:?}") };
        assert_eq!(payload[..4], [1, 2, 3, 4]);
        check(&payload[4..], &[(1, &[9])]);
        assert_eq!(u16_at(&bytes, 6), Some(REQUEST | DUMP));
    }

    proptest! {
        #[test]
        fn walking_any_bytes_ends_without_panic(bytes: Vec<u8>) {
            // Each step takes at least a header's worth of bytes.
            prop_assert!(Messages::new(&bytes).count() <= bytes.len() / HEADER + 1);
            prop_assert!(Attributes::new(&bytes).count() <= bytes.len() / 4);
        }
    }
}

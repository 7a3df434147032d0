//! Messages between supervisor, stub and handler: one datagram each, and the same program on both ends.
//!
//! A message is a version, a kind and fields; numbers are big-endian, texts and lists carry their length. A
//! message of another version, with a field too few or a byte too many is none.
//!
//! Bytes only: sockets and descriptors are `channel`'s.

use super::Generation;
use super::event::{Bind, Event, Kept};
use super::fields::{Reader, Writer};

/// The longest message.
pub(super) const LONGEST: usize = 4096;
/// The most generations of one socket that are told.
const MOST_GENERATIONS: usize = 64;

/// What the handler is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// From a stub, with two descriptors: where the questions of its filter arrive, and where to say that they
    /// will be answered.
    Enter { generation: Generation, no_new_privs: bool },
    /// With a socket that is bound for the program.
    Preload { name: String },
    /// The generation is ready.
    Ready { generation: Generation },
    /// Nothing of the generation lives any more.
    Ended { generation: Generation },
    /// With a descriptor where the kept sockets are to be told.
    Status,
    /// How to do it; the first message.
    Begin { raise_backlog: bool },
}

impl Order {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new();
        match self {
            Order::Enter { generation, no_new_privs } => {
                out.u8(1).u32(*generation).u8((*no_new_privs).into());
            }
            Order::Preload { name } => {
                out.u8(2).text(name);
            }
            Order::Ready { generation } => {
                out.u8(3).u32(*generation);
            }
            Order::Ended { generation } => {
                out.u8(4).u32(*generation);
            }
            Order::Status => {
                out.u8(5);
            }
            Order::Begin { raise_backlog } => {
                out.u8(6).u8((*raise_backlog).into());
            }
        }
        out.0
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Order> {
        let mut from = Reader::new(bytes)?;
        let order = match from.u8()? {
            1 => Order::Enter { generation: from.u32()?, no_new_privs: from.bool()? },
            2 => Order::Preload { name: from.text()? },
            3 => Order::Ready { generation: from.u32()? },
            4 => Order::Ended { generation: from.u32()? },
            5 => Order::Status,
            6 => Order::Begin { raise_backlog: from.bool()? },
            _ => return None,
        };
        from.end().map(|()| order)
    }
}

pub(super) fn event_to_bytes(event: &Event) -> Vec<u8> {
    let mut out = Writer::new();
    match event {
        Event::Entered { generation, no_new_privs } => {
            out.u8(1).u32(*generation).u8((*no_new_privs).into());
        }
        Event::Listening { generation, address, adopted } => {
            out.u8(2).u32(*generation).address(address).u8((*adopted).into());
        }
        Event::Raised { generation, address, from, to } => {
            out.u8(3).u32(*generation).address(address).u32(*from).u32(*to);
        }
        Event::Shared { generation, address, what } => {
            out.u8(4).u32(*generation).address(address).text(what);
        }
        Event::QueueReset { generation, address, why } => {
            out.u8(5).u32(*generation).address(address).text(why);
        }
        Event::Unclaimed { generation, address, name, waiting, dropped, why } => {
            out.u8(6).u32(*generation).address(address).maybe_text(name.as_deref()).maybe_u32(*waiting);
            out.u8((*dropped).into()).text(why);
        }
        Event::Impossible { sentence } => {
            out.u8(7).text(sentence);
        }
        Event::Lost { count } => {
            out.u8(8).u32(*count);
        }
        Event::LeftToKernel { generation, bind } => {
            let Bind { address, reuseaddr, reuseport, v6only } = bind;
            out.u8(9).u32(*generation).address(address);
            out.u8((*reuseaddr).into()).u8((*reuseport).into()).u8((*v6only).into());
        }
        Event::StandInLost { replaced } => {
            out.u8(10).u8((*replaced).into());
        }
    }
    out.0
}

pub(super) fn event_from_bytes(bytes: &[u8]) -> Option<Event> {
    let mut from = Reader::new(bytes)?;
    let event = match from.u8()? {
        1 => Event::Entered { generation: from.u32()?, no_new_privs: from.bool()? },
        2 => Event::Listening { generation: from.u32()?, address: from.address()?, adopted: from.bool()? },
        3 => Event::Raised {
            generation: from.u32()?,
            address: from.address()?,
            from: from.u32()?,
            to: from.u32()?,
        },
        4 => Event::Shared { generation: from.u32()?, address: from.address()?, what: from.text()? },
        5 => Event::QueueReset { generation: from.u32()?, address: from.address()?, why: from.text()? },
        6 => Event::Unclaimed {
            generation: from.u32()?,
            address: from.address()?,
            name: from.maybe(Reader::text)?,
            waiting: from.maybe(Reader::u32)?,
            dropped: from.bool()?,
            why: from.text()?,
        },
        7 => Event::Impossible { sentence: from.text()? },
        8 => Event::Lost { count: from.u32()? },
        9 => Event::LeftToKernel {
            generation: from.u32()?,
            bind: Bind {
                address: from.address()?,
                reuseaddr: from.bool()?,
                reuseport: from.bool()?,
                v6only: from.bool()?,
            },
        },
        10 => Event::StandInLost { replaced: from.bool()? },
        _ => return None,
    };
    from.end().map(|()| event)
}

pub(super) fn kept_to_bytes(kept: &Kept) -> Vec<u8> {
    let mut out = Writer::new();
    out.address(&kept.address).maybe_text(kept.name.as_deref()).u8(kept.listening.into());
    out.maybe_u32(kept.queue.map(|(waiting, _)| waiting)).maybe_u32(kept.queue.map(|(_, backlog)| backlog));
    let generations = kept.generations.get(..MOST_GENERATIONS).unwrap_or(&kept.generations);
    out.u8(generations.len() as u8);
    for &generation in generations {
        out.u32(generation);
    }
    out.0
}

pub(super) fn kept_from_bytes(bytes: &[u8]) -> Option<Kept> {
    let mut from = Reader::new(bytes)?;
    let kept = Kept {
        address: from.address()?,
        name: from.maybe(Reader::text)?,
        listening: from.bool()?,
        queue: from.maybe(Reader::u32)?.zip(from.maybe(Reader::u32)?),
        generations: (0..from.u8()?).map(|_| from.u32()).collect::<Option<_>>()?,
    };
    from.end().map(|()| kept)
}

#[cfg(test)]
mod tests {
    use super::super::fields::{LONGEST_TEXT, VERSION};
    use super::*;
    use inuse_rules::address::UnixName;
    use inuse_rules::{Address, Transport, UnixKind};

    fn addresses() -> Vec<Address> {
        let unix = |kind, name| Address::Unix { kind, name };
        vec![
            Address::tcp("127.0.0.1:80".parse().expect("written right")),
            Address::udp("[fe80::1%3]:53".parse().expect("written right")),
            Address::Inet {
                transport: Transport::Tcp,
                local: "[::]:0".parse().expect("written right"),
                device: 7,
            },
            unix(UnixKind::Stream, UnixName::Path(b"/run/\xff.sock".to_vec())),
            unix(UnixKind::Seqpacket, UnixName::Abstract(b"a\0b".to_vec())),
            unix(UnixKind::Datagram, UnixName::Unnamed),
        ]
    }

    fn events() -> Vec<Event> {
        let mut events = vec![
            Event::Entered { generation: 1, no_new_privs: true },
            Event::Impossible { sentence: "no".into() },
            Event::Lost { count: u32::MAX },
            Event::StandInLost { replaced: true },
        ];
        for address in addresses() {
            events.extend([
                Event::LeftToKernel {
                    generation: 2,
                    bind: Bind { address: address.clone(), reuseaddr: true, reuseport: false, v6only: true },
                },
                Event::Listening { generation: 2, address: address.clone(), adopted: true },
                Event::Raised { generation: 3, address: address.clone(), from: 5, to: 4096 },
                Event::Shared { generation: 3, address: address.clone(), what: "é".into() },
                Event::QueueReset { generation: 4, address: address.clone(), why: String::new() },
                Event::Unclaimed {
                    generation: u32::MAX,
                    address,
                    name: Some("web".into()),
                    waiting: None,
                    dropped: true,
                    why: "why".into(),
                },
            ]);
        }
        events
    }

    fn orders() -> Vec<Order> {
        vec![
            Order::Begin { raise_backlog: true },
            Order::Enter { generation: 7, no_new_privs: false },
            Order::Preload { name: "web".into() },
            Order::Ready { generation: 8 },
            Order::Ended { generation: 9 },
            Order::Status,
        ]
    }

    fn kept() -> Vec<Kept> {
        let one = |address| Kept {
            address,
            name: None,
            listening: true,
            queue: Some((3, 4096)),
            generations: vec![1, 2],
        };
        addresses().into_iter().map(one).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        for event in events() {
            assert_eq!(event_from_bytes(&event_to_bytes(&event)), Some(event));
        }
        for order in orders() {
            assert_eq!(Order::from_bytes(&order.to_bytes()), Some(order));
        }
        for one in kept() {
            assert_eq!(kept_from_bytes(&kept_to_bytes(&one)), Some(one));
        }
    }

    #[test]
    fn a_cut_a_longer_and_another_version_are_none() {
        let all = events().iter().map(event_to_bytes).collect::<Vec<_>>();
        for bytes in &all {
            for cut in 0..bytes.len() {
                assert_eq!(event_from_bytes(&bytes[..cut]), None, "{bytes:?} cut at {cut}");
            }
            assert_eq!(event_from_bytes(&[bytes.as_slice(), &[0]].concat()), None);
            let mut other = bytes.clone();
            other[0] = VERSION + 1;
            assert_eq!(event_from_bytes(&other), None);
        }
        for bytes in [&[][..], &[VERSION], &[VERSION, 0], &[VERSION, 99], &[VERSION, 1, 0, 0, 0, 1, 2]] {
            assert_eq!(Order::from_bytes(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        // Every message with each byte changed in turn; and what stays readable is written within the bound.
        for bytes in events().iter().map(event_to_bytes).chain(kept().iter().map(kept_to_bytes)) {
            for at in 0..bytes.len() {
                for value in [0, 1, 4, 0x7f, 0xff] {
                    let mut other = bytes.clone();
                    other[at] = value;
                    let _ = (event_from_bytes(&other), kept_from_bytes(&other), Order::from_bytes(&other));
                }
            }
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let event = Event::Impossible { sentence: "é".repeat(10_000) };
        let bytes = event_to_bytes(&event);
        assert!(bytes.len() <= LONGEST);
        let Some(Event::Impossible { sentence }) = event_from_bytes(&bytes) else { panic!("it is readable") };
        assert!(sentence.chars().all(|c| c == 'é') && sentence.len() <= LONGEST_TEXT);
    }
}

//! The teaching servers and clients, on which programmers meet `Address already in use`: small, real, concurrent.
//!
//! What lives here: what each kind answers (`reply`, `stream`, `chat`: no I/O in them), the one loop that serves them
//! all (`server`), and the client that fits every kind (`client`). Listening is the library's (`inuse_bind`), and
//! the words of the command line are the command's.

mod chat;
mod client;
mod connection;
pub(crate) mod helper;
pub mod measure;
mod printed;
mod reply;
mod server;
mod service;
mod stream;

pub use client::{Client, converse};
pub use printed::Printer;
pub use server::{Server, ServerOptions};

use service::Service;
use std::fmt;
use std::str::FromStr;

/// What a server does with what it hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Prints each message and answers with a fixed sentence.
    Reply,
    /// Takes one message, acknowledges it, and closes: the server closes first.
    Ack,
    /// Sends everything back in upper case.
    Upper,
    /// Greets, and sends a line ten times a second until the client leaves.
    Stream,
    /// Many people in one room.
    Chat,
}

impl Kind {
    /// All of them, in the order in which they are taught.
    pub const ALL: [Kind; 5] = [Kind::Reply, Kind::Ack, Kind::Upper, Kind::Stream, Kind::Chat];

    /// The word on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Reply => "reply",
            Kind::Ack => "ack",
            Kind::Upper => "upper",
            Kind::Stream => "stream",
            Kind::Chat => "chat",
        }
    }

    /// The port that the teaching documents give it.
    pub const fn default_port(self) -> u16 {
        match self {
            Kind::Reply => 5010,
            Kind::Ack => 12000,
            Kind::Upper => 9999,
            Kind::Stream => 8000,
            Kind::Chat => 5120,
        }
    }

    /// What it is, in one line.
    pub const fn about(self) -> &'static str {
        match self {
            Kind::Reply => "prints each message and answers \"Receive your message --- server\"",
            Kind::Ack => "takes one message, answers \"I have received your message.\", and closes first",
            Kind::Upper => "sends everything back in upper case, and prints who asked",
            Kind::Stream => "greets, and sends line after line until the client leaves",
            Kind::Chat => "a room for many people, one line a message; /help says the rest",
        }
    }

    fn service(self) -> Box<dyn Service> {
        match self {
            Kind::Reply => Box::new(reply::Reply::default()),
            Kind::Ack => Box::new(reply::Ack::default()),
            Kind::Upper => Box::new(reply::Upper),
            Kind::Stream => Box::new(stream::Stream::default()),
            Kind::Chat => Box::new(chat::Chat::default()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Kind, String> {
        Kind::ALL.into_iter().find(|kind| kind.name() == word).ok_or_else(|| {
            let names = Kind::ALL.map(Kind::name).join(", ");
            format!("there is no such kind; the kinds are {names}")
        })
    }
}

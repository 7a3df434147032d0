//! What a kind of server decides, apart from sockets: what it hears goes in, what it wishes comes out.

use std::net::SocketAddr;
use std::time::Duration;

/// A connection. No number is given twice.
pub(super) type Id = u64;

/// For whom something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// This connection.
    One(Id),
    /// Every connection but this one.
    AllBut(Id),
    /// Every connection.
    All,
}

/// What a service wishes, in its order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// For the server's own standard output.
    pub(super) print: Vec<u8>,
    /// To be sent. A client that reads too slowly misses messages; it is told how many.
    pub(super) send: Vec<(To, Vec<u8>)>,
    /// Connections to be closed once everything has been delivered.
    pub(super) finish: Vec<Id>,
}

impl Wishes {
    pub(super) fn send(&mut self, to: To, text: impl Into<Vec<u8>>) {
        self.send.push((to, text.into()));
    }
}

/// Whether the bytes that were heard go back as they are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    Yes,
    No,
}

/// One kind of server.
pub(super) trait Service {
    /// Somebody connected.
    fn opened(&mut self, id: Id, peer: SocketAddr, wishes: &mut Wishes);

    /// Bytes came. They may be changed in place and sent back with `Echo::Yes`.
    fn heard(&mut self, id: Id, bytes: &mut [u8], wishes: &mut Wishes) -> Echo;

    /// Nothing came for a while after the last bytes: what came until now is a message, line feed or not.
    fn paused(&mut self, _id: Id, _wishes: &mut Wishes) {}

    /// The client has sent everything (its FIN came). It may still read.
    fn ended(&mut self, id: Id, wishes: &mut Wishes) {
        self.paused(id, wishes);
    }

    /// The connection is gone.
    fn closed(&mut self, id: Id, wishes: &mut Wishes);

    /// How often `tick` is wanted while somebody is connected.
    fn pace(&self) -> Option<Duration> {
        None
    }

    /// A moment of `pace` has come.
    fn tick(&mut self, _wishes: &mut Wishes) {}
}

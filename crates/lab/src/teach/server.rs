//! The loop that serves every kind: one thread, epoll, bounded buffers.
//!
//! No client stops it: who reads slowly makes only itself wait, who floods is read no further than it reads, who is
//! silent for long makes room when room is needed, and who vanished is noticed by keepalive (tcp(7)).

use super::Kind;
use super::connection::{Connection, Heard, Stage};
use super::printed::Printer;
use super::service::{Echo, Id, Service, To, Wishes};
use inuse_bind::ShutdownSignal;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::sockopt;
use std::collections::HashMap;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Connections at once, if descriptors suffice.
const MOST_CONNECTIONS: usize = 1000;
/// After bytes without a line feed, silence of this length ends a message.
const PAUSE: Duration = Duration::from_millis(50);
/// A client that takes none of what waits for it is given up.
const STALLED: Duration = Duration::from_secs(30);
/// How long a close waits for the client's own.
const LINGER: Duration = Duration::from_secs(2);
/// How often the clock is looked at while somebody is connected.
const LOOK: Duration = Duration::from_secs(1);
/// Reads of one client before others have their turn.
const TURNS: usize = 4;
const BUFFER: usize = 64 * 1024;

const LISTENER: u64 = 0;
const STOP: u64 = 1;
const FIRST: Id = 2;

/// How to end.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerOptions {
    /// When told to stop: take no more connections, deliver what is to be delivered, and close each one in order.
    /// Else everything ends at once.
    pub graceful: bool,
}

/// A server of one kind.
pub struct Server<W> {
    kind: Kind,
    listener: Option<TcpListener>,
    options: ServerOptions,
    out: Option<Printer<W>>,
    epoll: OwnedFd,
    service: Box<dyn Service>,
    connections: HashMap<Id, Connection>,
    next: Id,
    most: usize,
    /// Somebody may be in the middle of a message.
    pausing: bool,
    looked: Instant,
    ticked: Instant,
    /// Told to stop, and until when the connections may take their time.
    leaving: Option<Instant>,
}

impl<W: Write> Server<W> {
    /// A server on that listener, which is made non-blocking. What it hears is printed to `out`.
    ///
    /// # Errors
    /// Where the kernel gives no epoll.
    pub fn new(
        kind: Kind,
        listener: TcpListener,
        options: ServerOptions,
        out: Printer<W>,
    ) -> std::io::Result<Server<W>> {
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        let open = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = usize::try_from(open).unwrap_or(usize::MAX).saturating_sub(24).clamp(1, MOST_CONNECTIONS);
        Ok(Server {
            kind,
            listener: Some(listener),
            options,
            out: Some(out),
            epoll,
            service: kind.service(),
            connections: HashMap::new(),
            next: FIRST,
            most,
            pausing: false,
            looked: Instant::now(),
            ticked: Instant::now(),
            leaving: None,
        })
    }

    /// Serves until `stop` can be read: then it ends at once, or in order (`ServerOptions`); being told twice ends it
    /// at once in any case. A closed standard output stops the printing, not the server.
    ///
    /// # Errors
    /// What epoll_wait(2) says; no client is a reason to stop.
    pub fn serve(&mut self, stop: &ShutdownSignal) -> std::io::Result<()> {
        // It stays readable: only what is new is an event.
        let news = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&self.epoll, stop, epoll::EventData::new_u64(STOP), news)?;
        let mut buffer = vec![0; BUFFER];
        let mut events = Vec::with_capacity(256);
        loop {
            let timeout = self.timeout();
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let now = Instant::now();
            let mut wishes = Wishes::default();
            for event in &events {
                let flags = event.flags;
                match event.data.u64() {
                    LISTENER => self.accept(&mut buffer, now, &mut wishes),
                    STOP if !self.options.graceful || stop.received().len() > 1 => return Ok(()),
                    STOP => self.leave(now, &mut wishes),
                    id => {
                        let readable = flags.intersects(
                            epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR,
                        );
                        self.attend(id, readable, &mut buffer, now, &mut wishes);
                    }
                }
                self.grant(&mut wishes, now);
            }
            if now.duration_since(self.looked) >= PAUSE / 2 {
                self.looked = now;
                self.look_at_the_clock(now, &mut wishes);
            }
            self.grant(&mut wishes, now);
            self.print(&mut wishes);
            if self.leaving.is_some() && self.connections.is_empty() {
                return Ok(());
            }
        }
    }

    /// The kind that it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    fn timeout(&self) -> Option<Timespec> {
        if self.connections.is_empty() {
            return None;
        }
        let look = if self.pausing { PAUSE } else { LOOK };
        let wait = self.service.pace().map_or(look, |pace| look.min(pace));
        Timespec::try_from(wait).ok()
    }

    fn accept(&mut self, buffer: &mut [u8], now: Instant, wishes: &mut Wishes) {
        for _ in 0..64 {
            let Some(listener) = &self.listener else { return };
            match listener.accept() {
                Ok((stream, peer)) => {
                    let id = self.next;
                    self.next += 1;
                    let ready = stream.set_nonblocking(true).is_ok()
                        && prepare(&stream).is_ok()
                        && epoll::add(
                            &self.epoll,
                            &stream,
                            epoll::EventData::new_u64(id),
                            epoll::EventFlags::IN,
                        )
                        .is_ok();
                    if !ready {
                        continue;
                    }
                    self.connections.insert(id, Connection::new(stream, now));
                    self.service.opened(id, peer, wishes);
                    self.grant(wishes, now);
                    // Its first bytes are often here already.
                    self.attend(id, true, buffer, now, wishes);
                    self.grant(wishes, now);
                    if self.connections.len() >= self.most {
                        self.make_room(wishes);
                    }
                }
                Err(error) => match Errno::from_io_error(&error) {
                    // One that ended in the queue; the next one may be fine.
                    Some(Errno::CONNABORTED | Errno::INTR) => {}
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                        self.most = self.connections.len().max(1);
                        return self.make_room(wishes);
                    }
                    _ => return,
                },
            }
        }
    }

    /// Ends the connection that has been silent longest.
    fn make_room(&mut self, wishes: &mut Wishes) {
        let silent = self.connections.iter().min_by_key(|(_, connection)| connection.last).map(|(&id, _)| id);
        if let Some(id) = silent {
            self.close(id, wishes);
        }
    }

    /// Reads and writes what one connection is ready for.
    fn attend(&mut self, id: Id, readable: bool, buffer: &mut [u8], now: Instant, wishes: &mut Wishes) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !connection.flush(now) {
            return self.close(id, wishes);
        }
        for _ in 0..TURNS {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            if !readable || !connection.wants().0 {
                break;
            }
            match connection.read(buffer) {
                Heard::Nothing => break,
                Heard::Gone => return self.close(id, wishes),
                Heard::End => {
                    connection.ended = true;
                    connection.heard = false;
                    if connection.stage == Stage::Open {
                        connection.stage = Stage::Finishing;
                        self.service.ended(id, wishes);
                    }
                    break;
                }
                Heard::Bytes(count) => {
                    connection.last = now;
                    if connection.stage != Stage::Open {
                        continue;
                    }
                    connection.heard = true;
                    self.pausing = true;
                    let Some(bytes) = buffer.get_mut(..count) else { break };
                    if self.service.heard(id, bytes, wishes) == Echo::Yes {
                        connection.heard = false;
                        if !connection.send(bytes, now) {
                            return self.close(id, wishes);
                        }
                    }
                    if count < buffer.len() {
                        break;
                    }
                }
            }
        }
        self.grant(wishes, now);
        self.settle(id, now, wishes);
    }

    /// Closes what is finished, and watches for what is wanted next.
    fn settle(&mut self, id: Id, now: Instant, wishes: &mut Wishes) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.stage == Stage::Finishing && connection.is_delivered() {
            connection.linger(now);
        }
        if connection.stage == Stage::Lingering && connection.ended {
            return self.close(id, wishes);
        }
        let wants = connection.wants();
        if wants != connection.watched {
            let mut flags = epoll::EventFlags::empty();
            flags.set(epoll::EventFlags::IN, wants.0);
            flags.set(epoll::EventFlags::OUT, wants.1);
            connection.watched = wants;
            if epoll::modify(&self.epoll, &connection.stream, epoll::EventData::new_u64(id), flags).is_err() {
                self.close(id, wishes);
            }
        }
    }

    /// Does what the service wishes, but for the printing.
    fn grant(&mut self, wishes: &mut Wishes, now: Instant) {
        // Whoever is found gone meanwhile is told to the service, which may wish more.
        while !(wishes.send.is_empty() && wishes.finish.is_empty()) {
            for (to, bytes) in std::mem::take(&mut wishes.send) {
                let ids: Vec<Id> = match to {
                    To::One(id) => vec![id],
                    To::AllBut(id) => self.connections.keys().copied().filter(|&other| other != id).collect(),
                    To::All => self.connections.keys().copied().collect(),
                };
                for id in ids {
                    let Some(connection) = self.connections.get_mut(&id) else { continue };
                    if connection.stage == Stage::Lingering {
                        continue;
                    }
                    if connection.offer(&bytes, matches!(to, To::One(_)), now) {
                        self.settle(id, now, wishes);
                    } else {
                        self.close(id, wishes);
                    }
                }
            }
            for id in std::mem::take(&mut wishes.finish) {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.stage = Stage::Finishing;
                    connection.heard = false;
                    self.settle(id, now, wishes);
                }
            }
        }
    }

    fn close(&mut self, id: Id, wishes: &mut Wishes) {
        // The descriptor's close takes it out of epoll.
        if self.connections.remove(&id).is_some() {
            self.service.closed(id, wishes);
        }
    }

    fn look_at_the_clock(&mut self, now: Instant, wishes: &mut Wishes) {
        self.pausing = false;
        let mut paused = Vec::new();
        let mut over = Vec::new();
        for (&id, connection) in &mut self.connections {
            let silent = now.duration_since(connection.last);
            if connection.heard && silent >= PAUSE {
                connection.heard = false;
                paused.push(id);
            }
            self.pausing |= connection.heard;
            let stalled = !connection.is_delivered() && silent >= STALLED;
            let lingered = connection.stage == Stage::Lingering && silent >= LINGER;
            if stalled || lingered || self.leaving.is_some_and(|until| now >= until) {
                over.push(id);
            }
        }
        for id in paused {
            self.service.paused(id, wishes);
        }
        for id in over {
            self.close(id, wishes);
        }
        if let Some(pace) = self.service.pace()
            && now.duration_since(self.ticked) >= pace
            && self.leaving.is_none()
        {
            self.ticked = now;
            if !self.connections.is_empty() {
                self.service.tick(wishes);
            }
        }
    }

    /// No more connections; those that are here are closed in order.
    fn leave(&mut self, now: Instant, wishes: &mut Wishes) {
        self.listener = None;
        self.leaving = Some(now + LINGER);
        wishes.finish.extend(self.connections.keys().copied());
    }

    fn print(&mut self, wishes: &mut Wishes) {
        let text = std::mem::take(&mut wishes.print);
        if let Some(out) = self.out.as_mut().filter(|_| !text.is_empty())
            && out.print(&text).is_err()
        {
            self.out = None;
        }
    }
}

/// A client that vanished without a word is noticed after two minutes (tcp(7)).
fn prepare(stream: &std::net::TcpStream) -> rustix::io::Result<()> {
    let stream = stream.as_fd();
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(60))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(stream, 6)?;
    // Small answers are sent at once.
    sockopt::set_tcp_nodelay(stream, true)
}

//! One client: its connection, and its loop.

use super::answer::{Answer, LONGEST, SLOW};
use super::tally::{Outcome, Tally};
use super::{PATIENCE, Plan};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A connection for each request.
    OneShot,
    /// One connection for many.
    KeepAlive,
    /// A connection for each request, and each takes two seconds.
    Slow,
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    kind: Kind,
    plan: Plan,
    over: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    /// The connection that takes another request.
    kept: Option<TcpStream>,
}

impl Client {
    pub(super) fn new(kind: Kind, plan: Plan, over: Arc<AtomicBool>, tally: Arc<Mutex<Tally>>) -> Client {
        Client { kind, plan, over, tally, kept: None }
    }

    /// Asks until it is over.
    pub(super) fn work(mut self) {
        while !self.over.load(Ordering::Relaxed) {
            let outcome = self.request();
            if let Ok(mut tally) = self.tally.lock() {
                tally.count(outcome);
            }
            std::thread::sleep(self.plan.pause);
        }
    }

    fn request(&mut self) -> Outcome {
        let since = Instant::now();
        let kept = self.kept.take();
        let used_before = kept.is_some();
        let mut stream = match kept.map_or_else(|| self.connect(), Ok) {
            Ok(stream) => stream,
            Err(error) => return Outcome::Unconnected(error),
        };
        let (path, usual) = match self.kind {
            Kind::Slow => ("/slow", SLOW),
            _ => ("/", Duration::ZERO),
        };
        let question = self.plan.speaks.question(path, self.kind == Kind::KeepAlive);
        let mut bytes = Vec::new();
        let exchanged = stream.write_all(&question).and_then(|()| self.read(&mut stream, &mut bytes));
        match exchanged {
            Ok(Some(Answer { generation: Some(generation), stays })) => {
                self.kept = (stays && self.kind == Kind::KeepAlive).then_some(stream);
                Outcome::Answered { generation, took: since.elapsed().saturating_sub(usual) }
            }
            Ok(Some(Answer { generation: None, .. })) => Outcome::Wrong,
            Ok(None) | Err(_) if used_before && bytes.is_empty() && since.elapsed() < PATIENCE => {
                Outcome::Stale
            }
            Ok(None) => Outcome::Ended { begun: !bytes.is_empty() },
            Err(error) => Outcome::Broken(error),
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.plan.to, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The answer, or nothing where the connection ends before.
    fn read(&self, stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Option<Answer>> {
        let mut part = [0u8; 4096];
        loop {
            let length = match stream.read(&mut part) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            bytes.extend_from_slice(part.get(..length).unwrap_or_default());
            let answer = self.plan.speaks.answer(bytes, length == 0);
            if answer.is_some() || length == 0 || bytes.len() > LONGEST {
                return Ok(answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Dialect, Load, ask};
    use std::net::{SocketAddr, TcpListener};

    fn server() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(crate::zoo::address()).expect("a port that nobody else has");
        let address = listener.local_addr().expect("its address");
        (listener, address)
    }

    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\ngeneration=1";

    /// A server that does this with each connection and then closes it.
    #[track_caller]
    fn check(act: fn(&mut TcpStream), one_shot: usize, expect: fn(&Tally) -> bool) {
        let (listener, to) = server();
        let thread = std::thread::spawn(move || {
            let mut ends = [0u8; 1];
            loop {
                let (mut stream, _) = listener.accept().expect("a client");
                stream.set_read_timeout(Some(Duration::from_secs(5))).expect("an option");
                let peeked = stream.peek(&mut ends);
                if peeked.is_ok() && ends == *b"!" {
                    return;
                }
                act(&mut stream);
            }
        });
        let keep_alive = usize::from(one_shot == 0);
        let plan = Plan { one_shot, keep_alive, ..Plan::new(to, Dialect::Http) };
        let load = Load::start(&plan).expect("clients");
        let until = Instant::now() + PATIENCE;
        while !expect(&load.so_far()) {
            assert!(Instant::now() < until, "{}", load.so_far());
            std::thread::sleep(Duration::from_millis(2));
        }
        load.stop();
        TcpStream::connect(to).and_then(|mut stream| stream.write_all(b"!")).expect("the server");
        thread.join().expect("the server");
    }

    fn read_and_say(stream: &mut TcpStream, bytes: &[u8]) {
        let mut question = [0u8; 512];
        let _ = stream.read(&mut question);
        let _ = stream.write_all(bytes);
    }

    #[test]
    fn what_clients_see_is_counted() {
        check(
            |stream| read_and_say(stream, WHOLE),
            1,
            |t| t.ok > 2 && t.lost() == 0 && t.generations["1"] > 2,
        );
        check(|stream| read_and_say(stream, b""), 1, |t| t.empty > 2 && t.ok == 0);
        check(|stream| read_and_say(stream, &WHOLE[..20]), 1, |t| t.torn > 2 && t.ok == 0);
        check(
            |stream| read_and_say(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            1,
            |t| t.wrong > 2,
        );
        // Closed with the question unread: the kernel resets.
        check(|_| (), 1, |t| t.reset > 2 && t.ok == 0);
        // The connection says that it stays, and is closed: the next request is asked again.
        check(|stream| read_and_say(stream, WHOLE), 0, |t| t.ok > 2 && t.stale > 1 && t.lost() == 0);
    }

    #[test]
    fn nobody_there() {
        let (listener, to) = server();
        drop(listener);
        assert_eq!(
            ask(to, Dialect::Http).map_err(|error| error.kind()),
            Err(io::ErrorKind::ConnectionRefused)
        );
        let load = Load::start(&Plan::new(to, Dialect::Http)).expect("clients");
        std::thread::sleep(Duration::from_millis(50));
        let tally = load.stop();
        assert!(tally.refused > 0 && tally.ok == 0 && tally.turned_away() == tally.refused, "{tally}");
        let ephemeral = SocketAddr::from(([127, 0, 0, 1], 50_000));
        assert!(Load::start(&Plan::new(ephemeral, Dialect::Http)).is_err());
    }
}

//! The data path: servers that give back what they get, one under the filter and two without, asked in turns.

use crate::load::PATIENCE;
use crate::zoo::{Supervisor, address, run as supervised};
use rustix::net::sockopt::set_socket_linger;
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a message is.
pub(super) const MESSAGE: [u8; 64] = [b'x'; 64];

/// One of the two things that are asked of a server, round by round.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// How many a second.
    pub(super) rates: Vec<f64>,
    /// Microseconds of the server's processor time for each: what a busy machine lengthens least.
    pub(super) processor: Vec<f64>,
}

/// What came of one server.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// A message there and back on a connection of its own.
    pub(super) connections: Rates,
    /// A message there and back on a connection that stays.
    pub(super) trips: Rates,
}

/// A server under the filter, one without, and another one without, which shows how much is chance.
#[derive(Debug, Default)]
pub(super) struct DataPath {
    pub(super) filtered: Figures,
    pub(super) plain: Figures,
    pub(super) control: Figures,
}

/// Measures, so long for each figure.
pub(super) fn measure(inuse: &Path, rounds: usize, time: Duration) -> io::Result<DataPath> {
    let at = [address(), address(), address()];
    let words = |at: SocketAddr| ["echo".to_owned(), "--at".to_owned(), at.to_string()].map(OsString::from);
    let this = std::env::current_exe()?.into_os_string();
    let program: Vec<OsString> = std::iter::once(this.clone()).chain(words(at[0])).collect();
    let filtered = Supervisor::start(inuse, supervised(inuse, &[], &program))?;
    let plain = Plain::start(Command::new(&this).args(words(at[1])))?;
    let control = Plain::start(Command::new(&this).args(words(at[2])))?;
    let pids = [filtered.process(1).map_err(io::Error::other)?, plain.0.id(), control.0.id()];
    let mut path = DataPath::default();
    for round in 0..=rounds {
        for turn in 0..at.len() {
            // Each round in another order.
            let which = (turn + round) % at.len();
            let (at, pid) = (at[which], pids[which]);
            let figures = match which {
                0 => &mut path.filtered,
                1 => &mut path.plain,
                _ => &mut path.control,
            };
            // The first round waits for the servers and warms the caches.
            let counts = round > 0;
            figures.connections.measure(pid, time, counts, || trip(&mut connect(at)?))?;
            let mut stream = connect(at)?;
            figures.trips.measure(pid, time, counts, || trip(&mut stream))?;
        }
    }
    Ok(path)
}

impl Rates {
    fn measure(
        &mut self,
        pid: u32,
        time: Duration,
        counts: bool,
        mut act: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        let (before, since, mut count) = (processor(pid)?, Instant::now(), 0_u32);
        while since.elapsed() < time || count == 0 {
            act()?;
            count += 1;
        }
        if counts {
            let took = processor(pid)?.saturating_sub(before);
            self.rates.push(f64::from(count) / since.elapsed().as_secs_f64());
            self.processor.push(took.as_secs_f64() * 1e6 / f64::from(count));
        }
        Ok(())
    }
}

/// The time that a process of one thread has had a processor: proc_pid_schedstat(5), in nanoseconds.
fn processor(pid: u32) -> io::Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let first = text.split_whitespace().next().and_then(|number| number.parse().ok());
    first.map(Duration::from_nanos).ok_or_else(|| io::Error::other("the kernel does not count it"))
}

/// A server that goes with this value.
struct Plain(Child);

impl Plain {
    fn start(command: &mut Command) -> io::Result<Plain> {
        command.stdin(Stdio::null()).spawn().map(Plain)
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Connects, at first to a server that may still start; closing resets, so that nothing is left in TIME_WAIT.
fn connect(at: SocketAddr) -> io::Result<TcpStream> {
    let until = Instant::now() + PATIENCE;
    let stream = loop {
        match TcpStream::connect(at) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => break other?,
        }
    };
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    set_socket_linger(&stream, Some(Duration::ZERO))?;
    Ok(stream)
}

fn trip(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&MESSAGE)?;
    let mut back = [0; MESSAGE.len()];
    stream.read_exact(&mut back)?;
    if back == MESSAGE { Ok(()) } else { Err(io::Error::other("a wrong answer")) }
}

#[cfg(test)]
mod tests {
    use super::super::{EchoArgs, echo};
    use super::*;

    #[test]
    fn what_goes_there_comes_back() -> io::Result<()> {
        let at = address();
        std::thread::spawn(move || echo(&EchoArgs { at }));
        let mut rates = Rates::default();
        let this = std::process::id();
        rates.measure(this, Duration::from_millis(20), true, || trip(&mut connect(at)?))?;
        let mut stream = connect(at)?;
        rates.measure(this, Duration::from_millis(20), true, || trip(&mut stream))?;
        rates.measure(this, Duration::ZERO, false, || trip(&mut stream))?;
        assert!(rates.rates.len() == 2 && rates.rates.iter().all(|&rate| rate > 0.0), "{rates:?}");
        assert!(rates.processor.len() == 2 && rates.processor.iter().all(|&took| took >= 0.0), "{rates:?}");
        Ok(())
    }
}

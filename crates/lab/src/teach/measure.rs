//! `upper` against a plain epoll server in C of the same behaviour: connections a second, and bytes through.
//!
//! Both serve the same client, which is this process, in turns; what counts is the ratio within one run.

use crate::ROLE;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The source of the other server.
const OTHER: &str = include_str!("upper.c");
/// Connections that stream at once.
const STREAMS: usize = 4;

/// What one server did in one round.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Connections a second: each sends one line, gets its answer and closes.
    pub connections: f64,
    /// Bytes a second that came back.
    pub bytes: f64,
}

/// Rounds of both servers, taken in turns.
#[derive(Debug, Default)]
pub struct Measured {
    /// `inuse lab serve upper`.
    pub ours: Vec<Round>,
    /// The server in C.
    pub other: Vec<Round>,
}

impl Measured {
    /// Our median over the other's: of connections a second, and of bytes a second.
    pub fn ratios(&self) -> (f64, f64) {
        let ratio = |of: fn(&Round) -> f64| median(&self.ours, of) / median(&self.other, of);
        (ratio(|round| round.connections), ratio(|round| round.bytes))
    }
}

/// The middle one.
pub fn median(rounds: &[Round], of: fn(&Round) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Measures both, this often and in turns. `scratch`: a directory for the compiled C server.
///
/// # Errors
/// Where there is no C compiler, or an answer is wrong.
pub fn measure(rounds: usize, time: Duration, scratch: &Path) -> io::Result<Measured> {
    let other = compile(scratch)?;
    let this = std::env::current_exe()?;
    let mut measured = Measured::default();
    for round in 0..rounds * 2 {
        let ours = round % 2 == 0;
        let mut command = if ours {
            let mut command = Command::new(&this);
            command.args([ROLE, "teach", "upper"]);
            command
        } else {
            Command::new(&other)
        };
        let server = Running::start(&mut command)?;
        let round = Round { connections: connections(server.port, time)?, bytes: bytes(server.port, time)? };
        if ours { measured.ours.push(round) } else { measured.other.push(round) }
    }
    Ok(measured)
}

fn compile(scratch: &Path) -> io::Result<std::path::PathBuf> {
    let (source, program) = (scratch.join("upper.c"), scratch.join("upper"));
    std::fs::write(&source, OTHER)?;
    let status = Command::new("gcc").args(["-O2", "-o"]).arg(&program).arg(&source).status()?;
    if status.success() { Ok(program) } else { Err(io::Error::other("gcc refuses upper.c")) }
}

/// A server that goes with this value.
struct Running {
    child: Child,
    port: u16,
}

impl Running {
    fn start(command: &mut Command) -> io::Result<Running> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let out = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut out = BufReader::new(out);
        out.read_line(&mut line)?;
        // The addresses that it prints are taken and thrown away.
        std::thread::spawn(move || io::copy(&mut out, &mut io::sink()));
        let port = line.trim().parse().map_err(io::Error::other)?;
        Ok(Running { child, port })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One line, one answer, and the client closes first.
fn connections(port: u16, time: Duration) -> io::Result<f64> {
    let began = Instant::now();
    let mut count = 0_u32;
    while began.elapsed() < time {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.write_all(b"hello\n")?;
        let mut answer = [0; 6];
        stream.read_exact(&mut answer)?;
        if &answer != b"HELLO\n" {
            return Err(io::Error::other("a wrong answer"));
        }
        count += 1;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

/// Streams from several connections at once, each read as fast as it is written.
fn bytes(port: u16, time: Duration) -> io::Result<f64> {
    let began = Instant::now();
    let total: io::Result<f64> = std::thread::scope(|scope| {
        let streams: Vec<_> = (0..STREAMS).map(|_| scope.spawn(move || stream(port, time))).collect();
        streams
            .into_iter()
            .map(|stream| stream.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())))
            .sum()
    });
    total.map(|total| total / began.elapsed().as_secs_f64())
}

fn stream(port: u16, time: Duration) -> io::Result<f64> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let mut reader = stream.try_clone()?;
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let (mut total, mut buffer) = (0.0, vec![0; 64 * 1024]);
            loop {
                match reader.read(&mut buffer)? {
                    0 => return Ok(total),
                    count if buffer.iter().take(count).all(|&byte| byte == b'X') => {
                        total += u32::try_from(count).map_or(0.0, f64::from);
                    }
                    _ => return Err(io::Error::other("a wrong answer")),
                }
            }
        });
        let (block, began) = (vec![b'x'; 64 * 1024], Instant::now());
        while began.elapsed() < time {
            stream.write_all(&block)?;
        }
        stream.shutdown(Shutdown::Write)?;
        reading.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    })
}

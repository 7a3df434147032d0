//! The client that fits every kind: what is typed goes out, what comes back is printed.

use super::Kind;
use super::printed::Printer;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;

/// What the client says.
#[derive(Debug)]
pub enum Client<R> {
    /// One message, and then nothing more.
    Message(Vec<u8>),
    /// Everything that can be read there.
    Input(R),
    /// Nothing: it listens.
    Listen,
}

/// Talks to a server of this kind until it has closed. The end of what is said is told to the server by a FIN, and
/// what it still answers is printed; only `ack`, which closes after a message by itself, is left to close first. It
/// goes on reading while it waits to write, so that neither side stops the other.
///
/// # Errors
/// What reading, writing or the connection says.
pub fn converse<R: Read + AsFd, W: Write>(
    kind: Kind,
    mut stream: TcpStream,
    says: Client<R>,
    out: &mut Printer<W>,
) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let (mut unsent, mut input) = match says {
        Client::Message(message) => (message, None),
        Client::Input(input) => (Vec::new(), Some(input)),
        Client::Listen => return listen(&mut stream, out),
    };
    let (mut open, mut said) = (true, false);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if open && unsent.is_empty() && input.is_none() {
            if !(kind == Kind::Ack && said) {
                // The server may be gone already.
                let _ = stream.shutdown(Shutdown::Write);
            }
            open = false;
        }
        let asking = input.as_ref().filter(|_| unsent.is_empty());
        let ready = ready(&stream, !unsent.is_empty(), asking)?;
        if ready.readable && !read(&mut stream, &mut buffer, out)? {
            return Ok(());
        }
        if ready.writable {
            match stream.write(&unsent) {
                Ok(count) => {
                    unsent.drain(..count);
                    said = true;
                }
                Err(error) if passes(&error) => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(from) = input.as_mut().filter(|_| ready.input) {
            match from.read(&mut buffer) {
                Ok(0) => input = None,
                Ok(count) => unsent.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if passes(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn listen<W: Write>(stream: &mut TcpStream, out: &mut Printer<W>) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while ready::<TcpStream>(stream, false, None).is_ok() && read(stream, &mut buffer, out)? {}
    Ok(())
}

/// Prints what came; false at its end, and where nobody reads what is printed any more.
fn read<W: Write>(stream: &mut TcpStream, buffer: &mut [u8], out: &mut Printer<W>) -> io::Result<bool> {
    match stream.read(buffer) {
        Ok(0) => Ok(false),
        Ok(count) => match out.print(buffer.get(..count).unwrap_or_default()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            printed => printed.map(|()| true),
        },
        Err(error) if passes(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

fn passes(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
}

struct Ready {
    readable: bool,
    writable: bool,
    input: bool,
}

/// Sleeps until one of them can go on.
fn ready<R: AsFd>(stream: &TcpStream, write: bool, input: Option<&R>) -> io::Result<Ready> {
    let wanted = if write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    let mut fds = vec![PollFd::new(stream, wanted)];
    fds.extend(input.map(|input| PollFd::new(input, PollFlags::IN)));
    loop {
        match poll(&mut fds, None) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let came = |at: usize| fds.get(at).map_or(PollFlags::empty(), PollFd::revents);
    let readable = came(0).intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
    Ok(Ready { readable, writable: write && came(0).contains(PollFlags::OUT), input: !came(1).is_empty() })
}

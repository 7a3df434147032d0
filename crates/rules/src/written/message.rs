//! Finds the address in what a failing program printed.
//!
//! The lines that complain are searched first, so that a stack trace (`server.js:10`), a time (`12:30`)
//! or a log prefix is not taken for an address. Where a message spreads address and port over several
//! lines (postgres, node's error object), they are put together.

use super::{Host, Target, Written, parse};
use crate::address::Transport;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// The most bytes of a line that are read.
pub const MAX_LINE: usize = 4096;
/// The most addresses that are taken from one message.
const MAX_FOUND: usize = 16;

/// Why no address came out of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// The text holds nothing at all.
    Empty,
    /// This line complains about an address and does not say which.
    Unnamed(String),
    /// No line complains about an address.
    NoComplaint,
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nothing::Empty => {
                f.write_str("the text is empty; pipe the error message in: cmd 2>&1 | inuse why -")
            }
            Nothing::Unnamed(line) => {
                let line: String = crate::address::escape(line.trim().as_bytes()).chars().take(100).collect();
                write!(
                    f,
                    "the message does not say which address ('{line}'); ask with the port, for instance inuse 8080; inuse ls lists those that are taken"
                )
            }
            Nothing::NoComplaint => {
                f.write_str("the text complains about no address; ask with the port, for instance inuse 8080")
            }
        }
    }
}

impl core::error::Error for Nothing {}

/// The addresses that a message names, in its order, without repetition.
///
/// # Errors
///
/// [`Nothing`] when it names none.
pub fn find(text: &str) -> Result<Vec<Written>, Nothing> {
    let mut reader = Reader::default();
    text.lines().for_each(|line| reader.line(line));
    reader.found()
}

/// Reads a message line by line, as it comes. What it keeps is bounded, however long the text is.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    /// Whether any line held something.
    any: bool,
    /// Whether any line was more than an address alone.
    prose: bool,
    /// The lines that are addresses alone, as long as all are (`echo 8080 | inuse why -`).
    plain: Vec<Written>,
    /// What the complaining lines name.
    found: Vec<Written>,
    /// The first line that complains.
    complaint: Option<String>,
    /// A host that a complaining line names without a port.
    bare_host: Option<String>,
    /// Whether a traceback of Python has begun.
    traceback: bool,
    /// The address in the last of its lines of source that has one, in front of the complaint.
    source: Option<Written>,
    /// A host and a port in fields or lines of their own: the last before the complaint, the first behind it.
    host: Around<String>,
    port: Around<u16>,
}

/// The nearest value on each side of the first line that complains.
#[derive(Clone, Debug)]
struct Around<T> {
    before: Option<T>,
    behind: Option<T>,
}

impl<T> Default for Around<T> {
    fn default() -> Around<T> {
        Around { before: None, behind: None }
    }
}

impl<T> Around<T> {
    fn note(&mut self, complained: bool, value: Option<T>) {
        match value {
            Some(value) if !complained => self.before = Some(value),
            Some(value) => self.behind = self.behind.take().or(Some(value)),
            None => {}
        }
    }

    fn nearest(&self) -> Option<&T> {
        self.behind.as_ref().or(self.before.as_ref())
    }
}

impl Reader {
    /// Takes the next line, without its line feed.
    pub fn line(&mut self, line: &str) {
        let line = without_escapes(cut(line));
        if line.trim().is_empty() {
            return;
        }
        self.any = true;
        match parse(&line) {
            Ok(written) if !self.prose => add(&mut self.plain, written),
            _ => self.prose = true,
        }
        if complains(&line) {
            in_line(&line).into_iter().for_each(|written| add(&mut self.found, written));
            self.bare_host = self.bare_host.take().or_else(|| bare_ip(&line));
            self.complaint.get_or_insert_with(|| line.clone());
        }
        let complained = self.complaint.is_some();
        self.traceback |= line.starts_with("Traceback (most recent call last)");
        if self.traceback && !complained {
            self.source = tuple(&line).map(|found| spoken_of(&line, found)).or(self.source.take());
        }
        self.host.note(complained, field(&line));
        self.port.note(complained, named_ports(&line).first().map(|named| named.port));
    }

    /// Whether a complaint and its address have been read, so that nobody need wait for the end.
    pub fn is_recognised(&self) -> bool {
        !self.found.is_empty() || self.port.behind.is_some()
    }

    /// The addresses that were named, in their order, without repetition.
    ///
    /// # Errors
    ///
    /// [`Nothing`] when there was none.
    pub fn found(self) -> Result<Vec<Written>, Nothing> {
        if !self.any {
            return Err(Nothing::Empty);
        }
        if !self.prose {
            return Ok(self.plain);
        }
        if !self.found.is_empty() {
            return Ok(self.found);
        }
        let Some(complaint) = self.complaint else {
            return Err(Nothing::NoComplaint);
        };
        if let Some(written) = self.source.filter(|_| self.port.behind.is_none()) {
            return Ok(alloc::vec![written]);
        }
        if let Some(&port) = self.port.nearest()
            && let Ok(written) = parse(&join(self.bare_host.as_ref().or(self.host.nearest()).cloned(), port))
        {
            return Ok(alloc::vec![written]);
        }
        Err(Nothing::Unnamed(complaint))
    }
}

fn cut(line: &str) -> &str {
    let mut end = line.len().min(MAX_LINE);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.get(..end).unwrap_or_default()
}

/// A line without the escape sequences of terminals (ECMA-48): colours and cursor movements (CSI), titles
/// and links (OSC), and the short ones.
fn without_escapes(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, escape)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        let end = match escape.as_bytes().first() {
            Some(b'[') => escape.find(|c: char| ('@'..='~').contains(&c) && c != '[').map(|at| at + 1),
            Some(b']') => escape.find(['\u{7}', '\u{1b}']).map(|at| match escape.get(at..at + 2) {
                Some("\u{1b}\\") => at + 2,
                _ => at + 1,
            }),
            _ => escape.chars().next().map(char::len_utf8),
        };
        rest = end.and_then(|end| escape.get(end..)).unwrap_or_default();
    }
    plain.push_str(rest);
    plain
}

fn add(kept: &mut Vec<Written>, written: Written) {
    if kept.len() < MAX_FOUND && !kept.iter().any(|k| k.target == written.target) {
        kept.push(written);
    }
}

/// Whether a line reports a failed bind. In lower case, as the programs in the tests print it.
fn complains(line: &str) -> bool {
    const SIGNS: [&str; 22] = [
        "in use",
        // create-react-app; postgres's question "is another postmaster already running" is none.
        "is already running on port",
        "addrinuse",
        "already allocated",
        "errno 98",
        "errno: 98",
        "(98",
        "code: 98",
        "error 98",
        "10048",
        "only one usage of each socket address",
        "addrnotavail",
        "assign requested address",
        "eacces",
        "permission denied",
        "fail to bind",
        "failed to bind",
        "not bind",
        "cannot bind",
        "unable to bind",
        "failed to listen",
        "unable to listen",
    ];
    let line = line.to_ascii_lowercase();
    SIGNS.iter().any(|sign| line.contains(sign))
}

/// The addresses of one complaining line: complete ones if there are any, then `('host', port)` of
/// Python, then `port N`.
fn in_line(line: &str) -> Vec<Written> {
    let mut found = words(line);
    if found.is_empty() {
        found.extend(tuple(line));
    }
    if found.is_empty() {
        found.extend(
            named_ports(line).into_iter().filter_map(|named| parse(&join(named.host, named.port)).ok()),
        );
    }
    found.into_iter().map(|written| spoken_of(line, written)).collect()
}

/// An address with the protocol of which its line speaks.
fn spoken_of(line: &str, mut written: Written) -> Written {
    let lower = line.to_ascii_lowercase();
    let says =
        |name: &str| lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word.starts_with(name));
    // Node says "listen" for TCP and "bind" for its datagram sockets.
    let datagram = (says("udp") && !says("tcp")) || lower.contains("bind eaddrinuse");
    if let (true, Target::Inet { transport, .. }) = (datagram, &mut written.target) {
        *transport = Transport::Udp;
    }
    written
}

/// Words that are complete addresses. Names count only where no number is found: they are the weakest.
fn words(line: &str) -> Vec<Written> {
    let separates = |c: char| c.is_whitespace() || "\"'`,;()<>{}|=".contains(c);
    let mut strong = Vec::new();
    let mut weak = Vec::new();
    let mut before = "";
    for word in line.split(separates).filter(|word| !word.is_empty()) {
        let address = forms(word).into_iter().flatten().find_map(|form| parse(form).ok().filter(has_address));
        match address.or_else(|| socket_path(before, word)) {
            Some(written) if is_weak(&written) => weak.push(written),
            Some(written) => strong.push(written),
            None => {}
        }
        before = word;
    }
    if strong.is_empty() { weak } else { strong }
}

fn is_weak(written: &Written) -> bool {
    matches!(&written.target, Target::Inet { host: Host::Name(_), .. }) && !written.text.contains("://")
}

/// The ways in which a word may contain an address.
fn forms(word: &str) -> [Option<&str>; 4] {
    let bare = word.trim_end_matches(['.', ',', ':', '!', '?']);
    let inside = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    // Java prints localhost/127.0.0.1:8080 and /0.0.0.0:8080.
    let java = if bare.contains("://") { None } else { bare.split_once('/').map(|(_, rest)| rest) };
    // docker prints 0.0.0.0:8080:172.17.0.2:80/tcp.
    let published = bare.match_indices(':').nth(1).and_then(|(second, _)| bare.get(..second));
    [Some(bare), inside, java, published]
}

/// Whether what was read has the looks of an address, not of a number or of a file and line.
fn has_address(written: &Written) -> bool {
    const SOURCES: [&str; 21] = [
        "js", "mjs", "cjs", "ts", "jsx", "tsx", "go", "py", "rb", "rs", "java", "kt", "php", "c", "cc",
        "cpp", "h", "ex", "exs", "cs", "pl",
    ];
    let text = written.text.as_str();
    match &written.target {
        Target::Inet { host: Host::Every, .. } => text.starts_with([':', '*']) || text.contains("://"),
        Target::Inet { host: Host::Ip { .. }, .. } => true,
        Target::Inet { host: Host::Name(name), .. } => {
            let source = name.rsplit_once('.').is_some_and(|(_, end)| SOURCES.contains(&end));
            text.contains("://") || name == "localhost" || (name.contains('.') && !source)
        }
        Target::Unix { .. } => false,
    }
}

/// A unix socket: `unix:/path`, a path that ends in `.sock` or follows `unix`, `socket`, `in use`.
fn socket_path(before: &str, word: &str) -> Option<Written> {
    let bare = word.trim_end_matches(['.', ',', ':', '!', '?']);
    let before = before.trim_end_matches(':').to_ascii_lowercase();
    let announced = ["unix", "socket", "use", "address", "listen", "eaddrinuse"].contains(&before.as_str());
    let named =
        word.starts_with("unix:") || bare.ends_with(".sock") || bare.ends_with(".socket") || announced;
    let written = parse(bare).ok().filter(|_| named)?;
    matches!(written.target, Target::Unix { .. }).then_some(written)
}

/// Python's `('127.0.0.1', 8000)`.
fn tuple(line: &str) -> Option<Written> {
    let (_, rest) = line.split_once("('").or_else(|| line.split_once("(\""))?;
    let (host, rest) = rest.split_once(['\'', '"'])?;
    let digits = rest.strip_prefix(',')?.trim_start();
    let port = leading_port(digits)?;
    let host = if host.is_empty() { None } else { Some(host.to_string()) };
    parse(&join(host, port)).ok()
}

/// A port that is announced by the word, with the host if that stands beside it.
struct NamedPort {
    host: Option<String>,
    port: u16,
}

/// `port 8080`, `port: 8080`, `port = 8080`, `"127.0.0.1" port 3000` (Ruby), `port 22 on 0.0.0.0` (sshd).
fn named_ports(line: &str) -> Vec<NamedPort> {
    let lower = line.to_ascii_lowercase();
    let mut found = Vec::new();
    for (at, _) in lower.match_indices("port") {
        let (Some(before), Some(after)) = (line.get(..at), line.get(at + 4..)) else { continue };
        if before.ends_with(|c: char| c.is_alphanumeric()) {
            continue;
        }
        let after = after.strip_prefix(['s', 'S']).unwrap_or(after);
        let value = after.trim_start_matches([' ', ':', '=', '"', '\'', '#', '[']);
        if value.len() == after.len() {
            continue;
        }
        let Some(port) = leading_port(value) else { continue };
        let behind = value.trim_start_matches(|c: char| c.is_ascii_digit());
        let host = behind
            .strip_prefix(" on ")
            .and_then(bare_ip_first)
            .or_else(|| before.split_whitespace().last().and_then(bare_ip_first));
        found.push(NamedPort { host, port });
    }
    found
}

/// The number at the start of a text, if it can be a port and is nothing longer.
fn leading_port(text: &str) -> Option<u16> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let longer = rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    if longer { None } else { digits.parse().ok() }
}

/// An IP address without a port, as a word of a line.
fn bare_ip(line: &str) -> Option<String> {
    line.split_whitespace().find_map(bare_ip_first)
}

fn bare_ip_first(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?;
    let word = word.trim_matches(|c: char| "\"'`,;()<>[]".contains(c)).trim_end_matches(['.', ',']);
    let candidates = [word, word.trim_end_matches(':').trim_matches(['"', '\''])];
    candidates.into_iter().find_map(|word| word.parse::<IpAddr>().ok()).map(|ip| ip.to_string())
}

/// `address: '::'` of node's error object.
fn field(line: &str) -> Option<String> {
    let (_, value) = line.split_once("address:")?;
    bare_ip_first(value)
}

fn join(host: Option<String>, port: u16) -> String {
    match host {
        None => format!("{port}"),
        Some(host) if host.contains(':') => format!("[{host}]:{port}"),
        Some(host) => format!("{host}:{port}"),
    }
}

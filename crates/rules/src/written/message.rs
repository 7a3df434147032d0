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

/// The most lines that are read.
const MAX_LINES: usize = 2000;
/// The most bytes of a line that are read.
const MAX_LINE: usize = 4096;
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
                    "the message does not say which address ('{line}'); ask with the port, for instance inuse 8080"
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
    let lines: Vec<&str> =
        text.lines().take(MAX_LINES).map(cut).filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return Err(Nothing::Empty);
    }
    // `echo 8080 | inuse why -`
    if let Ok(plain) = lines.iter().map(|line| parse(line)).collect::<Result<Vec<_>, _>>() {
        return Ok(distinct(plain));
    }
    let complaining: Vec<&str> = lines.iter().copied().filter(|line| complains(line)).collect();
    let found = distinct(complaining.iter().flat_map(|line| in_line(line)).collect());
    if !found.is_empty() {
        return Ok(found);
    }
    let Some(first) = complaining.first() else {
        return Err(Nothing::NoComplaint);
    };
    if let Some(port) = lines.iter().find_map(|line| named_ports(line).into_iter().next()) {
        let host = complaining
            .iter()
            .find_map(|line| bare_ip(line))
            .or_else(|| lines.iter().find_map(|line| field(line)));
        if let Ok(written) = parse(&join(host, port.port)) {
            return Ok(alloc::vec![written]);
        }
    }
    Err(Nothing::Unnamed(first.to_string()))
}

fn cut(line: &str) -> &str {
    let mut end = line.len().min(MAX_LINE);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.get(..end).unwrap_or_default()
}

fn distinct(found: Vec<Written>) -> Vec<Written> {
    let mut kept: Vec<Written> = Vec::new();
    for written in found {
        if kept.len() < MAX_FOUND && !kept.iter().any(|k| k.target == written.target) {
            kept.push(written);
        }
    }
    kept
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
    let lower = line.to_ascii_lowercase();
    let says =
        |name: &str| lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word.starts_with(name));
    // Node says "listen" for TCP and "bind" for its datagram sockets.
    let datagram = (says("udp") && !says("tcp")) || lower.contains("bind eaddrinuse");
    if datagram {
        for written in &mut found {
            if let Target::Inet { transport, .. } = &mut written.target {
                *transport = Transport::Udp;
            }
        }
    }
    found
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

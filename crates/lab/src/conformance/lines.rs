//! Cases from outside: one JSON object a line in, one verdict a line out.
//!
//! In these cases every address counts as local and no port as privileged. An option or uid that is null or
//! absent is *not known*, and the verdict then holds every answer that it could lead to. Fields that are
//! not known here are passed over, so that a case may carry a name of its own.

use std::borrow::Cow;
use std::io::{self, BufRead, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use inuse_kernel::version::parse as kernel_version;
use inuse_rules::address::v4_part;
use inuse_rules::snapshot::Depth;
use inuse_rules::socket::{Learned, Options};
use inuse_rules::{Address, Attempt, Outcome, Snapshot, Socket, State, Transport, Verdict, judge};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The port of every case: which one it is makes no difference.
const PORT: u16 = 8080;

/// One line: who is there, and who comes.
#[derive(Debug, Deserialize, Serialize)]
struct Line<'a> {
    #[serde(borrow)]
    proto: Cow<'a, str>,
    #[serde(borrow)]
    sockets: Vec<LineSocket<'a>>,
    #[serde(borrow)]
    attempt: LineAttempt<'a>,
    /// A release as uname prints it; the newest modelled where absent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    kernel: Option<Cow<'a, str>>,
}

/// An old socket.
#[derive(Debug, Deserialize, Serialize)]
struct LineSocket<'a> {
    #[serde(borrow)]
    local: Cow<'a, str>,
    #[serde(borrow)]
    state: Cow<'a, str>,
    #[serde(default)]
    mini: Option<bool>,
    #[serde(default)]
    reuseaddr: Option<bool>,
    #[serde(default)]
    reuseport: Option<bool>,
    #[serde(default)]
    v6only: Option<bool>,
    #[serde(default)]
    uid: Option<u32>,
    #[serde(borrow, default)]
    device: Option<Device<'a>>,
}

/// The attempt.
#[derive(Debug, Deserialize, Serialize)]
struct LineAttempt<'a> {
    #[serde(borrow)]
    local: Cow<'a, str>,
    #[serde(default)]
    reuseaddr: Option<bool>,
    #[serde(default)]
    reuseport: Option<bool>,
    #[serde(default)]
    v6only: Option<bool>,
    #[serde(default)]
    uid: Option<u32>,
    #[serde(borrow, default)]
    device: Option<Device<'a>>,
}

/// A device by its name or its interface index.
#[derive(Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(untagged)]
enum Device<'a> {
    Index(u32),
    #[serde(borrow)]
    Name(Cow<'a, str>),
}

/// One answer.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    errno: Option<&'a str>,
    at: Option<&'a str>,
    rule: Option<&'a str>,
    by: &'a [usize],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unknown: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    possible: Option<Vec<Option<&'a str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Judges every line of `input` and answers on `output`. True if every line was a case.
///
/// # Errors
/// What reading or writing says.
pub fn judge_lines(mut input: impl BufRead, mut output: impl Write) -> io::Result<bool> {
    let mut bytes = Vec::new();
    let mut reader = Reader::default();
    let mut all_well = true;
    loop {
        bytes.clear();
        if input.read_until(b'\n', &mut bytes)? == 0 {
            output.flush()?;
            return Ok(all_well);
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match reader.judge(bytes.trim_ascii()) {
            Ok(verdict) => write_answer(&mut output, &verdict)?,
            Err(error) => {
                all_well = false;
                serde_json::to_writer(&mut output, &serde_json::json!({ "error": error }))?;
            }
        }
        output.write_all(b"\n")?;
    }
}

/// A snapshot and an attempt as one line of that form.
pub fn line_of(snapshot: &Snapshot, attempt: &Attempt) -> String {
    let Some((transport, local, device)) = attempt.address.inet() else { return String::new() };
    let index = |device: u32| (device != 0).then_some(Device::Index(device));
    let sockets = snapshot.sockets.iter().filter_map(|socket| {
        let (_, local, device) = socket.inet()?;
        Some(LineSocket {
            local: local.ip().to_string().into(),
            state: socket.state.name().into(),
            mini: Some(socket.mini),
            reuseaddr: socket.options.reuseaddr,
            reuseport: socket.options.reuseport,
            v6only: socket.options.v6only,
            uid: socket.uid,
            device: index(device),
        })
    });
    let line = Line {
        proto: transport.name().into(),
        sockets: sockets.collect(),
        attempt: LineAttempt {
            local: local.ip().to_string().into(),
            reuseaddr: Some(attempt.reuseaddr),
            reuseport: Some(attempt.reuseport),
            v6only: Some(attempt.v6only),
            uid: Some(attempt.uid),
            device: index(device),
        },
        kernel: snapshot.kernel.as_ref().map(|kernel| kernel.release.as_str().into()),
    };
    serde_json::to_string(&line).unwrap_or_default()
}

fn write_answer(output: &mut impl Write, verdict: &Verdict) -> io::Result<()> {
    let mut answer = Answer {
        errno: None,
        at: None,
        rule: None,
        by: verdict.by(),
        unknown: false,
        possible: None,
        reason: None,
    };
    match &verdict.outcome {
        Outcome::Ok => {}
        Outcome::Refused(refusal) => {
            answer.errno = Some(refusal.errno.name());
            answer.at = Some(refusal.at.name());
            answer.rule = Some(refusal.rule.code());
        }
        Outcome::Unknown { possible, missing, .. } => {
            answer.unknown = true;
            answer.possible = Some(possible.iter().map(|p| p.map(|errno| errno.name())).collect());
            let facts = missing.iter().map(|fact| fact.describe(|index| format!("socket {index}")));
            answer.reason = Some(facts.collect::<Vec<_>>().join("; "));
        }
    }
    Ok(serde_json::to_writer(output, &answer)?)
}

/// Reads lines into one snapshot that is used again and again.
#[derive(Default)]
struct Reader {
    snapshot: Snapshot,
    devices: Vec<String>,
}

impl Reader {
    fn judge(&mut self, bytes: &[u8]) -> Result<Verdict, String> {
        let line: Line<'_> = serde_json::from_slice(bytes).map_err(|error| offence(bytes, &error))?;
        let transport = match &*line.proto {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            other => return Err(format!("proto: {other:?} is neither \"tcp\" nor \"udp\"")),
        };
        self.devices.clear();
        self.snapshot.sockets.clear();
        self.snapshot.kernel = match &line.kernel {
            None => None,
            Some(release) => Some(
                kernel_version(release).ok_or_else(|| format!("kernel: {release:?} is no kernel release"))?,
            ),
        };
        for (index, row) in line.sockets.iter().enumerate() {
            let socket = self.socket(transport, row).map_err(|e| format!("sockets[{index}].{e}"))?;
            self.snapshot.sockets.push(socket);
        }
        self.snapshot.coverage.bound_inactive = true;
        self.snapshot.coverage.one_chain = interleaved(&self.snapshot.sockets);
        self.snapshot.coverage.ports.insert((transport, PORT), Depth::Every);
        let wanted = &line.attempt;
        let device = self.device(wanted.device.as_ref());
        let local = address(&wanted.local, device).map_err(|e| format!("attempt.{e}"))?;
        let attempt = Attempt {
            reuseaddr: wanted.reuseaddr.unwrap_or(false),
            reuseport: wanted.reuseport.unwrap_or(false),
            v6only: wanted.v6only.unwrap_or(false),
            uid: wanted.uid.unwrap_or(0),
            // Every address is local.
            freebind: true,
            ..Attempt::plain(Address::Inet { transport, local, device })
        };
        Ok(judge(&self.snapshot, &attempt))
    }

    fn socket(&mut self, transport: Transport, row: &LineSocket<'_>) -> Result<Socket, String> {
        let state = state(transport, &row.state)
            .ok_or_else(|| format!("state: {:?} is no {} state", row.state, transport.name()))?;
        let device = self.device(row.device.as_ref());
        let local = address(&row.local, device)?;
        let mut socket = Socket::new(Address::Inet { transport, local, device }, state);
        socket.mini = state == State::TimeWait || row.mini == Some(true);
        socket.uid = if socket.mini { None } else { row.uid };
        if transport == Transport::Udp && state == State::Established {
            // It is connected; to whom makes no difference.
            socket.remote = Some(SocketAddr::new(local.ip(), PORT));
        }
        socket.options = Options {
            reuseaddr: row.reuseaddr,
            reuseport: row.reuseport,
            v6only: if local.is_ipv4() { Some(false) } else { row.v6only },
            learned: Learned::NotYet,
        };
        Ok(socket)
    }

    /// A number for a device: its own, or for a name one that no other name of the case has.
    fn device(&mut self, device: Option<&Device<'_>>) -> u32 {
        const NAMED: u32 = 1 << 30;
        let name = match device {
            None => return 0,
            Some(Device::Index(index)) => return *index,
            Some(Device::Name(name)) if name.is_empty() => return 0,
            Some(Device::Name(name)) => name,
        };
        let place = self.devices.iter().position(|known| known == name).unwrap_or_else(|| {
            self.devices.push(name.to_string());
            self.devices.len() - 1
        });
        NAMED + u32::try_from(place).unwrap_or(0)
    }
}

/// An IP address as inet_ntop(3) writes it, an IPv6 one perhaps with `%` and the number of its scope.
fn address(text: &str, device: u32) -> Result<SocketAddr, String> {
    let (ip, scope) = text.split_once('%').map_or((text, None), |(ip, scope)| (ip, Some(scope)));
    let wrong = || format!("local: {text:?} is no IP address");
    let scope = match scope {
        None => device,
        Some(scope) => scope.parse().map_err(|_| wrong())?,
    };
    match ip.parse::<IpAddr>().map_err(|_| wrong())? {
        IpAddr::V4(v4) => Ok((v4, PORT).into()),
        IpAddr::V6(v6) => Ok(SocketAddrV6::new(v6, PORT, 0, scope).into()),
    }
}

/// A state by its sock_diag name. `CLOSE` is what sock_diag's number 7 is called; what it means depends on
/// the protocol.
fn state(transport: Transport, name: &str) -> Option<State> {
    let state = match name {
        "CLOSE" => State::Unconn,
        "FIN_WAIT1" => State::FinWait1,
        "FIN_WAIT2" => State::FinWait2,
        "BOUND_INACTIVE" => State::Bound,
        "NEW_SYN_RECV" => State::SynRecv,
        name => State::from_name(name)?,
    };
    match (transport, state) {
        (Transport::Tcp, State::Unconn) => Some(State::Bound),
        (Transport::Tcp, state) => Some(state),
        (Transport::Udp, State::Bound | State::Unconn) => Some(State::Unconn),
        (Transport::Udp, State::Established) => Some(State::Established),
        (Transport::Udp, _) => None,
    }
}

/// Whether the families alternate: then the list is in the order of one chain, and not that of two dumps,
/// one behind the other.
fn interleaved(sockets: &[Socket]) -> bool {
    let family = |socket: &Socket| socket.inet().map(|(_, local, _)| local.is_ipv4());
    sockets.windows(2).filter(|pair| family(&pair[0]) != family(&pair[1])).count() > 1
}

/// What is wrong with a line that serde does not take, with the name of the field.
fn offence(bytes: &[u8], error: &serde_json::Error) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return format!("not JSON: {error}") };
    let Some(line) = value.as_object() else { return "the line: must be an object".into() };
    let text = |value: Option<&Value>| value.is_some_and(Value::is_string);
    if !text(line.get("proto")) {
        return "proto: must be a string".into();
    }
    if line.get("kernel").is_some_and(|kernel| !kernel.is_null() && !kernel.is_string()) {
        return "kernel: must be a string".into();
    }
    let Some(sockets) = line.get("sockets").and_then(Value::as_array) else {
        return "sockets: must be an array".into();
    };
    let sockets = sockets.iter().enumerate().map(|(i, socket)| (format!("sockets[{i}]"), socket, true));
    let attempt = line.get("attempt").unwrap_or(&Value::Null);
    for (place, fields, old) in sockets.chain([("attempt".to_owned(), attempt, false)]) {
        let Some(fields) = fields.as_object() else { return format!("{place}: must be an object") };
        for name in ["local", "state"].into_iter().filter(|name| old || *name == "local") {
            if !text(fields.get(name)) {
                return format!("{place}.{name}: must be a string");
            }
        }
        let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
        for name in ["mini", "reuseaddr", "reuseport", "v6only"] {
            if given(name).is_some_and(|value| !value.is_boolean()) {
                return format!("{place}.{name}: must be true, false or null");
            }
        }
        let number = |value: &Value| value.as_u64().is_some_and(|number| u32::try_from(number).is_ok());
        if given("uid").is_some_and(|value| !number(value)) {
            return format!("{place}.uid: must be a number below 2^32, or null");
        }
        if given("device").is_some_and(|value| !number(value) && !value.is_string()) {
            return format!("{place}.device: must be a name, an interface index, or null");
        }
    }
    format!("the line: {error}")
}

/// A snapshot of `count` sockets as a busy server has them, for measuring: one listener, connections to it,
/// some TIME_WAIT, and none that an attempt without SO_REUSEADDR could share with.
pub fn busy_snapshot(count: usize) -> (Snapshot, Attempt) {
    let states = [State::Established, State::TimeWait, State::Established, State::CloseWait];
    let sockets = (0..count)
        .map(|i| {
            let state = if i == 0 { State::Listen } else { states[i % states.len()] };
            let v4 = Ipv4Addr::new(10, 0, (i >> 8) as u8, i as u8);
            let ip: IpAddr = match i % 3 {
                0 => v4.into(),
                1 => v4.to_ipv6_mapped().into(),
                _ => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, i as u16).into(),
            };
            let mut socket = Socket::new(Address::tcp(SocketAddr::new(ip, PORT)), state);
            socket.uid = (!socket.mini).then_some(1000);
            socket.options.reuseaddr = Some(i % 5 != 0);
            socket.options.reuseport = Some(i % 7 == 0);
            socket.options.v6only = Some(v4_part(ip).is_none() && i % 2 == 0);
            socket
        })
        .collect();
    let mut attempt = Attempt::plain(Address::tcp(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), PORT)));
    attempt.freebind = true;
    (complete(sockets), attempt)
}

/// A snapshot of `count` TIME_WAITs on one address, as a server leaves them that closes first.
pub fn time_wait_snapshot(count: usize) -> (Snapshot, Attempt) {
    let here = Address::tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
    let mut socket = Socket::new(here, State::TimeWait);
    (socket.options.reuseaddr, socket.options.reuseport) = (Some(false), Some(false));
    let attempt = Attempt {
        reuseaddr: true,
        freebind: true,
        ..Attempt::plain(Address::tcp(([0, 0, 0, 0], PORT).into()))
    };
    (complete(vec![socket; count]), attempt)
}

/// The memory of SO_REUSEPORT at its worst: `count` sockets that may be remembered, as many others in the
/// way, and an attempt with the option.
pub fn reuseport_snapshot(count: usize) -> (Snapshot, Attempt) {
    let sockets = (0..2 * count).map(|i| {
        let witness = i < count;
        let ip = Ipv4Addr::new(127, 1, (i >> 8) as u8, i as u8);
        let mut socket = Socket::new(Address::tcp(SocketAddr::new(ip.into(), PORT)), State::Established);
        socket.uid = Some(if witness { 0 } else { 1000 });
        (socket.options.reuseaddr, socket.options.reuseport) = (Some(false), Some(witness));
        socket.bound_explicitly = Some(true);
        socket
    });
    let attempt = Attempt {
        reuseport: true,
        freebind: true,
        ..Attempt::plain(Address::tcp(([0, 0, 0, 0], PORT).into()))
    };
    (complete(sockets.collect()), attempt)
}

fn complete(sockets: Vec<Socket>) -> Snapshot {
    let mut snapshot = Snapshot { sockets, ..Snapshot::default() };
    snapshot.coverage.bound_inactive = true;
    snapshot.coverage.ports.insert((Transport::Tcp, PORT), Depth::Every);
    snapshot
}

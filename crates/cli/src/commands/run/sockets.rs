//! The sockets of `-l`: bound before anything is started, and explained where that fails.
//!
//! Not here: how a socket is made, and why one is refused (`inuse_bind::Listen`).

use super::owner::{self, Owner};
use super::privileged;
use crate::args::RunArgs;
use crate::commands::asked::text_of;
use crate::commands::stop::Stop;
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::render::Answer;
use crate::render::human::{self, Look};
use crate::render::run::Log;
use inuse_bind::resolve::{Ask, resolve};
use inuse_bind::{Asker, Error, InetSocket, Listen, Report, UnixSocket, WhyOptions};
use inuse_keeper::hold::log::{Refused, Step, Warning};
use inuse_keeper::hold::{Held, UNNAMED, is_name};
use inuse_kernel::Netns;
use inuse_rules::address::{Transport, UnixKind, UnixName, escape};
use inuse_rules::cure::SourceFix;
use inuse_rules::written::{self, Host, Target, Written};
use inuse_rules::{Address, Outcome};
use rustix::net::{AddressFamily, SocketFlags, SocketType, getsockname, socket_with, sockopt};
use std::ffi::{OsStr, OsString};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// A socket that is wanted.
struct Wanted {
    name: String,
    address: Address,
    /// `Some(false)`: for both families.
    v6only: Option<bool>,
    /// The interface, by its name.
    device: Option<String>,
    /// Which of several forms of a port it is, of which the program takes one: it must not listen, so that the others
    /// can be bound too.
    form: Option<usize>,
}

/// How an address is meant.
#[derive(Clone, Copy)]
struct Meant {
    v6only: bool,
    /// The sockets take the place of the program's own.
    keep: bool,
}

/// Binds all of them, or says why one cannot be bound.
pub(super) fn bind(args: &RunArgs, log: &mut Log, output: &mut Output) -> Result<Vec<Held>, ExitStatus> {
    let words = |text: String, output: &mut Output| {
        output.say(&text);
        ExitStatus::WrongWords
    };
    let owner = args.socket_owner.as_deref().map(owner::parse).transpose();
    let owner = owner.map_err(|wrong| words(wrong, output))?;
    let mut wanted = Vec::new();
    for word in &args.listen {
        let meant = Meant { v6only: args.v6only, keep: args.keep };
        match wants(word, meant) {
            Ok(more) => wanted.extend(more),
            Err(stop) => return Err(stop.tell(output)),
        }
    }
    let mut held = Vec::new();
    let mut chosen = None;
    for one in &mut wanted {
        // A port that the kernel chose for the first form is that of all.
        if let (Some(1..), Address::Inet { local, .. }, Some(port)) = (one.form, &mut one.address, chosen) {
            local.set_port(port);
        }
        match open(one, args.socket_mode) {
            Ok(socket) => {
                chosen = local(&socket).map(|local| local.port());
                if let Err(error) = give(&one.address, owner) {
                    log.step(&Step::NotSetUp { error });
                    return Err(ExitStatus::InUse);
                }
                held.push(Held::new(one.name.clone(), shown(one, &socket), socket));
            }
            Err(Unbound::Words(wrong)) => return Err(words(wrong, output)),
            Err(Unbound::Bind(error)) => {
                explain(&error, &one.address, &args.command, log, output);
                return Err(ExitStatus::InUse);
            }
        }
    }
    Ok(held)
}

/// What may become trouble with these sockets.
pub(super) fn warnings(args: &RunArgs, held: &[Held]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let settings = inuse_kernel::sysctls(&Netns::current()).ok().map(|seen| seen.found);
    let ports = args.listen.iter().filter_map(|word| match written::parse(&text_of(split(word).1)) {
        Ok(Written { target: Target::Inet { ports, .. }, .. }) => Some(*ports.start()),
        _ => None,
    });
    for port in ports.filter(|port| *port > 0) {
        if settings.as_ref().is_some_and(|settings| settings.ephemeral(port)) {
            warnings.push(Warning::EphemeralPort { port });
        }
    }
    if held.len() > 253 {
        warnings.push(Warning::ManySockets { count: held.len() });
    }
    warnings
}

/// `[NAME=]ADDR`.
fn split(word: &OsStr) -> (&OsStr, &OsStr) {
    let bytes = word.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        // An address has one of these before any '='.
        Some(at) if !bytes[..at].iter().any(|byte| matches!(byte, b'/' | b':' | b'@')) => {
            (OsStr::from_bytes(&bytes[..at]), OsStr::from_bytes(&bytes[at + 1..]))
        }
        _ => (OsStr::new(UNNAMED), word),
    }
}

fn wants(word: &OsString, meant: Meant) -> Result<Vec<Wanted>, Stop> {
    let Meant { v6only, keep } = meant;
    let (name, address) = split(word);
    let name = name.to_str().filter(|name| is_name(name)).map(str::to_owned);
    let Some(name) = name else {
        return Err(Stop::Words(
            "a socket's name is made of ASCII letters, digits and signs, without ':', at most 255 of them"
                .into(),
        ));
    };
    let written = written::parse(&text_of(address)).map_err(Stop::Mistake)?;
    let every = matches!(written.target, Target::Inet { host: Host::Every, .. });
    let device = match &written.target {
        Target::Inet { device, .. } => device.clone(),
        Target::Unix { .. } => None,
    };
    let netns = Netns::current();
    let interface = |name: &str| inuse_kernel::locality::interface_index(&netns, name);
    let asks = resolve(&written, interface).map_err(Stop::Mistake)?;
    if keep && every && has_ipv6() && matches!(written.target, Target::Inet { .. }) {
        return forms(&name, &asks, device, v6only);
    }
    let mut wanted = Vec::new();
    for ask in asks.into_iter().filter(|ask| !ask.only_if_different) {
        let v6 = ask.address.inet().map(|(_, local, _)| local.is_ipv6());
        // A port alone is one socket for both families, unless they are to be apart.
        if every && !v6only && v6 == Some(false) && has_ipv6() {
            continue;
        }
        let both = every && !v6only;
        let v6only = if both { Some(false) } else { v6only.then_some(true) };
        let (name, device) = (name.clone(), device.clone());
        wanted.push(Wanted { name, address: ask.address, v6only, device, form: None });
    }
    Ok(wanted)
}

/// A port of every address in each form in which a program may bind it: for both families in one socket, for one,
/// for the other.
fn forms(name: &str, asks: &[Ask], device: Option<String>, v6only: bool) -> Result<Vec<Wanted>, Stop> {
    let mut wanted = Vec::new();
    for ask in asks.iter().filter(|ask| !ask.only_if_different) {
        let Some((transport, local, _)) = ask.address.inet() else { continue };
        if transport == Transport::Udp {
            return Err(Stop::Words(format!(
                "with --keep, say which of them the program binds: udp/0.0.0.0:{0} or udp/[::]:{0}",
                local.port()
            )));
        }
        let only: &[Option<bool>] = match (local.is_ipv6(), v6only) {
            (false, _) => &[None],
            (true, true) => &[Some(true)],
            (true, false) => &[Some(false), Some(true)],
        };
        wanted.extend(only.iter().map(|v6only| Wanted {
            name: name.to_owned(),
            address: ask.address.clone(),
            v6only: *v6only,
            device: device.clone(),
            form: None,
        }));
    }
    // The one for both families comes first: it is the one that is given away, should nothing be kept.
    wanted.sort_by_key(|one| one.v6only != Some(false));
    wanted.iter_mut().enumerate().for_each(|(number, one)| one.form = Some(number));
    Ok(wanted)
}

/// Whether a socket for both families can be bound here at all.
fn has_ipv6() -> bool {
    std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

enum Unbound {
    Words(String),
    Bind(Error),
}

impl From<Error> for Unbound {
    fn from(error: Error) -> Unbound {
        Unbound::Bind(error)
    }
}

fn open(wanted: &Wanted, mode: Option<u32>) -> Result<OwnedFd, Unbound> {
    Ok(match &wanted.address {
        Address::Inet { transport: Transport::Tcp, local, .. } if wanted.form.is_some() => {
            form(*local, wanted).map_err(|error| inet(Listen::tcp(*local), wanted).explain(&error))?
        }
        Address::Inet { transport: Transport::Tcp, local, .. } => {
            let (local, _chooser) = with_port(*local, wanted.v6only);
            inet(Listen::tcp(local), wanted).bind()?.into()
        }
        Address::Inet { transport: Transport::Udp, local, .. } => {
            inet(Listen::udp(local), wanted).bind()?.into()
        }
        Address::Unix { kind, name: UnixName::Path(path) } => {
            let path = OsString::from_vec(path.clone());
            match kind {
                UnixKind::Stream => unix(Listen::unix(path), mode).bind()?.into(),
                UnixKind::Datagram => unix(Listen::unix_datagram(path), mode).bind()?.into(),
                UnixKind::Seqpacket => unix(Listen::unix_seqpacket(path), mode).bind()?.into(),
            }
        }
        Address::Unix { kind: UnixKind::Stream, name: UnixName::Abstract(name) } => {
            Listen::unix_abstract(name).inherit(false).bind()?.into()
        }
        other => {
            return Err(Unbound::Words(format!("{other}: only streams are held under an abstract name")));
        }
    })
}

/// Bound, with SO_REUSEADDR, and not listening: so it is in nobody's way but a listener's.
fn form(local: SocketAddr, wanted: &Wanted) -> std::io::Result<OwnedFd> {
    let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if let Some(only) = wanted.v6only {
        sockopt::set_ipv6_v6only(&socket, only)?;
    }
    rustix::net::bind(&socket, &local)?;
    Ok(socket)
}

/// Port 0 becomes the port that the kernel chooses, and a socket that keeps it until it is bound by its number:
/// only such a port outlives a shutdown(2) of the listener (`SOCK_BINDPORT_LOCK`). Both have SO_REUSEADDR and the
/// first does not listen, so they do not conflict. Whatever fails here fails in the bind, which explains it.
fn with_port(local: SocketAddr, v6only: Option<bool>) -> (SocketAddr, Option<OwnedFd>) {
    let choose = || -> rustix::io::Result<(SocketAddr, OwnedFd)> {
        let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let chooser = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&chooser, true)?;
        if let (false, Some(only)) = (local.is_ipv4(), v6only) {
            sockopt::set_ipv6_v6only(&chooser, only)?;
        }
        rustix::net::bind(&chooser, &local)?;
        let chosen = SocketAddr::try_from(getsockname(&chooser)?)?;
        Ok((chosen, chooser))
    };
    if local.port() != 0 {
        return (local, None);
    }
    choose().map_or((local, None), |(chosen, chooser)| (chosen, Some(chooser)))
}

fn inet<S: InetSocket>(mut listen: Listen<S>, wanted: &Wanted) -> Listen<S> {
    listen = listen.inherit(false);
    if let Some(only) = wanted.v6only {
        listen = listen.v6only(only);
    }
    match &wanted.device {
        Some(device) => listen.device(device.clone()),
        None => listen,
    }
}

fn unix<S: UnixSocket>(listen: Listen<S>, mode: Option<u32>) -> Listen<S> {
    let listen = listen.inherit(false);
    match mode {
        Some(mode) => listen.mode(mode),
        None => listen,
    }
}

/// The socket file is given to its owner.
fn give(address: &Address, owner: Option<Owner>) -> Result<(), String> {
    let (Address::Unix { name: UnixName::Path(path), .. }, Some(owner)) = (address, owner) else {
        return Ok(());
    };
    let path = OsStr::from_bytes(path);
    std::os::unix::fs::chown(path, owner.user, owner.group)
        .map_err(|error| format!("--socket-owner: {}: {error}", escape(path.as_bytes())))
}

/// The address with the port that was chosen.
fn shown(wanted: &Wanted, socket: &OwnedFd) -> String {
    let Address::Inet { transport, device, .. } = &wanted.address else { return wanted.address.to_string() };
    match local(socket) {
        Some(local) => Address::Inet { transport: *transport, local, device: *device }.to_string(),
        None => wanted.address.to_string(),
    }
}

fn local(socket: &OwnedFd) -> Option<SocketAddr> {
    getsockname(socket).ok().and_then(|address| SocketAddr::try_from(address).ok())
}

/// As `inuse why` says it, and with all the time that it takes: the library's error spares that.
fn explain(error: &Error, address: &Address, program: &[OsString], log: &mut Log, output: &mut Output) {
    let (Some(quick), Some(errno)) = (error.report(), error.raw_os_error()) else {
        let (addresses, text) = (vec![address.to_string()], error.to_string());
        return log.step(&Step::NotBound(Refused { addresses, text, ..Refused::default() }));
    };
    let attempt = &quick.diagnosis.attempt;
    let asker = Asker::new(&WhyOptions { own_bind: true, ..WhyOptions::default() });
    let thorough = asker.ok().map(|mut asker| asker.why(attempt));
    // What ended meanwhile, or is known from the refusal alone, only the error knows.
    let is_refused = |report: &Report| matches!(report.diagnosis.verdict.outcome, Outcome::Refused(_));
    let mut report = thorough.filter(is_refused).unwrap_or_else(|| quick.clone());
    privileged::mend(&mut report.diagnosis, program);
    if log.is_json() {
        return log.step(&Step::NotBound(Refused::of(&report, None)));
    }
    let answer = Answer { snapshot: report.snapshot, diagnosis: report.diagnosis };
    let reason = std::io::Error::from_raw_os_error(errno).to_string();
    let reason = reason.split(" (os error").next().unwrap_or_default();
    output.say(&format!("nothing is started: cannot bind {}: {reason}", attempt.address));
    let look =
        Look { width: output.width(), verbose: false, zone: jiff::tz::TimeZone::system(), saved_by: None };
    output.lines(&human::refused(&answer, &look));
    let wants_both = answer.diagnosis.cures.iter().any(|cure| cure.source == Some(SourceFix::V6only));
    if let Some((_, local, _)) = attempt.address.inet().filter(|(_, local, _)| wants_both && local.is_ipv6())
    {
        let port = local.port();
        output.lines(&format!(
            "  Or hold IPv6 alone, and leave IPv4 to the other: -l '[::]:{port}' --v6only\n"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_before_addresses() {
        let check = |word: &str, name: &str, address: &str| {
            assert_eq!(split(OsStr::new(word)), (OsStr::new(name), OsStr::new(address)), "{word}");
        };
        check("web=8080", "web", "8080");
        check("web=unix:/run/a=b", "web", "unix:/run/a=b");
        check("unix:/run/a=b", UNNAMED, "unix:/run/a=b");
        check("@a=b", UNNAMED, "@a=b");
        check("/run/a=b", UNNAMED, "/run/a=b");
        check("=8080", "", "8080");
        check("8080", UNNAMED, "8080");
    }

    #[track_caller]
    fn wanted(word: &str, v6only: bool, expect: &[(&str, &str, Option<bool>)]) {
        let meant = Meant { v6only, keep: false };
        let wanted = wants(&word.into(), meant).unwrap_or_else(|_| panic!("{word}"));
        let shown: Vec<(String, String, Option<bool>)> =
            wanted.into_iter().map(|one| (one.name, one.address.to_string(), one.v6only)).collect();
        let expect: Vec<(String, String, Option<bool>)> =
            expect.iter().map(|(name, address, only)| ((*name).into(), (*address).into(), *only)).collect();
        assert_eq!(shown, expect, "{word}");
    }

    #[test]
    fn a_port_alone_is_one_socket_for_both_families() {
        wanted("a=8080", false, &[("a", "tcp/[::]:8080", Some(false))]);
        wanted(
            "8080",
            true,
            &[(UNNAMED, "tcp/0.0.0.0:8080", Some(true)), (UNNAMED, "tcp/[::]:8080", Some(true))],
        );
        wanted("127.0.0.1:80", false, &[(UNNAMED, "tcp/127.0.0.1:80", None)]);
        wanted("udp/[::1]:53", true, &[(UNNAMED, "udp/[::1]:53", Some(true))]);
        let plain = Meant { v6only: false, keep: false };
        assert!(wants(&"a:b=8080".into(), plain).is_err());
        assert!(wants(&"=8080".into(), plain).is_err());
    }

    #[test]
    fn a_port_that_takes_the_place_of_the_programs_own_comes_in_every_form() {
        let check = |word: &str, v6only: bool, expect: &[(&str, Option<bool>)]| {
            let wanted =
                wants(&word.into(), Meant { v6only, keep: true }).unwrap_or_else(|_| panic!("{word}"));
            let shown: Vec<(String, Option<bool>)> =
                wanted.into_iter().map(|one| (one.address.to_string(), one.v6only)).collect();
            let expect: Vec<(String, Option<bool>)> =
                expect.iter().map(|(address, only)| ((*address).into(), *only)).collect();
            assert_eq!(shown, expect, "{word}");
        };
        let (four, six) = ("tcp/0.0.0.0:80", "tcp/[::]:80");
        check("80", false, &[(six, Some(false)), (four, None), (six, Some(true))]);
        check("80", true, &[(four, None), (six, Some(true))]);
        check("127.0.0.1:80", false, &[("tcp/127.0.0.1:80", None)]);
        assert!(wants(&"udp/53".into(), Meant { v6only: false, keep: true }).is_err());
    }
}

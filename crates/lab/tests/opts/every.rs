//! Every option of the table, on every kind of socket that has it: a foreign program sets it to another value, and it
//! is read; then it is set from outside, and the foreign program is asked itself.

use crate::agent::{Agent, Language};
use crate::seen;
use inuse_keeper::act::options::{Ending, Subject, plan, set};
use inuse_kernel::netns::Netns;
use inuse_kernel::options::form::Form;
use inuse_kernel::options::fresh::Changed;
use inuse_kernel::options::spec::{Preset, Readable, Spec};
use inuse_kernel::options::table;
use inuse_kernel::options::value::{Value, decode, encode, show};
use inuse_kernel::options::words::Asked;
use std::collections::BTreeMap;
use std::time::Duration;

/// Family, type and protocol of each kind.
const KINDS: &[(i32, i32, i32)] = &[
    (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP),
    (libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_TCP),
    (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDP),
    (libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP),
    (libc::AF_UNIX, libc::SOCK_STREAM, 0),
    (libc::AF_UNIX, libc::SOCK_DGRAM, 0),
    (libc::AF_NETLINK, libc::SOCK_RAW, 0),
    (libc::AF_PACKET, libc::SOCK_DGRAM, 0),
];

/// Options that no kernel, or not every one, takes on a new socket of these kinds, and why.
const EXCUSED: &[(&str, &str)] = &[
    ("SO_RESERVE_MEM", "it needs a cgroup with a memory controller"),
    ("SO_CNX_ADVICE", "it is no value, and leaves nothing to read"),
    ("SO_PASSPIDFD", "Linux 6.5"),
    ("SO_PASSRIGHTS", "Linux 6.16"),
    ("SO_INQ", "Linux 6.17"),
    ("SO_RCVPRIORITY", "Linux 6.14"),
    ("SO_RCVMARK", "Linux 5.19"),
    ("SO_TXREHASH", "Linux 5.18"),
    ("IP_LOCAL_PORT_RANGE", "Linux 6.3"),
    ("TCP_RTO_MAX_MS", "Linux 6.15"),
    ("TCP_RTO_MIN_US", "Linux 6.15"),
    ("TCP_DELACK_MAX_US", "Linux 6.15"),
    ("UDP_ENCAP", "Linux may have no code for what it unpacks"),
];

/// Options that only root of the whole machine may set, and not that of a user namespace.
const OF_ROOT: &[&str] = &["SO_SNDBUFFORCE", "SO_RCVBUFFORCE", "SO_DEBUG", "SO_PREFER_BUSY_POLL"];

pub(crate) fn static_c() {
    every(Language::StaticC);
}

pub(crate) fn python() {
    every(Language::Python);
}

#[allow(clippy::print_stdout, reason = "the parent shows it where the case fails")]
fn every(language: Language) {
    let mut agent = Agent::start(language);
    let mut read: BTreeMap<&str, usize> = BTreeMap::new();
    let mut written: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong: Vec<String> = Vec::new();
    for &(family, kind, protocol) in KINDS {
        untouched(&mut agent, (family, kind, protocol), &mut wrong);
        for spec in table::all().filter(|spec| spec.is_settable()) {
            // A socket for each: some options change others, and some cannot be changed twice.
            for (how, tried) in [("read", &mut read), ("set", &mut written)] {
                let fd = agent.socket(family, kind, protocol);
                let mut one = One { agent: &mut agent, fd, spec };
                let done = match (one.exists(), how) {
                    (false, _) => Ok(false),
                    (true, "read") => one.is_read(),
                    (true, _) => one.is_set(),
                };
                match done {
                    Ok(true) => *tried.entry(spec.name).or_default() += 1,
                    Ok(false) => {}
                    Err(why) => wrong.push(format!("{} of {family}/{kind}, {how}: {why}", spec.name)),
                }
                agent.tell(&format!("close {fd}")).expect("its own socket");
            }
        }
    }
    // `PROC_USER_INIT_INO`.
    let is_first =
        std::fs::read_link("/proc/self/ns/user").is_ok_and(|ns| ns.as_os_str() == "user:[4026531837]");
    for spec in table::all().filter(|spec| spec.is_settable()) {
        let excused =
            EXCUSED.iter().any(|(name, _)| *name == spec.name) || !is_first && OF_ROOT.contains(&spec.name);
        let readable = spec.readable == Readable::Yes;
        if !excused && (!written.contains_key(spec.name) || readable && !read.contains_key(spec.name)) {
            wrong.push(format!("{} was tried on no socket", spec.name));
        }
    }
    println!("{} options read, {} set", read.len(), written.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    agent.end();
}

/// Of a new socket nothing is said to be changed.
fn untouched(agent: &mut Agent, (family, kind, protocol): (i32, i32, i32), wrong: &mut Vec<String>) {
    let fd = agent.socket(family, kind, protocol);
    let look = seen(&Subject::Descriptor(agent.pid(), fd), &[]).expect("a socket");
    // Python makes every socket as it is.
    for reading in &look.found[0].readings {
        if matches!(reading.changed, Changed::From(_)) {
            wrong.push(format!("{} of a new {family}/{kind} is called changed", reading.spec.name));
        }
    }
    agent.tell(&format!("close {fd}")).expect("its own socket");
}

/// One option of one socket of the foreign program.
struct One<'a> {
    agent: &'a mut Agent,
    fd: u32,
    spec: &'static Spec,
}

impl One<'_> {
    fn subject(&self) -> Subject {
        Subject::Descriptor(self.agent.pid(), self.fd)
    }

    /// Whether such a socket has it at all.
    fn exists(&self) -> bool {
        let look = seen(&self.subject(), &[self.spec]).expect("a socket");
        look.found[0].traits.kind.has(self.spec)
    }

    /// What the foreign program itself is told.
    fn own(&mut self) -> Option<Value> {
        let bytes = self.agent.get(self.fd, self.spec.level.number(), self.spec.number).ok()?;
        decode(self.spec.form, &bytes)
    }

    /// The foreign program sets it; it is read from outside. False where the kernel does not let the program set it.
    fn is_read(&mut self) -> Result<bool, String> {
        let current = self.own();
        for value in samples(self.spec, current.as_ref()) {
            let bytes = encode(self.spec.form, &value).ok_or("it cannot be written as bytes")?;
            if self.agent.set(self.fd, self.spec.level.number(), self.spec.number, &bytes).is_err() {
                continue;
            }
            if self.spec.readable != Readable::Yes {
                return Ok(true);
            }
            let own = self.own().ok_or("the program itself cannot read it")?;
            let look = seen(&self.subject(), &[self.spec]).map_err(|error| error.to_string())?;
            let reading = look.found[0].readings.first().ok_or("no reading")?;
            if reading.value.as_ref() != Ok(&own) {
                return Err(format!("{:?}, and the program itself sees {own:?}", reading.value));
            }
            if Some(&own) == current.as_ref() {
                // The kernel took it and made nothing of it on such a socket.
                continue;
            }
            let told = matches!(reading.changed, Changed::From(_));
            if !told && matches!(self.spec.preset, Preset::Fresh | Preset::Locked(_)) {
                return Err(format!(
                    "{} is not called changed: {:?}",
                    show(self.spec.form, &own),
                    reading.changed
                ));
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// It is set from outside; the foreign program reads it. False where the kernel refuses any value.
    fn is_set(&mut self) -> Result<bool, String> {
        let current = self.own();
        for value in samples(self.spec, current.as_ref()) {
            let look = seen(&self.subject(), &[self.spec]).map_err(|error| error.to_string())?;
            let asked = [Asked { spec: self.spec, value: Some(value.clone()) }];
            let planned = plan(&look, &asked, true);
            if !planned.objections.is_empty() {
                return Err(format!("{:?}", planned.objections));
            }
            let outcome = set(&Netns::current(), &look, &planned);
            let deed = outcome.deeds.first().ok_or("nothing was tried")?;
            match &deed.ending {
                Ending::Set { before, after, remark } => {
                    let own = self.own();
                    if self.spec.readable == Readable::Yes && *after != own {
                        return Err(format!("it is told as {after:?}, and the program itself sees {own:?}"));
                    }
                    if self.spec.readable == Readable::Yes && *before != current {
                        return Err(format!("before is told as {before:?}, and was {current:?}"));
                    }
                    if after.as_ref().is_some_and(|after| *after != value) != remark.is_some() {
                        return Err(format!("{value:?} became {after:?}, and {remark:?} is told"));
                    }
                    return Ok(true);
                }
                Ending::Failed(..) => {}
                other => return Err(format!("{other:?}")),
            }
        }
        Ok(false)
    }
}

/// Values to try that are not the current one.
fn samples(spec: &Spec, current: Option<&Value>) -> Vec<Value> {
    let values = match spec.form {
        Form::Switch => vec![Value::Int(1), Value::Int(0)],
        Form::Number { least, most, .. } => {
            let bounded = |number: i32| Value::Int(number.clamp(least, most));
            let mut values: Vec<Value> = [5, 3, 1, 0, 4000, 65536, 1000].map(bounded).into();
            values.dedup();
            values
        }
        Form::Bits => vec![Value::Int(0x2a), Value::Int(0x10)],
        Form::Unsigned(_) => vec![Value::Unsigned(1 << 20)],
        Form::Choice(words) => words.iter().map(|(_, value)| Value::Int(*value)).collect(),
        Form::Flags(words) => words.iter().map(|(_, bit)| Value::Int(*bit as i32)).collect(),
        Form::Time => vec![Value::Time(Duration::from_millis(1500))],
        Form::Linger => vec![Value::Linger(Some(5)), Value::Linger(None)],
        Form::Text(_) if spec.name == "TCP_CONGESTION" => {
            ["reno", "cubic"].map(|name| Value::Text(name.as_bytes().to_vec())).into()
        }
        Form::Text(_) => vec![Value::Text(b"lo".to_vec())],
        Form::PortRange => vec![Value::Ports(Some((40_000, 50_000))), Value::Ports(Some((45_000, 46_000)))],
        _ => Vec::new(),
    };
    values.into_iter().filter(|value| current != Some(value)).collect()
}

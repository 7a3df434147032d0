//! Which live sockets are meant, who has them open, and what their options say. Changes nothing.

use super::sentence::place;
use inuse_kernel::netns::Netns;
use inuse_kernel::options::fresh::{Changed, Fresh};
use inuse_kernel::options::live::{Live, Table, Traits};
use inuse_kernel::options::spec::{Readable, Spec};
use inuse_kernel::options::value::Value;
use inuse_kernel::options::{Unread, table};
use inuse_kernel::sockdiag::{InetQuery, States};
use inuse_kernel::{Error, SockDiag, owners, process};
use inuse_rules::owner::NoOwner;
use inuse_rules::{Address, BlindSpot, Ownership, Socket, State};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// Of more sockets than this only what was changed is kept: nobody reads the rest.
const IN_FULL: usize = 4;

/// Whose options are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Every socket that holds one of these addresses, and the connections of those that listen.
    Addresses(Vec<Address>),
    /// Every socket of a process.
    Process(u32),
    /// One descriptor of a process.
    Descriptor(u32, u32),
}

/// What is asked of the sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question<'a> {
    /// The options asked for by name; none asks for all.
    pub wanted: &'a [&'static Spec],
    /// Whether everything is kept, of however many sockets.
    pub in_full: bool,
}

/// A process that has a socket open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process.
    pub pid: u32,
    /// Thread, where only its own table has the socket.
    pub tid: Option<u32>,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
    /// Its name, as it chose it.
    pub comm: Vec<u8>,
    /// The descriptors.
    pub fds: Vec<u32>,
}

/// An option of a socket.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The option.
    pub spec: &'static Spec,
    /// Its value, or what the kernel said instead.
    pub value: Result<Value, Errno>,
    /// What every new socket of the kind says.
    pub preset: Option<Value>,
    /// Whether the program changed it.
    pub changed: Changed,
}

/// A socket, and what its options say.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it is.
    pub traits: Traits,
    /// Who has it open, at least one.
    pub holders: Vec<Holder>,
    /// Its options: all that it has, or, where there are many sockets, those that were changed; or those asked for.
    pub readings: Vec<Reading>,
}

/// What holds the address and is out of reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beyond {
    /// Connections that wait to be accepted: no process has them yet.
    pub queued: usize,
    /// Connections that were closed and still talk to their peer.
    pub orphans: usize,
    /// Connections in TIME_WAIT.
    pub time_wait: usize,
    /// Sockets in a message or an io_uring, of the kernel, or of somebody who does not show.
    pub elsewhere: usize,
}

/// Everything that a plan rests on.
#[derive(Clone, Debug)]
pub struct Look {
    /// What was asked for.
    pub subject: Subject,
    /// The sockets: those that listen first, then those that are bound, then connections.
    pub found: Vec<Found>,
    /// Whether every option of every socket is there.
    pub in_full: bool,
    /// What is out of reach.
    pub beyond: Beyond,
    /// What could not be seen.
    pub blind: Vec<BlindSpot>,
}

/// Why there is nothing to look at.
#[derive(Debug)]
pub enum NotFound {
    /// There is no such process.
    NoProcess(u32),
    /// That number is a thread's, of this process.
    Thread(u32, u32),
    /// The process has nothing open under that number.
    Closed(u32, u32),
    /// What it has open there is no socket.
    NoSocket(u32, u32),
    /// The rights are missing: which.
    Refused(String),
    /// The kernel cannot be asked.
    Blind(Error),
    /// Something else failed.
    Other(u32, Errno),
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotFound::NoProcess(pid) => write!(f, "there is no process {pid}"),
            NotFound::Thread(tid, pid) => write!(f, "{tid} is a thread of process {pid}: ask for pid:{pid}"),
            NotFound::Closed(pid, fd) => write!(f, "process {pid} has no descriptor {fd} (EBADF)"),
            NotFound::NoSocket(pid, fd) => {
                write!(f, "descriptor {fd} of process {pid} is no socket (ENOTSOCK)")
            }
            NotFound::Refused(needs) => write!(f, "the sockets may not be asked: it needs {needs}"),
            NotFound::Blind(error) => write!(f, "the kernel cannot be asked: {error}"),
            NotFound::Other(pid, errno) => write!(f, "process {pid} cannot be asked: {errno}"),
        }
    }
}

impl std::error::Error for NotFound {}

/// Looks at the sockets that are meant.
///
/// # Errors
/// When there is nothing to look at, or it may not be looked at at all.
pub fn look(netns: &Netns, subject: &Subject, question: Question<'_>) -> Result<Look, NotFound> {
    let mut look = Look {
        subject: subject.clone(),
        found: Vec::new(),
        in_full: true,
        beyond: Beyond::default(),
        blind: Vec::new(),
    };
    match subject {
        Subject::Addresses(addresses) => of_addresses(netns, addresses, question, &mut look)?,
        Subject::Process(pid) => {
            let table = open(*pid)?;
            let mut by_inode: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
            for (fd, inode) in table.sockets().map_err(|why| not_found(*pid, 0, why))? {
                by_inode.entry(inode).or_default().push(fd);
            }
            of_process(netns, *pid, &table, by_inode.into_values().collect(), question, &mut look)?;
        }
        Subject::Descriptor(pid, fd) => {
            let table = open(*pid)?;
            of_process(netns, *pid, &table, vec![vec![*fd]], question, &mut look)?;
        }
    }
    look.found.sort_by_key(|found| (rank(found.traits.state), place(&found.traits), found.traits.cookie));
    Ok(look)
}

fn open(pid: u32) -> Result<Table, NotFound> {
    Table::open(pid, None).map_err(|why| not_found(pid, 0, why))
}

fn not_found(pid: u32, fd: u32, why: Unread) -> NotFound {
    match why {
        Unread::Closed => NotFound::Closed(pid, fd),
        Unread::NoSocket => NotFound::NoSocket(pid, fd),
        Unread::Refused { needs } => NotFound::Refused(needs),
        // The kernel opens no pidfd of a thread that is not its process's first.
        Unread::TooOld | Unread::Other(Errno::NOENT)
            if process_of(pid).is_some_and(|leader| leader != pid) =>
        {
            NotFound::Thread(pid, process_of(pid).unwrap_or(pid))
        }
        Unread::Other(errno) => NotFound::Other(pid, errno),
        Unread::TooOld => NotFound::Other(pid, Errno::NOSYS),
        _ => NotFound::NoProcess(pid),
    }
}

/// The process that a thread belongs to.
fn process_of(tid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok())
}

/// The sockets of one process, each with its descriptors.
fn of_process(
    netns: &Netns,
    pid: u32,
    table: &Table,
    descriptors: Vec<Vec<u32>>,
    question: Question<'_>,
    look: &mut Look,
) -> Result<(), NotFound> {
    let comm = process::read(pid).map(|process| process.comm).unwrap_or_default();
    let mut reader = Reader::new(netns, question, descriptors.len());
    look.in_full = reader.in_full();
    let alone = descriptors.len() == 1;
    for fds in descriptors {
        let Some(&fd) = fds.first() else { continue };
        match table.socket(fd) {
            Ok(live) => {
                let (traits, readings) = reader.read(live);
                let holder =
                    Holder { pid, tid: None, start_ticks: table.start_ticks(), comm: comm.clone(), fds };
                look.found.push(Found { traits, holders: vec![holder], readings });
            }
            // One of many that was closed meanwhile is no longer one of them.
            Err(Unread::Closed | Unread::NoSocket) if !alone => {}
            Err(why) => return Err(not_found(pid, fd, why)),
        }
    }
    Ok(())
}

/// The sockets that hold addresses, and connections of those that listen.
fn of_addresses(
    netns: &Netns,
    addresses: &[Address],
    question: Question<'_>,
    look: &mut Look,
) -> Result<(), NotFound> {
    let mut diag = SockDiag::open(netns).map_err(NotFound::Blind)?;
    let mut rows: BTreeMap<u64, Socket> = BTreeMap::new();
    for address in addresses {
        for row in rows_of(&mut diag, address, &mut look.blind)? {
            rows.insert(row.cookie, row);
        }
    }
    for row in rows.values() {
        match row.owners {
            Ownership::Nobody(NoOwner::AcceptQueue | NoOwner::Request) => look.beyond.queued += 1,
            Ownership::Nobody(NoOwner::TimeWait) => look.beyond.time_wait += 1,
            Ownership::Nobody(NoOwner::Orphan) => look.beyond.orphans += 1,
            _ => {}
        }
    }
    rows.retain(|_, row| row.inode != 0);
    let sought: Vec<owners::Wanted> =
        rows.values().map(|row| owners::Wanted { inode: row.inode, uid: row.uid }).collect();
    let owned = owners::find(&sought, &owners::FindOptions::default()).into_found(&mut look.blind);
    let mut reader = Reader::new(netns, question, rows.len());
    look.in_full = reader.in_full();
    let mut tables = Tables::default();
    let mut refused: Option<Unread> = None;
    for row in rows.values() {
        let Some(Ownership::Held(holdings)) = owned.get(&row.inode) else {
            look.beyond.elsewhere += 1;
            continue;
        };
        let mut holders: Vec<Holder> = Vec::new();
        let mut read = None;
        for holding in holdings {
            let Some(holder) = tables.holder(holding) else { continue };
            if read.is_none() {
                match tables.duplicate(&holder, row.inode, row.cookie) {
                    Ok(live) => read = Some(reader.read(live)),
                    Err(Unread::Refused { needs }) => {
                        let why = Unread::Refused { needs };
                        let spot = why.blind_spot(holder.pid);
                        if !look.blind.contains(&spot) {
                            look.blind.push(spot);
                        }
                        refused = Some(why);
                    }
                    // It is closed by now, or another one has that number.
                    Err(_) => continue,
                }
            }
            holders.push(holder);
        }
        if let Some((traits, readings)) = read {
            look.found.push(Found { traits, holders, readings });
        }
    }
    match refused {
        Some(Unread::Refused { needs }) if look.found.is_empty() => Err(NotFound::Refused(needs)),
        _ => Ok(()),
    }
}

/// The rows that an address means. Where somebody listens, its connections belong to it: no other socket can come
/// to the port of one that was bound.
fn rows_of(
    diag: &mut SockDiag,
    address: &Address,
    blind: &mut Vec<BlindSpot>,
) -> Result<Vec<Socket>, NotFound> {
    match address {
        Address::Inet { transport, local, .. } => {
            let rows = diag.inet_rows(&InetQuery::port(*transport, local.port())).map_err(NotFound::Blind)?;
            let mut rows = rows.into_found(blind).sockets;
            rows.retain(|row| row.inet().is_some_and(|(_, at, _)| covers(at.ip(), local.ip())));
            Ok(rows)
        }
        Address::Unix { name, .. } => {
            let rows = diag.unix_rows(States::ALL).map_err(NotFound::Blind)?.into_found(blind);
            let same =
                |row: &Socket| matches!(&row.address, Address::Unix { name: other, .. } if other == name);
            Ok(rows.into_iter().map(|row| row.socket).filter(same).collect())
        }
    }
}

/// Whether a socket on one IP is meant by another: the same, or every one of its family.
fn covers(socket: IpAddr, asked: IpAddr) -> bool {
    let family = socket.is_ipv4() == asked.is_ipv4();
    let same = socket.to_canonical() == asked.to_canonical();
    same || asked.is_unspecified() && family || socket.is_unspecified() && (family || socket.is_ipv6())
}

fn rank(state: Option<State>) -> u8 {
    match state {
        Some(State::Listen) => 0,
        Some(State::Bound | State::Unconn) => 1,
        _ => 2,
    }
}

/// Tables of processes that are asked more than once. Only the last is kept open.
#[derive(Default)]
pub(super) struct Tables {
    last: Option<(u32, Option<u32>, Table)>,
    comms: BTreeMap<u32, Vec<u8>>,
}

impl Tables {
    fn holder(&mut self, holding: &inuse_rules::Holding) -> Option<Holder> {
        let start_ticks = self.table(holding.pid, holding.tid).ok()?.start_ticks();
        let comm = self.comms.entry(holding.pid);
        let comm =
            comm.or_insert_with(|| process::read(holding.pid).map(|p| p.comm).unwrap_or_default()).clone();
        Some(Holder { pid: holding.pid, tid: holding.tid, start_ticks, comm, fds: holding.fds.clone() })
    }

    /// The socket with that inode and cookie, which the holder has as one of its descriptors.
    fn duplicate(&mut self, holder: &Holder, inode: u64, cookie: u64) -> Result<Live, Unread> {
        let table = self.table(holder.pid, holder.tid)?;
        let mut worst = Unread::Gone;
        for &fd in &holder.fds {
            match table.socket(fd) {
                Ok(live) if live.is(inode, cookie) => return Ok(live),
                Ok(_) | Err(Unread::Closed | Unread::NoSocket) => {}
                Err(why) => worst = why,
            }
        }
        Err(worst)
    }

    fn table(&mut self, pid: u32, tid: Option<u32>) -> Result<&Table, Unread> {
        let stale = !matches!(self.last, Some((p, t, _)) if (p, t) == (pid, tid));
        if stale {
            self.last = Some((pid, tid, Table::open(pid, tid)?));
        }
        self.last.as_ref().map(|(_, _, table)| table).ok_or(Unread::Gone)
    }
}

/// Reads sockets one after the other.
struct Reader<'a> {
    fresh: Fresh<'a>,
    wanted: &'a [&'static Spec],
    few: bool,
}

impl<'a> Reader<'a> {
    fn new(netns: &'a Netns, question: Question<'a>, sockets: usize) -> Reader<'a> {
        let few = question.in_full || sockets <= IN_FULL;
        Reader { fresh: Fresh::new(netns), wanted: question.wanted, few }
    }

    fn in_full(&self) -> bool {
        self.few && self.wanted.is_empty()
    }

    /// What the socket is and says; the duplicate ends here.
    fn read(&mut self, live: Live) -> (Traits, Vec<Reading>) {
        let traits = live.traits();
        let all = self.wanted.is_empty();
        let names: BTreeSet<&str> = self.wanted.iter().map(|spec| spec.name).collect();
        let lock = table::named("SO_BUF_LOCK").and_then(|spec| live.get(spec).ok());
        let mut readings = Vec::new();
        for spec in table::all().filter(|spec| traits.kind.has(spec)) {
            if !(all && spec.readable == Readable::Yes || names.contains(spec.name)) {
                continue;
            }
            let value = live.get(spec);
            let changed = match &value {
                Ok(value) => self.fresh.changed(&traits, spec, value, lock.as_ref()),
                Err(_) => Changed::Unknown,
            };
            // What the kernel does not have, or has not for this socket, is no news unless it was asked for.
            if !all || value.is_ok() && (self.few || matches!(changed, Changed::From(_))) {
                let preset = self.fresh.value(&traits, spec);
                readings.push(Reading { spec, value, preset, changed });
            }
        }
        (traits, readings)
    }
}

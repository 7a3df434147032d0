//! The table of `inuse ls` for people: one row for each address that a program serves, however many processes
//! and sockets it serves it with. Columns that would be empty are left out.
//!
//! Where the width is limited, names are cut so that a row fits, and a row that does not fit even so has several
//! lines; an address or a number is never cut. Names that others chose are escaped. Not here: JSON (`ls_json`), and
//! what limits the width (`output`).

mod layout;

use super::json::no_owner;
use crate::output::Output;
use anstyle::Style;
use inuse_bind::table::{Filter, Row, Site, Table, program};
use inuse_kernel::Seen;
use inuse_kernel::netns::NetnsName;
use inuse_kernel::process::users;
use inuse_rules::BlindSpot;
use inuse_rules::address::{Address, UnixName, escape};
use inuse_rules::cure::Command;
use inuse_rules::owner::{NoOwner, Ownership, Process};
use layout::Layout;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

const HEADING: Style = Style::new().bold();

const HEAD: [&str; 14] = [
    "PROTO",
    "ADDRESS",
    "REMOTE",
    "STATE",
    "RECV-Q",
    "SEND-Q",
    "UID",
    "INODE",
    "PID",
    "USER",
    "PROGRAM",
    "UNIT",
    "CONTAINER",
    "NETNS",
];
const ADDRESS: usize = 1;
const PID: usize = 8;
/// NUL bytes at the end of an abstract name that are counted rather than shown: some runtimes fill up to the
/// 107 bytes that fit.
const MANY_NULS: usize = 4;
/// Text that is written at once.
const CHUNK: usize = 32 * 1024;

type Cells<'a> = [&'a str; HEAD.len()];

/// Writes the table; nothing where there is no row.
pub fn table(table: &Table, verbose: bool, output: &mut Output) {
    let columns = output.columns();
    write(table, verbose, columns, &mut |text| output.data(text));
}

/// The table in chunks of whole lines, fitted to that many columns. `verbose`: each socket has a row, with its
/// own traits.
pub fn write(table: &Table, verbose: bool, columns: Option<usize>, out: &mut dyn FnMut(&str)) {
    if table.rows.is_empty() {
        return;
    }
    // Made twice rather than kept: there may be a hundred thousand of them.
    let detail = Detail { states: table.rows.iter().any(|row| !row.serves()), verbose };
    let mut names = Names::new(table);
    let mut layout = Layout::default();
    for rows in lines(table, verbose) {
        let inet = rows.0.address.port().is_some();
        layout.take(&Line::new(table, &rows, detail, &mut names).cells(), inet);
    }
    layout.fit(columns);
    let mut text = String::new();
    layout.write(&HEAD, true, &mut text);
    for rows in lines(table, verbose) {
        layout.write(&Line::new(table, &rows, detail, &mut names).cells(), false, &mut text);
        if text.len() > CHUNK {
            out(&text);
            text.clear();
        }
    }
    out(&text);
}

/// Which columns are filled besides those of every table.
#[derive(Clone, Copy)]
struct Detail {
    /// Not everything listens.
    states: bool,
    /// What tells one socket from another.
    verbose: bool,
}

/// What is said behind the table: that it is empty, and what could not be seen. `as_root` is the same question
/// with more sight.
pub fn closing(seen: &Seen<Table>, filter: &Filter, as_root: &Command) -> Vec<String> {
    let table = &seen.found;
    let mut lines = Vec::new();
    if table.rows.is_empty() {
        let of_wildcard =
            |site: &Site| matches!(site, Site::Inet { ip: Some(ip), .. } if ip.is_unspecified());
        let widened = match filter.sites.iter().any(of_wildcard) {
            true => "; this is who listens on every address: a port alone shows those on single ones too",
            false if filter.all || !filter.states.is_empty() => "",
            false => "; --all looks at every socket",
        };
        lines.push(match filter.narrows() {
            true => format!("nothing fits the filter{widened}"),
            false => format!("nothing listens{widened}"),
        });
    }
    let hides = table.owners.others().any(|(_, owner)| *owner == Ownership::Hidden);
    let hidden = |row: &Row| hides && table.owner(row) == Ownership::Hidden;
    let hidden = table.rows.iter().filter(hidden).count();
    let root = rustix::process::geteuid().is_root();
    let (whose, remedy) =
        if root { ("", String::new()) } else { (" of other users", format!("; to see them: {as_root}")) };
    if hidden > 0 {
        lines.push(format!("{}{whose}: owner hidden{remedy}", sockets(hidden)));
    }
    if table.hidden_elsewhere > 0 {
        let remedy = if hidden > 0 { "" } else { &remedy };
        lines.push(format!("{}{whose} may fit: owner hidden{remedy}", sockets(table.hidden_elsewhere)));
    }
    let told = !root && hidden + table.hidden_elsewhere > 0;
    let owners = table.owners_blind.iter().filter(|_| !told);
    lines.extend(
        seen.blind
            .iter()
            .chain(owners)
            .map(|BlindSpot { what, remedy }| format!("not seen: {what}; {remedy}")),
    );
    lines
}

fn sockets(count: usize) -> String {
    if count == 1 { "1 socket".into() } else { format!("{count} sockets") }
}

/// A row and the others that stand in its line: of one address, waiting for others, by the same programs; each alone,
/// where that is asked for.
fn lines(table: &Table, alone: bool) -> impl Iterator<Item = (Row, Vec<Row>)> {
    let mut rows = table.rows.iter().peekable();
    std::iter::from_fn(move || {
        let first = rows.next()?;
        let mut more = Vec::new();
        while let Some(row) = rows.next_if(|row| !alone && same_service(table, &first, row)) {
            more.push(row);
        }
        Some((first, more))
    })
}

fn same_service(table: &Table, a: &Row, b: &Row) -> bool {
    let named = |row| -> BTreeSet<_> {
        let told = |process: &Process| {
            (program(process).to_vec(), process.uid, process.unit.as_ref().map(|u| u.name.clone()))
        };
        table.holders(row).into_iter().map(|(_, process)| process.map(told)).collect()
    };
    let held = |row| matches!(table.owner(row), Ownership::Held(_));
    a.serves()
        && (a.place, a.state, &a.address) == (b.place, b.state, &b.address)
        && !matches!(a.address, Address::Unix { name: UnixName::Unnamed, .. })
        && held(a)
        && held(b)
        && named(a) == named(b)
}

/// What a line says, in words.
struct Line {
    proto: &'static str,
    address: String,
    remote: String,
    state: &'static str,
    /// Queues, user and inode, where they are wanted.
    own: [String; 4],
    who: Rc<Who>,
    netns: String,
}

impl Line {
    fn new(table: &Table, (row, more): &(Row, Vec<Row>), detail: Detail, names: &mut Names<'_>) -> Line {
        let (address, proto) = match &row.address {
            Address::Inet { transport, .. } => (local(table, row), transport.name()),
            Address::Unix { kind, name } => (unix(name), kind.scheme()),
        };
        let own = |number: Option<u64>| match detail.verbose {
            true => number.map_or("-".into(), |number| number.to_string()),
            false => String::new(),
        };
        Line {
            proto,
            address,
            remote: row.remote.map(|remote| remote.to_string()).unwrap_or_default(),
            state: if detail.states { row.state.name() } else { "" },
            own: [
                own(Some(row.recv_q.into())),
                own(Some(row.send_q.into())),
                own(row.uid.map(u64::from)),
                own(Some(row.inode).filter(|&inode| inode != 0)),
            ],
            who: names.of(row, more),
            netns: netns(table, row),
        }
    }

    fn cells(&self) -> Cells<'_> {
        let [recv_q, send_q, uid, inode] = &self.own;
        let Who { pids, users, programs, units, containers } = &*self.who;
        [
            self.proto,
            &self.address,
            &self.remote,
            self.state,
            recv_q,
            send_q,
            uid,
            inode,
            pids,
            users,
            programs,
            units,
            containers,
            &self.netns,
        ]
    }
}

/// What a line says of who has it.
struct Who {
    pids: String,
    users: String,
    programs: String,
    units: String,
    containers: String,
}

/// The words for each set of holders, made once: one program may have thousands of sockets.
struct Names<'a> {
    table: &'a Table,
    made: HashMap<Holders, Rc<Who>>,
}

/// What the words follow from: why it is nobody's, the processes, how many sockets, and whose they are.
type Holders = (Option<&'static str>, Vec<u32>, usize, Option<u32>);

impl<'a> Names<'a> {
    fn new(table: &'a Table) -> Names<'a> {
        Names { table, made: HashMap::new() }
    }

    fn of(&mut self, row: &Row, more: &[Row]) -> Rc<Who> {
        let owner = self.table.owner(row);
        let mut pids: Vec<u32> = owner.holdings().iter().map(|holding| holding.pid).collect();
        for row in more {
            pids.extend(self.table.owner(row).holdings().iter().map(|holding| holding.pid));
        }
        pids.sort_unstable();
        pids.dedup();
        let key = (no_owner(&owner), pids, 1 + more.len(), row.uid);
        if let Some(made) = self.made.get(&key) {
            return made.clone();
        }
        let holders: Vec<(u32, Option<&Process>)> =
            key.1.iter().map(|&pid| (pid, self.table.processes.get(&pid))).collect();
        let made = Rc::new(Who {
            pids: pids_of(&owner, &holders),
            users: users(row, &holders),
            programs: programs(&owner, key.2, &holders),
            units: each(&holders, |process| process.unit.as_ref().map(|unit| escape(unit.name.as_bytes()))),
            containers: each(&holders, container),
        });
        self.made.insert(key, made.clone());
        made
    }
}

/// "docker:4f6a1c0de4f6".
fn container(process: &Process) -> Option<String> {
    let container = process.container.as_ref()?;
    let id = container.id.as_bytes();
    let short = if id.len() == 64 { &id[..12] } else { id };
    Some(format!("{}:{}", container.runtime.name(), escape(short)))
}

/// `0.0.0.0:80`, and with its device as ss(8) writes it, `0.0.0.0%eth0:68`.
fn local(table: &Table, row: &Row) -> String {
    let Some((_, local, device)) = row.address.inet() else { return String::new() };
    let device = match (device, table.interfaces.get(&(row.place, device))) {
        (0, _) => return local.to_string(),
        (_, Some(name)) => escape(name.as_bytes()),
        (index, None) => index.to_string(),
    };
    match local {
        std::net::SocketAddr::V4(v4) => format!("{}%{device}:{}", v4.ip(), v4.port()),
        std::net::SocketAddr::V6(v6) => format!("[{}%{device}]:{}", v6.ip(), v6.port()),
    }
}

fn unix(name: &UnixName) -> String {
    match name {
        UnixName::Path(path) => escape(path),
        UnixName::Abstract(name) => {
            let text = &name[..name.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1)];
            match name.len() - text.len() {
                nuls @ MANY_NULS.. => format!("@{} (+{nuls} NUL)", escape(text)),
                _ => format!("@{}", escape(name)),
            }
        }
        UnixName::Unnamed => "(unnamed)".into(),
    }
}

fn pids_of(owner: &Ownership, holders: &[(u32, Option<&Process>)]) -> String {
    if holders.is_empty() {
        return if *owner == Ownership::Hidden { "?".into() } else { "-".into() };
    }
    let pids: Vec<String> = holders.iter().map(|(pid, _)| pid.to_string()).collect();
    pids.join(",")
}

/// The users of the processes; of the socket, where none is known.
fn users(row: &Row, holders: &[(u32, Option<&Process>)]) -> String {
    let of_processes = each(holders, |process| {
        let named = process.user.as_ref().map(|name| escape(name.as_bytes()));
        named.or(process.uid.map(|uid| uid.to_string()))
    });
    let of_socket = || {
        let name = |uid| users::name(uid).map_or(uid.to_string(), |name| escape(name.as_bytes()));
        row.uid.map_or("-".into(), name)
    };
    if of_processes.is_empty() { of_socket() } else { of_processes }
}

fn programs(owner: &Ownership, sockets: usize, holders: &[(u32, Option<&Process>)]) -> String {
    let named = each(holders, |process| {
        let name = escape(program(process));
        Some(match process.publishes.as_ref().map(|p| (p.container_ip, p.container_port)) {
            Some((Some(ip), Some(port))) => format!("{name} for {}", std::net::SocketAddr::new(ip, port)),
            Some((None, Some(port))) => format!("{name} for port {port}"),
            _ => name,
        })
    });
    let named = if named.is_empty() && !holders.is_empty() { "(ended)".into() } else { named };
    let several = |count: usize, what: &str| (count > 1).then(|| format!("{count} {what}"));
    let counts: Vec<String> =
        [several(holders.len(), "processes"), several(sockets, "sockets")].into_iter().flatten().collect();
    let counts = if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) };
    match owner {
        Ownership::Held(_) => format!("{named}{counts}"),
        Ownership::InFlight { .. } => format!("(in flight: {named})"),
        Ownership::IoUring(_) => format!("(io_uring: {named})"),
        Ownership::Hidden => "(hidden)".into(),
        Ownership::Nobody(NoOwner::Kernel) => "(kernel)".into(),
        Ownership::Nobody(NoOwner::OtherPidNamespace) => "(other pid namespace)".into(),
        Ownership::Nobody(NoOwner::AcceptQueue | NoOwner::Request) => "(not accepted yet)".into(),
        Ownership::Nobody(NoOwner::TimeWait | NoOwner::Orphan) => "(no process)".into(),
        Ownership::NotAsked | Ownership::Gone => "(not known)".into(),
    }
}

/// What the holders have, each once.
fn each(holders: &[(u32, Option<&Process>)], what: impl Fn(&Process) -> Option<String>) -> String {
    let mut all: Vec<String> = Vec::new();
    for text in holders.iter().filter_map(|(_, process)| what((*process)?)) {
        if !all.contains(&text) {
            all.push(text);
        }
    }
    all.join(",")
}

/// The name that `--netns` takes, for every namespace but the caller's own.
fn netns(table: &Table, row: &Row) -> String {
    let place = table.places.get(usize::from(row.place)).and_then(Option::as_ref);
    match place
        .filter(|place| table.places.len() > 1 && Some(place.inode) != table.own_netns)
        .map(|p| &p.name)
    {
        None => String::new(),
        Some(NetnsName::Name(name)) => escape(name.as_bytes()),
        Some(NetnsName::Pid(pid)) => format!("of pid {pid}"),
        Some(NetnsName::Path(path)) => escape(path.as_os_str().as_encoded_bytes()),
    }
}

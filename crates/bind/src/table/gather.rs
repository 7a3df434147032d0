//! Gathering the rows: each namespace is asked once for each protocol, then one search finds all owners.

use super::filter::{Fit, Protocol};
use super::moved::Moved;
use super::{Filter, Row, Table, TableOptions};
use inuse_kernel::elsewhere::{self, Place};
use inuse_kernel::netns::{Netns, NetnsName};
use inuse_kernel::owners::{self, FindOptions, Wanted};
use inuse_kernel::sockdiag::{InetQuery, Ports, SockDiag, States, Walked, settled, sockets_of};
use inuse_kernel::{Error, Seen, locality, process};
use inuse_rules::{Address, BlindSpot, Ownership, Socket, State, Transport, UnixName};
use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

/// Network namespaces that are entered.
const MOST_PLACES: usize = 4096;

/// All wanted rows with their owners.
///
/// # Errors
/// When the namespace cannot be entered, or the kernel answers for none of the protocols.
pub fn gather(options: &TableOptions) -> Result<Seen<Table>, Error> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut table = Table {
        taken_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        own_netns: Netns::current().inode(),
        ..Table::default()
    };
    let mut blind = Vec::new();
    let mut asked = ask_places(options, &mut table, &mut blind)?;
    own(&mut table, &mut asked, &options.filter);
    describe(&mut table);
    narrow(&mut table, &options.filter);
    table.rows.sort();
    Ok(Seen { found: table, blind })
}

fn ask_places(
    options: &TableOptions,
    table: &mut Table,
    blind: &mut Vec<BlindSpot>,
) -> Result<Vec<SockDiag>, Error> {
    let mut asked = Vec::new();
    if !options.all_netns {
        let netns = match &options.netns {
            Some(name) => Netns::open(name)?,
            None => Netns::current(),
        };
        let name = options.netns.clone().unwrap_or(NetnsName::Path("/proc/self/ns/net".into()));
        table.places.push(netns.inode().map(|inode| Place { inode, name }));
        asked.push(ask(netns, 0, &options.filter, table, blind)?);
        return Ok(asked);
    }
    let mut places = elsewhere::places().into_found(blind);
    if places.len() > MOST_PLACES {
        blind.push(BlindSpot {
            what: format!("{} of {} network namespaces", places.len() - MOST_PLACES, places.len()),
            remedy: "name one with --netns".into(),
        });
        places.truncate(MOST_PLACES);
    }
    let mut closed: Option<(usize, Error)> = None;
    for place in places {
        let netns = if Some(place.inode) == table.own_netns {
            Ok(Netns::current())
        } else {
            Netns::open(&place.name)
        };
        let number = u16::try_from(table.places.len()).unwrap_or(u16::MAX);
        match netns.and_then(|netns| ask(netns, number, &options.filter, table, blind)) {
            Ok(answered) => {
                table.places.push(Some(place));
                asked.push(answered);
            }
            // One that ended meanwhile is no blind spot.
            Err(Error::NotThere { .. } | Error::Gone { .. }) => {}
            Err(error) => closed = Some((closed.map_or(1, |(count, _)| count + 1), error)),
        }
    }
    match closed {
        Some((_, error)) if asked.is_empty() => return Err(error),
        Some((count, error)) => {
            let remedy = error.blind_spot().remedy;
            let what = format!("the sockets of {count} other network namespaces, which may not be entered");
            blind.push(BlindSpot { what, remedy });
        }
        None => {}
    }
    Ok(asked)
}

/// Asks one namespace. A protocol that the kernel does not answer for is a blind spot, unless it is all of
/// them.
fn ask(
    netns: Netns,
    place: u16,
    filter: &Filter,
    table: &mut Table,
    blind: &mut Vec<BlindSpot>,
) -> Result<SockDiag, Error> {
    let mut diag = SockDiag::open(&netns)?;
    let (mut answered, mut failed) = (0, Vec::new());
    for protocol in filter.protocols() {
        let start = table.rows.len();
        let mut moved = Moved::default();
        let walked = settled(name(protocol), || {
            table.rows.truncate(start);
            moved = Moved::default();
            walk(&mut diag, protocol, filter, &mut |socket| {
                if filter.fits_address(&socket) {
                    if let (Address::Unix { name: UnixName::Path(bound), .. }, Some(file)) =
                        (&socket.address, socket.file)
                    {
                        moved.note(table.rows.len(), bound, file);
                    }
                    table.rows.push(Row::new(socket, place));
                }
            })
        });
        match walked {
            Ok(seen) => {
                answered += 1;
                for (at, path) in moved.found() {
                    table.rows.rename(at, UnixName::Path(path));
                }
                let walked = seen.into_found(blind);
                if protocol == Protocol::Tcp && !walked.bound_inactive && wants(filter, State::Bound) {
                    note(
                        blind,
                        BlindSpot {
                            what:
                                "tcp sockets that are bound and do not listen: this kernel does not list them"
                                    .into(),
                            remedy: "a kernel from 6.8 on lists them".into(),
                        },
                    );
                }
            }
            Err(error) => failed.push(error),
        }
    }
    if answered == 0
        && let Some(error) = failed.pop()
    {
        return Err(error);
    }
    for error in failed {
        note(blind, error.blind_spot());
    }
    for row in table.rows.iter().filter(|row| row.place == place) {
        if let Some((_, _, device @ 1..)) = row.address.inet()
            && !table.interfaces.contains_key(&(place, device))
            && let Ok(Some(name)) = locality::interface_name(&netns, device)
        {
            table.interfaces.insert((place, device), name);
        }
    }
    Ok(diag)
}

/// One walk through the kernel's list of a protocol, filtered there as far as it can.
fn walk(
    diag: &mut SockDiag,
    protocol: Protocol,
    filter: &Filter,
    each: &mut dyn FnMut(Socket),
) -> Result<Walked, Error> {
    let transport = match protocol {
        Protocol::Tcp => Some(Transport::Tcp),
        Protocol::Udp => Some(Transport::Udp),
        Protocol::Unix => None,
    };
    let states = match filter.states() {
        // A request is another kind of socket, which the number of SYN_RECV alone does not name.
        Some(states) if !states.contains(&State::SynRecv) => {
            // No tcp socket that is listed is UNCONN; asked for more than LISTEN, the kernel walks all connections.
            let listed = |state: &&State| !(transport == Some(Transport::Tcp) && **state == State::Unconn);
            States::of(&states.iter().filter(listed).copied().collect::<Vec<_>>())
        }
        _ => States::ALL,
    };
    let Some(transport) = transport else {
        return diag.unix(states, &mut |row| each(row.socket));
    };
    // The kernel takes one range; the rest is left out here.
    let ports = filter.ports().map_or(Ports::All, |(low, high)| Ports::Local(low, high));
    diag.inet(&InetQuery { transport, ports, states }, each)
}

const fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => sockets_of(Transport::Tcp),
        Protocol::Udp => sockets_of(Transport::Udp),
        Protocol::Unix => "the unix sockets",
    }
}

fn wants(filter: &Filter, state: State) -> bool {
    filter.states().is_none_or(|states| states.contains(&state))
}

/// Notes once that something was not seen.
fn note(blind: &mut Vec<BlindSpot>, spot: BlindSpot) {
    if !blind.contains(&spot) {
        blind.push(spot);
    }
}

/// Finds who has the sockets open: one search for all of them, and a thorough one for those that ought to
/// have shown in it. What closed meanwhile is left out.
fn own(table: &mut Table, asked: &mut [SockDiag], filter: &Filter) {
    let open = table.rows.iter().filter(|row| row.inode != 0 && row.no_owner.is_none());
    let mut wanted: Vec<Wanted> = open.map(|row| Wanted { inode: row.inode, uid: row.uid }).collect();
    if wanted.is_empty() {
        return;
    }
    let plain = FindOptions { cloexec: false, ..FindOptions::default() };
    let seen = owners::find_all(&mut wanted, &FindOptions { beyond_processes: false, ..plain });
    let mut first_blind = seen.blind;
    let mut found = seen.found;
    if found.others().len() > 0 {
        let there = still_there(asked, filter);
        found.settle(|inode| there.as_ref().is_none_or(|there| there.binary_search(&inode).is_ok()));
        let me = rustix::process::geteuid().as_raw();
        wanted.retain(|wanted| match found.other(wanted.inode) {
            Some(Ownership::NotAsked) => true,
            // A process of the same user shows; if the socket's does not, it is not merely in a table.
            Some(Ownership::Hidden) => wanted.uid == Some(me),
            _ => false,
        });
        if !wanted.is_empty() {
            let seen = owners::find_all(&mut wanted, &plain);
            found.extend(seen.found);
            // Both say what is hidden, the second with fewer sockets in mind.
            if first_blind.is_empty() {
                first_blind = seen.blind;
            }
        }
    }
    table.owners_blind = first_blind;
    if found.others().any(|(_, owner)| *owner == Ownership::Gone) {
        table.rows.retain(|row| found.other(row.inode) != Some(&Ownership::Gone));
    }
    table.owners = found;
}

/// The inodes that the same walks bring now; `None` where they fail.
fn still_there(asked: &mut [SockDiag], filter: &Filter) -> Option<Vec<u64>> {
    let mut there = Vec::new();
    for diag in asked {
        for protocol in filter.protocols() {
            let walked = walk(diag, protocol, filter, &mut |socket| {
                there.push(socket.inode);
            });
            if !walked.is_ok_and(|walked| !walked.interrupted) {
                return None;
            }
        }
    }
    there.sort_unstable();
    Some(there)
}

/// Reads each owner once.
fn describe(table: &mut Table) {
    let pids: BTreeSet<u32> = table.owners.pids().collect();
    table.processes = pids.into_iter().filter_map(|pid| Some((pid, process::brief(pid)?))).collect();
}

/// Leaves out what the filter does not want, and counts what it cannot judge.
fn narrow(table: &mut Table, filter: &Filter) {
    if !filter.by_owner() {
        return;
    }
    let mut rows = std::mem::take(&mut table.rows);
    let mut hidden = 0;
    rows.retain(|row| {
        let owner = table.owner(row);
        match filter.fits_owner(row, &owner, &table.holders_of(&owner)) {
            Fit::Yes => true,
            Fit::No => false,
            Fit::Hidden => {
                hidden += 1;
                false
            }
        }
    });
    table.rows = rows;
    table.hidden_elsewhere = hidden;
}

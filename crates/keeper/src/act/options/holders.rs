//! The sockets that hold addresses, each with everybody who has it open.
//!
//! sock_diag tells which sockets there are, the owners' search who has them, and the holder's table gives the socket
//! itself, proven by inode and cookie. What has no visible holder is counted.

use super::read::Reader;
use super::seen::{Found, Holder, Look, NotFound, Question, not_found};
use inuse_kernel::netns::Netns;
use inuse_kernel::options::Unread;
use inuse_kernel::options::live::{Live, Table};
use inuse_kernel::process::users;
use inuse_kernel::sockdiag::{InetQuery, States};
use inuse_kernel::{SockDiag, owners, process};
use inuse_rules::owner::NoOwner;
use inuse_rules::{Address, BlindSpot, Holding, Ownership, Socket};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The sockets that hold addresses, and connections of those that listen.
pub(super) fn of_addresses(
    netns: &Netns,
    addresses: &[Address],
    question: Option<Question<'_>>,
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
    let options = owners::FindOptions { cloexec: false, ..owners::FindOptions::default() };
    let mut owned = owners::find(&sought, &options).into_found(&mut look.blind);
    // One that closed meanwhile has no owner either.
    let by_inode: BTreeMap<u64, &Socket> = rows.values().map(|row| (row.inode, row)).collect();
    owners::settle(&mut owned, |inode| {
        by_inode.get(&inode).is_none_or(|row| !matches!(diag.get(row), Ok(None)))
    });
    let mut reader = Reader::new(netns, question, rows.len());
    look.in_full = reader.in_full();
    let mut tables = Tables::default();
    let mut unread: Option<(u32, Unread)> = None;
    let mut hidden_users: BTreeSet<Option<u32>> = BTreeSet::new();
    for row in rows.values() {
        match owned.get(&row.inode) {
            Some(Ownership::Held(holdings)) => match tables.found(row, holdings, &mut reader) {
                Ok(found) => look.found.push(found),
                Err((_, Unread::Gone | Unread::Closed | Unread::NoSocket)) => {}
                Err((pid, why)) => {
                    look.beyond.hidden += 1;
                    let spot = why.blind_spot(pid);
                    if !look.blind.contains(&spot) {
                        look.blind.push(spot);
                    }
                    unread = Some((pid, why));
                }
            },
            Some(Ownership::Hidden | Ownership::NotAsked) => {
                look.beyond.hidden += 1;
                hidden_users.insert(row.uid);
            }
            Some(Ownership::Gone) | None => {}
            Some(_) => look.beyond.elsewhere += 1,
        }
    }
    match unread {
        _ if !look.found.is_empty() => Ok(()),
        Some((pid, why)) => Err(not_found(pid, 0, why)),
        None if !hidden_users.is_empty() => Err(NotFound::Refused {
            needs: hidden(&hidden_users),
            by_root: !rustix::process::geteuid().is_root(),
        }),
        None => Ok(()),
    }
}

/// What is missing where not even the holder shows.
fn hidden(users: &BTreeSet<Option<u32>>) -> String {
    let name =
        |uid: u32| users::name(uid).map_or_else(|| format!("uid {uid}"), |name| format!("user {name}"));
    let names: Vec<String> = users.iter().flatten().map(|&uid| name(uid)).collect();
    let whose = if names.is_empty() { "somebody else".to_owned() } else { names.join(" and ") };
    format!("CAP_SYS_PTRACE, since they belong to {whose}, and the open files of those processes do not show")
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

/// Tables of processes that are asked more than once. Only the last is kept open.
#[derive(Default)]
pub(super) struct Tables {
    last: Option<(u32, Option<u32>, Table)>,
    comms: BTreeMap<u32, Vec<u8>>,
}

impl Tables {
    /// The socket with all its holders, read through the first that lets it be duplicated; or why none does.
    fn found(
        &mut self,
        row: &Socket,
        holdings: &[Holding],
        reader: &mut Reader<'_>,
    ) -> Result<Found, (u32, Unread)> {
        let mut holders: Vec<Holder> = Vec::new();
        let mut read = None;
        let mut worst = (0, Unread::Gone);
        for holding in holdings {
            let tried = self.holder(holding).and_then(|holder| {
                if read.is_none() {
                    match self.duplicate(&holder, row.inode, row.cookie) {
                        Ok(live) => read = Some(reader.read(live)),
                        // It is closed by now, or another one has that number.
                        Err(Unread::Gone) => return Err(Unread::Gone),
                        Err(why) => worst = (holder.pid, why),
                    }
                }
                Ok(holder)
            });
            match tried {
                Ok(holder) => holders.push(holder),
                Err(Unread::Gone) => {}
                Err(why) => worst = (holding.pid, why),
            }
        }
        let (traits, readings) = read.ok_or(worst)?;
        Ok(Found { traits, holders, readings })
    }

    /// A socket that was seen, if one of its holders still has it.
    pub(super) fn again(&mut self, found: &Found) -> Option<Live> {
        let (inode, cookie) = (found.traits.inode, found.traits.cookie);
        found.holders.iter().find_map(|holder| {
            let same = self.table(holder.pid, holder.tid).ok()?.start_ticks() == holder.start_ticks;
            if same { self.duplicate(holder, inode, cookie).ok() } else { None }
        })
    }

    fn holder(&mut self, holding: &Holding) -> Result<Holder, Unread> {
        let start_ticks = self.table(holding.pid, holding.tid)?.start_ticks();
        let comm = self.comms.entry(holding.pid);
        let comm =
            comm.or_insert_with(|| process::read(holding.pid).map(|p| p.comm).unwrap_or_default()).clone();
        Ok(Holder { pid: holding.pid, tid: holding.tid, start_ticks, comm, fds: holding.fds.clone() })
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

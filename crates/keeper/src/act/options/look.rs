//! Looking at live sockets: which are meant, who has them open, and what their options say. Changes nothing.
//!
//! Here the sockets of one process. Not here: the sockets on an address (`holders`), asking a socket (`read`), and
//! what a look finds (`seen`).

use super::holders;
use super::read::Reader;
use super::seen::{Beyond, Found, Holder, Look, NotFound, Question, Subject, not_found};
use super::sentence::place;
use inuse_kernel::netns::Netns;
use inuse_kernel::options::Unread;
use inuse_kernel::options::live::Table;
use inuse_kernel::process;
use inuse_rules::State;
use std::collections::BTreeMap;

/// Looks at the sockets that are meant.
///
/// # Errors
/// When there is nothing to look at, or it may not be looked at at all.
pub fn look(netns: &Netns, subject: &Subject, question: Question<'_>) -> Result<Look, NotFound> {
    found(netns, subject, Some(question))
}

/// Looks which sockets are meant, and asks them for nothing: [`Again`](super::Again) does, one by one.
///
/// # Errors
/// When there is nothing to look at, or it may not be looked at at all.
pub fn sockets(netns: &Netns, subject: &Subject) -> Result<Look, NotFound> {
    found(netns, subject, None)
}

fn found(netns: &Netns, subject: &Subject, question: Option<Question<'_>>) -> Result<Look, NotFound> {
    let mut look = Look {
        subject: subject.clone(),
        found: Vec::new(),
        in_full: true,
        beyond: Beyond::default(),
        blind: Vec::new(),
    };
    match subject {
        Subject::Addresses(addresses) => holders::of_addresses(netns, addresses, question, &mut look)?,
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

/// The sockets of one process, each with its descriptors.
fn of_process(
    netns: &Netns,
    pid: u32,
    table: &Table,
    descriptors: Vec<Vec<u32>>,
    question: Option<Question<'_>>,
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

fn rank(state: Option<State>) -> u8 {
    match state {
        Some(State::Listen) => 0,
        Some(State::Bound | State::Unconn) => 1,
        _ => 2,
    }
}

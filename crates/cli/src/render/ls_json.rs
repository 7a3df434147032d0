//! The table of `inuse ls` for programs, schema `inuse.ls/1`: docs/schema/inuse.ls-1.json says what each field
//! means. One document; one socket a line, written as they are made. The rules for text are those of
//! `render::json`, and so are the names of fields that both have.

use super::json::{Blind, bytes, local, no_owner, timestamp, to_text};
use crate::output::Output;
use inuse_bind::table::{Protocol, Row, Table};
use inuse_kernel::Seen;
use inuse_rules::address::Address;
use inuse_rules::owner::{Holding, Process};
use serde::Serialize;

/// The schema of the view.
pub const SCHEMA: &str = "inuse.ls/1";
/// Text that is written at once.
const CHUNK: usize = 32 * 1024;

#[derive(Serialize)]
struct Head {
    schema: &'static str,
    taken: Option<String>,
    netns: Option<u64>,
}

#[derive(Serialize)]
struct SocketView {
    address: String,
    protocol: &'static str,
    local: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_bytes: Option<String>,
    port: Option<u16>,
    interface: Option<String>,
    remote: Option<String>,
    state: &'static str,
    netns: Option<u64>,
    inode: u64,
    uid: Option<u32>,
    recv_q: u32,
    send_q: u32,
    owners: Vec<Owner>,
    no_owner: Option<&'static str>,
}

#[derive(Serialize)]
struct Owner {
    pid: u32,
    tid: Option<u32>,
    fds: Vec<u32>,
    comm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comm_bytes: Option<String>,
    exe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exe_bytes: Option<String>,
    uid: Option<u32>,
    user: Option<String>,
    unit: Option<String>,
    container: Option<String>,
    runtime: Option<&'static str>,
    publishes: Option<String>,
}

/// Writes the whole document.
pub fn document(seen: &Seen<Table>, output: &mut Output) {
    write(seen, &mut |text| output.data(text));
}

/// The document in chunks of whole lines.
pub fn write(seen: &Seen<Table>, out: &mut dyn FnMut(&str)) {
    let table = &seen.found;
    let head = Head { schema: SCHEMA, taken: timestamp(table.taken_ms), netns: table.own_netns };
    let head = to_text(&head);
    let mut text = format!("{},\"sockets\":[", head.trim_end().trim_end_matches('}'));
    for (at, row) in table.rows.iter().enumerate() {
        text.push_str(if at == 0 { "\n" } else { ",\n" });
        text.push_str(to_text(&socket(table, &row)).trim_end());
        if text.len() > CHUNK {
            out(&text);
            text.clear();
        }
    }
    let blind: Vec<Blind<'_>> = seen
        .blind
        .iter()
        .chain(&table.owners_blind)
        .map(|spot| Blind { what: &spot.what, remedy: &spot.remedy })
        .collect();
    text.push_str(&format!("\n],\"blind_spots\":{}}}\n", to_text(&blind).trim_end()));
    out(&text);
}

fn socket(table: &Table, row: &Row) -> SocketView {
    let (local, local_bytes) = local(&row.address);
    let owner = table.owner(row);
    SocketView {
        address: row.address.to_string(),
        protocol: match Protocol::of(&row.address) {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Unix => "unix",
        },
        local,
        local_bytes,
        port: row.address.port(),
        interface: match row.address {
            Address::Inet { device: device @ 1.., .. } => {
                let name = table.interfaces.get(&(row.place, device));
                Some(name.cloned().unwrap_or_else(|| device.to_string()))
            }
            _ => None,
        },
        remote: row.remote.map(|remote| remote.to_string()),
        state: row.state.name(),
        netns: table.places.get(usize::from(row.place)).and_then(Option::as_ref).map(|place| place.inode),
        inode: row.inode,
        uid: row.uid,
        recv_q: row.recv_q,
        send_q: row.send_q,
        owners: owner.holdings().iter().map(|h| self::owner(h, table.processes.get(&h.pid))).collect(),
        no_owner: no_owner(&owner),
    }
}

fn owner(holding: &Holding, process: Option<&Process>) -> Owner {
    let (comm, comm_bytes) = process.map(|p| bytes(&p.comm)).unzip();
    let (exe, exe_bytes) = process.and_then(|p| p.exe.as_deref()).map(bytes).unzip();
    let container = process.and_then(|p| p.container.as_ref());
    Owner {
        pid: holding.pid,
        tid: holding.tid,
        fds: holding.fds.clone(),
        comm,
        comm_bytes: comm_bytes.flatten(),
        exe,
        exe_bytes: exe_bytes.flatten(),
        uid: process.and_then(|p| p.uid),
        user: process.and_then(|p| p.user.clone()),
        unit: process.and_then(|p| p.unit.as_ref()).map(|unit| unit.name.clone()),
        container: container.map(|container| container.id.clone()),
        runtime: container.map(|container| container.runtime.name()),
        publishes: process.and_then(|p| p.publishes.as_ref()).and_then(|publishes| {
            let port = publishes.container_port?;
            Some(
                publishes
                    .container_ip
                    .map_or(port.to_string(), |ip| std::net::SocketAddr::new(ip, port).to_string()),
            )
        }),
    }
}

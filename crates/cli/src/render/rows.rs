//! The evidence: sockets as rows, in the columns of `netstat -an` (and, like `-o`, the time that is left).

use super::wording::{foreign, left};
use inuse_rules::address::{Address, UnixName};
use inuse_rules::socket::TimerKind;
use inuse_rules::{Socket, State};

/// One row; `mark` says what it is besides a row of the port ("other end").
pub(super) struct Row<'a> {
    pub(super) socket: &'a Socket,
    pub(super) mark: String,
}

const HEAD: [&str; 7] = ["Proto", "Recv-Q", "Send-Q", "Local Address", "Foreign Address", "State", ""];

/// The rows as lines behind `indent`, under a heading.
pub(super) fn table(rows: &[Row<'_>], indent: &str) -> String {
    let cells: Vec<[String; 7]> =
        std::iter::once(HEAD.map(String::from)).chain(rows.iter().map(cells)).collect();
    let mut widths = [0; 7];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in &cells {
        let mut line = String::from(indent);
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            // Numbers to the right, everything else to the left.
            let (before, after) =
                if column == 1 || column == 2 { (pad.as_str(), "") } else { ("", pad.as_str()) };
            line.push_str(before);
            line.push_str(cell);
            line.push_str(after);
            line.push_str("  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn cells(row: &Row<'_>) -> [String; 7] {
    let socket = row.socket;
    let (proto, local, foreign_end) = match &socket.address {
        Address::Inet { transport, local, .. } => {
            let six = if local.is_ipv6() { "6" } else { "" };
            let wildcard = if local.is_ipv6() { "[::]:*" } else { "0.0.0.0:*" };
            let remote = socket.remote.map_or_else(|| wildcard.into(), |remote| remote.to_string());
            (format!("{}{six}", transport.name()), local.to_string(), remote)
        }
        Address::Unix { name, .. } => {
            let name = match name {
                UnixName::Path(path) => foreign(path, 60),
                UnixName::Abstract(name) => format!("@{}", foreign(name, 60)),
                UnixName::Unnamed => String::new(),
            };
            ("unix".into(), name, String::new())
        }
    };
    [
        proto,
        socket.recv_q.to_string(),
        socket.send_q.to_string(),
        local,
        foreign_end,
        state(socket).into(),
        [time_left(socket), row.mark.clone()]
            .iter()
            .filter(|text| !text.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join(", "),
    ]
}

/// netstat's words for the states, plus the one that it cannot show.
fn state(socket: &Socket) -> &'static str {
    match socket.state {
        State::Bound => "(bound only)",
        State::Unconn => "",
        State::FinWait1 => "FIN_WAIT1",
        State::FinWait2 => "FIN_WAIT2",
        other => other.name(),
    }
}

/// How long an ownerless socket stays; a lower bound, as the kernel's timer wheel may add up to 2 s.
fn time_left(socket: &Socket) -> String {
    match socket.timer {
        Some(timer) if socket.ownerless() && timer.left_ms == 0 => "about to end".into(),
        Some(timer) if timer.kind == TimerKind::TimeWait || socket.ownerless() => {
            format!("{} left", left(u64::from(timer.left_ms)))
        }
        _ => String::new(),
    }
}

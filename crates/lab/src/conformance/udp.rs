//! Stages UDP sockets: bound, connected, connected without bind, and connected to nowhere again.

use inuse_rules::Transport;
use std::net::SocketAddr;

use super::case::{Fate, Old, Stay};
use super::situation::{Situation, reachable};
use super::tcp::change;

/// Stages one old socket. One whose bind fails is simply not there afterwards.
pub fn stage(situation: &mut Situation<'_>, old: &Old) -> Option<()> {
    let socket = situation.open(Transport::Udp, &old.make).ok()?;
    let to = situation.ground.sink_at(reachable(&old.make, false));
    if old.fate == Fate::AutoConnected {
        change(&socket, old.later);
        let connect = || rustix::net::connect(&socket, &to);
        situation.ground.with_range(situation.port, situation.port, connect).ok()?.ok()?;
        situation.keep(socket, false);
        return Some(());
    }
    rustix::net::bind(&socket, &old.make.spot.at(situation.port)).ok()?;
    change(&socket, old.later);
    match old.fate {
        Fate::Bound(Stay::LeavesAtOnce) => return Some(()),
        Fate::Bound(Stay::LeavesLast) => {
            situation.close_last(socket);
            return Some(());
        }
        Fate::Connected | Fate::Disconnected => {
            let _ = rustix::net::connect(&socket, &SocketAddr::new(to.ip(), to.port()));
            if old.fate == Fate::Disconnected {
                let _ = rustix::net::connect_unspec(&socket);
            }
        }
        _ => {}
    }
    situation.keep(socket, true);
    Some(())
}

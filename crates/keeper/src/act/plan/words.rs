//! The steps of a plan in words: one sentence each, for every view.

use super::holders::{ends, one};
use super::{Over, Step};
use inuse_rules::Socket;
use inuse_rules::address::escape;
use std::net::SocketAddr;

/// "the 1200 TIME_WAITs of 127.0.0.1:8080 (to 127.0.0.1:40112 and others)".
pub(super) fn many(local: SocketAddr, count: u64, examples: &[Socket]) -> String {
    let ends: Vec<String> = examples.iter().filter_map(|socket| Some(socket.remote?.to_string())).collect();
    let others = if count > ends.len() as u64 { " and others" } else { "" };
    format!("the {count} TIME_WAITs of {local} (to {}{others})", ends.join(", "))
}

impl Step {
    /// What is done, in a sentence; for a command, the command is told besides.
    pub fn says(&self) -> String {
        match self {
            Step::Stop(stop) => {
                let names: Vec<String> = stop
                    .suspects
                    .iter()
                    .map(|suspect| match suspect.process.state {
                        b'T' => format!(
                            "{}, which is suspended and is continued with SIGCONT",
                            one(&suspect.process)
                        ),
                        _ => one(&suspect.process),
                    })
                    .collect();
                let all = if names.len() > 1 { ", since each of them keeps the address" } else { "" };
                let after = if stop.kill { "; SIGKILL follows where that is ignored" } else { "" };
                format!(
                    "Send SIGTERM to {}{all}, and wait until the socket is gone{after}.",
                    names.join(", ")
                )
            }
            Step::StopUnits(managed) => {
                let names: Vec<String> = managed.names.iter().map(|name| escape(name.as_bytes())).collect();
                format!("Have systemd stop {}.", names.join(", "))
            }
            Step::StopContainer(managed) => {
                let names: Vec<String> = managed.names.iter().map(|name| escape(name.as_bytes())).collect();
                format!("Have its runtime stop the {}.", names.join(", "))
            }
            Step::AwaitClose(_) => "Wait for a socket that is closing this very moment.".to_owned(),
            Step::Destroy(dropped) => {
                let socket = &dropped.socket;
                let nobody =
                    if socket.ownerless() { "; no process owns it" } else { "; its process lives on" };
                format!("Have the kernel drop {} ({}){nobody}.", ends(socket), socket.state.name())
            }
            Step::Displace(socket) => {
                format!(
                    "Remove the TIME_WAIT of {} by a connection attempt from its other end.",
                    ends(socket)
                )
            }
            Step::Clear(clear) => {
                let which = many(clear.local, clear.count, &clear.examples);
                match clear.destroy {
                    true => format!("Have the kernel drop {which}; no process owns them."),
                    false => format!("Remove {which}, each by a connection attempt from its other end."),
                }
            }
            Step::Unlink(stale) => {
                format!(
                    "Remove the stale socket file {}, if nobody is behind it at that moment.",
                    escape(&stale.path)
                )
            }
            Step::Sweep(sweep) => match sweep.over {
                Over::Port { destroy: true } => {
                    "Then have the kernel drop what their finished connections leave on the port (TIME_WAIT, \
                     orphaned FIN_WAIT_2); one that still delivers bytes is waited for."
                }
                Over::Port { destroy: false } => {
                    "Then remove the TIME_WAITs that their connections leave, where the other end is on this \
                     machine; what still talks is waited for."
                }
                Over::Path => "Then remove the socket file, if it is left and nobody is behind it.",
            }
            .to_owned(),
        }
    }
}

//! The words of `inuse ls`.

use clap::{Args, ValueEnum};
use inuse_bind::table::Protocol;
use inuse_rules::State;
use std::ffi::OsString;
use std::ops::RangeInclusive;

/// Examples.
pub(super) const EXAMPLES: &str = "\
Examples:
  inuse ls                              what listens, and who it is; sudo shows everybody's
  inuse ls 8080                         on this port, TCP and UDP, at every address
  inuse ls 127.0.0.1:8080               at this address; with what serves it from 0.0.0.0 or [::]
  inuse ls udp/53 /run/app.sock         any address that 'inuse why' takes
  inuse ls 3000-3999,8080               on these ports
  inuse ls --program node --user tom    of this program and user
  inuse ls --all --port 443             every socket of the port, also connections
  inuse ls --json | jq -r '.sockets[].owners[].pid'";

/// What the exit status says.
pub(super) const EXIT: &str = "\
Exit status:
  0  the list is printed; without a filter it may be empty
  1  nothing fits the filter, or stdout could not be written
  2  the words were wrong; nothing was done
  3  nothing that shows fits the filter, and not everything could be seen";

/// The words of `inuse ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Only these ports and addresses: 8080, 3000-3999, 127.0.0.1:8080, udp/53, /run/app.sock
    ///
    /// An address brings along what takes its connections from every address of the machine. Several may be given.
    #[arg(value_name = "ADDR")]
    pub addresses: Vec<OsString>,

    /// Every socket: also connections, TIME_WAIT, what is only bound, and unix sockets that do not listen
    #[arg(short, long)]
    pub all: bool,

    /// Only these local ports: 8080, 3000-3999, or several with commas
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = ports)]
    pub port: Vec<RangeInclusive<u16>>,

    /// Only what these processes have open
    #[arg(long, value_name = "PID", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Vec<u32>,

    /// Only what processes of these users have open, names or numbers
    #[arg(long, value_name = "USER", value_delimiter = ',')]
    pub user: Vec<String>,

    /// Only what these programs have open, by name; '*' stands for anything
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub program: Vec<OsString>,

    /// Only sockets in these states, with or without --all: listen, established, time-wait, …
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    pub state: Vec<State>,

    /// Only these protocols
    #[arg(long, value_name = "PROTO", value_delimiter = ',')]
    pub proto: Vec<Proto>,

    /// Only what these systemd units have open; '*' stands for anything
    #[arg(long, value_name = "UNIT", value_delimiter = ',')]
    pub unit: Vec<OsString>,

    /// Only what these containers have open: how their id or name begins
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub container: Vec<OsString>,

    /// Look in this network namespace: a name of 'ip netns', a process id or a path
    #[arg(long, value_name = "NETNS", conflicts_with = "all_netns")]
    pub netns: Option<OsString>,

    /// Look in every network namespace that can be found
    #[arg(long)]
    pub all_netns: bool,

    /// A row for each socket, with its queues, its user and its inode
    #[arg(short, long, conflicts_with = "json")]
    pub verbose: bool,

    /// Print JSON (schema inuse.ls/1)
    #[arg(long)]
    pub json: bool,
}

/// A protocol, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Proto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Unix sockets.
    Unix,
}

impl From<Proto> for Protocol {
    fn from(proto: Proto) -> Protocol {
        match proto {
            Proto::Tcp => Protocol::Tcp,
            Proto::Udp => Protocol::Udp,
            Proto::Unix => Protocol::Unix,
        }
    }
}

/// `8080`, or `3000-3999`.
fn ports(written: &str) -> Result<RangeInclusive<u16>, String> {
    let port =
        |text: &str| text.parse::<u16>().map_err(|_| "write a port, or a range as 3000-3999".to_owned());
    let (low, high) = written.split_once('-').unwrap_or((written, written));
    let range = port(low)?..=port(high)?;
    if range.is_empty() { Err("the range ends before it begins".to_owned()) } else { Ok(range) }
}

/// Ports that stand alone, with commas or as in an address: 80,443 or :8080. `None` for whatever is another address.
pub(crate) fn ports_alone(written: &str) -> Option<Vec<RangeInclusive<u16>>> {
    let one = |piece: &str| ports(piece.strip_prefix(':').unwrap_or(piece)).ok();
    written.trim().split(',').map(one).collect()
}

/// A state by the name that the views use, or as ss(8) and netstat(8) write it.
fn state(written: &str) -> Result<State, String> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_ascii_uppercase();
    let wanted = match plain(written).as_str() {
        "ESTAB" => plain("ESTABLISHED"),
        "LISTENING" => plain("LISTEN"),
        "SYNRCV" => plain("SYN_RECV"),
        other => other.to_owned(),
    };
    let known = State::ALL.into_iter().find(|state| plain(state.name()) == wanted);
    known.ok_or_else(|| {
        let names = State::ALL.map(|state| state.name().to_ascii_lowercase().replace('_', "-"));
        format!("write one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges() {
        let check =
            |text: &str, expect: Option<RangeInclusive<u16>>| assert_eq!(ports(text).ok(), expect, "{text}");
        check("8080", Some(8080..=8080));
        check("0", Some(0..=0));
        check("3000-3999", Some(3000..=3999));
        check("3999-3000", None);
        check("65536", None);
        check("-", None);
        check("http", None);
        check("1-2-3", None);
    }

    #[test]
    fn ports_that_stand_alone() {
        let check = |text: &str, expect: Option<&[RangeInclusive<u16>]>| {
            assert_eq!(ports_alone(text).as_deref(), expect, "{text}");
        };
        check("8080", Some(&[8080..=8080]));
        check(":8080", Some(&[8080..=8080]));
        check("3000-3999", Some(&[3000..=3999]));
        check("1-65535", Some(&[1..=65535]));
        check("80,:443", Some(&[80..=80, 443..=443]));
        for address in ["127.0.0.1:8080", "::8080", "udp/53", "node", "", "80,", "99999", "80-"] {
            check(address, None);
        }
    }

    #[test]
    fn states_by_every_usual_name() {
        let check = |text: &str, expect: Option<State>| assert_eq!(state(text).ok(), expect, "{text}");
        check("listen", Some(State::Listen));
        check("LISTENING", Some(State::Listen));
        check("estab", Some(State::Established));
        check("TIME-WAIT", Some(State::TimeWait));
        check("time_wait", Some(State::TimeWait));
        check("FIN-WAIT-1", Some(State::FinWait1));
        check("fin_wait2", Some(State::FinWait2));
        check("bound", Some(State::Bound));
        check("unconn", Some(State::Unconn));
        check("", None);
        check("wait", None);
        assert!(State::ALL.iter().all(|known| state(known.name()) == Ok(*known)));
    }
}

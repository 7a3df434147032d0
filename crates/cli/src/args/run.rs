//! The words of `inuse run`.

use clap::{Args, ValueEnum};
use inuse_keeper::hold::Ready;
use inuse_keeper::hold::exit::ending_signal;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Some uses.
pub(super) const EXAMPLES: &str = "\
Examples:
  inuse run -- ./server                          its listeners outlive it; nothing to configure
  inuse run -l 8080 -- ./server                  it gets the socket as descriptor 3 (LISTEN_FDS)
  inuse run -l http=80 -l admin=127.0.0.1:9000 -- ./server
  sudo inuse run -l 80 --keep -- setpriv --reuid www-data ./server
                                                 it binds port 80 itself, and gets what root has bound
  inuse run -l 8080 --watch src --before 'cargo build' -- target/debug/server
  inuse run --stop-signal QUIT -- nginx -g 'daemon off;'
                                                 the signal after which nginx answers what it has accepted
  inuse ctl restart                              in another terminal: a new one, without a gap";

/// What the exit status says.
pub(super) const EXIT: &str = "\
Keeping:
  Without -l a seccomp filter asks about the program's bind, listen and shutdown, and a small process of its own
  answers: it holds a duplicate of each listener, and the next process gets that socket when it binds the address.
  That process serves on when the supervisor is killed: the program keeps what it has and can bind what it likes, but
  nobody starts it again. Should the answering process be killed, what runs serves on, its next bind fails (ENOSYS),
  and the next restart ends it first.

Exit status:
  that of the program; 128 + n where signal n ended it
  1    an address cannot be bound, or the supervisor cannot be set up; nothing was started
  2    the words were wrong; nothing was done
  126  the program cannot be run
  127  the program was not found";

/// The words of `inuse run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Hold this address and give its socket to the program; may be repeated
    ///
    /// The program finds the sockets by LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES, as from systemd. 8080 is one
    /// socket for both families; port 0 is chosen, printed and kept. Also udp/53, unix:/run/app.sock, @name,
    /// unix-dgram:PATH, unix-seqpacket:PATH.
    #[arg(short, long, value_name = "[NAME=]ADDR")]
    pub listen: Vec<OsString>,

    /// With -l: put the sockets in the place of those that the program binds itself, instead of giving them to it
    ///
    /// For programs that know nothing of LISTEN_FDS, and ports that they may not bind. Write the address as the
    /// program binds it; 8080 alone fits the wildcard address of either family. Without -l the program's own listeners are
    /// always kept.
    #[arg(long)]
    pub keep: bool,

    /// An IPv6 socket takes no IPv4 connections; 8080 then becomes two sockets
    #[arg(long)]
    pub v6only: bool,

    /// Permissions of unix sockets, in octal: 660
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub socket_mode: Option<u32>,

    /// Owner of unix sockets: USER, USER:GROUP or :GROUP, numbers or names
    #[arg(long, value_name = "OWNER")]
    pub socket_owner: Option<String>,

    /// What makes a new process ready: auto, notify, fd:N, listen, or alive:TIME
    ///
    /// auto takes what comes first: READY=1 (sd_notify), its listening wherever the process before it did, its
    /// waiting for connections on a socket that it was given, or that it lives for a second where nothing else can
    /// be seen.
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = ready)]
    pub ready: Ready,

    /// How long a new process may take to be ready
    #[arg(long, value_name = "T", default_value = "60s", value_parser = crate::duration::parse)]
    pub ready_timeout: Duration,

    /// How long an old process may take to end once told to; then it is killed with all it started
    #[arg(long, value_name = "T", default_value = "30s", value_parser = crate::duration::parse)]
    pub drain: Duration,

    /// The signal by which a process is told to end: TERM, INT, QUIT, USR1, …, or its number
    ///
    /// Take the one after which the program answers what it has accepted: QUIT for nginx, USR1 for haproxy, INT for
    /// lighttpd, WINCH for Apache. It is also what SIGTERM to the supervisor becomes; SIGINT and SIGQUIT are passed on
    /// as they are.
    #[arg(long, value_name = "SIG", default_value = "TERM", value_parser = stop_signal)]
    pub stop_signal: i32,

    /// How long a new process must live once ready; if it dies before, the old program comes back
    #[arg(long, value_name = "T", default_value = "2s", value_parser = crate::duration::parse)]
    pub rollback_window: Duration,

    /// End the old process before the new one starts; connections wait meanwhile
    ///
    /// For programs that can run only once. So it is also where the program's listeners cannot be kept; connections
    /// are then refused meanwhile.
    #[arg(long)]
    pub no_overlap: bool,

    /// Run this shell command before each start; only if it succeeds the new process is started
    #[arg(long, value_name = "COMMAND")]
    pub before: Option<OsString>,

    /// Restart when this file, or anything below this directory, changes; may be repeated
    ///
    /// What git ignores does not count.
    #[arg(long, value_name = "PATH")]
    pub watch: Vec<PathBuf>,

    /// Give up after so many failed starts in a row; 0: never
    #[arg(long, value_name = "N", default_value = "5", allow_negative_numbers = true, value_parser = give_up)]
    pub give_up: u32,

    /// How many old processes may be ending at once; the oldest of more are killed
    #[arg(long, value_name = "N", default_value = "4", allow_negative_numbers = true, value_parser = max_old)]
    pub max_old: u32,

    /// The name by which 'inuse ctl' finds this supervisor (default: the program's)
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// How each step is told on stderr
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub log: LogForm,

    /// The program and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogForm {
    /// A line for people.
    Text,
    /// A line of JSON (schema inuse.run/1).
    Json,
    /// Only what goes wrong, for people.
    Quiet,
}

fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("write up to three octal digits, such as 660".into()),
    }
}

fn give_up(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "write a whole number, such as 5, or 0 for never".into())
}

fn max_old(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "write a whole number, such as 4".into())
}

fn stop_signal(text: &str) -> Result<i32, String> {
    ending_signal(text).ok_or_else(|| {
        "write TERM, INT, QUIT, HUP, USR1, USR2, WINCH, ABRT, ALRM or KILL, or the number of one of these"
            .into()
    })
}

fn ready(text: &str) -> Result<Ready, String> {
    let wrong = || {
        "write auto, notify, fd:N with N from 3 to 1023, listen, or alive:TIME such as alive:2s".to_owned()
    };
    match text.split_once(':') {
        None if text == "auto" => Ok(Ready::Auto),
        None if text == "notify" => Ok(Ready::Notify),
        None if text == "listen" => Ok(Ready::Listen),
        Some(("fd", number)) => match number.parse() {
            Ok(number) if (3..1024).contains(&number) => Ok(Ready::Descriptor(number)),
            _ => Err(wrong()),
        },
        Some(("alive", time)) => crate::duration::parse(time).map(Ready::Alive),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_and_modes() {
        let check = |word: &str, expect: Option<Ready>| assert_eq!(ready(word).ok(), expect, "{word:?}");
        check("auto", Some(Ready::Auto));
        check("notify", Some(Ready::Notify));
        check("listen", Some(Ready::Listen));
        check("fd:3", Some(Ready::Descriptor(3)));
        check("alive:250ms", Some(Ready::Alive(Duration::from_millis(250))));
        for wrong in ["", "Notify", "fd", "fd:", "fd:2", "fd:-1", "fd:1024", "alive", "alive:", "tcp:80"] {
            check(wrong, None);
        }
        for (word, expect) in [("660", Some(0o660)), ("7", Some(7)), ("1777", None), ("8", None), ("", None)]
        {
            assert_eq!(mode(word).ok(), expect, "{word:?}");
        }
    }
}

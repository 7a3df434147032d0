//! How a process ended (wait(2)), and what a shell makes of it.

use std::fmt;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It called exit with this.
    Code(u8),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// Whether it said that all is well.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }

    /// The status that a shell shows: 128 + n for signal n.
    pub fn status(self) -> u8 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(number) => u8::try_from(number).map_or(255, |number| number.saturating_add(128)),
        }
    }

    /// From what wait(2) said; `None` while it lives.
    pub(super) fn of(status: rustix::process::WaitStatus) -> Option<Exit> {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(Exit::Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX))),
            (None, Some(number)) => Some(Exit::Signal(number)),
            (None, None) => None,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit status {code}"),
            Exit::Signal(number) => match signal_name(*number) {
                Some(name) => f.write_str(name),
                None => write!(f, "signal {number}"),
            },
        }
    }
}

/// The name of a signal that ends or steers servers.
pub fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGWINCH => "SIGWINCH",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGSYS => "SIGSYS",
        _ => return None,
    })
}

/// The signals by which programs are told to end, some way or other.
const ENDING: [i32; 10] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
    libc::SIGABRT,
    libc::SIGALRM,
    libc::SIGKILL,
];

/// A signal by which a program may be told to end, from its name, with or without `SIG`, or its number.
pub fn ending_signal(word: &str) -> Option<i32> {
    let upper = word.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    ENDING.into_iter().find(|&number| {
        let name = signal_name(number).and_then(|name| name.strip_prefix("SIG"));
        name == Some(short) || number.to_string() == word
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_end_programs() {
        let check = |word: &str, expect| assert_eq!(ending_signal(word), expect, "{word:?}");
        check("TERM", Some(libc::SIGTERM));
        check("SIGQUIT", Some(libc::SIGQUIT));
        check("usr1", Some(libc::SIGUSR1));
        check("SigInt", Some(libc::SIGINT));
        check("1", Some(libc::SIGHUP));
        check("9", Some(libc::SIGKILL));
        check("28", Some(libc::SIGWINCH));
        for wrong in [
            "",
            "SIG",
            "SIGSIGTERM",
            "0",
            "-15",
            "+15",
            "015",
            "17",
            "STOP",
            "CHLD",
            "64",
            "65",
            "TERM ",
            "é",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn as_a_shell_shows_it() {
        let check =
            |exit: Exit, status, text| assert_eq!((exit.status(), &*exit.to_string()), (status, text));
        check(Exit::Code(0), 0, "exit status 0");
        check(Exit::Code(7), 7, "exit status 7");
        check(Exit::Signal(libc::SIGKILL), 137, "SIGKILL");
        check(Exit::Signal(libc::SIGTERM), 143, "SIGTERM");
        check(Exit::Signal(64), 192, "signal 64");
        check(Exit::Signal(-1), 255, "signal -1");
    }
}

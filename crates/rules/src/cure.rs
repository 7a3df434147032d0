//! What helps: an action, the command to type, whom it could hurt, the privilege it needs.
//!
//! Cures are hints. Nothing here runs anything.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// An action that fits a cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cure {
    /// What kind of action it is.
    pub action: Action,
    /// What to do and why it helps, one plain sentence.
    pub says: String,
    /// The commands to type, in order; empty when there is nothing to type.
    pub commands: Vec<Command>,
    /// Whom it could hurt ("nobody" when nobody).
    pub harms: String,
    /// The privilege it needs, `None` for none.
    pub needs: Option<String>,
    /// The change in the program's source, when that is the cure.
    pub source: Option<SourceFix>,
    /// Milliseconds to wait, when waiting is the cure and the kernel says how long; a lower bound.
    pub wait_ms: Option<u64>,
    /// What becomes of the attempt once it is carried out.
    pub promise: Promise,
}

/// What becomes of the attempt once a cure is carried out, with its stable word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// The attempt succeeds, with the option, the address or the user that the cure names.
    Now,
    /// It may succeed: part of it is left to the reader, something that decides could not be seen, or
    /// something else stays in the way for a while.
    Perhaps,
    /// What is there now has to end first; from then on it does not come back.
    FromNowOn,
}

impl Promise {
    /// The stable word for it in JSON.
    pub const fn code(self) -> &'static str {
        match self {
            Promise::Now => "now",
            Promise::Perhaps => "perhaps",
            Promise::FromNowOn => "from-now-on",
        }
    }
}

/// The kind of action, with its stable word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Ask a service manager to stop a unit.
    StopUnit,
    /// Ask a container runtime to stop a container.
    StopContainer,
    /// Restart a container runtime that left a helper behind.
    RestartRuntime,
    /// SIGTERM to a process.
    StopProcess,
    /// SIGCONT and SIGTERM to a stopped process.
    ResumeAndStop,
    /// End a session that forwards the port.
    EndSession,
    /// Wait until a timer of the kernel runs out.
    Wait,
    /// Destroy a socket that no process owns, or one connection of a living process.
    Destroy,
    /// Close the other end of the connection.
    ClosePeer,
    /// Set an option in the program's source.
    SetOption,
    /// Bind another address or port.
    BindElsewhere,
    /// Change a kernel setting.
    Sysctl,
    /// Give the program a capability, or start it with more rights.
    Privilege,
    /// Remove a stale socket file.
    Unlink,
    /// Change the configuration of the program that stands in its own way.
    Configure,
    /// Look with more rights.
    LookAgain,
}

impl Action {
    /// The stable word for it in JSON.
    pub const fn code(self) -> &'static str {
        match self {
            Action::StopUnit => "stop-unit",
            Action::StopContainer => "stop-container",
            Action::RestartRuntime => "restart-runtime",
            Action::StopProcess => "stop-process",
            Action::ResumeAndStop => "resume-and-stop",
            Action::EndSession => "end-session",
            Action::Wait => "wait",
            Action::Destroy => "destroy",
            Action::ClosePeer => "close-peer",
            Action::SetOption => "set-option",
            Action::BindElsewhere => "bind-elsewhere",
            Action::Sysctl => "sysctl",
            Action::Privilege => "privilege",
            Action::Unlink => "unlink",
            Action::Configure => "configure",
            Action::LookAgain => "look-again",
        }
    }
}

/// A command as its arguments; displayed, it is quoted for a POSIX shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(pub Vec<Vec<u8>>);

impl Command {
    /// A command from plain words.
    pub fn new<I, W>(words: I) -> Command
    where
        I: IntoIterator<Item = W>,
        W: Into<Vec<u8>>,
    {
        Command(words.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, word) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(&quote(word))?;
        }
        Ok(())
    }
}

/// A word quoted for any POSIX shell: bare when every byte is harmless, else in `'…'`, and as what
/// printf(1) writes when it holds bytes that no terminal should see. Not in `$'…'`, which `sh` does not
/// know on many machines.
pub fn quote(word: &[u8]) -> String {
    let bare = |b: &u8| b.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(b);
    if !word.is_empty() && word.iter().all(bare) {
        return word.iter().map(|&b| b as char).collect();
    }
    let text = core::str::from_utf8(word);
    let plain = text.is_ok_and(|t| !t.chars().any(crate::address::deceives));
    if plain { format!("'{}'", text.unwrap_or_default().replace('\'', "'\\''")) } else { printed(word) }
}

/// A word as what printf(1) writes. A command substitution loses the line feeds at its end; those follow
/// as they are.
fn printed(word: &[u8]) -> String {
    let body = word.len() - word.iter().rev().take_while(|&&b| b == b'\n').count();
    let (body, line_feeds) = word.split_at(body);
    let mut out = String::new();
    for (at, &b) in body.iter().enumerate() {
        match b {
            b'%' => out.push_str("%%"),
            b'\\' => out.push_str("\\\\"),
            // At its start it would begin an option.
            b'-' if at == 0 => out.push_str("\\055"),
            b' '..=b'~' if b != b'\'' => out.push(b as char),
            _ => out.push_str(&format!("\\{b:03o}")),
        }
    }
    if !out.is_empty() {
        out = format!("\"$(printf '{out}')\"");
    }
    if !line_feeds.is_empty() {
        out.push_str(&format!("'{}'", "\n".repeat(line_feeds.len())));
    }
    out
}

/// A change in the holder's or the newcomer's source, for which the views have three-line snippets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceFix {
    /// `SO_REUSEADDR` before bind().
    Reuseaddr,
    /// `SO_REUSEPORT` before bind().
    Reuseport,
    /// `IPV6_V6ONLY` before bind().
    V6only,
    /// `SOCK_CLOEXEC` at socket().
    Cloexec,
    /// close() on every accepted connection whose peer has closed.
    CloseConnections,
    /// `IP_BIND_ADDRESS_NO_PORT` before the bind() of a client.
    BindAddressNoPort,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &[u8], expect: &str) {
        assert_eq!(quote(word), expect);
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        check(b"nginx.service", "nginx.service");
        check(b"", "''");
        check(b"two words", "'two words'");
        check(b"it's", "'it'\\''s'");
        check(b"$(reboot)", "'$(reboot)'");
        check(b"a\x1b[2Jb'", "\"$(printf 'a\\033[2Jb\\047')\"");
        check(b"\xff", "\"$(printf '\\377')\"");
        check(b"-%\\\xff", "\"$(printf '\\055%%\\\\\\377')\"");
        check("\u{202e}x".as_bytes(), "\"$(printf '\\342\\200\\256x')\"");
        check(b"a\n", "\"$(printf 'a')\"'\n'");
        check(b"~root", "'~root'");
    }
}

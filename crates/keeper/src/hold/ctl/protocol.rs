//! What `inuse ctl` and a supervisor say to each other: one line of JSON each way, schema `inuse.ctl/1`.
//!
//! Bytes only; whose they are and how they travel is not here.

use serde::{Deserialize, Serialize};

/// The schema of both lines.
pub const SCHEMA: &str = "inuse.ctl/1";

/// The longest request.
pub(super) const LONGEST_REQUEST: usize = 4096;

/// The longest answer.
pub(super) const LONGEST_ANSWER: u64 = 1024 * 1024;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// How things are.
    Status,
    /// A new generation; answered when it serves, or when that failed.
    Restart,
    /// The end; answered when the last process has ended.
    Stop,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`SCHEMA`].
    pub schema: String,
    /// What is asked for.
    pub verb: Verb,
}

/// An answer. What does not apply is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// [`SCHEMA`].
    pub schema: String,
    /// Whether it was done.
    pub ok: bool,
    /// Why not, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The last lines of the output of what failed, escaped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
    /// The generation that serves after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// The status that the supervisor ends with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<u8>,
    /// How things are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Those of whom one is to be named. No supervisor says this: who asks finds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supervisors: Vec<Supervisor>,
}

/// One of several supervisors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervisor {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// It says how it is; if not, what follows is not known.
    pub answers: bool,
    /// The addresses that it holds.
    pub addresses: Vec<String>,
    /// The command line that it runs, escaped.
    pub command: Vec<String>,
}

/// How things are with a supervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Milliseconds since it began.
    pub uptime_ms: u64,
    /// The command line that it runs, escaped.
    pub command: Vec<String>,
    /// Whether a restart is under way.
    pub restarting: bool,
    /// The addresses that it holds.
    pub sockets: Vec<SocketStatus>,
    /// The generations that have a process left, oldest first.
    pub generations: Vec<GenerationStatus>,
}

/// An address that is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketStatus {
    /// Its name for the program, where it was given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where, as it is written on a command line.
    pub address: String,
    /// `tcp`, `udp`, `unix`, `unix-dgram` or `unix-seqpacket`; `None` for another family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The program bound it, and it is kept; else it is given to the program.
    pub kept: bool,
    /// Whether connections are accepted.
    pub listening: bool,
    /// Connections that wait to be accepted; `None` where there is no such queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<u32>,
    /// The living generations that have it, oldest first.
    pub generations: Vec<u32>,
}

/// One generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationStatus {
    /// Its number.
    pub generation: u32,
    /// `starting`, `serving`, `draining` or `killed`.
    pub state: String,
    /// Its first process.
    pub pid: u32,
    /// Processes that it has now.
    pub processes: usize,
    /// Milliseconds since it was started.
    pub age_ms: u64,
    /// What it says of itself (`STATUS=`), escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
}

impl Request {
    /// A request for this.
    pub fn new(verb: Verb) -> Request {
        Request { schema: SCHEMA.into(), verb }
    }

    /// Reads a line.
    pub(super) fn parse(line: &[u8]) -> Result<Request, String> {
        let request: Request = serde_json::from_slice(line)
            .map_err(|_| "the request is not a line of inuse.ctl/1".to_owned())?;
        if request.schema == SCHEMA { Ok(request) } else { Err(format!("only {SCHEMA} is spoken here")) }
    }
}

impl Answer {
    /// It was done.
    pub fn done() -> Answer {
        Answer { schema: SCHEMA.into(), ok: true, ..Answer::default() }
    }

    /// It was not.
    pub fn failed(error: impl Into<String>) -> Answer {
        Answer { schema: SCHEMA.into(), error: Some(error.into()), ..Answer::default() }
    }

    /// The line, with its end.
    pub fn line(&self) -> String {
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let check = |line: &[u8], expect: Option<Verb>| {
            assert_eq!(
                Request::parse(line).ok().map(|request| request.verb),
                expect,
                "{}",
                line.escape_ascii()
            );
        };
        check(br#"{"schema":"inuse.ctl/1","verb":"restart"}"#, Some(Verb::Restart));
        check(br#"{"schema":"inuse.ctl/1","verb":"status","later":1}"#, Some(Verb::Status));
        check(br#"{"schema":"inuse.ctl/2","verb":"stop"}"#, None);
        check(br#"{"schema":"inuse.ctl/1","verb":"explode"}"#, None);
        check(br#"{"verb":"stop"}"#, None);
        check(b"", None);
        check(b"[[[[[[[[", None);
        check(b"\xff\x00", None);
    }

    #[test]
    fn answers_come_back_as_they_were() {
        let mut answer = Answer::failed("it ended");
        answer.output = vec!["a".into()];
        let line = answer.line();
        assert_eq!(
            line,
            "{\"schema\":\"inuse.ctl/1\",\"ok\":false,\"error\":\"it ended\",\"output\":[\"a\"]}\n"
        );
        assert_eq!(serde_json::from_str::<Answer>(&line).ok(), Some(answer));
    }
}

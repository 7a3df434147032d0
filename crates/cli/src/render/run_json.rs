//! What each step knows, as fields: the JSON form of the log, schema `inuse.run/1`.
//!
//! The words and fields are those of docs/schema/inuse.run-1.json; a test holds every step against it.

use inuse_keeper::hold::exit::{Exit, signal_name};
use inuse_keeper::hold::log::{How, Reason, Refused, Step, Warning, Who};
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::time::Duration;

/// The schema of a line.
const SCHEMA: &str = "inuse.run/1";

/// A line with its end.
pub(super) fn line(step: &Step, time: String) -> String {
    let line = Line {
        schema: SCHEMA,
        time,
        event: step.event(),
        generation: step.generation(),
        fields: fields(step),
        message: step.to_string(),
    };
    let mut line = serde_json::to_string(&line).unwrap_or_default();
    line.push('\n');
    line
}

#[derive(Serialize)]
struct Line {
    schema: &'static str,
    time: String,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    #[serde(flatten)]
    fields: Fields,
    message: String,
}

/// Fields in their order; what is not known is left out.
#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn with(mut self, name: &'static str, value: impl Serialize) -> Fields {
        match serde_json::to_value(value) {
            Ok(Value::Null) | Err(_) => self,
            Ok(value) => {
                self.0.push((name, value));
                self
            }
        }
    }

    fn ms(self, name: &'static str, time: Duration) -> Fields {
        self.with(name, u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    fn exit(self, exit: Exit) -> Fields {
        match exit {
            Exit::Code(status) => self.with("exit_status", status),
            Exit::Signal(number) => self.with("signal", signal(number)),
        }
    }

    fn who(self, who: &Who) -> Fields {
        let this = self.with("by", who.word());
        match who {
            Who::Ctl => this,
            Who::Signal { signal: number, sender } => {
                this.with("signal", signal(*number)).with("sender", sender)
            }
            Who::Terminal { signal: number } => this.with("signal", signal(*number)),
            Who::Change { path } => this.with("path", path),
        }
    }

    fn reason(self, reason: &Reason) -> Fields {
        let this = self.with("reason", reason.word());
        match reason {
            Reason::Ended { exit, .. } | Reason::Before { exit } => this.exit(*exit),
            Reason::EndedInWindow { exit, lived, .. } => this.exit(*exit).ms("lived_ms", *lived),
            Reason::NotReady { waited, .. } => this.ms("waited_ms", *waited),
            Reason::NotRun { error } | Reason::NoProcess { error, .. } | Reason::BeforeNotRun { error } => {
                this.with("error", error)
            }
            Reason::Stopping => this,
        }
    }

    fn refused(self, refused: &Refused) -> Fields {
        let Refused { addresses, errno, cause, holders, commands, text: _ } = refused;
        let this = self.with("addresses", addresses).with("errno", errno).with("cause", cause);
        this.with("holders", holders).with("commands", commands)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn fields(step: &Step) -> Fields {
    let none = Fields::default();
    match step {
        Step::Holds { name, address, protocol } => {
            let name = (name != inuse_keeper::hold::UNNAMED).then_some(name);
            none.with("name", name).with("address", address).with("protocol", protocol)
        }
        Step::NotBound(refused) | Step::Taken { refused, .. } => none.refused(refused),
        Step::NotSetUp { error } => none.with("error", error),
        Step::Reachable { name, wanted } => none.with("name", name).with("wanted", wanted),
        Step::Started { pid, .. } => none.with("pid", pid),
        Step::Listens { address, protocol, adopted, .. } => {
            none.with("address", address).with("protocol", protocol).with("adopted", adopted)
        }
        Step::QueueRaised { address, from, to } => {
            none.with("address", address).with("from", from).with("to", to)
        }
        Step::Ready { how, after, .. } => {
            let this = none.ms("after_ms", *after).with("how", how.word());
            match how {
                How::Descriptor { number } => this.with("descriptor", number),
                How::Listens { addresses, partly } => {
                    this.with("addresses", addresses).with("partly", partly)
                }
                How::Notify | How::Alive { .. } | How::Waits => this,
            }
        }
        Step::LeftBehind { exit, .. } | Step::Ended { exit, .. } => none.exit(*exit),
        Step::Draining { signal: number, .. } => none.with("signal", signal(*number)),
        Step::Restart { who } | Step::Joined { who } => none.who(who),
        Step::Restarted { took, .. } => none.ms("took_ms", *took),
        Step::RestartFailed { reason } | Step::FailedStart { reason, .. } | Step::BeforeFailed { reason } => {
            none.reason(reason)
        }
        Step::NotStarted { status, reason } => none.with("exit_status", status).reason(reason),
        Step::ComesBack { after } => none.ms("after_ms", *after),
        Step::GaveUp { failures } => none.with("failures", failures),
        Step::Stopping { who, signal: sends } => none.who(who).with("sends", sends.map(signal)),
        Step::Warning(warning) => of_warning(warning),
        Step::Forked { .. }
        | Step::DrainOver { .. }
        | Step::TooManyDraining { .. }
        | Step::RolledBack { .. }
        | Step::BeforeRuns
        | Step::WaitsForChange => none,
    }
}

fn of_warning(warning: &Warning) -> Fields {
    let about = Fields::default().with("about", warning.about());
    match warning {
        Warning::EphemeralPort { port } => about.with("port", port),
        Warning::ManySockets { count } => about.with("count", count),
        Warning::Lost { count } => about.with("count", count),
        Warning::NoCtl { error } => about.with("error", error),
        Warning::NotKept { why, given } => about.with("why", why).with("given", given),
        Warning::NotSeen { address } => about.with("address", address),
        Warning::NotWaiting { addresses, .. } => about.with("addresses", addresses),
        Warning::Shared { address, what, .. } => about.with("address", address).with("what", what),
        Warning::QueueReset { address, why, .. } => about.with("address", address).with("why", why),
        Warning::Unclaimed { address, waiting, dropped, why, .. } => {
            let this = about.with("address", address).with("why", why);
            this.with("waiting", waiting).with("dropped", dropped)
        }
        Warning::StandInLost { replaced } => about.with("replaced", replaced),
        Warning::ShutDown { address, again } => about.with("address", address).with("again", again),
        Warning::Nonblocking { address, set } => about.with("address", address).with("set", set),
    }
}

/// Its name; its number, where it has none that is known here.
fn signal(number: i32) -> String {
    signal_name(number).map_or_else(|| number.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests;

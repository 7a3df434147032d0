//! What is to be set, on which sockets, in which order: a pure function of what was seen.
//!
//! The options in the order in which they were given; each on the sockets that listen before the connections, so
//! that what is accepted from then on has it already.

use super::seen::Look;
use super::sentence::place;
use inuse_kernel::options::spec::{Level, Spec};
use inuse_kernel::options::value::{Value, show};
use inuse_kernel::options::words::Asked;

/// One setsockopt(2).
#[derive(Clone, Debug)]
pub struct Step {
    /// The option.
    pub spec: &'static Spec,
    /// The value.
    pub value: Value,
    /// The socket, by its index in the look.
    pub found: usize,
    /// The value that it has, where it could be read.
    pub before: Option<Value>,
}

/// Why nothing is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// No socket that is meant has that option.
    NotHere(String),
    /// It could break a live socket, and nobody has agreed to that.
    NeedsForce(String),
}

impl Objection {
    /// The sentence.
    pub fn says(&self) -> &str {
        match self {
            Objection::NotHere(says) | Objection::NeedsForce(says) => says,
        }
    }
}

/// What is to be set.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In this order.
    pub steps: Vec<Step>,
    /// With one of these nothing is set.
    pub objections: Vec<Objection>,
    /// What to know besides.
    pub notes: Vec<String>,
}

/// Plans it. `force` is the agreement to what could break a live socket.
pub fn plan(look: &Look, asked: &[Asked], force: bool) -> Plan {
    let mut plan = Plan::default();
    for Asked { spec, value } in asked {
        let Some(value) = value else { continue };
        let (have, lack): (Vec<usize>, Vec<usize>) = (0..look.found.len())
            .partition(|&at| look.found.get(at).is_some_and(|f| f.traits.kind.has(spec)));
        if let Some(says) = not_here(look, spec) {
            plan.objections.push(Objection::NotHere(says));
            continue;
        }
        if !lack.is_empty() {
            plan.notes.push(format!(
                "{} of the sockets do not have {}: they stay as they are.",
                lack.len(),
                spec.name
            ));
        }
        if let (Some(breaks), false) = (spec.breaks(value), force) {
            let value = show(spec.form, value);
            let says = format!("{}={value} could break a live socket: {breaks}.", spec.name);
            plan.objections.push(Objection::NeedsForce(says));
        }
        plan.steps.extend(have.into_iter().map(|found| Step {
            spec,
            value: value.clone(),
            found,
            before: before(look, found, spec),
        }));
    }
    plan.notes.extend(out_of_reach(look));
    plan
}

/// That no socket has the option, as one line; `None` where one has.
pub fn not_here(look: &Look, spec: &Spec) -> Option<String> {
    if look.found.iter().any(|found| found.traits.kind.has(spec)) {
        return None;
    }
    let six = if spec.level == Level::Ipv6 { " over IPv6" } else { "" };
    let (name, level, on) = (spec.name, spec.level.name(), spec.on.says());
    Some(format!("{name} is an option of {on}{six}, level {level}; {} (ENOPROTOOPT)", kinds(look)))
}

fn before(look: &Look, found: usize, spec: &Spec) -> Option<Value> {
    let readings = &look.found.get(found)?.readings;
    readings.iter().find(|reading| reading.spec.name == spec.name)?.value.clone().ok()
}

/// What holds the address and cannot be set.
pub(super) fn out_of_reach(look: &Look) -> Vec<String> {
    let beyond = look.beyond;
    let mut notes = Vec::new();
    let several =
        |n: usize, one: &str, many: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {many}") };
    if beyond.queued > 0 {
        notes.push(format!(
            "Out of reach: {}, and no process has it yet. It keeps what its listener had when it came; once it is accepted, set it again. If the server ends first, it leaves nothing behind.",
            several(beyond.queued, "connection waits to be accepted", "connections wait to be accepted")
        ));
    }
    let ended = beyond.orphans + beyond.time_wait;
    if ended > 0 {
        notes.push(format!(
            "Out of reach: {} (TIME_WAIT and the like). They keep what they had, and go by themselves.",
            several(ended, "connection that is closed already", "connections that are closed already")
        ));
    }
    if beyond.hidden > 0 {
        notes.push(format!(
            "Out of reach: {} of processes that you may not ask.",
            several(beyond.hidden, "socket", "sockets")
        ));
    }
    if beyond.elsewhere > 0 {
        notes.push(format!(
            "Out of reach: {} that no visible table of open files has.",
            several(beyond.elsewhere, "socket", "sockets")
        ));
    }
    notes
}

impl Step {
    /// "SO_REUSEADDR: off -> on, on tcp/127.0.0.1:8080 …".
    pub fn says(&self, look: &Look) -> String {
        let before = self.before.as_ref().map_or_else(|| "?".to_owned(), |value| show(self.spec.form, value));
        let place = look.found.get(self.found).map(|found| place(&found.traits)).unwrap_or_default();
        format!("{}: {before} → {} on {place}", self.spec.name, show(self.spec.form, &self.value))
    }
}

/// "this is a udp (IPv4) socket", "these are tcp (IPv4) and unix stream sockets".
fn kinds(look: &Look) -> String {
    let mut names: Vec<String> = look.found.iter().map(|found| found.traits.kind.name()).collect();
    names.sort();
    names.dedup();
    match names.as_slice() {
        [] => "there is no socket".to_owned(),
        [one] if look.found.len() == 1 => format!("this is a {one} socket"),
        names => format!("these are {} sockets", names.join(" and ")),
    }
}

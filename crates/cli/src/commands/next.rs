//! `inuse next`: the first port at or after an address that can be bound now, for scripts.
//!
//! Ports that outgoing connections may be given, and those that the administrator reserved, are passed over.
//! Only a socket that is held is certain, and it says so.

use super::asked::{open, text_of};
use super::stop::Stop;
use crate::args::{AttemptArgs, NextArgs};
use crate::caller::{Caller, caller};
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::render::{json, wording};
use inuse_bind::resolve::resolve;
use inuse_bind::{Asker, WhyOptions};
use inuse_rules::Verdict;
use inuse_rules::verdict::Outcome;
use inuse_rules::written::{self, Host, Target, Written};
use serde::Serialize;

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    address: String,
    port: u16,
}

/// Prints the port, behind the host where one was given.
pub fn run(args: &NextArgs, output: &mut Output) -> ExitStatus {
    match search(args, output) {
        Err(stop) => stop.tell(output),
        Ok(None) => {
            output.say("no port that was asked for can be bound; -v says why, port by port");
            ExitStatus::InUse
        }
        Ok(Some(found)) => {
            if args.json {
                let address = found.written.to_string();
                output.data(&json::to_text(&Document { schema: "inuse.next/1", address, port: found.port }));
            } else {
                output.data(&format!("{}\n", found.plain()));
            }
            output
                .say("free now; only a socket that is held is certain, so bind it and be ready to ask again");
            ExitStatus::Success
        }
    }
}

struct Found {
    written: Written,
    port: u16,
}

impl Found {
    /// `8081`, or `127.0.0.1:8081` where a host was given.
    fn plain(&self) -> String {
        match &self.written.target {
            Target::Inet { host: Host::Every, device: None, .. } => self.port.to_string(),
            _ => {
                self.written.to_string().split_once('/').map_or_else(String::new, |(_, rest)| rest.to_owned())
            }
        }
    }
}

fn search(args: &NextArgs, output: &mut Output) -> Result<Option<Found>, Stop> {
    let text = text_of(&args.address);
    let start = written::parse(&text).map_err(Stop::Mistake)?;
    let Target::Inet { transport, host, device, ports } = start.target.clone() else {
        return Err(Stop::Mistake(start.blame_host("this is no port", "a unix name has no next one")));
    };
    let mut asker = open(&WhyOptions { netns: args.attempt.netns(), ..WhyOptions::default() })?;
    let caller = caller(args.attempt.as_uid.as_deref(), asker.netns()).map_err(Stop::Words)?;
    if let Some(note) = &caller.note {
        output.say(note);
    }
    let settings =
        inuse_kernel::sysctl::sysctls(asker.netns()).map_err(|error| Stop::Blind(error.to_string()))?.found;
    let range = settings.local_port_range.unwrap_or((32768, 60999));
    let last = if ports.start() == ports.end() { u16::MAX } else { *ports.end() };
    for port in (*ports.start()).max(1)..=last {
        let why_not = if (range.0..=range.1).contains(&port) {
            Some(format!("it lies in the ephemeral range {}-{}", range.0, range.1))
        } else if settings.reserves(port) {
            Some("it is in net.ipv4.ip_local_reserved_ports".to_owned())
        } else {
            let target =
                Target::Inet { transport, host: host.clone(), device: device.clone(), ports: port..=port };
            let written = Written { target, ..start.clone() };
            match refused(&mut asker, &written, &args.attempt, &caller)? {
                None => return Ok(Some(Found { written, port })),
                Some(verdict) => Some(wording::verdict(&verdict)),
            }
        };
        if let (true, Some(why_not)) = (args.verbose, why_not) {
            output.say(&format!("{port} is passed over: {why_not}"));
        }
    }
    Ok(None)
}

/// The first verdict that is no success; a port alone must be free for both families.
fn refused(
    asker: &mut Asker,
    written: &Written,
    meant: &AttemptArgs,
    caller: &Caller,
) -> Result<Option<Verdict>, Stop> {
    let interface = |name: &str| inuse_kernel::locality::interface_index(asker.netns(), name);
    let asks = resolve(written, interface).map_err(Stop::Mistake)?;
    for ask in asks.into_iter().filter(|ask| !ask.only_if_different) {
        let verdict = asker.verdict(&meant.attempt(&ask.address, caller));
        if verdict.outcome != Outcome::Ok {
            return Ok(Some(verdict));
        }
    }
    Ok(None)
}

//! `inuse why`: the verdict on a bind, the cause by name, who is in the way, and what to do.
//!
//! Three steps: the words (nothing is touched), the facts (nothing is changed), the view. The facts are
//! complete before the first byte is written: no duplicate of a socket is held while a reader is slow.

use crate::args::WhyArgs;
use crate::caller::caller;
use crate::commands::{saved, typed};
use crate::exit::ExitStatus;
use crate::mistyped::hint;
use crate::output::Output;
use crate::piped::Piped;
use crate::redact::redact;
use crate::render::human::{self, Look};
use crate::render::{Answer, json};
use inuse_bind::file;
use inuse_bind::resolve::{Ask, resolve};
use inuse_bind::{Asker, WhyOptions};
use inuse_rules::address::escape;
use inuse_rules::verdict::Outcome;
use inuse_rules::written::{self, Mistake, Written};
use inuse_rules::{Attempt, Cause};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Answers, and then lets the program in front of the pipe run on.
pub fn run(args: &WhyArgs, output: &mut Output) -> ExitStatus {
    let mut piped = None;
    let status = answer(args, &mut piped, output);
    output.flush();
    if let Some(mut piped) = piped {
        piped.pass_on();
    }
    status
}

fn answer(args: &WhyArgs, piped: &mut Option<Piped>, output: &mut Output) -> ExitStatus {
    match answers(args, piped, output) {
        Err(stop) => stop.tell(output),
        Ok((mut answers, saved_by)) => {
            answers.iter_mut().for_each(|answer| typed::adapt(&mut answer.diagnosis, args));
            if args.redact {
                answers.iter_mut().for_each(redact);
            }
            if let Some(path) = &args.save {
                if let Err(error) = file::save(path, &saved::file_of(&answers)) {
                    output.say(&error.to_string());
                    return ExitStatus::WrongWords;
                }
                output.say(&format!("the facts are saved in {}", escape(path.as_os_str().as_bytes())));
            }
            if args.json {
                output.data(&json::document(&answers, saved_by.as_deref()));
            } else {
                let zone = jiff::tz::TimeZone::system();
                let look = Look { width: output.width(), verbose: args.verbose, zone, saved_by };
                output.data(&human::text(&answers, &look));
            }
            let counted = answers.iter().map(|answer| ExitStatus::of(&answer.diagnosis.verdict));
            counted.max().unwrap_or(ExitStatus::WrongWords)
        }
    }
}

/// Why nothing could be answered.
pub enum Stop {
    /// An address is wrong.
    Mistake(Mistake),
    /// Other words are wrong.
    Words(String),
    /// The machine could not be asked.
    Blind(String),
}

impl Stop {
    /// Says it on stderr: one line, and a pointer under the address where a person looks on.
    pub fn tell(self, output: &mut Output) -> ExitStatus {
        match self {
            Stop::Mistake(mistake) => {
                output.say(&mistake.to_string());
                output.show(&mistake.caret());
                ExitStatus::WrongWords
            }
            Stop::Words(line) => {
                output.say(&line);
                ExitStatus::WrongWords
            }
            Stop::Blind(line) => {
                output.say(&line);
                ExitStatus::CannotSay
            }
        }
    }
}

/// The answers, and the program that saved the facts where they come from a file.
fn answers(
    args: &WhyArgs,
    piped: &mut Option<Piped>,
    output: &mut Output,
) -> Result<(Vec<Answer>, Option<String>), Stop> {
    if args.addresses.is_empty() && args.snapshot.is_none() {
        return Err(Stop::Words(
            "no address is given; for instance: inuse 8080, or: npm start 2>&1 | inuse -".into(),
        ));
    }
    let written = words(&args.addresses, piped)?;
    if let Some(path) = &args.snapshot {
        let facts = file::load(path).map_err(|error| Stop::Words(error.to_string()))?;
        let answers = saved::judge(args, &written, &facts)?;
        return Ok((answers, Some(facts.made_by)));
    }
    let netns = args.attempt.netns();
    let options = WhyOptions { netns, probe: args.probe, ..WhyOptions::default() };
    let mut asker = open(&options)?;
    let caller = caller(args.attempt.as_uid.as_deref(), asker.netns()).map_err(Stop::Words)?;
    let mut asks: Vec<Ask> = Vec::new();
    for written in &written {
        let interface = |name: &str| inuse_kernel::locality::interface_index(asker.netns(), name);
        for ask in resolve(written, interface).map_err(Stop::Mistake)? {
            add(&mut asks, ask);
        }
    }
    if let Some(note) = &caller.note {
        output.say(note);
    }
    let mut answers: Vec<Answer> = Vec::new();
    let attempts: Vec<Attempt> = asks.iter().map(|ask| args.attempt.attempt(&ask.address, &caller)).collect();
    for (ask, report) in asks.iter().zip(asker.why_each(&attempts)) {
        let answer = Answer { snapshot: report.snapshot, diagnosis: report.diagnosis };
        if !ask.only_if_different || differs(&answer, &answers) {
            answers.push(answer);
        }
    }
    Ok((answers, None))
}

/// Asks about each address once, and answers in any case if any of the words names it.
pub(super) fn add(asks: &mut Vec<Ask>, ask: Ask) {
    match asks.iter_mut().find(|other| other.address == ask.address) {
        Some(other) => other.only_if_different &= ask.only_if_different,
        None => asks.push(ask),
    }
}

/// Opens the conversation with the kernel.
pub fn open(options: &WhyOptions) -> Result<Asker, Stop> {
    Asker::new(options).map_err(|error| match &options.netns {
        Some(_) => Stop::Words(format!("--netns: {error}")),
        None => Stop::Blind(format!("the kernel cannot be asked: {error}")),
    })
}

/// Every address on the command line, and those that a message on standard input names. That is opened here
/// and may go on: whoever asks passes the rest on.
pub fn words(addresses: &[OsString], piped: &mut Option<Piped>) -> Result<Vec<Written>, Stop> {
    let mut all = Vec::new();
    for given in addresses {
        if given != "-" {
            let read = written::parse(&text_of(given));
            // Only the first word can be meant as a verb.
            let first = all.is_empty() && piped.is_none();
            let read = read.map_err(|mistake| if first { hint(mistake) } else { mistake });
            all.push(read.map_err(Stop::Mistake)?);
        } else if piped.is_none() {
            all.extend(piped.insert(Piped::new()).addresses().map_err(Stop::Words)?);
        }
    }
    Ok(all)
}

/// An argument as text. Paths need not be UTF-8: such a one is written with escapes, which the grammar
/// reads back.
pub fn text_of(given: &OsStr) -> String {
    match given.to_str() {
        Some(text) => text.to_owned(),
        None if given.as_bytes().starts_with(b"/") => format!("unix:{}", escape(given.as_bytes())),
        None => escape(given.as_bytes()),
    }
}

/// Whether a loopback address is worth telling beside the wildcard of its family: the kernel answers it
/// otherwise. That a machine has no `::1` at all is no news to somebody who asked about a port.
pub(super) fn differs(answer: &Answer, told: &[Answer]) -> bool {
    let family =
        |answer: &Answer| answer.diagnosis.attempt.address.inet().map(|(_, local, _)| local.is_ipv4());
    let port = |answer: &Answer| answer.diagnosis.attempt.address.port();
    let wildcard =
        told.iter().rev().find(|other| family(other) == family(answer) && port(other) == port(answer));
    let outcome = |answer: &Answer| match &answer.diagnosis.verdict.outcome {
        Outcome::Ok => (0, None),
        Outcome::Refused(refusal) => (1, Some(refusal.errno)),
        Outcome::Unknown { .. } => (2, None),
    };
    answer.diagnosis.cause != Cause::NotLocal
        && wildcard.is_none_or(|wildcard| outcome(wildcard) != outcome(answer))
}

//! `inuse why`: the verdict on a bind, the cause by name, who is in the way, and what to do.
//!
//! Three steps: the words (nothing is touched), the facts (nothing is changed), the view. The facts are
//! complete before the first byte is written: no duplicate of a socket is held while a reader is slow.

use crate::args::WhyArgs;
use crate::caller::caller;
use crate::commands::asked::{add, differs, open, words};
use crate::commands::stop::Stop;
use crate::commands::{saved, typed};
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::piped::Piped;
use crate::redact::redact;
use crate::render::human::{self, Look};
use crate::render::{Answer, json};
use inuse_bind::WhyOptions;
use inuse_bind::file;
use inuse_bind::resolve::{Ask, resolve};
use inuse_rules::address::escape;
use inuse_rules::{Attempt, Ownership, Socket};
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
                if args.verbose && args.snapshot.is_none() && owners_sought(&answers) {
                    tell_road(output);
                }
            }
            let counted = answers.iter().map(|answer| ExitStatus::of(&answer.diagnosis.verdict));
            counted.max().unwrap_or(ExitStatus::WrongWords)
        }
    }
}

/// Whether it was asked who has any of the sockets.
fn owners_sought(answers: &[Answer]) -> bool {
    let sought = |socket: &Socket| !matches!(socket.owners, Ownership::NotAsked | Ownership::Nobody(_));
    answers.iter().any(|answer| answer.snapshot.sockets.iter().any(sought))
}

/// Says why owners were looked up the slow way, where they were.
fn tell_road(output: &mut Output) {
    if let Some(reason) = inuse_kernel::owners::why_not_iterated() {
        output.data(&format!("\nOwners were looked up in /proc, not by a BPF program: {reason}.\n"));
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

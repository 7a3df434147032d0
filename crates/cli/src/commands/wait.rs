//! `inuse wait`: until an address can be bound, or until somebody listens on it.
//!
//! Here are the words and the clock; the waiting itself is `inuse_bind::wait`, the view `render::wait`.
//! stdout is for `--json` alone; what is said to people goes to stderr.

use super::asked::{no_port_zero, open, words};
use super::stop::Stop;
use crate::args::WaitArgs;
use crate::caller::caller;
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::render::wait::View;
use inuse_bind::WhyOptions;
use inuse_bind::resolve::resolve;
use inuse_bind::wait::{Progress, Waiter};
use inuse_rules::Attempt;
use std::time::{Duration, Instant};

/// How often the line that counts is written anew.
const TICK: Duration = Duration::from_secs(1);

/// Waits.
pub fn run(args: &WaitArgs, output: &mut Output) -> ExitStatus {
    let began = Instant::now();
    match prepare(args, output) {
        Err(stop) => stop.tell(output),
        Ok((mut waiter, view)) => wait(&mut waiter, began, args.timeout, view, output),
    }
}

/// From the words to a waiter.
fn prepare(args: &WaitArgs, output: &mut Output) -> Result<(Waiter, View), Stop> {
    let mut piped = None;
    let written = words(&args.addresses, &mut piped)?;
    if let Some(mut piped) = piped {
        piped.pass_on();
    }
    no_port_zero(&written)?;
    let options = WhyOptions { netns: args.attempt.netns(), ..WhyOptions::default() };
    let asker = open(&options)?;
    let caller = caller(args.attempt.as_uid.as_deref(), asker.netns()).map_err(Stop::Words)?;
    let mut groups: Vec<Vec<Attempt>> = Vec::new();
    for written in &written {
        let interface = |name: &str| inuse_kernel::locality::interface_index(asker.netns(), name);
        let asks = resolve(written, interface).map_err(Stop::Mistake)?;
        let meant = asks.iter().filter(|ask| !ask.only_if_different);
        let attempts = meant.map(|ask| args.attempt.attempt(&ask.address, &caller));
        // The addresses of one port of one word: to listen on one of them is to serve it.
        let mut by_port: Vec<Vec<Attempt>> = Vec::new();
        for attempt in attempts {
            let same = |group: &&mut Vec<Attempt>| {
                group.first().is_some_and(|first| first.address.port() == attempt.address.port())
            };
            match by_port.iter_mut().find(same) {
                Some(group) => group.push(attempt),
                None => by_port.push(vec![attempt]),
            }
        }
        groups.extend(by_port);
    }
    if let Some(note) = caller.note.as_ref().filter(|_| !args.listening) {
        output.say(note);
    }
    let view = View::new(args.json, &written, &groups);
    let waiter = if args.listening {
        Waiter::listening(&options, groups)
    } else {
        Waiter::new(&options, &groups.concat())
    };
    let waiter = waiter.map_err(|error| Stop::Blind(format!("the kernel cannot be asked: {error}")))?;
    Ok((waiter, view))
}

fn wait(
    waiter: &mut Waiter,
    began: Instant,
    timeout: Option<Duration>,
    mut view: View,
    output: &mut Output,
) -> ExitStatus {
    let deadline = timeout.map(|timeout| began + timeout);
    let counts = view.counts();
    // The verdict at the last news: an address that could not be judged was not merely in use.
    let mut status = ExitStatus::InUse;
    loop {
        let tick = counts.then(|| Instant::now() + TICK);
        let until = deadline.into_iter().chain(tick).min();
        let happened = waiter.next(until);
        let passed = began.elapsed();
        match happened {
            Progress::Waiting(waiting) => {
                status = match ExitStatus::of(&waiting.report.diagnosis.verdict) {
                    ExitStatus::CannotSay => ExitStatus::CannotSay,
                    _ => ExitStatus::InUse,
                };
                view.waiting(waiter.goal(), &waiting, passed, output);
            }
            Progress::Ready => {
                view.ready(waiter.goal(), passed, output);
                return ExitStatus::Success;
            }
            Progress::Hopeless(report) => {
                view.hopeless(waiter.goal(), &report, passed, output);
                return ExitStatus::of(&report.diagnosis.verdict);
            }
            Progress::Until if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                view.timed_out(waiter.goal(), passed, output);
                return status;
            }
            Progress::Until => view.tick(deadline, passed, output),
        }
    }
}

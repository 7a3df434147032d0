//! `inuse run`: holds addresses, and a program that serves them.
//!
//! Here are the words, and the sockets that are bound before anything is started (`sockets`). The supervising
//! itself is `inuse_keeper::hold`, the view of each step `render::run`.

mod owner;
mod privileged;
mod sockets;

use crate::args::RunArgs;
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::render::run::Log;
use inuse_keeper::hold::ctl::{self, Place};
use inuse_keeper::hold::log::{Step, Warning};
use inuse_keeper::hold::supervise::Rules;
use inuse_keeper::hold::{self, Held, Options, Ready};
use std::ffi::OsStr;
use std::path::Path;

/// Supervises until the program has ended for good.
pub fn run(args: &RunArgs, output: &mut Output) -> ExitStatus {
    // First of all: what we were given stands at fixed numbers.
    let mut held = hold::given();
    let mut log = Log::new(args.log);
    match sockets::bind(args, &mut log, output) {
        Ok(bound) => held.extend(bound),
        Err(status) => return status,
    }
    if let Some(wrong) = clash(args.ready, if keeps(args, held.len()) { 0 } else { held.len() }) {
        output.say(&wrong);
        return ExitStatus::WrongWords;
    }
    for held in &held {
        let (name, address) = (held.name.clone(), held.address.clone());
        log.step(&Step::Holds { name, address, protocol: held.protocol() });
    }
    for warning in sockets::warnings(args, &held) {
        log.step(&Step::Warning(warning));
    }
    let place = match Place::of_user(std::env::var_os("XDG_RUNTIME_DIR")) {
        Ok(place) => Some(place),
        Err(error) => {
            log.step(&Step::Warning(Warning::NoCtl { error: error.to_string() }));
            None
        }
    };
    match hold::run(options(args, held, place), &mut |step| log.step(step)) {
        Ok(status) => ExitStatus::Program(status),
        Err(error) => {
            log.step(&Step::NotSetUp { error: error.to_string() });
            ExitStatus::InUse
        }
    }
}

/// The program's own listeners are kept, unless it is given sockets and nothing else was asked for.
fn keeps(args: &RunArgs, sockets: usize) -> bool {
    args.keep || sockets == 0
}

fn options(args: &RunArgs, sockets: Vec<Held>, place: Option<Place>) -> Options {
    let program = args.command.first().map(|word| Path::new(word).file_name().unwrap_or(word));
    let name =
        args.name.clone().unwrap_or_else(|| program.map(OsStr::to_string_lossy).unwrap_or_default().into());
    Options {
        name: ctl::name(&name),
        command: args.command.clone(),
        keep: keeps(args, sockets.len()),
        sockets,
        rules: Rules {
            overlap: !args.no_overlap,
            drain: args.drain,
            stop_signal: args.stop_signal,
            ready_timeout: args.ready_timeout,
            rollback_window: args.rollback_window,
            give_up: (args.give_up > 0).then_some(args.give_up),
            most_draining: usize::try_from(args.max_old).unwrap_or(usize::MAX),
            before: args.before.is_some(),
            watched: !args.watch.is_empty(),
        },
        ready: args.ready,
        before: args.before.clone(),
        watch: args.watch.clone(),
        ignored: crate::sys::ignored::at_the_start(),
        place,
    }
}

/// The descriptor of `--ready fd:N` must not be one of the sockets.
fn clash(ready: Ready, sockets: usize) -> Option<String> {
    let Ready::Descriptor(number) = ready else { return None };
    let last = 2 + sockets;
    (usize::try_from(number).is_ok_and(|number| number <= last)).then(|| {
        format!("--ready fd:{number}: descriptors 3 to {last} are the sockets; take fd:{} or more", last + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_descriptor_comes_after_the_sockets() {
        let check = |number, sockets, clashes| {
            assert_eq!(clash(Ready::Descriptor(number), sockets).is_some(), clashes, "{number} {sockets}");
        };
        check(3, 0, false);
        check(3, 1, true);
        check(4, 1, false);
        check(4, 2, true);
        assert_eq!(clash(Ready::Auto, 2), None);
    }
}

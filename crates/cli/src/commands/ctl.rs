//! `inuse ctl`: asks a supervisor, and says what it answered; where several fit, or none, which there are.

use crate::args::{CtlArgs, What};
use crate::exit::ExitStatus;
use crate::mistyped::nearest;
use crate::output::Output;
use crate::render::ctl;
use clap::ValueEnum as _;
use inuse_keeper::hold::ctl::Place;
use inuse_keeper::hold::ctl::client::{Trouble, Which, ask};
use inuse_keeper::hold::ctl::protocol::{Answer, Supervisor, Verb};
use inuse_rules::cure::Command;

/// Asks.
pub fn run(args: &CtlArgs, output: &mut Output) -> ExitStatus {
    let verb = match args.what {
        What::Status => Verb::Status,
        What::Restart => Verb::Restart,
        What::Stop => Verb::Stop,
    };
    let which = match (&args.name, args.pid) {
        (Some(name), _) => Which::Name(name.clone()),
        (None, Some(pid)) => Which::Pid(pid),
        (None, None) => Which::Only,
    };
    let place = Place::of_user(std::env::var_os("XDG_RUNTIME_DIR")).map_err(Trouble::Io);
    let (answer, status) = match place.and_then(|place| ask(&place, &which, verb)) {
        Ok(answer) => {
            let status = if answer.ok { ExitStatus::Success } else { ExitStatus::InUse };
            (answer, status)
        }
        // How are things? So are they.
        Err(Trouble::Several(supervisors)) if which == Which::Only && verb == Verb::Status => {
            (Answer { supervisors, ..Answer::done() }, ExitStatus::Success)
        }
        Err(trouble) => {
            let (error, status) = (trouble.to_string(), status(&trouble));
            let supervisors = match trouble {
                Trouble::Several(them) | Trouble::None(them) => them,
                _ => Vec::new(),
            };
            (Answer { supervisors, ..Answer::failed(error) }, status)
        }
    };
    let width = output.columns();
    if args.json {
        output.data(&answer.line());
    } else if let Some(error) = &answer.error {
        output.say(error);
        output.lines(&ctl::output(&answer.output));
        output.lines(&ctl::table(&answer.supervisors, width));
        if let Some(typed) = typed(args, &answer.supervisors) {
            output.say(&format!("type, for instance: {typed}"));
        }
    } else {
        output.data(&ctl::text(&answer, width));
        if let Some(typed) = typed(args, &answer.supervisors) {
            output.show(&format!("more of one: {typed}"));
        }
    }
    status
}

fn status(trouble: &Trouble) -> ExitStatus {
    match trouble {
        Trouble::Several(_) => ExitStatus::WrongWords,
        _ => ExitStatus::CannotSay,
    }
}

/// The same command with a name that fits: the one that was nearly typed, else the first; a number where a name is not
/// of one only.
fn typed(args: &CtlArgs, them: &[Supervisor]) -> Option<Command> {
    let verb = args.what.to_possible_value()?;
    let names = them.iter().map(|one| one.name.as_str());
    let near = args.name.as_deref().and_then(|typed| nearest(typed, names.clone()).first().copied());
    let name = near.or(names.clone().next())?;
    let mut same = them.iter().filter(|one| one.name == name);
    Some(match (same.next(), same.next()) {
        (Some(one), Some(_)) => {
            Command::new(["inuse", "ctl", verb.get_name(), "--pid", &one.pid.to_string()])
        }
        _ => Command::new(["inuse", "ctl", verb.get_name(), "--name", name]),
    })
}

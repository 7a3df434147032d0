//! `inuse ctl`: asks a supervisor, and says what it answered.

use crate::args::{CtlArgs, What};
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::render::ctl;
use inuse_keeper::hold::ctl::Place;
use inuse_keeper::hold::ctl::client::{Trouble, Which, ask};
use inuse_keeper::hold::ctl::protocol::{Answer, Verb};

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
        Err(trouble) => {
            let status = match trouble {
                Trouble::Several(_) => ExitStatus::WrongWords,
                _ => ExitStatus::CannotSay,
            };
            (Answer::failed(trouble.to_string()), status)
        }
    };
    if args.json {
        output.data(&answer.line());
    } else if let Some(error) = &answer.error {
        output.say(error);
        output.lines(&ctl::output(&answer.output));
    } else {
        output.data(&ctl::text(&answer));
    }
    status
}

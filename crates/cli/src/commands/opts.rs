//! `inuse opts`: the options of live sockets, shown and set.
//!
//! The words first, all of them, before anything is looked at; then a look, which holds nothing when it returns; then
//! the plan and the question; and only then, socket by socket, the setting, with evidence made anew.

use super::asked::{no_port_zero, text_of};
use super::free::agreed;
use super::stop::Stop;
use super::typed::{as_root, own_path};
use crate::args::OptsArgs;
use crate::exit::ExitStatus;
use crate::mistyped::distance;
use crate::output::Output;
use crate::render::opts::{self, Shown};
use crate::render::opts_json;
use inuse_bind::resolve::resolve;
use inuse_keeper::act::options::{
    self, Again, Ending, Look, NotFound, Objection, Outcome, Plan, Question, Subject, Unproven,
};
use inuse_kernel::netns::{Netns, NetnsName};
use inuse_kernel::options::spec::Spec;
use inuse_kernel::options::words::{self, Asked, Wrong};
use inuse_kernel::options::{live::Table, table};
use inuse_rules::address::escape;
use inuse_rules::written;
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt as _;

/// Shows, explains or sets.
pub fn run(args: &OptsArgs, output: &mut Output) -> ExitStatus {
    let done = if args.list { list(args, output) } else { ask(args, output) };
    done.unwrap_or_else(|stop| stop.tell(output))
}

fn list(args: &OptsArgs, output: &mut Output) -> Result<ExitStatus, Stop> {
    let mut specs: Vec<&'static Spec> = Vec::new();
    for name in args.target.iter().chain(&args.options) {
        let name = text_of(name);
        let spec = table::named(&name).ok_or_else(|| Stop::Words(unknown(&name)))?;
        specs.push(spec);
    }
    let named = !specs.is_empty();
    if !named {
        specs.extend(table::all());
    }
    if args.json {
        output.data(&opts_json::list(&specs));
    } else if named {
        output.data(&opts::pages(&specs, output.width()));
    } else {
        output.data(&opts::list(&specs, output.columns()));
    }
    Ok(ExitStatus::Success)
}

fn ask(args: &OptsArgs, output: &mut Output) -> Result<ExitStatus, Stop> {
    let Some(target) = &args.target else {
        return Err(Stop::Words(
            "no target is given; for instance: inuse opts 8080, or: inuse opts pid:4412".into(),
        ));
    };
    let asked = asked(args)?;
    let netns = args.netns.as_deref().map(NetnsName::new);
    let netns = match &netns {
        Some(name) => Netns::open(name).map_err(|error| Stop::Words(format!("--netns: {error}")))?,
        None => Netns::current(),
    };
    let subject = subject(target, &netns)?;
    let netns = own_namespace(args, &subject).unwrap_or(netns);
    let wanted: Vec<&'static Spec> = asked.iter().map(|asked| asked.spec).collect();
    // All options of thousands of sockets are read when they are written.
    let later = args.all && wanted.is_empty();
    let question = Question { wanted: &wanted, ..Question::default() };
    let look = match later {
        true => options::sockets(&netns, &subject),
        false => options::look(&netns, &subject, question),
    };
    let look = look.map_err(stop)?;
    if look.found.is_empty() {
        let hidden = look.beyond.elsewhere > 0;
        let status = if hidden { ExitStatus::CannotSay } else { ExitStatus::InUse };
        if args.json {
            opts_json::look(&look, status, &mut |piece| output.data(piece));
        }
        output.say(&opts::nobody(&look, &text_of(target)));
        return Ok(status);
    }
    if asked.iter().any(|asked| asked.value.is_some()) {
        return set(args, &netns, &look, &asked, output);
    }
    if let Some(says) = wanted.iter().find_map(|spec| options::not_here(&look, spec)) {
        return Err(Stop::Words(says));
    }
    let (columns, width) = (output.columns(), output.width());
    let each = &mut |piece: &str| output.data(piece);
    let shown = if wanted.is_empty() { Shown::Changed } else { Shown::Asked };
    match (later, args.json) {
        (false, false) => opts::look(&look, shown, columns, width, each),
        (false, true) => opts_json::look(&look, ExitStatus::Success, each),
        (true, false) => opts::all(&look, Again::new(&netns), columns, width, each),
        (true, true) => opts_json::all(&look, Again::new(&netns), ExitStatus::Success, each),
    }
    Ok(ExitStatus::Success)
}

fn set(
    args: &OptsArgs,
    netns: &Netns,
    look: &Look,
    asked: &[Asked],
    output: &mut Output,
) -> Result<ExitStatus, Stop> {
    if let Some(read) = asked.iter().find(|asked| asked.value.is_none()) {
        let name = read.spec.name;
        return Err(Stop::Words(format!(
            "{name} has no value: either show options or set them, not both at once"
        )));
    }
    let plan = options::plan(look, asked, args.force);
    if !plan.objections.is_empty() {
        let status = objected(&plan);
        if args.json {
            output.data(&opts_json::set(look, &plan, None, status));
        } else {
            for objection in &plan.objections {
                output.say(objection.says());
            }
            if status == ExitStatus::InUse {
                output.say("nothing was set; '--force' agrees to that");
            }
        }
        return Ok(status);
    }
    if !args.yes {
        output.lines(&opts::plan(look, &plan, output.width()));
        if !agreed(output) {
            return Ok(ExitStatus::WrongWords);
        }
    }
    let outcome = options::set(netns, look, &plan);
    let status = ended(&outcome);
    if args.json {
        output.data(&opts_json::set(look, &plan, Some(&outcome), status));
    } else {
        output.data(&opts::outcome(look, &plan, &outcome, output.width()));
    }
    Ok(status)
}

/// Every option and value, before anything is touched; each that is wrong gets its line.
fn asked(args: &OptsArgs) -> Result<Vec<Asked>, Stop> {
    let mut asked = Vec::new();
    let mut wrong = Vec::new();
    for word in &args.options {
        match words::parse(&text_of(word)) {
            Ok(one) => asked.push(one),
            Err(Wrong::Unknown(name)) => wrong.push(unknown(&name)),
            Err(other) => wrong.push(other.to_string()),
        }
    }
    if wrong.is_empty() { Ok(asked) } else { Err(Stop::Words(wrong.join("\ninuse: "))) }
}

/// An unknown name, and the nearest known one: letters may be wrong, or the part before the first underscore.
fn unknown(name: &str) -> String {
    let wrong = Wrong::Unknown(name.chars().take(64).collect());
    let upper = name.to_ascii_uppercase();
    let rest = |name: &str| name.split_once('_').map_or(name.to_owned(), |(_, rest)| rest.to_owned());
    let near = |spec: &&Spec| {
        let prefix = if rest(spec.name) == rest(&upper) { 1 } else { usize::MAX };
        distance(&upper, spec.name).min(prefix)
    };
    let nearest = table::all().min_by_key(near).filter(|spec| near(spec) <= 3 && near(spec) < upper.len());
    match nearest {
        Some(spec) => format!("{wrong}; did you mean {} (level {})?", spec.name, spec.level.name()),
        None => format!("{wrong}; 'inuse opts --list' names all of them"),
    }
}

/// What the first word means.
fn subject(target: &OsStr, netns: &Netns) -> Result<Subject, Stop> {
    let text = text_of(target);
    let Some(process) = text.strip_prefix("pid:") else {
        let written = written::parse(&text).map_err(Stop::Mistake)?;
        no_port_zero(std::slice::from_ref(&written))?;
        let interface = |name: &str| inuse_kernel::locality::interface_index(netns, name);
        let asks = resolve(&written, interface).map_err(Stop::Mistake)?;
        return Ok(Subject::Addresses(asks.into_iter().map(|ask| ask.address).collect()));
    };
    let (pid, fd) = match process.split_once('/') {
        None => (process, None),
        Some((pid, fd)) => (pid, Some(fd)),
    };
    let wrong =
        |what: &str, right: &str| Stop::Words(format!("'{}': {what}; {right}", escape(text.as_bytes())));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<i32>().ok()).flatten().and_then(|number| u32::try_from(number).ok())
    };
    let pid = number(pid)
        .filter(|&pid| pid != 0)
        .ok_or_else(|| wrong("this is no process id", "write pid:4412, a number from 1 on"))?;
    match fd {
        None => Ok(Subject::Process(pid)),
        Some(fd) => {
            let fd = fd.strip_prefix("fd:").and_then(number);
            let fd = fd.ok_or_else(|| wrong("this is no descriptor", "write pid:4412/fd:3"))?;
            Ok(Subject::Descriptor(pid, fd))
        }
    }
}

/// The namespace of a process whose sockets are asked for, in which new sockets are compared with its own.
fn own_namespace(args: &OptsArgs, subject: &Subject) -> Option<Netns> {
    let (Subject::Process(pid) | Subject::Descriptor(pid, _)) = subject else { return None };
    let living = args.netns.is_none() && Table::open(*pid, None).is_ok();
    living.then(|| Netns::open(&NetnsName::Pid(*pid)).ok()).flatten()
}

fn stop(why: NotFound) -> Stop {
    match why {
        NotFound::Refused { by_root: true, .. } => {
            let words = std::env::args_os().skip(1).map(OsString::into_vec);
            Stop::Blind(format!("{why}; as root: {}", as_root(words, own_path())))
        }
        NotFound::NoProcess(_) | NotFound::Thread(..) | NotFound::Closed(..) | NotFound::NoSocket(..) => {
            Stop::Words(why.to_string())
        }
        NotFound::Refused { .. } | NotFound::TooOld | NotFound::Blind(_) | NotFound::Other(..) => {
            Stop::Blind(why.to_string())
        }
    }
}

fn objected(plan: &Plan) -> ExitStatus {
    let status = |objection: &Objection| match objection {
        Objection::NotHere(_) => ExitStatus::WrongWords,
        Objection::NeedsForce(_) => ExitStatus::InUse,
    };
    plan.objections.iter().map(status).max().unwrap_or(ExitStatus::Success)
}

fn ended(outcome: &Outcome) -> ExitStatus {
    let status = |ending: &Ending| match ending {
        Ending::Failed(Errno::PERM | Errno::ACCESS, _) => ExitStatus::OtherRefusal,
        Ending::Failed(..) => ExitStatus::InUse,
        Ending::Unproven(Unproven::Refused(_) | Unproven::Other(_)) => ExitStatus::CannotSay,
        Ending::Unproven(Unproven::Gone) | Ending::Gone if !outcome.any_set() => ExitStatus::InUse,
        _ => ExitStatus::Success,
    };
    outcome.deeds.iter().map(|deed| status(&deed.ending)).max().unwrap_or(ExitStatus::Success)
}

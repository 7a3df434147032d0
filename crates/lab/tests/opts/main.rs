//! The options of live sockets on the real kernel: read from foreign programs that have set them, set in foreign
//! programs that then are asked themselves, and a live server that is mended and restarted.
//!
//! Each case is a run of this binary on a stage of its own; `agent` is the foreign program, `every` tries the whole
//! table, `errors` the errors, `rights` what an asker lacks, `mend` the restart, `programs` real servers, `headers` the kernel's list of names.

mod agent;
mod errors;
mod every;
mod headers;
mod mend;
mod programs;
mod rights;

use inuse_keeper::act::options::{Look, NotFound, Question, Subject, look};
use inuse_kernel::netns::Netns;
use inuse_kernel::options::spec::Spec;
use inuse_lab::stage::Program;
use inuse_lab::{Stage, StageError};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The first argument of a run that plays a case on the stage.
const CASE: &str = "__case";

/// A case: its name, the user who plays it, the programs that it needs.
type Case = (&'static str, u32, &'static [&'static str], fn());

const CASES: &[Case] = &[
    ("every_option_of_a_static_program", 0, &["gcc"], every::static_c),
    ("every_option_of_python3", 0, &["python3"], every::python),
    ("nginx", 0, &["nginx"], programs::nginx),
    ("node", 0, &["node"], programs::node),
    ("errors_of_the_kernel", 0, &["gcc"], errors::raw),
    ("errors_without_privilege", 1000, &["python3"], errors::unprivileged),
    ("errors_by_state", 0, &["python3"], errors::by_state),
    ("closed_in_between", 0, &["python3"], errors::closed_in_between),
    ("ended_in_between", 0, &["python3"], errors::ended_in_between),
    ("replaced_in_between", 0, &["python3"], errors::replaced_in_between),
    ("what_is_missing_is_said", 0, &["python3", "setpriv"], rights::missing),
    ("nothing_is_taken_away", 0, &["python3"], errors::nothing_is_taken_away),
    ("a_live_server_is_mended_and_restarted", 0, &[], mend::mended),
    ("an_unmended_server_is_not", 0, &[], mend::unmended),
    ("an_orphan_is_out_of_reach", 0, &[], mend::orphan),
    ("a_connection_accepted_meanwhile_is_mended", 0, &[], mend::latecomer),
];

fn main() {
    inuse_lab::helper_main();
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [CASE, name] => {
            let (.., case) = CASES.iter().find(|(known, ..)| *known == name).expect("a case");
            return case();
        }
        [mend::SERVER] => return mend::serve(),
        [rights::ASKER, what] => return rights::ask(what),
        [rights::HIDING] => return rights::hide(),
        _ => {}
    }
    let mut trials = vec![Trial::ignorable_test("the_table_is_complete", headers::complete)];
    for &(name, uid, programs, _) in CASES {
        trials.push(Trial::ignorable_test(name, move || on_stage(name, uid, programs)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Plays a case on a stage.
fn on_stage(name: &str, uid: u32, programs: &[&str]) -> Result<Completion, Failed> {
    if let Some(missing) = programs.iter().find(|program| !on_path(program)) {
        return cannot(format!("it needs {missing}"));
    }
    let mut stage = match Stage::open() {
        Err(StageError::Unavailable(why)) => return cannot(why),
        other => other?,
    };
    let users = uid != 0 || programs.contains(&"setpriv");
    if users && !stage.offers(inuse_rules::scene::Need::Uids) {
        return cannot("it needs several users");
    }
    let ran = stage.run(uid, Program::Myself, &[CASE, name])?;
    stage.end()?;
    match ran.code {
        0 => Ok(Completion::Completed),
        code => {
            let said = String::from_utf8_lossy(&ran.stderr);
            Err(format!("exit {code}:\n{}{said}", String::from_utf8_lossy(&ran.stdout)).into())
        }
    }
}

/// Ignored with a reason, or failed where everything is required.
pub(crate) fn cannot(reason: impl std::fmt::Display) -> Result<Completion, Failed> {
    match inuse_lab::all_required() {
        true => Err(format!("could not run: {reason}").into()),
        false => Ok(Completion::ignored_with(reason)),
    }
}

fn on_path(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).exists())
}

/// What is there to see, in the stage's own namespace.
pub(crate) fn seen(subject: &Subject, wanted: &[&'static Spec]) -> Result<Look, NotFound> {
    look(&Netns::current(), subject, Question { wanted, in_full: true })
}

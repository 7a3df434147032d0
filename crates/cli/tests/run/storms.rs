//! Too much of everything: restarts, signals, crashes, generations that do not end.

use crate::notify::wait;
use crate::{Case, Served, holds, inuse, nothing_lost, same};
use inuse_lab::zoo::{Supervisor, run};
use libtest_mimic::Failed;
use rustix::process::Signal;

pub(crate) const ALL: &[Case] = &[
    ("fifty_restarts_at_once", &["python3"], fifty),
    ("hangups", &["python3"], hangups),
    ("crash_loop", &[], crash_loop),
    ("a_crash_under_load", &["python3"], crash),
    ("too_many_old_ones", &["python3"], too_many),
];

/// Room for every old generation of a storm: on a fast machine more than four are ending at once, each with a request
/// of two seconds.
const ROOM: [&str; 2] = ["--max-old", "50"];

/// Each is answered, with far fewer restarts than that.
fn fifty() -> Result<(), Failed> {
    let served = Served::new(&ROOM, "")?;
    let load = served.load()?;
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..50).map(|_| scope.spawn(|| served.supervisor.restart())).collect();
        asking.into_iter().try_for_each(|asks| match asks.join() {
            Ok(asked) => asked.map(drop).map_err(Failed::from),
            Err(_) => Err("the asking failed".into()),
        })
    })?;
    let started = served.supervisor.count("started");
    holds((2..=20).contains(&started), format!("{started} starts"))?;
    same(served.answers()?, served.supervisor.last().to_string(), "the generation that answers")?;
    nothing_lost(load)
}

fn hangups() -> Result<(), Failed> {
    let served = Served::new(&ROOM, "")?;
    let load = served.load()?;
    for _ in 0..200 {
        served.supervisor.signal(Signal::HUP)?;
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    served.supervisor.event("restarted", None)?;
    let is_quiet =
        || served.supervisor.ctl("status").is_ok_and(|ctl| ctl.answer["status"]["restarting"] == false);
    wait(is_quiet, "the last restart")?;
    let started = served.supervisor.count("started");
    holds((2..=12).contains(&started), format!("{started} starts"))?;
    nothing_lost(load)
}

/// The pauses double, a quarter more or less; then it gives up, with the program's status.
fn crash_loop() -> Result<(), Failed> {
    let options = ["-l", "127.0.0.1:0", "--give-up", "4"];
    let mut supervisor = Supervisor::start(inuse(), run(inuse(), &options, &["sh", "-c", "exit 5"]))?;
    same(supervisor.ended()?.code(), Some(5), "the exit status")?;
    let _ = supervisor.event("gave-up", None)?;
    same(supervisor.count("started"), 4, "starts")?;
    let told = supervisor.told();
    let pauses: Vec<f64> = told
        .iter()
        .filter(|told| told.event == "comes-back")
        .filter_map(|told| told.message.split(' ').rev().nth(1)?.parse().ok())
        .collect();
    let fits = |(at, pause): (usize, &f64)| {
        let middle = 0.1 * f64::from(1u32 << at);
        (middle * 0.74..=middle * 1.26).contains(pause)
    };
    holds(pauses.len() == 3 && pauses.iter().enumerate().all(fits), format!("the pauses: {pauses:?}"))
}

/// Clients wait in the queue while it comes back; only what it had in hand is lost.
fn crash() -> Result<(), Failed> {
    let served = Served::new(&[], "")?;
    let load = served.load()?;
    for generation in 1..=3 {
        let pid = served.supervisor.process(generation)?;
        let ready = served.supervisor.ready(generation)?;
        holds(load.goes_on(20), "no answers")?;
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).ok_or("no process")?;
        // It is the supervisor's child and has not ended: the number is still its own.
        rustix::process::kill_process(pid, Signal::KILL)?;
        let next = served.supervisor.ready(generation + 1)?;
        holds(next.at > ready.at, "the next one")?;
    }
    holds(load.goes_on(20), "no answers")?;
    let tally = load.stop();
    holds(tally.turned_away() == 0 && tally.generations.len() == 4, &tally)?;
    // Each kill may cost each of the seven clients the one request that it had in hand.
    holds(tally.lost() <= 21, tally)
}

/// The oldest of more than may drain at once are killed.
fn too_many() -> Result<(), Failed> {
    let deaf = "trap '' TERM; sh -c 'LISTEN_PID=$$ exec \"$@\"' sh \"$@\"; exit";
    let served = Served::new(&["--max-old", "2"], deaf)?;
    for _ in 0..4 {
        served.supervisor.restart()?;
        let status = served.supervisor.ctl("status")?;
        let generations = status.answer["status"]["generations"].as_array().cloned().unwrap_or_default();
        let draining = generations.iter().filter(|generation| generation["state"] == "draining").count();
        holds(draining <= 2, format!("{draining} are draining"))?;
    }
    same(served.supervisor.count("too-many-draining"), 2, "killed")?;
    same(served.supervisor.event("too-many-draining", None)?.generation, Some(1), "the first of them")
}

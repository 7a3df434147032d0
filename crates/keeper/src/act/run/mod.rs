//! Running a plan, step by step, and proving what came of it.

mod clear;
pub(super) mod command;
mod proof;
mod stop;
mod take_away;
mod unlink;

use super::plan::{Managed, ObstacleKind, Plan, Step, Suspect};
use super::{Freer, Look};
use inuse_kernel::SockDiag;
use inuse_rules::verdict::Outcome as Answer;
use inuse_rules::{Cause, Socket, State};
use std::time::{Duration, Instant};

/// How often the address is looked at while something is closing.
const PACE: Duration = Duration::from_millis(20);

/// What was done, or deliberately left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// In words.
    pub says: String,
    /// Whether it was done.
    pub done: bool,
}

impl Deed {
    pub(super) fn done(says: String) -> Deed {
        Deed { says, done: true }
    }

    pub(super) fn left(says: String) -> Deed {
        Deed { says, done: false }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was free already.
    NothingToDo,
    /// The verdict at the end says that the bind would succeed.
    Free,
    /// It says that the address is still in use.
    NotFree,
    /// What is in the way at the end does not show.
    Unseen,
    /// The plan had an obstacle, and nothing was done.
    Refused(ObstacleKind),
}

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// What was done, in order.
    pub deeds: Vec<Deed>,
    /// The end, in a sentence or two.
    pub says: String,
    /// The cause at the end, where the address is not free.
    pub cause: Option<Cause>,
    /// The look on which that rests; none where nothing was done.
    pub after: Option<Box<Look>>,
}

/// What is remembered while a plan runs.
struct Progress {
    deeds: Vec<Deed>,
    stubborn: Vec<Suspect>,
}

impl Freer {
    /// Runs several plans, one after the other. A step that an earlier plan has done already (both address
    /// families of a port may have one holder) is not done twice.
    pub fn run_all(&mut self, plans: &[Plan], grace: Duration) -> Vec<Outcome> {
        let mut done: Vec<&Step> = Vec::new();
        let mut outcomes = Vec::new();
        for plan in plans {
            let fresh = |step: &&Step| {
                matches!(step, Step::Sweep(_)) || !done.iter().any(|done| done.resembles(step))
            };
            let steps: Vec<&Step> = plan.steps.iter().filter(fresh).collect();
            outcomes.push(self.run_steps(plan, &steps, grace));
            if plan.is_ready() {
                done.extend(&plan.steps);
            }
        }
        outcomes
    }

    /// Runs a plan: this very value. With an obstacle in it nothing is done. `grace` is how long a process
    /// may take after each signal.
    pub fn run(&mut self, plan: &Plan, grace: Duration) -> Outcome {
        self.run_steps(plan, &plan.steps.iter().collect::<Vec<_>>(), grace)
    }

    fn run_steps(&mut self, plan: &Plan, steps: &[&Step], grace: Duration) -> Outcome {
        if plan.is_free() {
            return Outcome {
                ending: Ending::NothingToDo,
                deeds: Vec::new(),
                says: format!("{} is free already: nothing to do.", plan.attempt.address),
                cause: None,
                after: None,
            };
        }
        if let Some(worst) = plan.obstacles.iter().map(|obstacle| obstacle.kind).max() {
            return Outcome {
                ending: Ending::Refused(worst),
                deeds: Vec::new(),
                says: "Nothing was done.".into(),
                cause: Some(plan.cause),
                after: None,
            };
        }
        let mut progress = Progress { deeds: Vec::new(), stubborn: Vec::new() };
        match SockDiag::open(self.asker.netns()) {
            Ok(mut diag) => {
                for step in steps {
                    self.step(&mut diag, step, plan, grace, &mut progress);
                }
            }
            Err(error) => progress.deeds.push(Deed::left(error.to_string())),
        }
        proof::prove(self, plan, progress)
    }

    fn step(
        &mut self,
        diag: &mut SockDiag,
        step: &Step,
        plan: &Plan,
        grace: Duration,
        progress: &mut Progress,
    ) {
        let netns = self.asker.netns();
        match step {
            Step::Stop(stop) => {
                let stopped = stop::run(diag, stop, grace);
                progress.deeds.extend(stopped.deeds);
                progress.stubborn.extend(stopped.stubborn);
            }
            Step::StopUnits(managed) | Step::StopContainer(managed) => {
                progress.deeds.push(manage(managed));
                until_gone(diag, &managed.sockets, grace);
            }
            Step::AwaitClose(sockets) => until_gone(diag, sockets, grace),
            Step::Destroy(dropped) => {
                progress.deeds.push(take_away::destroy(netns, diag, dropped));
                self.sweep(diag, plan, Duration::ZERO, progress);
            }
            Step::Displace(socket) => progress.deeds.push(take_away::displace(netns, diag, socket)),
            Step::Clear(clear) => progress.deeds.extend(clear::run(netns, diag, clear)),
            Step::Unlink(stale) => progress.deeds.push(unlink::run(netns, diag, stale)),
            Step::Sweep(_) if progress.stubborn.is_empty() => self.sweep(diag, plan, grace, progress),
            Step::Sweep(_) => {}
        }
    }

    /// Takes away what nobody owns, as it comes, until the address is free, somebody holds it, or the time is
    /// up. Only rungs that touch no process: each look makes a plan of its own, of which the rest is not run.
    fn sweep(&mut self, diag: &mut SockDiag, plan: &Plan, patience: Duration, progress: &mut Progress) {
        let deadline = Instant::now() + patience;
        loop {
            let look = self.look(&plan.attempt);
            if look.report.diagnosis.verdict.outcome == Answer::Ok {
                return;
            }
            let next = look.plan(plan.may);
            let harmless = |step: &&Step| {
                matches!(step, Step::Destroy(_) | Step::Displace(_) | Step::Clear(_) | Step::Unlink(_))
            };
            for step in next.steps.iter().filter(harmless) {
                let netns = self.asker.netns();
                match step {
                    // A connection that came later, or that still delivers its last bytes, was not agreed upon.
                    Step::Destroy(dropped) if is_spent(&dropped.socket) || plan.destroys(&dropped.socket) => {
                        progress.deeds.push(take_away::destroy(netns, diag, dropped));
                    }
                    Step::Displace(socket) => progress.deeds.push(take_away::displace(netns, diag, socket)),
                    Step::Clear(clear) => progress.deeds.extend(clear::run(netns, diag, clear)),
                    Step::Unlink(stale) => progress.deeds.push(unlink::run(netns, diag, stale)),
                    _ => {}
                }
            }
            // Somebody holds it: that is for the proof to tell.
            if next.suspects().next().is_some() || Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(PACE);
        }
    }
}

/// Asks a manager.
fn manage(managed: &Managed) -> Deed {
    match command::stop(&managed.command) {
        Ok(()) => Deed::done(managed.command.to_string()),
        Err(why) => Deed::left(format!("{}: {why}", managed.command)),
    }
}

/// Whether nobody loses anything by its end.
fn is_spent(socket: &Socket) -> bool {
    socket.ownerless() && matches!(socket.state, State::TimeWait | State::FinWait2)
}

fn until_gone(diag: &mut SockDiag, sockets: &[Socket], patience: Duration) {
    let deadline = Instant::now() + patience;
    while sockets.iter().any(|socket| stop::is_there(diag, socket)) && Instant::now() < deadline {
        std::thread::sleep(PACE);
    }
}

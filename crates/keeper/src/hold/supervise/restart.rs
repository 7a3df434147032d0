//! A restart, from the asking to the answer.

use super::{
    Action, Asker, Comeback, Exit, Failure, Machine, Program, Reason, Restart, Stage, Step, Stopping, Tell,
    Who,
};

impl Machine {
    pub(super) fn asked(&mut self, asker: Asker) {
        if self.stopping.is_some() {
            let failure = Failure { generation: None, reason: Reason::Stopping };
            return self.act(Action::Answer(asker.connection.into_iter().collect(), Err(failure)));
        }
        match self.restart.as_mut().map(|restart| restart.stage) {
            None => self.begin_restart(vec![asker]),
            // It serves already; that it stays so is no longer waited for.
            Some(Stage::Window(new, _)) => {
                self.finish(Ok(new));
                self.begin_restart(vec![asker]);
            }
            Some(Stage::DrainingOld) => {
                self.say(Step::Joined { who: asker.who.clone() });
                if let Some(restart) = &mut self.restart {
                    restart.askers.push(asker);
                }
            }
            // What was asked for may have come too late for the one under way: one more follows for all.
            Some(Stage::Before | Stage::Starting(_)) => {
                self.say(Step::Joined { who: asker.who.clone() });
                self.next.push(asker);
            }
        }
    }

    fn begin_restart(&mut self, askers: Vec<Asker>) {
        let who = askers.first().map_or(Who::Ctl, |asker| asker.who.clone());
        self.say(Step::Restart { who });
        self.restart = Some(Restart { askers, began: self.now, stage: Stage::Before });
        if self.rules.before {
            return self.act(Action::RunBefore);
        }
        self.swap();
    }

    pub(super) fn before_ended(&mut self, failure: Option<Reason>) {
        if self.stopping.is_some() || !matches!(self.restart, Some(Restart { stage: Stage::Before, .. })) {
            return;
        }
        let Some(reason) = failure else { return self.swap() };
        self.say(Step::BeforeFailed { reason: reason.clone() });
        self.finish(Err(Failure { generation: None, reason }));
        let nothing_runs = self.generations.is_empty() && self.comeback.is_none() && self.restart.is_none();
        if nothing_runs && self.rules.watched {
            self.say(Step::WaitsForChange);
        } else if nothing_runs {
            self.stopping = Some(Stopping { of: 0, status: 1 });
            self.leave_if_done();
        }
    }

    /// The new generation, now or when the old one has ended.
    fn swap(&mut self) {
        self.act(Action::Tell(Tell::Reloading));
        self.comeback = None;
        if !self.rules.overlap && !self.generations.is_empty() {
            self.stage(Stage::DrainingOld);
            let all: Vec<u32> = self.generations.iter().map(|generation| generation.number).collect();
            return all.into_iter().for_each(|number| self.drain(number));
        }
        let new = self.spawn(Program::Fresh);
        self.stage(Stage::Starting(new));
    }

    /// Without overlap the new generation starts when the last old one has ended.
    pub(super) fn old_ended(&mut self) {
        let waits = matches!(self.restart, Some(Restart { stage: Stage::DrainingOld, .. }));
        if waits && self.generations.is_empty() && self.stopping.is_none() {
            let new = self.spawn(Program::Fresh);
            self.stage(Stage::Starting(new));
        }
    }

    pub(super) fn not_started(&mut self, number: u32, status: u8, reason: Reason) {
        self.generations.retain(|generation| generation.number != number);
        let asked =
            matches!(self.restart, Some(Restart { stage: Stage::Starting(new), .. }) if new == number);
        if asked || self.proven.is_some() || self.rules.watched {
            self.failed_start(number, reason, Exit::Code(status));
        } else {
            // It never ran: no pause would change that.
            self.say(Step::NotStarted { status, reason });
            self.stopping = Some(Stopping { of: 0, status });
        }
        self.leave_if_done();
    }

    /// A generation ended before it was ready.
    pub(super) fn failed_start(&mut self, number: u32, reason: Reason, exit: Exit) {
        self.say(Step::FailedStart { generation: number, reason: reason.clone() });
        self.without_it(number, reason, exit);
    }

    /// A generation was not ready in time. It may be answering requests, or hold what only it can put right, so it is
    /// told to end like any other.
    pub(super) fn late(&mut self, number: u32, reason: Reason) {
        self.say(Step::FailedStart { generation: number, reason: reason.clone() });
        self.drain(number);
        self.without_it(number, reason, Exit::Signal(self.rules.stop_signal));
    }

    /// Goes on without a generation that did not become ready.
    fn without_it(&mut self, number: u32, reason: Reason, exit: Exit) {
        let asked =
            matches!(self.restart, Some(Restart { stage: Stage::Starting(new), .. }) if new == number);
        if asked {
            self.finish(Err(Failure { generation: Some(number), reason }));
            self.act(Action::Tell(Tell::Ready));
            self.come_back(exit);
        } else if exit.is_success() {
            self.ended_well();
        } else {
            self.crashed(exit);
        }
    }

    /// After a restart that failed something must serve: the old generation still does, or it comes back.
    pub(super) fn come_back(&mut self, exit: Exit) {
        if self.serving().is_some() || self.starting().is_some() || self.stopping.is_some() {
            return;
        }
        if self.restart.is_some() {
            // The next one is on its way already.
        } else if self.proven.is_some() {
            // With the next tick, or without overlap when what failed has ended.
            self.comeback = Some(Comeback { due: self.now, rolls_back: true });
            self.tick();
        } else {
            self.crashed(exit);
        }
    }

    /// Answers, and starts what was asked for meanwhile.
    pub(super) fn finish(&mut self, result: Result<u32, Failure>) {
        let Some(restart) = self.restart.take() else { return };
        let took = self.now.saturating_sub(restart.began);
        match &result {
            Ok(generation) => self.say(Step::Restarted { generation: *generation, took }),
            Err(failure) if restart.stage != Stage::Before => {
                self.say(Step::RestartFailed { reason: failure.reason.clone() });
            }
            Err(_) => {}
        }
        let waiting: Vec<u64> = restart.askers.iter().filter_map(|asker| asker.connection).collect();
        if !waiting.is_empty() {
            self.act(Action::Answer(waiting, result));
        }
        if !self.next.is_empty() && self.stopping.is_none() {
            let askers = std::mem::take(&mut self.next);
            self.begin_restart(askers);
        }
    }

    /// Who asked for one more restart is answered with the one under way: there will be no other.
    pub(super) fn join_all(&mut self) {
        let next = std::mem::take(&mut self.next);
        match &mut self.restart {
            Some(restart) => restart.askers.extend(next),
            None => debug_assert!(next.is_empty(), "nobody waits where nothing is under way"),
        }
    }

    fn stage(&mut self, stage: Stage) {
        if let Some(restart) = &mut self.restart {
            restart.stage = stage;
        }
    }
}

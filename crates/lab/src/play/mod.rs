//! Playing a scene for somebody who watches: step by step on the real kernel, with the state of both ends
//! after each step, the bind that fails, why, the cure carried out, and the bind that succeeds.
//!
//! What lives here: the player. What a moment holds is in `moment`, whose each socket is in `track`, how a
//! scene becomes parts in `parts`, asking why in `asker`, cures in `remedy`, the diagram of states in
//! [`diagram`].
//!
//! What deliberately does not: output, and any rule. States come from sock_diag, segments from the wire,
//! verdict and cause from `inuse_bind::Asker`, and what must come out from the scene.

pub(crate) mod asker;
pub mod diagram;
mod moment;
mod parts;
mod place;
mod remedy;
mod track;

pub use moment::{Acted, Gone, Moment, Seen, Told};
pub use place::{Ground, needs_only_loopback};

use crate::stage::{Program, Stage, StageError};
use inuse_bind::Report;
use inuse_rules::cure::{Action, Cure};
use inuse_rules::scene::lesson::Play;
use inuse_rules::scene::{AskedBy, Place, Step, Wanted};
use inuse_rules::verdict::Call;
use inuse_rules::{Cause, Errno, Outcome};
use parts::Part;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use track::Tracker;

/// How long an address may take to become free once a cure is carried out, and once the last one is.
const ENDING: Duration = Duration::from_millis(1500);
const LAST_ENDING: Duration = Duration::from_secs(5);
/// How often an address is tried that is waited for.
const RETRY: Duration = Duration::from_millis(100);
/// How often something is said while it is waited.
const NEWS: Duration = Duration::from_secs(10);
/// How often the answer after a cure may name one more.
const CURES: usize = 3;

/// Why a play could not be played to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum PlayError {
    /// This machine does not offer what it takes.
    Unavailable(String),
    /// A step came out otherwise than the scene says.
    Stage(StageError),
    /// Another part did.
    Otherwise(String),
}

impl fmt::Display for PlayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlayError::Unavailable(why) | PlayError::Otherwise(why) => f.write_str(why),
            PlayError::Stage(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PlayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PlayError::Stage(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StageError> for PlayError {
    fn from(error: StageError) -> PlayError {
        match error {
            StageError::Unavailable(why) => PlayError::Unavailable(why),
            error => PlayError::Stage(error),
        }
    }
}

/// A play under way.
pub struct Player {
    stage: Stage,
    ground: Ground,
    asker: AskedBy,
    parts: VecDeque<Part>,
    tracker: Tracker,
    began: Instant,
    number: usize,
    /// The last answer, whose cures may be carried out.
    answer: Option<Report>,
    /// Since when an address has been in the state that a step waited for.
    since: HashMap<SocketAddr, Instant>,
    /// Cures that were carried out one after the other, so that this ends.
    cures: usize,
    /// A wait that is under way: since when.
    waiting: Option<Instant>,
}

impl Player {
    /// Finds a place for it: private namespaces, else loopback ports that are free.
    ///
    /// # Errors
    /// [`PlayError::Unavailable`] when this machine does not offer what the scene takes.
    pub fn open(play: Play) -> Result<Player, PlayError> {
        let (stage, ground) = place::find(&play)?;
        let asker = match play {
            Play::Scene(scene) => scene.asker,
            Play::Lesson(_) => AskedBy::User(0),
        };
        Ok(Player {
            stage,
            tracker: Tracker::default(),
            parts: parts::of(play).into(),
            ground,
            asker,
            began: Instant::now(),
            number: 0,
            answer: None,
            since: HashMap::new(),
            cures: 0,
            waiting: None,
        })
    }

    /// Where it is played.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Whether nothing is left to be played.
    pub fn is_over(&self) -> bool {
        self.parts.is_empty()
    }

    /// Plays on until there is something to tell; `None` at the end.
    ///
    /// # Errors
    /// When something does not come out as the scene says. What stands is left standing.
    pub fn play_on(&mut self) -> Result<Option<Moment>, PlayError> {
        let Some(part) = self.parts.pop_front() else { return Ok(None) };
        let (says, acts, told) = match part {
            Part::Steps(steps, says) => (says, self.steps(&steps)?, Told::Steps),
            Part::Round { steps, says, number, of } => {
                (says, self.steps(&steps)?, Told::Round { number, of })
            }
            Part::Why(wanted, cause, says) => {
                let report = self.ask(&wanted)?;
                self.answer = Some(report.clone());
                let as_told = report.diagnosis.cause == cause || too_little_is_seen(&report);
                (says, Vec::new(), Told::Why { report: Box::new(report), expected: cause, as_told })
            }
            Part::Change(says) => (says, Vec::new(), Told::Change),
            Part::Cure(action, says) => self.named_cure(action, says)?,
            Part::AnyCure(wanted) => match self.any_cure(&wanted)? {
                Some(told) => told,
                None => return self.play_on(),
            },
            Part::Wait { wanted, at_least, at_most, says } => self.wait(wanted, at_least, at_most, says)?,
        };
        self.number += 1;
        Ok(Some(Moment { number: self.number, after: self.began.elapsed(), says, acts, told }))
    }

    /// Ends it: every process of it is gone afterwards.
    ///
    /// # Errors
    /// When the stage does not answer.
    pub fn end(self) -> Result<(), PlayError> {
        Ok(self.stage.end()?)
    }

    fn steps(&mut self, steps: &[Step<'static>]) -> Result<Vec<Acted>, PlayError> {
        steps.iter().map(|step| self.step(step)).collect()
    }

    fn step(&mut self, step: &Step<'static>) -> Result<Acted, PlayError> {
        let step = self.ground.moved(step);
        self.stage.step(&step)?;
        if let Step::Await(sight) = step {
            self.since.insert(sight.local, Instant::now());
        }
        let (who, call) = moment::as_told(&step);
        self.acted(who, call, moment::answer(&step))
    }

    /// What is to be seen after something was done.
    fn acted(&mut self, who: String, call: String, bind: Option<Option<Errno>>) -> Result<Acted, PlayError> {
        let ends = self.stage.ends(self.ground.ports())?;
        let segments = self.stage.segments()?;
        let (ends, gone) = self.tracker.look(ends);
        Ok(Acted { who, call, bind, ends, gone, segments: segments.unwrap_or_default() })
    }

    fn ask(&mut self, wanted: &Wanted) -> Result<Report, PlayError> {
        asker::ask(&mut self.stage, &self.ground.wanted(wanted), self.asker).map_err(PlayError::Otherwise)
    }

    /// The cure of that kind that the last answer names.
    fn named_cure(&mut self, action: Action, says: String) -> Result<(String, Vec<Acted>, Told), PlayError> {
        let cures = self.answer.as_ref().map(|answer| &answer.diagnosis.cures[..]).unwrap_or_default();
        let cure = cures.iter().find(|cure| cure.action == action && !cure.commands.is_empty());
        let cure = cure.cloned().ok_or_else(|| {
            PlayError::Otherwise(format!("the answer names no cure of the kind {}", action.code()))
        })?;
        let acts = self.type_commands(&cure)?;
        let attempt = self.answer.as_ref().map(|answer| &answer.diagnosis.attempt);
        if let Some((_, at, _)) = attempt.and_then(|attempt| attempt.address.inet()) {
            self.until_free(&Wanted::tcp(at))?;
        }
        Ok((says, acts, Told::Cure(Box::new(cure))))
    }

    /// Carries out the first cure that promises that this attempt then succeeds, and has the attempt made.
    fn any_cure(&mut self, wanted: &Wanted) -> Result<Option<(String, Vec<Acted>, Told)>, PlayError> {
        let Some(answer) = &self.answer else { return Ok(None) };
        let Some(remedy) = remedy::choose(answer, wanted) else {
            let says =
                "Nothing that could be carried out here makes the bind succeed: what helps is told above.";
            return Ok(Some((says.into(), Vec::new(), Told::NoCure)));
        };
        self.cures += 1;
        let acts = self.type_commands(&remedy.cure)?;
        let free = self.until_free(&remedy.wanted);
        match free {
            Ok(()) => self.parts.push_front(parts::success(&remedy.wanted)),
            // One cure may lead to the next: what was in the way may have been two things.
            Err(_) if self.cures < CURES => {
                self.parts.push_front(Part::AnyCure(*wanted));
                let report = self.ask(wanted)?;
                self.parts.push_front(Part::Why(
                    *wanted,
                    report.diagnosis.cause,
                    "It is still refused. Why now?".into(),
                ));
            }
            Err(error) => return Err(error),
        }
        Ok(Some((format!("The cure: {}", remedy.cure.says), acts, Told::Cure(Box::new(remedy.cure)))))
    }

    /// Types the commands of a cure that the last answer names, as root of the stage where they ask for that.
    fn type_commands(&mut self, cure: &Cure) -> Result<Vec<Acted>, PlayError> {
        let attempt = self.answer.as_ref().map(|answer| answer.diagnosis.attempt.clone());
        let Some(attempt) = &attempt else { return Ok(Vec::new()) };
        let mut acts = Vec::new();
        for command in &cure.commands {
            let typed = remedy::typed(command, attempt).map_err(PlayError::Otherwise)?;
            let words: Vec<&str> = typed.words.iter().map(String::as_str).collect();
            let (program, arguments) = match words.split_first() {
                _ if typed.myself => (Program::Myself, &words[..]),
                Some((&program, arguments)) => (Program::Path(program), arguments),
                None => continue,
            };
            let ran = self.stage.run(0, program, arguments)?;
            if ran.code != 0 {
                let said = String::from_utf8_lossy(&ran.stderr);
                let said = said.trim().lines().last().unwrap_or_default();
                let why = format!("`{command}` ends with status {}: {said}", ran.code);
                return Err(match self.ground {
                    Ground::Namespace { .. } => PlayError::Otherwise(why),
                    Ground::Loopback { .. } => PlayError::Unavailable(why),
                });
            }
            acts.push(self.acted("you".into(), typed.shown, None)?);
        }
        Ok(acts)
    }

    /// Tries an attempt until it succeeds, for as long as an ending process may take.
    fn until_free(&mut self, wanted: &Wanted) -> Result<(), PlayError> {
        let wanted = self.ground.wanted(wanted);
        let last = self.cures == 0 || self.cures >= CURES;
        let deadline = Instant::now() + if last { LAST_ENDING } else { ENDING };
        loop {
            match self.stage.attempt(&wanted)? {
                None => return Ok(()),
                // It would be refused for a reason that the cure is not about.
                Some((_, Call::Setsockopt)) => return Ok(()),
                Some((errno, call)) if Instant::now() > deadline => {
                    let still = format!("after the cure it is still refused: {errno} from {}()", call.name());
                    return Err(PlayError::Otherwise(still));
                }
                Some(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Waits on; returns when there are news, and comes back until the bind succeeds.
    fn wait(
        &mut self,
        wanted: Wanted,
        at_least: u32,
        at_most: u32,
        says: String,
    ) -> Result<(String, Vec<Acted>, Told), PlayError> {
        let moved = self.ground.wanted(&wanted);
        let Place::Inet(at) = moved.place else {
            return Err(PlayError::Otherwise("only an IP address can be waited for".into()));
        };
        let now = Instant::now();
        let first = self.waiting.is_none();
        let began = *self.waiting.get_or_insert(now);
        let since = self.since.get(&at).copied().unwrap_or(began);
        let call = format!("bind(s, {at})");
        loop {
            let answer = self.stage.attempt(&moved)?;
            let passed = since.elapsed();
            if answer.is_none() {
                self.waiting = None;
                let range = Duration::from_secs(at_least.into())..=Duration::from_secs(at_most.into());
                let acts = vec![self.acted("newcomer".into(), call, Some(None))?];
                let told = Told::Waited { at, passed, as_told: range.contains(&passed), at_least, at_most };
                return Ok((if first { says } else { String::new() }, acts, told));
            }
            if first || now.elapsed() >= NEWS {
                if passed > Duration::from_secs(u64::from(at_most) + 30) {
                    return Err(PlayError::Otherwise(format!(
                        "{at} was not free after {} s",
                        passed.as_secs()
                    )));
                }
                let errno = answer.map(|(errno, _)| errno);
                let call = errno.map_or_else(|| call.clone(), |errno| format!("{call} = -1 {errno}"));
                let acts = vec![self.acted("newcomer".into(), call, Some(errno))?];
                self.parts.push_front(Part::Wait { wanted, at_least, at_most, says: says.clone() });
                return Ok((if first { says } else { String::new() }, acts, Told::Waiting { at, passed }));
            }
            std::thread::sleep(RETRY);
        }
    }
}

/// Whether the cause that came out is the one that the play tells.
pub fn as_told(moment: &Moment) -> bool {
    match &moment.told {
        Told::Why { as_told, .. } | Told::Waited { as_told, .. } => *as_told,
        _ => true,
    }
}

/// Whether the answer says itself that what decides could not be seen. Then it is not wrong.
fn too_little_is_seen(report: &Report) -> bool {
    let Report { diagnosis, snapshot } = report;
    let hidden = diagnosis.cause == Cause::OwnerHidden && !snapshot.blind.is_empty();
    hidden || matches!(diagnosis.verdict.outcome, Outcome::Unknown { .. })
}

/// Whether a cause says that nothing is in the way.
fn is_free(cause: Cause) -> bool {
    matches!(cause, Cause::Free | Cause::OtherNetns | Cause::SplitBrain)
}

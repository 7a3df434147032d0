//! The lessons: classic scenes of the teaching documents, told to the end. Each fails, is explained and is
//! cured, with a sentence for whoever learns from it beside each part.
//!
//! A lesson is data, as a scene is, in the same words; what must come out is written by hand. Several
//! lessons have the name of a scene: they tell the same situation at length.
//! Not here: playing them (the lab crate).

mod options;
mod processes;
mod restarts;
mod sharing;

use super::{Need, Scene, Step, Wanted, needs};
use crate::cause::Cause;
use crate::cure::Action;
use alloc::vec::Vec;

/// A scene that is told to the end.
#[derive(Clone, Copy, Debug)]
pub struct Lesson {
    /// Its name.
    pub name: &'static str,
    /// What it shows, in one line.
    pub title: &'static str,
    /// How it begins, in two or three plain sentences.
    pub story: &'static str,
    /// Its parts, in order.
    pub parts: &'static [Part],
    /// What to take home.
    pub moral: &'static str,
}

/// A part of a lesson, and what a reader should know about it.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// Steps, one after the other.
    Steps(&'static [Step<'static>], &'static str),
    /// The same steps that many times.
    Repeat(u32, &'static [Step<'static>], &'static str),
    /// Why is this attempt refused? The cause that must come out.
    Why(Wanted, Cause, &'static str),
    /// The cure is a change in the program, which the next steps show.
    Change(&'static str),
    /// The first cure of that kind that the last answer names is carried out.
    Cure(Action, &'static str),
    /// The attempt is made again and again until it succeeds. Counted from the last [`Step::Await`] of its
    /// address that must take that many seconds: at least, and at most.
    Wait(Wanted, u32, u32, &'static str),
}

impl Part {
    /// Its steps, once.
    pub const fn steps(&self) -> &'static [Step<'static>] {
        match self {
            Part::Steps(steps, _) | Part::Repeat(_, steps, _) => steps,
            _ => &[],
        }
    }

    /// What a reader should know about it.
    pub const fn says(&self) -> &'static str {
        match self {
            Part::Steps(_, says)
            | Part::Repeat(_, _, says)
            | Part::Why(_, _, says)
            | Part::Change(says)
            | Part::Cure(_, says)
            | Part::Wait(_, _, _, says) => says,
        }
    }
}

impl Lesson {
    /// Every step that it has, once.
    pub fn steps(&self) -> impl Iterator<Item = &'static Step<'static>> + use<> {
        self.parts.iter().flat_map(|part| part.steps())
    }

    /// What the machine must offer for it.
    pub fn needs(&self) -> Vec<Need> {
        needs(self.steps())
    }

    /// Whether it takes a minute or more, because the kernel's timers do.
    pub fn is_long(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Wait(..)))
    }
}

/// Every lesson, in the order in which they are best read.
pub fn lessons() -> impl Iterator<Item = &'static Lesson> {
    [restarts::LESSONS, options::LESSONS, sharing::LESSONS, processes::LESSONS].into_iter().flatten()
}

/// What can be played by its name: a lesson, or a scene.
#[derive(Clone, Copy, Debug)]
pub enum Play {
    /// Told at length.
    Lesson(&'static Lesson),
    /// One situation.
    Scene(&'static Scene),
}

/// Everything that can be played, each name once: the lessons first.
pub fn plays() -> impl Iterator<Item = Play> {
    let told = |scene: &&Scene| !lessons().any(|lesson| lesson.name == scene.name);
    lessons().map(Play::Lesson).chain(super::all().filter(told).map(Play::Scene))
}

impl Play {
    /// What has that name.
    pub fn by_name(name: &str) -> Option<Play> {
        plays().find(|play| play.name() == name)
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Play::Lesson(lesson) => lesson.name,
            Play::Scene(scene) => scene.name,
        }
    }

    /// How it begins.
    pub const fn story(&self) -> &'static str {
        match self {
            Play::Lesson(lesson) => lesson.story,
            Play::Scene(scene) => scene.story,
        }
    }

    /// What it shows, in one line: a scene's first sentence.
    pub fn title(&self) -> &'static str {
        match self {
            Play::Lesson(lesson) => lesson.title,
            Play::Scene(scene) => scene.story.split_inclusive(". ").next().unwrap_or_default().trim_end(),
        }
    }

    /// Every step that it has, once.
    pub fn steps(&self) -> Vec<&'static Step<'static>> {
        match self {
            Play::Lesson(lesson) => lesson.steps().collect(),
            Play::Scene(scene) => scene.steps().collect(),
        }
    }

    /// What the machine must offer for it.
    pub fn needs(&self) -> Vec<Need> {
        match self {
            Play::Lesson(lesson) => lesson.needs(),
            Play::Scene(scene) => scene.needs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{self, Act, Place};

    #[test]
    fn names_are_unique_and_those_of_the_teaching_documents_are_there() {
        for play in plays() {
            assert_eq!(plays().filter(|other| other.name() == play.name()).count(), 1, "{}", play.name());
            assert!(!play.title().is_empty(), "{}", play.name());
        }
        for scene in scene::all() {
            assert!(Play::by_name(scene.name).is_some(), "{}", scene.name);
        }
        let classic = [
            "time-wait",
            "fin-wait-2",
            "without-and-with-reuseaddr",
            "old-server-without-option",
            "option-after-bind",
            "option-value-zero",
            "different-local-addresses",
            "same-address-twice",
            "reuseport-pair",
            "ctrl-c-and-the-child",
            "signal-handler",
            "wait-it-out",
        ];
        for name in classic {
            assert!(matches!(Play::by_name(name), Some(Play::Lesson(_))), "{name}");
        }
        assert_eq!(lessons().count(), classic.len());
    }

    /// A lesson that has a scene's name tells that scene.
    #[test]
    fn a_lesson_named_as_a_scene_has_its_cause() {
        for lesson in lessons() {
            let Some(scene) = scene::by_name(lesson.name) else { continue };
            let causes: Vec<Cause> = lesson.parts.iter().filter_map(cause).collect();
            assert!(causes.contains(&scene.cause), "{}: {causes:?}", lesson.name);
        }
    }

    fn cause(part: &Part) -> Option<Cause> {
        match part {
            Part::Why(_, cause, _) => Some(*cause),
            _ => None,
        }
    }

    #[test]
    fn each_lesson_fails_is_explained_is_cured_and_succeeds() {
        for lesson in lessons() {
            let at = |wanted: fn(&Part) -> bool| lesson.parts.iter().position(wanted);
            let last = |wanted: fn(&Part) -> bool| lesson.parts.iter().rposition(wanted);
            let fails = |part: &Part| part.steps().iter().any(|step| matches!(step, Step::Fails(..)));
            let binds = |part: &Part| {
                part.steps().iter().any(|step| matches!(step, Step::Does(_, Act::Bind(_, Place::Inet(_)))))
                    || matches!(part, Part::Wait(..))
            };
            let failed = at(fails).unwrap_or_else(|| panic!("{}: nothing fails", lesson.name));
            let why = at(|part| matches!(part, Part::Why(..))).expect(lesson.name);
            let cure = last(|part| matches!(part, Part::Change(_) | Part::Cure(..) | Part::Wait(..)));
            let (cure, success) = (cure.expect(lesson.name), last(binds).expect(lesson.name));
            assert!(failed < why && why < cure && cure <= success, "{}", lesson.name);
            assert!(lesson.parts.iter().all(|part| part.says().ends_with(['.', '?'])), "{}", lesson.name);
        }
    }

    #[test]
    fn steps_speak_of_actors_that_exist() {
        for lesson in lessons() {
            let mut actors = Vec::new();
            for step in lesson.steps() {
                match step {
                    Step::Actor(name, _) | Step::Does(_, Act::Fork(name)) => actors.push(name),
                    Step::Does(who, _) | Step::Fails(who, _, _) | Step::Signal(who, _) => {
                        assert!(actors.contains(&who), "{}: {step}", lesson.name);
                    }
                    _ => {}
                }
                assert!(actors.iter().all(|name| name.len() <= 15), "{}", lesson.name);
            }
        }
    }
}

//! The decisions as tables: what happens at which second, and what is done then.

use super::*;

fn rules() -> Rules {
    Rules {
        overlap: true,
        drain: Duration::from_secs(10),
        stop_signal: libc::SIGTERM,
        ready_timeout: Duration::from_secs(60),
        rollback_window: Duration::from_secs(2),
        give_up: Some(3),
        most_draining: 2,
        before: false,
        watched: false,
    }
}

fn asked(connection: u64) -> Event {
    Event::Asked(Asker { connection: Some(connection), who: Who::Ctl })
}

fn stop(signal: i32) -> Event {
    Event::Stop(signal, Who::Signal { signal, sender: None })
}

fn before_failed() -> Event {
    Event::BeforeEnded(Some(Reason::Before { exit: Exit::Code(1) }))
}

fn ready(generation: u32) -> Event {
    Event::Ready(generation, How::Notify)
}

fn ended(generation: u32, code: u8) -> Event {
    Event::Exited(generation, Exit::Code(code), false)
}

fn killed(generation: u32) -> Event {
    Event::Exited(generation, Exit::Signal(libc::SIGKILL), false)
}

/// One line each; what is only told is left out.
fn shown(action: &Action) -> Option<String> {
    Some(match action {
        Action::Say(_) => return None,
        Action::Tell(tell) => format!("tell {tell:?}"),
        Action::RunBefore => "before".into(),
        Action::KillBefore => "kill before".into(),
        Action::Spawn(number, program) => format!("spawn {number} {program:?}"),
        Action::Signal(number, signal) => format!("signal {number} {signal}"),
        Action::Kill(number) => format!("kill {number}"),
        Action::Proven(number) => format!("proven {number}"),
        Action::Served(number) => format!("served {number}"),
        Action::Answer(to, Ok(generation)) => format!("answer {to:?} {generation}"),
        Action::Answer(to, Err(failure)) => format!("refuse {to:?} {}", failure.reason),
        Action::Exit(status) => format!("exit {status}"),
    })
}

/// Plays events at their milliseconds; each line must come out.
#[track_caller]
fn play(rules: Rules, story: &[(u64, Event, &[&str])]) -> Machine {
    let mut machine = Machine::new(rules, 1);
    for (at, event, expect) in story {
        let done = machine.handle(Duration::from_millis(*at), event.clone());
        let done: Vec<String> = done.iter().filter_map(shown).collect();
        assert_eq!(done, *expect, "{event:?} at {at}");
    }
    machine
}

/// A first generation that serves, and has proven itself at second 3.
fn served(more: &[(u64, Event, &'static [&'static str])]) -> Vec<(u64, Event, &'static [&'static str])> {
    let mut story: Vec<(u64, Event, &'static [&'static str])> = vec![
        (0, Event::Begin, &["spawn 1 Fresh"]),
        (1000, ready(1), &["tell Ready"]),
        (3000, Event::Tick, &["proven 1"]),
    ];
    story.extend(more.iter().cloned());
    story
}

#[test]
fn a_restart_ends_the_old_one_when_the_new_one_is_ready() {
    let machine = play(
        rules(),
        &served(&[
            (4000, asked(7), &["tell Reloading", "spawn 2 Fresh"]),
            (5000, ready(2), &["signal 1 15", "tell Ready"]),
            (5100, ended(1, 0), &[]),
            (6999, Event::Tick, &[]),
            (7000, Event::Tick, &["proven 2", "answer [7] 2"]),
        ]),
    );
    assert_eq!((machine.deadline(), machine.is_restarting()), (None, false));
}

#[test]
fn a_new_one_that_fails_leaves_the_old_one() {
    for (event, words) in [
        (ended(2, 1), "generation 2 ended before it was ready: exit status 1"),
        (killed(2), "generation 2 ended before it was ready: SIGKILL"),
        (ended(2, 0), "generation 2 ended before it was ready: exit status 0"),
        (
            Event::NotStarted(2, 127, Reason::NotRun { error: "x: command not found".into() }),
            "x: command not found",
        ),
    ] {
        let refused = format!("refuse [7] {words}");
        let expect = [refused.as_str(), "tell Ready"];
        let mut story = served(&[(4000, asked(7), &["tell Reloading", "spawn 2 Fresh"])]);
        let mut machine = Machine::new(rules(), 1);
        for (at, event, _) in story.drain(..) {
            machine.handle(Duration::from_millis(at), event);
        }
        let done = machine.handle(Duration::from_millis(4500), event);
        let done: Vec<String> = done.iter().filter_map(shown).collect();
        assert_eq!(done, expect);
        assert_eq!(machine.generations().len(), 1);
    }
}

#[test]
fn a_new_one_that_hangs_is_told_to_end_and_leaves_the_old_one() {
    let late = &["signal 2 15", "refuse [7] generation 2 was not ready within 60 s", "tell Ready"];
    let hangs: &[(u64, Event, &'static [&'static str])] = &[
        (4000, asked(7), &["tell Reloading", "spawn 2 Fresh"]),
        (64_000, Event::Tick, late),
        // Too late.
        (64_005, ready(2), &[]),
    ];
    play(rules(), &served(&[hangs, &[(64_010, ended(2, 0), &[]), (99_000, Event::Tick, &[])]].concat()));
    let ignores: &[(u64, Event, &'static [&'static str])] = &[
        (73_999, Event::Tick, &[]),
        (74_000, Event::Tick, &["kill 2"]),
        (74_010, killed(2), &[]),
        (99_000, Event::Tick, &[]),
    ];
    let machine = play(rules(), &served(&[hangs, ignores].concat()));
    assert_eq!(machine.generations().len(), 1);
}

#[test]
fn without_overlap_nothing_comes_back_before_the_one_that_hangs_has_ended() {
    let rules = Rules { overlap: false, ..rules() };
    let late = &["signal 2 15", "refuse [7] generation 2 was not ready within 60 s", "tell Ready"];
    let machine = play(
        rules,
        &served(&[
            (4000, asked(7), &["tell Reloading", "signal 1 15"]),
            (4100, ended(1, 0), &["spawn 2 Fresh"]),
            (64_100, Event::Tick, late),
            (74_100, Event::Tick, &["kill 2"]),
            (74_110, killed(2), &[]),
            (74_110, Event::Tick, &["spawn 3 Proven"]),
        ]),
    );
    assert!(machine.is_starting(3) && machine.generations().len() == 1);
}

#[test]
fn a_first_one_that_hangs_is_started_again_when_it_has_ended() {
    let rules = Rules { overlap: false, ..rules() };
    let mut machine = play(
        rules,
        &[
            (0, Event::Begin, &["spawn 1 Fresh"]),
            (60_000, Event::Tick, &["signal 1 15"]),
            (61_000, Event::Tick, &[]),
            (62_000, ended(1, 0), &[]),
        ],
    );
    let due = machine.deadline().expect("a comeback");
    let done: Vec<String> = machine.handle(due, Event::Tick).iter().filter_map(shown).collect();
    assert_eq!(done, ["spawn 2 Fresh"]);
}

#[test]
fn a_new_one_that_dies_in_the_window_brings_back_the_program_before() {
    play(
        rules(),
        &served(&[
            (4000, asked(7), &["tell Reloading", "spawn 2 Fresh"]),
            (5000, ready(2), &["signal 1 15", "tell Ready"]),
            (
                5500,
                ended(2, 3),
                &[
                    "refuse [7] generation 2 ended 0.500 s after it was ready: exit status 3",
                    "spawn 3 Proven",
                ],
            ),
            (5600, ended(1, 0), &[]),
            (6000, ready(3), &["tell Ready"]),
            (8000, Event::Tick, &["proven 3"]),
        ]),
    );
}

#[test]
fn what_served_comes_back_also_before_it_has_proven_itself() {
    play(
        rules(),
        &[
            (0, Event::Begin, &["spawn 1 Fresh"]),
            (500, ready(1), &["tell Ready"]),
            (600, asked(7), &["tell Reloading", "spawn 2 Fresh"]),
            (700, ready(2), &["served 1", "signal 1 15", "tell Ready"]),
            (
                900,
                ended(2, 3),
                &[
                    "refuse [7] generation 2 ended 0.200 s after it was ready: exit status 3",
                    "spawn 3 Proven",
                ],
            ),
        ],
    );
}

#[test]
fn without_overlap_the_old_one_ends_first_and_comes_back_if_it_must() {
    let rules = Rules { overlap: false, ..rules() };
    play(
        rules,
        &served(&[
            (4000, asked(7), &["tell Reloading", "signal 1 15"]),
            (4100, ended(1, 0), &["spawn 2 Fresh"]),
            (
                4200,
                ended(2, 1),
                &[
                    "refuse [7] generation 2 ended before it was ready: exit status 1",
                    "tell Ready",
                    "spawn 3 Proven",
                ],
            ),
            (4300, ready(3), &["tell Ready"]),
        ]),
    );
}

#[test]
fn an_old_one_that_ignores_the_signal_is_killed() {
    play(
        rules(),
        &served(&[
            (4000, asked(7), &["tell Reloading", "spawn 2 Fresh"]),
            (5000, ready(2), &["signal 1 15", "tell Ready"]),
            (7000, Event::Tick, &["proven 2", "answer [7] 2"]),
            (14_999, Event::Tick, &[]),
            (15_000, Event::Tick, &["kill 1"]),
            (15_001, killed(1), &[]),
        ]),
    );
}

#[test]
fn what_an_old_one_leaves_behind_ends_too() {
    play(
        rules(),
        &served(&[
            (4000, asked(7), &["tell Reloading", "spawn 2 Fresh"]),
            (5000, ready(2), &["signal 1 15", "tell Ready"]),
            (5100, Event::Exited(1, Exit::Signal(libc::SIGTERM), true), &["signal 1 15"]),
            (7000, Event::Tick, &["proven 2", "answer [7] 2"]),
            (15_000, Event::Tick, &["kill 1"]),
            (15_001, Event::Gone(1, Exit::Signal(libc::SIGKILL)), &[]),
        ]),
    );
}

#[test]
fn a_program_in_the_background_is_followed() {
    play(
        rules(),
        &[
            (0, Event::Begin, &["spawn 1 Fresh"]),
            (100, Event::Exited(1, Exit::Code(0), true), &[]),
            (1000, ready(1), &["tell Ready"]),
            (9000, Event::Gone(1, Exit::Signal(libc::SIGSEGV)), &[]),
        ],
    );
}

#[test]
fn asking_twice_is_one_more_restart_at_most() {
    play(
        rules(),
        &served(&[
            (4000, asked(7), &["tell Reloading", "spawn 2 Fresh"]),
            (4100, asked(8), &[]),
            (4200, asked(9), &[]),
            (5000, ready(2), &["signal 1 15", "tell Ready"]),
            (7000, Event::Tick, &["proven 2", "answer [7] 2", "tell Reloading", "spawn 3 Fresh"]),
            (8000, ready(3), &["signal 2 15", "tell Ready"]),
            (10_000, Event::Tick, &["proven 3", "answer [8, 9] 3"]),
        ]),
    );
}

#[test]
fn asked_in_the_window_the_next_one_does_not_wait() {
    play(
        rules(),
        &served(&[
            (4000, asked(7), &["tell Reloading", "spawn 2 Fresh"]),
            (5000, ready(2), &["signal 1 15", "tell Ready"]),
            (5100, asked(8), &["answer [7] 2", "tell Reloading", "spawn 3 Fresh"]),
        ]),
    );
}

#[test]
fn too_many_old_ones_are_killed() {
    play(
        rules(),
        &served(&[
            (4000, asked(7), &["tell Reloading", "spawn 2 Fresh"]),
            (4100, ready(2), &["signal 1 15", "tell Ready"]),
            (4200, asked(8), &["answer [7] 2", "tell Reloading", "spawn 3 Fresh"]),
            (4300, ready(3), &["signal 2 15", "tell Ready"]),
            (4400, asked(9), &["answer [8] 3", "tell Reloading", "spawn 4 Fresh"]),
            (4500, ready(4), &["signal 3 15", "kill 1", "tell Ready"]),
        ]),
    );
}

#[test]
fn a_crash_is_followed_by_pauses_that_grow_until_it_gives_up() {
    let mut machine = play(rules(), &served(&[(4000, killed(1), &[])]));
    let mut pauses = Vec::new();
    let mut now = Duration::from_secs(4);
    for number in [2, 3] {
        let due = machine.deadline().expect("a comeback");
        pauses.push(due - now);
        let done = machine.handle(due, Event::Tick);
        assert_eq!(done, [Action::Spawn(number, Program::Proven)]);
        now = due + Duration::from_millis(1);
        machine.handle(now, ended(number, 9));
    }
    let done: Vec<String> = machine.handle(now, Event::Tick).iter().filter_map(shown).collect();
    assert!(done.is_empty());
    assert!(pauses[0] >= Duration::from_millis(75) && pauses[0] <= Duration::from_millis(125), "{pauses:?}");
    assert!(pauses[1] >= Duration::from_millis(150) && pauses[1] <= Duration::from_millis(250), "{pauses:?}");
}

#[test]
fn without_overlap_a_crash_is_followed_when_nothing_is_left_of_it() {
    let rules = Rules { overlap: false, ..rules() };
    let crash = Event::Exited(1, Exit::Signal(libc::SIGKILL), true);
    let mut machine = play(rules, &served(&[(4000, crash, &["signal 1 15"]), (5000, Event::Tick, &[])]));
    let gone = machine.handle(Duration::from_millis(5100), Event::Gone(1, Exit::Signal(libc::SIGKILL)));
    assert_eq!(gone.iter().filter_map(shown).count(), 0);
    let due = machine.deadline().expect("a comeback");
    let done: Vec<String> = machine.handle(due, Event::Tick).iter().filter_map(shown).collect();
    assert_eq!(done, ["spawn 2 Proven"]);
}

#[test]
fn giving_up_ends_with_the_status_of_the_last_failure() {
    let rules = Rules { give_up: Some(1), ..rules() };
    play(rules, &[(0, Event::Begin, &["spawn 1 Fresh"]), (10, ended(1, 7), &["exit 7"])]);
}

#[test]
fn a_program_that_ends_well_ends_the_supervisor_unless_files_are_watched() {
    play(rules(), &served(&[(4000, ended(1, 0), &["exit 0"])]));
    play(rules(), &[(0, Event::Begin, &["spawn 1 Fresh"]), (10, ended(1, 0), &["exit 0"])]);
    let watched = Rules { watched: true, ..rules() };
    play(
        watched,
        &served(&[(4000, ended(1, 0), &[]), (5000, asked(1), &["tell Reloading", "spawn 2 Fresh"])]),
    );
}

#[test]
fn a_command_that_is_not_there_ends_at_once() {
    let missing = Event::NotStarted(1, 127, Reason::NotRun { error: "x: command not found".into() });
    play(rules(), &[(0, Event::Begin, &["spawn 1 Fresh"]), (1, missing, &["exit 127"])]);
}

#[test]
fn stopping_passes_the_signal_on_and_ends_with_the_programs_status() {
    play(
        rules(),
        &served(&[
            (4000, stop(libc::SIGINT), &["tell Stopping", "signal 1 2"]),
            (4100, asked(7), &["refuse [7] the supervisor is stopping"]),
            (4200, stop(libc::SIGINT), &["signal 1 2"]),
            (4300, ended(1, 5), &["exit 5"]),
        ]),
    );
    play(
        rules(),
        &served(&[
            (4000, stop(libc::SIGTERM), &["tell Stopping", "signal 1 15"]),
            (14_000, Event::Tick, &["kill 1"]),
            (14_001, killed(1), &["exit 137"]),
        ]),
    );
    let hung_up: &[&str] = &["tell Stopping", "signal 1 15"];
    play(
        rules(),
        &served(&[
            (4000, stop(libc::SIGHUP), hung_up),
            (4001, stop(libc::SIGHUP), &[]),
            (4002, stop(libc::SIGTERM), &["signal 1 15"]),
            (4100, ended(1, 0), &["exit 0"]),
        ]),
    );
    let exits: &[&str] = &["tell Stopping", "exit 143"];
    play(rules(), &served(&[(4000, killed(1), &[]), (4001, stop(libc::SIGTERM), exits)]));
}

#[test]
fn every_end_is_asked_for_by_the_signal_of_the_program() {
    let rules = Rules { stop_signal: libc::SIGQUIT, ..rules() };
    let survivors = Event::Exited(1, Exit::Code(0), true);
    play(
        rules.clone(),
        &served(&[
            (4000, asked(7), &["tell Reloading", "spawn 2 Fresh"]),
            (5000, ready(2), &["signal 1 3", "tell Ready"]),
            (5100, survivors, &["signal 1 3"]),
            (7000, Event::Tick, &["proven 2", "answer [7] 2"]),
            (8000, asked(8), &["tell Reloading", "spawn 3 Fresh"]),
            (15_000, Event::Tick, &["kill 1"]),
            (
                68_000,
                Event::Tick,
                &["signal 3 3", "refuse [8] generation 3 was not ready within 60 s", "tell Ready"],
            ),
            (69_000, stop(libc::SIGTERM), &["tell Stopping", "signal 2 3", "signal 3 3"]),
            (69_500, stop(libc::SIGINT), &["signal 2 2", "signal 3 2"]),
        ]),
    );
}

#[test]
fn the_command_before_comes_first_and_its_failure_changes_nothing() {
    let rules = Rules { before: true, ..rules() };
    play(
        rules.clone(),
        &[
            (0, Event::Begin, &["before"]),
            (500, Event::BeforeEnded(None), &["tell Reloading", "spawn 1 Fresh"]),
            (1000, ready(1), &["tell Ready"]),
            (3000, Event::Tick, &["proven 1"]),
            (4000, asked(7), &["before"]),
            (4500, asked(8), &[]),
            (5000, before_failed(), &["refuse [7] the command of --before failed: exit status 1", "before"]),
            (
                6000,
                stop(libc::SIGTERM),
                &["tell Stopping", "kill before", "refuse [8] the supervisor is stopping", "signal 1 15"],
            ),
            (6100, ended(1, 0), &["exit 0"]),
        ],
    );
    let failed = before_failed();
    play(rules.clone(), &[(0, Event::Begin, &["before"]), (500, failed.clone(), &["exit 1"])]);
    let watched = Rules { watched: true, ..rules };
    play(watched, &[(0, Event::Begin, &["before"]), (500, failed, &[]), (900, asked(1), &["before"])]);
}

#[test]
fn the_old_one_may_crash_while_the_new_one_starts() {
    play(
        rules(),
        &served(&[
            (4000, asked(7), &["tell Reloading", "spawn 2 Fresh"]),
            (4100, killed(1), &[]),
            (
                4200,
                ended(2, 1),
                &[
                    "refuse [7] generation 2 ended before it was ready: exit status 1",
                    "tell Ready",
                    "spawn 3 Proven",
                ],
            ),
        ]),
    );
}

#[test]
fn events_of_generations_that_are_gone_change_nothing() {
    play(
        rules(),
        &served(&[
            (4000, ready(9), &[]),
            (4001, ended(9, 1), &[]),
            (4002, Event::Gone(9, Exit::Code(0)), &[]),
            (4003, Event::BeforeEnded(None), &[]),
            (4004, ready(1), &[]),
        ]),
    );
}

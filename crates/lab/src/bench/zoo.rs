//! Programs that people run, under `inuse run`: what their clients see while they are restarted and killed.
//!
//! The programs and the play are those of the tests (`crate::zoo`), which judge; this only tells.

use super::Common;
use super::machine::{Machine, Program as Version};
use crate::zoo::{ALL, Figures, Program, QUEUED, Rounds, Way, address, play};
use clap::Args;
use std::fmt::Write as _;
use std::io;

/// The words of `inuse-bench zoo`.
#[derive(Clone, Debug, Args)]
pub(super) struct ZooArgs {
    /// How often each program is restarted
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    restarts: u32,
    /// How often each program is killed
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    kills: u32,
    #[command(flatten)]
    common: Common,
}

/// Measures; true when nothing was refused, and nothing lost from a queue.
pub(super) fn run(arguments: &ZooArgs) -> io::Result<bool> {
    let (machine, inuse) = (Machine::before(), arguments.common.command()?);
    let rounds = Rounds { restarts: arguments.restarts, kills: arguments.kills };
    let (mut rows, mut absent) = (Vec::new(), Vec::new());
    let wanted = |program: &&Program| !arguments.common.without.iter().any(|name| name == program.name);
    for program in ALL.iter().filter(wanted) {
        match program.missing() {
            Some(missing) => absent.push(missing),
            None => rows.push((program, play(&inuse, program, address(), rounds))),
        }
    }
    let about = machine.about(&[Version { name: "inuse", path: inuse, version: "--version" }], &absent);
    arguments.common.publish("zoo", &section(rounds, &rows, &about))?;
    Ok(rows.iter().all(|(_, played)| played.as_ref().is_ok_and(good)))
}

fn good(figures: &Figures) -> bool {
    figures.restarted.turned_away() + figures.killed.turned_away() == 0 && figures.lost_from_queue == 0
}

fn section(rounds: Rounds, rows: &[(&Program, Result<Figures, String>)], about: &str) -> String {
    let mut text = format!(
        "## zoo\n\n\
         Programs that people run, unmodified, under `inuse run`: `inuse-bench zoo`. Each is restarted {} times by \
         `inuse ctl restart` under a load (4 clients with a connection for each request, 2 that keep theirs, and, \
         where the program can do that, 2 whose requests take 2 s), then killed {} times with SIGKILL while {QUEUED} \
         connections wait in its queue. *Given*: by `-l`, LISTEN_FDS; *kept*: it binds for itself. *Lost* are \
         requests that got no whole answer, resets among them: what a program had in hand when it was told to end and \
         did not care, or was killed. *Slow* took longer than 0.9 s. A request counts only if its answer names the \
         generation that gave it.\n\n\
         | program | socket | answered | refused | reset | lost | slow | worst, s | ready after, median, ms | killed: \
         refused | lost from the queue | lost in hand |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        rounds.restarts, rounds.kills,
    );
    let queued = u32::try_from(QUEUED).unwrap_or(0).saturating_mul(rounds.kills);
    for (program, played) in rows {
        if let Ok(figures) = played {
            let (restarted, killed) = (&figures.restarted, &figures.killed);
            let mut ready = figures.ready_after.clone();
            ready.sort_unstable();
            let ready = ready.get(ready.len() / 2).map_or(0, std::time::Duration::as_millis);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {:.3} | {ready} | {} | {} of {queued} | {} |",
                program.name,
                way(program),
                restarted.ok,
                restarted.turned_away(),
                restarted.reset,
                restarted.lost(),
                restarted.slow,
                restarted.worst.as_secs_f64(),
                killed.turned_away(),
                figures.lost_from_queue,
                killed.lost(),
            );
        }
    }
    for (program, played) in rows {
        if let Err(trouble) = played {
            let first = trouble.lines().next().unwrap_or_default();
            let _ = writeln!(text, "\n**{}, {}, did not go on**: {first}", program.name, way(program));
        }
    }
    let _ = write!(text, "\n{about}");
    text
}

fn way(program: &Program) -> &'static str {
    match program.way {
        Way::Pass => "given",
        Way::Keep => "kept",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_told() {
        let Some(program) = ALL.first() else { panic!("no programs") };
        let rounds = Rounds { restarts: 3, kills: 2 };
        let rows = [(program, Ok(Figures::default())), (program, Err("no answers\nlog".to_owned()))];
        let text = section(rounds, &rows, "here.\n");
        assert!(
            text.contains("\n| python | given | 0 | 0 | 0 | 0 | 0 | 0.000 | 0 | 0 | 0 of 100 | 0 |\n"),
            "{text}"
        );
        assert!(text.contains("\n**python, given, did not go on**: no answers\n"), "{text}");
        assert!(text.ends_with("\nhere.\n"), "{text}");
        assert!(good(&Figures::default()) && !good(&Figures { lost_from_queue: 1, ..Figures::default() }));
    }
}

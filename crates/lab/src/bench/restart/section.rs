//! The section on restarts: what clients saw, how soon the new one answers, and the memory of what holds the port.

use super::super::machine::{Machine, Program};
use super::super::sample::Spread;
use super::super::{bars, bars::Bar, tool};
use super::process::Memory;
use super::{AFTER, BEFORE, Contender, RestartArgs};
use std::fmt::Write as _;
use std::io;

/// The most that the supervisor is to have in memory, in MiB.
const MOST_MIB: u64 = 5;

pub(super) fn section(
    arguments: &RestartArgs,
    machine: &Machine,
    contenders: &[Contender],
    absent: &[&str],
) -> io::Result<String> {
    let mut text = format!(
        "## restart\n\n\
         A server is restarted {} times in each of these ways, in turns, each time under a load of {:.1} s: \
         `inuse-bench restart`. The server is always [Node's example](../examples/node/server.js), whose start is made \
         {} ms longer; told to end, it answers what it has accepted. The load is 4 clients with a connection for \
         each request, 2 that keep theirs, and 2 whose requests take 2 s; each asks again 5 ms after its answer. A \
         request counts only if its answer names the generation that gave it.\n\n",
        arguments.restarts,
        (BEFORE + AFTER).as_secs_f64(),
        arguments.start,
    );
    text.push_str(&clients(contenders));
    text.push_str(
        "\n*Refused*: no connection. *Lost*: connected and no whole answer, resets among them. *Asked again*: a kept \
         connection had been closed, so the client took a new one. *Slow*: longer than 0.9 s, beyond the 2 s. *The new \
         one answers after*: from the asking for a restart to the first answer of the new generation at a client, \
         median and worst; the longer start is part of it, and where the old one is \
         ended first, the requests of 2 s that it still answers.\n\n",
    );
    for contender in contenders {
        let _ = writeln!(text, "- {}: {}", contender.way.name(), contender.way.explained());
    }
    for contender in contenders {
        if let Some(trouble) = &contender.trouble {
            let _ = writeln!(text, "\n**{} did not go on**: {trouble}", contender.way.name());
        }
    }
    text.push_str(&memory(contenders));
    let _ = write!(text, "\n{}", machine.about(&programs(arguments, contenders)?, absent));
    Ok(text)
}

fn clients(contenders: &[Contender]) -> String {
    let mut text = "| way | restarts | answered | refused | reset | lost | asked again | slow | worst, s | \
                    the new one answers after, s |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for Contender { way, tally, answers, .. } in contenders {
        let Spread { median, high, .. } = Spread::of(answers.clone());
        let after = if answers.is_empty() { "–".to_owned() } else { format!("{median:.3}, {high:.3}") };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {:.3} | {after} |",
            way.name(),
            answers.len(),
            tally.ok,
            tally.turned_away(),
            tally.reset,
            tally.lost(),
            tally.stale,
            tally.slow,
            tally.worst.as_secs_f64(),
        );
    }
    text
}

/// What holds the port, and the bar.
fn memory(contenders: &[Contender]) -> String {
    let mib = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
    let mut text = "\nThe memory of what restarts the server, at the end: the peak (`VmHWM`), in which the pages of \
                    the program itself count though all its processes share them; and what is a process's own \
                    (`RssAnon`).\n\n| way | process | peak, MiB | its own, MiB |\n|---|---|---:|---:|\n"
        .to_owned();
    for contender in contenders {
        for Memory { whose, count, peak, own } in &contender.memory {
            let each = if *count > 1 { format!(", each of {count}") } else { String::new() };
            let _ = writeln!(
                text,
                "| {} | {whose}{each} | {} | {} |",
                contender.way.name(),
                mib(*peak),
                mib(*own)
            );
        }
    }
    let supervisors = contenders.iter().filter(|contender| contender.way.is_ours());
    let most = supervisors.filter_map(|ours| ours.memory.first()).map(|memory| memory.peak).max();
    if let Some(most) = most {
        let bar = Bar::under_mib("The peak memory of the supervisor", most, MOST_MIB);
        let _ = write!(text, "\n{}", bars::list(&[bar]));
    }
    text
}

/// The programs that took part.
fn programs(arguments: &RestartArgs, contenders: &[Contender]) -> io::Result<Vec<Program>> {
    let mut names: Vec<&'static str> = vec!["inuse", "node"];
    for program in contenders.iter().flat_map(|contender| contender.way.programs()) {
        if !names.contains(program) {
            names.push(program);
        }
    }
    let inuse = arguments.common.command()?;
    let path = |name: &str| if name == "inuse" { Some(inuse.clone()) } else { tool::find(name) };
    let program = |name| Some(Program { name, path: path(name)?, version: "--version" });
    Ok(names.into_iter().filter_map(program).collect())
}

#[cfg(test)]
mod tests {
    use super::super::Server;
    use super::super::ways::Way;
    use super::*;
    use crate::load::Tally;
    use crate::zoo::{Scratch, address};

    fn contender(way: Way, tally: Tally, answers: &[f64], memory: Vec<Memory>) -> io::Result<Contender> {
        let (server, answers, scratch) = (Server::Again(None, Vec::new()), answers.to_vec(), Scratch::new()?);
        Ok(Contender { way, at: address(), server, tally, answers, trouble: None, memory, _scratch: scratch })
    }

    #[test]
    fn rows_of_clients_and_memory() -> io::Result<()> {
        let tally =
            Tally { ok: 70, refused: 3, unconnected: 1, reset: 2, empty: 1, stale: 5, ..Tally::default() };
        let supervisor = |peak| Memory { whose: "supervisor", count: 1, peak, own: 512 };
        let copier = Memory { whose: "its copier", count: 2, peak: 2048, own: 256 };
        let all = [
            contender(Way::Given, Tally::default(), &[0.3, 0.1, 0.2], vec![supervisor(6144), copier])?,
            contender(Way::StopStart, tally, &[], Vec::new())?,
        ];
        let text = clients(&all);
        assert!(
            text.ends_with(
                "\n| `inuse run -l` | 3 | 0 | 0 | 0 | 0 | 0 | 0 | 0.000 | 0.200, 0.300 |\n\
                 | stop, then start | 0 | 70 | 4 | 2 | 3 | 5 | 0 | 0.000 | – |\n"
            ),
            "{text}"
        );
        let text = memory(&all);
        assert!(text.contains("| `inuse run -l` | its copier, each of 2 | 2.0 | 0.2 |\n"), "{text}");
        assert!(
            text.ends_with("**missed**: The peak memory of the supervisor under 5 MiB: 6.0 MiB\n"),
            "{text}"
        );
        Ok(())
    }
}

//! What a supervisor answered, for people. Its JSON form is the answer itself.

use inuse_keeper::hold::ctl::protocol::{Answer, Status, Supervisor};
use inuse_rules::address::escape;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr as _;

/// Between columns.
const GAP: &str = "  ";

/// The longest command line in a table, and what is left of it on the narrowest terminal.
const COMMAND: usize = 60;
const NARROWEST: usize = 12;

/// An answer that says that all is well; `columns`: those of the terminal.
pub fn text(answer: &Answer, columns: Option<usize>) -> String {
    if !answer.supervisors.is_empty() {
        return table(&answer.supervisors, columns);
    }
    if let Some(status) = &answer.status {
        return overview(status);
    }
    match (answer.generation, answer.exit_status) {
        (Some(generation), _) => format!("generation {generation} serves\n"),
        (None, Some(status)) => format!("stopped; exit status {status}\n"),
        (None, None) => "done\n".into(),
    }
}

/// Supervisors, a line each; nothing where there is none. Command lines are cut so that a line fits the terminal.
pub fn table(supervisors: &[Supervisor], columns: Option<usize>) -> String {
    if supervisors.is_empty() {
        return String::new();
    }
    let row = |one: &Supervisor| {
        let (addresses, command) = match one.answers {
            true => (addresses(&one.addresses), one.command.join(" ")),
            false => ("?".into(), "(does not answer)".into()),
        };
        [escape(one.name.as_bytes()), one.pid.to_string(), addresses, command]
    };
    let head = ["NAME", "PID", "ADDRESSES", "COMMAND"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(supervisors.iter().map(row)).collect();
    let widest = |column: usize| rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
    let (name, pid, address) = (widest(0), widest(1), widest(2));
    let before = name + pid + address + 3 * GAP.len();
    let left = columns.map_or(COMMAND, |columns| columns.saturating_sub(before).clamp(NARROWEST, COMMAND));
    let mut text = String::new();
    for [one, number, at, command] in &rows {
        let spaces = |text: &str, to: usize| " ".repeat(to.saturating_sub(text.width()));
        let (one_to, at_to) = (spaces(one, name), spaces(at, address));
        let command = cut(command, left);
        let _ = writeln!(text, "{one}{one_to}{GAP}{number:>pid$}{GAP}{at}{at_to}{GAP}{command}");
    }
    text
}

/// The first of them, and how many more.
fn addresses(all: &[String]) -> String {
    match all {
        [] => "-".into(),
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
    }
}

/// Text that is escaped already.
fn cut(text: &str, at_most: usize) -> String {
    if text.chars().count() <= at_most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(at_most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The last lines of what failed.
pub fn output(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut text = String::from("Its last lines:\n");
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
    text
}

fn overview(status: &Status) -> String {
    let mut text = format!("{} (pid {}), for {}", status.name, status.pid, age(status.uptime_ms));
    text.push_str(if status.restarting { ", restarting\n" } else { "\n" });
    let _ = writeln!(text, "  runs   {}", status.command.join(" "));
    for socket in &status.sockets {
        let _ = write!(text, "  holds  {}", socket.address);
        if let Some(name) = &socket.name {
            let _ = write!(text, " as {name}");
        }
        let _ = write!(text, ", {}", if socket.kept { "kept" } else { "given" });
        match socket.generations.as_slice() {
            [] => text.push_str("; no generation has it"),
            [one] => _ = write!(text, "; generation {one} has it"),
            several => {
                let words: Vec<String> = several.iter().map(u32::to_string).collect();
                let _ = write!(text, "; generations {} have it", words.join(", "));
            }
        }
        match socket.queued {
            Some(queued @ 1..) => {
                let _ = writeln!(text, ", {queued} waiting");
            }
            _ => text.push('\n'),
        }
    }
    for generation in &status.generations {
        let _ = write!(
            text,
            "  generation {}: {} for {}, pid {}",
            generation.generation,
            generation.state,
            age(generation.age_ms),
            generation.pid
        );
        if generation.processes > 1 {
            let _ = write!(text, " and {} more", generation.processes - 1);
        }
        match &generation.says {
            Some(says) => {
                let _ = writeln!(text, "; it says: {says}");
            }
            None => text.push('\n'),
        }
    }
    if status.generations.is_empty() {
        text.push_str("  nothing runs\n");
    }
    text
}

fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inuse_keeper::hold::ctl::protocol::{GenerationStatus, SocketStatus};

    #[test]
    fn several_are_a_table() {
        let one = |name: &str, pid, addresses: &[&str], command: &str| Supervisor {
            name: name.into(),
            pid,
            answers: !command.is_empty(),
            addresses: addresses.iter().map(|address| (*address).into()).collect(),
            command: command.split(' ').map(str::to_owned).collect(),
        };
        let them = [
            one(
                "web",
                70,
                &["tcp/[::]:80", "tcp/[::1]:81", "unix:/a"],
                "./server --config a-rather-long-name.toml",
            ),
            one("web-2", 4_000_000, &[], "a\\u{1b}b 1"),
            one("db\u{1b}", 71, &[], ""),
        ];
        assert_eq!(
            table(&them, Some(70)),
            "NAME          PID  ADDRESSES               COMMAND\n\
             web            70  tcp/[::]:80 and 2 more  ./server --config a-rather…\n\
             web-2     4000000  -                       a\\u{1b}b 1\n\
             db\\u{1b}       71  ?                       (does not answer)\n"
        );
        assert_eq!(table(&[], None), "");
    }

    #[test]
    fn an_overview() {
        let status = Status {
            name: "server".into(),
            pid: 70,
            uptime_ms: 125_000,
            command: vec!["./server".into(), "-v".into()],
            restarting: true,
            sockets: vec![
                SocketStatus {
                    name: Some("web".into()),
                    address: "tcp/[::]:80".into(),
                    queued: Some(2),
                    generations: vec![2, 3],
                    ..SocketStatus::default()
                },
                SocketStatus {
                    address: "udp/0.0.0.0:53".into(),
                    kept: true,
                    generations: vec![3],
                    ..SocketStatus::default()
                },
                SocketStatus { address: "tcp/127.0.0.1:81".into(), kept: true, ..SocketStatus::default() },
            ],
            generations: vec![GenerationStatus {
                generation: 3,
                state: "serving".into(),
                pid: 71,
                processes: 5,
                age_ms: 9_999,
                says: Some("busy".into()),
            }],
        };
        let answer = Answer { status: Some(status), ..Answer::done() };
        assert_eq!(
            text(&answer, None),
            "server (pid 70), for 2 min, restarting\n  runs   ./server -v\n  holds  tcp/[::]:80 as web, given; \
             generations 2, 3 have it, 2 waiting\n  holds  udp/0.0.0.0:53, kept; generation 3 has it\n  holds  \
             tcp/127.0.0.1:81, kept; no generation has it\n  generation 3: serving for 9 s, pid 71 and 4 more; it says: busy\n"
        );
    }
}

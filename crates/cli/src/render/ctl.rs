//! What a supervisor answered, for people. Its JSON form is the answer itself.

use inuse_keeper::hold::ctl::protocol::{Answer, Status};
use std::fmt::Write as _;

/// An answer that says that all is well.
pub fn text(answer: &Answer) -> String {
    if let Some(status) = &answer.status {
        return overview(status);
    }
    match (answer.generation, answer.exit_status) {
        (Some(generation), _) => format!("generation {generation} serves\n"),
        (None, Some(status)) => format!("stopped; exit status {status}\n"),
        (None, None) => "done\n".into(),
    }
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
            text(&answer),
            "server (pid 70), for 2 min, restarting\n  runs   ./server -v\n  holds  tcp/[::]:80 as web, given; \
             generations 2, 3 have it, 2 waiting\n  holds  udp/0.0.0.0:53, kept; generation 3 has it\n  holds  \
             tcp/127.0.0.1:81, kept; no generation has it\n  generation 3: serving for 9 s, pid 71 and 4 more; it says: busy\n"
        );
    }
}

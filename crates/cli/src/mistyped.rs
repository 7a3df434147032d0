//! A mistyped verb, or one of other tools, which reads as an address without a port: which verb was meant.

use crate::args::Cli;
use clap::CommandFactory;
use inuse_rules::written::Mistake;
use std::ffi::OsString;

/// What people type who know other tools, and what it is here.
const ELSEWHERE: [(&str, &str); 8] = [
    ("restart", "inuse ctl restart"),
    ("reload", "inuse ctl restart"),
    ("status", "inuse ctl status"),
    ("stop", "inuse ctl stop' for what 'inuse run' runs, 'inuse free …"),
    ("start", "inuse run -- …"),
    ("kill", "inuse free …"),
    ("list", "inuse ls"),
    ("show", "inuse ls"),
];

/// Names the verb that a word is nearly, or stands for, if it is one.
pub fn hint(mistake: Mistake) -> Mistake {
    let word = mistake.text.to_ascii_lowercase();
    if let Some((_, here)) = ELSEWHERE.iter().find(|(there, _)| *there == word) {
        let wrong = "this is neither a verb nor an address".to_owned();
        return Mistake { wrong, right: format!("did you mean '{here}'?"), ..mistake };
    }
    let verbs = Cli::command();
    let nearest = verbs
        .get_subcommands()
        .map(|verb| (distance(&word, verb.get_name()), verb.get_name()))
        .filter(|&(distance, verb)| distance <= if verb.len() > 4 { 2 } else { 1 })
        .min();
    match nearest {
        Some((_, verb)) if word.bytes().all(|b| b.is_ascii_lowercase()) => Mistake {
            wrong: "this is neither a verb nor an address".to_owned(),
            right: format!("did you mean 'inuse {verb} …'?"),
            ..mistake
        },
        _ => mistake,
    }
}

/// The verb of a command line that was not understood as a whole.
pub fn verb(arguments: &[OsString]) -> Option<String> {
    let mut words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    let word = words.find(|word| !word.starts_with('-'))?;
    Cli::command().find_subcommand(word).map(|verb| verb.get_name().to_owned())
}

/// The names that somebody may have meant by a word: the one that is nearly it, else those that have it as a
/// part.
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str> + Clone) -> Vec<&'a str> {
    const MOST: usize = 4;
    let word = word.to_ascii_lowercase();
    let near = names.clone().map(|name| (distance(&word, &name.to_ascii_lowercase()), name));
    match near.filter(|&(distance, _)| distance <= 2).min() {
        Some((_, name)) => vec![name],
        None if word.len() < 3 => Vec::new(),
        None => names.filter(|name| name.contains(word.as_str())).take(MOST).collect(),
    }
}

/// The question whether one of these was meant, as the end of a line; `command` is what stands before a name.
pub fn did_you_mean(command: &str, names: &[&str]) -> Option<String> {
    Some(match names.split_last()? {
        (last, []) => format!("did you mean '{command} {last}'?"),
        (last, rest) => format!("did you mean {} or {last}?", rest.join(", ")),
    })
}

/// How many letters must be put in, left out, changed or swapped with their neighbour (optimal string
/// alignment); words of more than a few letters are far from everything.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    match (a, b) {
        ([], rest) | (rest, []) => rest.len(),
        _ if a.len().abs_diff(b.len()) > 2 => usize::MAX,
        _ => {
            let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
            for (i, x) in a.iter().enumerate() {
                let mut row = vec![i + 1];
                for (j, y) in b.iter().enumerate() {
                    let changed = rows[i][j] + usize::from(x != y);
                    let mut least = changed.min(rows[i][j + 1] + 1).min(row[j] + 1);
                    if i > 0 && j > 0 && x == &b[j - 1] && &a[i - 1] == y {
                        least = least.min(rows[i - 1][j - 1] + 1);
                    }
                    row.push(least);
                }
                rows.push(row);
            }
            rows[a.len()][b.len()]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_names_are_recognised() {
        let names = ["time-wait", "time-wait-reuseaddr", "listener", "EADDRINUSE"];
        let check =
            |word: &str, expect: &[&str]| assert_eq!(nearest(word, names.into_iter()), expect, "{word}");
        check("tiem-wait", &["time-wait"]);
        check("TimeWait", &["time-wait"]);
        check("reuseaddr", &["time-wait-reuseaddr"]);
        check("time", &["time-wait", "time-wait-reuseaddr"]);
        check("eadrinuse", &["EADDRINUSE"]);
        check("li", &[]);
        check("coffee", &[]);
    }

    #[test]
    fn mistyped_verbs_are_recognised() {
        let check = |word: &str, verb: Option<&str>| {
            let hinted = hint(inuse_rules::written::parse(word).expect_err("no address"));
            let expect = verb.map(|verb| match verb.contains(' ') {
                true => format!("did you mean '{verb}'?"),
                false => format!("did you mean 'inuse {verb} …'?"),
            });
            assert_eq!(
                Some(&hinted.right).filter(|right| right.contains("did you")),
                expect.as_ref(),
                "{word}"
            );
        };
        check("whi", Some("why"));
        check("explian", Some("explain"));
        check("nxt", Some("next"));
        check("Next", Some("next"));
        check("wiat", Some("wait"));
        check("fre", Some("free"));
        check("restart", Some("inuse ctl restart"));
        check("Status", Some("inuse ctl status"));
        check("kill", Some("inuse free …"));
        check("stop", Some("inuse ctl stop' for what 'inuse run' runs, 'inuse free …"));
        check("localhost", None);
        check("", None);
        check("99999", None);
        check("w\u{1b}y", None);
    }
}

//! `inuse explain`: a page about a cause or an error.

use crate::args::ExplainArgs;
use crate::exit::ExitStatus;
use crate::mistyped::{did_you_mean, nearest};
use crate::output::Output;
use crate::render::json;
use inuse_rules::address::escape;
use inuse_rules::explain::{page, topics};
use rustix::fs::{FileType, fstat};
use serde::Serialize;

/// What reads a message, which this verb does not.
const MESSAGES: &str = "'YOUR-COMMAND 2>&1 | inuse -' reads a message and explains the address in it; \
                        'inuse explain EADDRINUSE' has the page";

/// Errors that have a page, by name.
const ERRORS: [&str; 3] = ["EADDRINUSE", "EACCES", "EADDRNOTAVAIL"];

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    code: &'a str,
    title: &'a str,
    page: &'a str,
}

/// Prints the page, or the list of pages.
pub fn run(args: &ExplainArgs, output: &mut Output) -> ExitStatus {
    let Some(topic) = &args.topic else {
        let longest = topics().map(|page| page.code.len()).max().unwrap_or(0);
        for page in topics() {
            output.data(&format!("{:<longest$}  {}\n", page.code, page.title));
        }
        if message_is_piped() {
            output.flush();
            output.say(&format!("standard input was not read: {MESSAGES}"));
        }
        return ExitStatus::Success;
    };
    if topic == "-" {
        output.say(&format!("'-': this verb reads no standard input: {MESSAGES}"));
        return ExitStatus::WrongWords;
    }
    let Some(page) = page(topic) else {
        let shown: String = escape(topic.as_bytes()).chars().take(60).collect();
        let names: Vec<&str> = topics().map(|page| page.code).chain(ERRORS).collect();
        let meant = did_you_mean("inuse explain", &nearest(topic, names.iter().copied()));
        let meant = meant.unwrap_or_else(|| {
            "'inuse explain' lists the causes, and 98, 48, 10048, EACCES and EADDRNOTAVAIL work too"
                .to_owned()
        });
        output.say(&format!("there is no page on '{shown}'; {meant}"));
        return ExitStatus::WrongWords;
    };
    if args.json {
        let document =
            Document { schema: "inuse.explain/1", code: page.code, title: page.title, page: page.text };
        output.data(&json::to_text(&document));
    } else {
        output.data(&format!("{}: {}\n\n{}", page.code, page.title, page.text));
    }
    ExitStatus::Success
}

/// Whether somebody seems to have piped something in.
fn message_is_piped() -> bool {
    let kind = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode);
    fstat(std::io::stdin()).is_ok_and(|stat| matches!(kind(stat), FileType::Fifo | FileType::RegularFile))
}

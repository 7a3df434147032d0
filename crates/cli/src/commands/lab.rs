//! `inuse lab`: plays a scene for somebody who watches, or lists the scenes.
//!
//! Here are the words and the pauses; playing is `inuse_lab::play`, the views are `render::lab`, and where a page
//! goes is `page_file`.

use super::page_file::PageFile;
use super::teach;
use crate::args::{LabArgs, LabVerb, PlayArgs};
use crate::exit::ExitStatus;
use crate::mistyped::{did_you_mean, nearest};
use crate::output::Output;
use crate::render::lab::html::{self, About};
use crate::render::lab::{Played, json, list, text};
use inuse_lab::play::{PlayError, Player, as_told};
use inuse_rules::address::escape;
use inuse_rules::scene::lesson::{Play, plays};
use jiff::Zoned;
use std::io::{self, BufRead, IsTerminal};

/// Plays, or lists.
pub fn run(args: &LabArgs, output: &mut Output) -> ExitStatus {
    match &args.verb {
        Some(LabVerb::List(args)) if args.json => output.data(&json::list()),
        Some(LabVerb::List(_)) => output.data(&list::text(output.width())),
        Some(LabVerb::Serve(args)) => return teach::serve(args, output),
        Some(LabVerb::Client(args)) => return teach::client(args, output),
        None => return play(&args.play, output),
    }
    ExitStatus::Success
}

fn play(args: &PlayArgs, output: &mut Output) -> ExitStatus {
    let play = match args.scene.as_deref().map(found) {
        Some(Ok(play)) => play,
        Some(Err(line)) => {
            output.say(&line);
            return ExitStatus::WrongWords;
        }
        None => {
            output.say(
                "no scene is named; 'inuse lab list' has them all, 'inuse lab time-wait' plays the first",
            );
            return ExitStatus::WrongWords;
        }
    };
    if args.pause && !io::stdin().is_terminal() {
        output.say("--pause waits for Enter, and standard input is no terminal");
        return ExitStatus::WrongWords;
    }
    let page = match args.html.as_deref().map(PageFile::at).transpose() {
        Ok(page) => page,
        Err(line) => {
            output.say(&line);
            return ExitStatus::WrongWords;
        }
    };
    let stdout_is_page = matches!(page, Some(PageFile::Stdout));
    if stdout_is_page && (args.json || args.pause) {
        let other = if args.json { "--json" } else { "--pause" };
        output.say(&format!("{other} and --html - both want standard output; give --html a file"));
        return ExitStatus::WrongWords;
    }
    let view = match () {
        () if stdout_is_page => View::Silent,
        () if args.json => View::Json,
        () => View::Text,
    };
    let mut played = Played::new(play);
    watch(args, view, page.as_ref(), &mut played, output)
}

/// What standard output shows of a play.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Text,
    Json,
    /// Nothing: it is the page's.
    Silent,
}

/// Plays to the end, showing each moment as it comes.
fn watch(
    args: &PlayArgs,
    view: View,
    page: Option<&PageFile>,
    played: &mut Played,
    output: &mut Output,
) -> ExitStatus {
    let mut player = match Player::open(played.play) {
        Ok(player) => player,
        Err(error) => return ended(view, played, Some(error), output),
    };
    let ground = played.ground.insert(player.ground().clone());
    match view {
        View::Json => output.data(&json::begin(played.play, ground)),
        View::Text => output.data(&text::begin(played.play, ground, output.width())),
        View::Silent => {}
    }
    let mut error = None;
    loop {
        output.flush();
        if args.pause && !played.moments.is_empty() && !player.is_over() {
            enter("Enter goes on", output);
        }
        match player.play_on() {
            Ok(None) => break,
            Ok(Some(moment)) => {
                played.as_told &= as_told(&moment);
                match view {
                    View::Json => output.data(&json::moment(&moment)),
                    View::Text => output.data(&text::moment(&moment, output.width())),
                    View::Silent => {}
                }
                played.moments.push(moment);
            }
            Err(why) => {
                error = Some(why);
                break;
            }
        }
    }
    let mut status = ended(view, played, error, output);
    if let Some(page) = page {
        status = status.max(write(page, played, output));
    }
    if args.keep {
        let standing = text::standing(player.ground(), output.width());
        match view {
            View::Json => output.data(&json::standing(player.ground())),
            View::Text => output.data(&standing),
            View::Silent => output.lines(&standing),
        }
        output.flush();
        enter("Enter ends it", output);
    }
    // Its processes end with this one in any case.
    drop(player.end());
    status
}

/// Writes the page of what was played, to its end or not.
fn write(page: &PageFile, played: &Played, output: &mut Output) -> ExitStatus {
    let uname = rustix::system::uname();
    let part = |part: &std::ffi::CStr| escape(part.to_bytes());
    let about = About {
        when: Zoned::now().strftime("%Y-%m-%d %H:%M %Z").to_string(),
        machine: [uname.sysname(), uname.release(), uname.machine()].map(part).join(" "),
    };
    let html = html::page(played, &about);
    if matches!(page, PageFile::Stdout) {
        output.data(&html);
        output.flush();
        return ExitStatus::Success;
    }
    match page.write(&html) {
        Ok(()) => ExitStatus::Success,
        Err(line) => {
            output.say(&line);
            ExitStatus::InUse
        }
    }
}

fn ended(view: View, played: &mut Played, error: Option<PlayError>, output: &mut Output) -> ExitStatus {
    let status = match &error {
        None if played.as_told => ExitStatus::Success,
        Some(PlayError::Unavailable(_)) => ExitStatus::CannotSay,
        _ => ExitStatus::InUse,
    };
    played.as_told &= error.is_none();
    played.error = error.map(|error| error.to_string());
    match view {
        View::Json => output.data(&json::end(played, status)),
        View::Text if played.ground.is_some() => output.data(&text::end(played, output.width())),
        View::Text | View::Silent => {}
    }
    output.flush();
    if let Some(error) = &played.error {
        output.say(&format!("{}: {}", played.play.name(), escape(error.as_bytes())));
    }
    status
}

/// The play of that name, or what was perhaps meant.
fn found(name: &str) -> Result<Play, String> {
    Play::by_name(name).ok_or_else(|| {
        let shown: String = escape(name.as_bytes()).chars().take(60).collect();
        let names: Vec<&'static str> = plays().map(|play| play.name()).collect();
        let meant = nearest(name, names.iter().copied());
        let meant = did_you_mean("inuse lab", &meant);
        let meant = meant.unwrap_or_else(|| "'inuse lab list' names them all".to_owned());
        format!("there is no scene '{shown}'; {meant}")
    })
}

/// Waits for a line, or for the end of standard input.
fn enter(what: &str, output: &mut Output) {
    output.lines(&format!("-- {what} -- "));
    // A line is enough, and an error is an end as well.
    drop(io::stdin().lock().read_line(&mut String::new()));
}

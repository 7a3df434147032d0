//! `inuse lab`: plays a scene for somebody who watches, or lists the scenes.
//!
//! Here are the words and the pauses; playing is `inuse_lab::play`, the views are `render::lab`.

use super::teach;
use crate::args::{LabArgs, LabVerb, PlayArgs};
use crate::exit::ExitStatus;
use crate::mistyped::nearest;
use crate::output::Output;
use crate::render::lab::{Played, json, list, text};
use inuse_lab::play::{PlayError, Player, as_told};
use inuse_rules::address::escape;
use inuse_rules::scene::lesson::{Play, plays};
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
    let mut played = Played::new(play);
    watch(args, &mut played, output)
}

/// Plays to the end, showing each moment as it comes.
fn watch(args: &PlayArgs, played: &mut Played, output: &mut Output) -> ExitStatus {
    let mut player = match Player::open(played.play) {
        Ok(player) => player,
        Err(error) => return ended(args, played, Some(error), output),
    };
    let ground = played.ground.insert(player.ground().clone());
    if args.json {
        output.data(&json::begin(played.play, ground));
    } else {
        output.data(&text::begin(played.play, ground, output.width()));
    }
    let mut error = None;
    loop {
        output.flush();
        if args.pause && !played.moments.is_empty() {
            enter("Enter goes on", output);
        }
        match player.play_on() {
            Ok(None) => break,
            Ok(Some(moment)) => {
                played.as_told &= as_told(&moment);
                let text =
                    if args.json { json::moment(&moment) } else { text::moment(&moment, output.width()) };
                output.data(&text);
                played.moments.push(moment);
            }
            Err(why) => {
                error = Some(why);
                break;
            }
        }
    }
    let status = ended(args, played, error, output);
    if args.keep {
        output.data(&if args.json {
            json::standing(player.ground())
        } else {
            text::standing(player.ground(), output.width())
        });
        output.flush();
        enter("Enter ends it", output);
    }
    // Its processes end with this one in any case.
    drop(player.end());
    status
}

fn ended(args: &PlayArgs, played: &mut Played, error: Option<PlayError>, output: &mut Output) -> ExitStatus {
    let status = match &error {
        None if played.as_told => ExitStatus::Success,
        Some(PlayError::Unavailable(_)) => ExitStatus::CannotSay,
        _ => ExitStatus::InUse,
    };
    played.as_told &= error.is_none();
    played.error = error.map(|error| error.to_string());
    if args.json {
        output.data(&json::end(played, status));
    } else if played.ground.is_some() {
        output.data(&text::end(played, output.width()));
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
        let meant = match meant.split_last() {
            None => "'inuse lab list' names them all".to_owned(),
            Some((last, [])) => format!("did you mean 'inuse lab {last}'?"),
            Some((last, rest)) => format!("did you mean {} or {last}?", rest.join(", ")),
        };
        format!("there is no scene '{shown}'; {meant}")
    })
}

/// Waits for a line, or for the end of standard input.
fn enter(what: &str, output: &mut Output) {
    output.lines(&format!("-- {what} -- "));
    // A line is enough, and an error is an end as well.
    drop(io::stdin().lock().read_line(&mut String::new()));
}

//! The views of a play: text for who watches (`text`), events for programs (`json`), a page
//! with drawings (`html`), and the list of scenes (`list`).

pub mod html;
pub mod json;
pub mod list;
pub mod text;

use inuse_lab::play::{Ground, Moment};
use inuse_rules::Attempt;
use inuse_rules::scene::lesson::Play;
use inuse_rules::scene::{GROUPS, Need};

/// A play, as far as it has been played.
pub struct Played {
    /// What is played.
    pub play: Play,
    /// Where; `None` when there is no place for it.
    pub ground: Option<Ground>,
    /// What has been seen.
    pub moments: Vec<Moment>,
    /// Whether everything has come out as the scene says.
    pub as_told: bool,
    /// What ended it before its time.
    pub error: Option<String>,
}

impl Played {
    /// Nothing yet.
    pub fn new(play: Play) -> Played {
        Played { play, ground: None, moments: Vec::new(), as_told: true, error: None }
    }
}

/// The heading under which a play is listed.
fn group(play: &Play) -> &'static str {
    match play {
        Play::Lesson(_) => "Lessons",
        Play::Scene(scene) => {
            let has = |(_, scenes): &&(&str, &[inuse_rules::scene::Scene])| {
                scenes.iter().any(|other| other.name == scene.name)
            };
            GROUPS.iter().find(has).map_or("", |(title, _)| title)
        }
    }
}

/// What it takes, besides namespaces.
fn needs(play: &Play) -> Vec<&'static str> {
    play.needs()
        .into_iter()
        .map(|need| match need {
            Need::Uids => "root",
            Need::Ipv6 => "ipv6",
            Need::IoUring => "io_uring",
        })
        .collect()
}

/// Whether it takes a minute.
fn is_long(play: &Play) -> bool {
    matches!(play, Play::Lesson(lesson) if lesson.is_long())
}

/// What is typed to ask about an attempt.
fn question(attempt: &Attempt) -> String {
    let options = [
        (attempt.reuseaddr, "--reuseaddr "),
        (attempt.reuseport, "--reuseport "),
        (attempt.v6only, "--v6only "),
    ];
    let options = options.into_iter().filter(|(on, _)| *on).map(|(_, option)| option);
    format!("inuse why {}{}", options.collect::<String>(), attempt.address)
}

/// An address without its protocol, which every row of a play would repeat.
fn short(address: &str) -> &str {
    address.strip_prefix("tcp/").unwrap_or(address)
}

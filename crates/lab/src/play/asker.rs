//! Asking why on a stage: another run of this binary asks as the scene's asker, and passes on what it saw
//! as the bytes of a snapshot file. The conclusions are drawn here, from these.

use crate::ROLE;
use crate::stage::{Program, Stage};
use inuse_bind::file::{Entry, Saved, from_bytes, to_bytes};
use inuse_bind::{Asker, Report, WhyOptions};
use inuse_kernel::netns::NetnsName;
use inuse_rules::address::{Address, Transport};
use inuse_rules::scene::{Act, AskedBy, Kind, Place, Step, Wanted};
use inuse_rules::{Attempt, diagnose};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where an actor that asks about its own bind leaves the answer, on the stage's own /run.
const ANSWER: &str = "/run/inuse-why";
/// The longest that it may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The answer to why this attempt fails, as that one gets it.
pub(super) fn ask(stage: &mut Stage, wanted: &Wanted, asker: AskedBy) -> Result<Report, String> {
    let words = to_words(wanted);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let bytes = match asker {
        AskedBy::User(uid) => {
            let words = [&[ROLE, "why"], &words[..]].concat();
            let ran = stage.run(uid, Program::Myself, &words).map_err(|error| error.to_string())?;
            if ran.code != 0 {
                return Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned());
            }
            ran.stdout
        }
        AskedBy::Actor(who) => {
            // The actor becomes the one who asks: the same process, with the same descriptors.
            let words = [&["/proc/self/exe", ROLE, "why"], &words[..], &[ANSWER]].concat();
            stage.step(&Step::Does(who, Act::Exec(&words))).map_err(|error| error.to_string())?;
            answer_file(stage)?
        }
        AskedBy::Outside => {
            let netns = Some(NetnsName::Path(format!("/proc/{}/ns/net", stage.helper_pid()).into()));
            let options = WhyOptions { netns, ..WhyOptions::default() };
            let report = Asker::new(&options).map_err(|error| error.to_string())?.why(&wanted.attempt());
            return Ok(report);
        }
    };
    let saved = from_bytes(&bytes, Path::new("the answer")).map_err(|error| error.to_string())?;
    let Entry { attempt, snapshot } = saved.entries.into_iter().next().ok_or("an empty answer")?;
    Ok(Report { diagnosis: diagnose(&snapshot, &attempt), snapshot: Arc::new(snapshot) })
}

/// Waits for the file of an actor's answer.
fn answer_file(stage: &mut Stage) -> Result<Vec<u8>, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ran = stage.run(0, Program::Path("cat"), &[ANSWER]).map_err(|error| error.to_string())?;
        if ran.code == 0 {
            return Ok(ran.stdout);
        }
        if Instant::now() > deadline {
            return Err("the actor that asks does not answer".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The role of the asker: the words of an attempt, and perhaps the file for the answer; then it asks about
/// its own bind, and goes on holding what it holds.
pub(crate) fn main(words: &[&str]) -> ! {
    let done = match words.split_at_checked(WORDS) {
        Some((attempt, file)) => run(attempt, file.first().copied()),
        None => Err("words that are no attempt".into()),
    };
    if let Err(why) = done {
        let _ = writeln!(std::io::stderr(), "{why}");
        std::process::exit(1);
    }
    std::process::exit(0)
}

fn run(words: &[&str], file: Option<&str>) -> Result<(), String> {
    let attempt = from_words(words).ok_or("words that are no attempt")?;
    // Without namespaces nobody here is root; who asks is the one whose bind it is.
    let attempt = match rustix::process::geteuid() {
        own if own.is_root() => attempt,
        own => Attempt { uid: own.as_raw(), net_bind_service: false, ..attempt },
    };
    let options = WhyOptions { own_bind: file.is_some(), ..WhyOptions::default() };
    let report = Asker::new(&options).map_err(|error| error.to_string())?.why(&attempt);
    let snapshot = Arc::unwrap_or_clone(report.snapshot);
    let saved = Saved { made_by: "inuse lab".into(), entries: vec![Entry { attempt, snapshot }] };
    let bytes = to_bytes(&saved).map_err(|error| error.to_string())?;
    let Some(file) = file else {
        return std::io::stdout().write_all(&bytes).map_err(|error| error.to_string());
    };
    // Whole when it appears.
    let unfinished = format!("{file}.unfinished");
    std::fs::write(&unfinished, &bytes)
        .and_then(|()| std::fs::rename(&unfinished, file))
        .map_err(|error| error.to_string())?;
    loop {
        std::thread::park();
    }
}

/// How many words an attempt takes.
const WORDS: usize = 7;

fn to_words(wanted: &Wanted) -> Vec<String> {
    let (form, name) = match wanted.place {
        Place::Inet(at) => ("inet", at.to_string()),
        Place::Path(path) => ("path", path.to_owned()),
        Place::Abstract(name) => ("abstract", name.to_owned()),
    };
    let flag = |on: bool| on.to_string();
    vec![
        wanted.kind.arguments().to_owned(),
        form.to_owned(),
        name,
        flag(wanted.reuseaddr),
        flag(wanted.reuseport),
        flag(wanted.v6only),
        wanted.uid.to_string(),
    ]
}

fn from_words(words: &[&str]) -> Option<Attempt> {
    let [kind, form, name, reuseaddr, reuseport, v6only, uid] = *words else { return None };
    let kind = Kind::ALL.into_iter().find(|known| known.arguments() == kind)?;
    let unix = |kind, name| Address::Unix { kind, name };
    let (name, kind) = (name.as_bytes().to_vec(), kind);
    let address = match (form, kind) {
        ("inet", kind) => {
            let local = std::str::from_utf8(&name).ok()?.parse().ok()?;
            let datagrams = matches!(kind, Kind::Udp4 | Kind::Udp6);
            let transport = if datagrams { Transport::Udp } else { Transport::Tcp };
            Address::Inet { transport, local, device: 0 }
        }
        ("path", kind) => unix(unix_kind(kind)?, inuse_rules::UnixName::Path(name)),
        ("abstract", kind) => unix(unix_kind(kind)?, inuse_rules::UnixName::Abstract(name)),
        _ => return None,
    };
    let uid = uid.parse().ok()?;
    Some(Attempt {
        reuseaddr: reuseaddr.parse().ok()?,
        reuseport: reuseport.parse().ok()?,
        v6only: v6only.parse().ok()?,
        uid,
        net_bind_service: uid == 0,
        ..Attempt::plain(address)
    })
}

fn unix_kind(kind: Kind) -> Option<inuse_rules::UnixKind> {
    match kind {
        Kind::UnixStream => Some(inuse_rules::UnixKind::Stream),
        Kind::UnixDatagram => Some(inuse_rules::UnixKind::Datagram),
        Kind::UnixSeqpacket => Some(inuse_rules::UnixKind::Seqpacket),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_survives_its_words() {
        for scene in inuse_rules::scene::all() {
            let words = to_words(&scene.attempt);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_eq!(words.len(), WORDS);
            assert_eq!(from_words(&words), Some(scene.attempt.attempt()), "{}", scene.name);
        }
        assert_eq!(from_words(&["x"; WORDS]), None);
    }
}

//! The commands of an answer, made to do what they say where they are typed.
//!
//! The rules write them for the network namespace that was asked about and for a plain question. Here they
//! enter that namespace (ip-netns(8), nsenter(1)), a question asked again keeps its options, and sudo finds
//! this very program. A process or a file has no network namespace: `kill`, `rm` and `systemctl` stay.

use crate::args::{AttemptArgs, WhyArgs};
use inuse_keeper::act::Plan;
use inuse_kernel::netns::NetnsName;
use inuse_rules::cure::{Command, Cure};
use inuse_rules::{Attempt, Diagnosis};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where sudo looks for programs unless sudoers(5) says otherwise (`secure_path`).
const SECURE_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Changes every command of the answer.
pub(super) fn adapt(diagnosis: &mut Diagnosis, args: &WhyArgs) {
    let attempt = &diagnosis.attempt;
    // A file was saved on another machine, and --redact hides paths.
    let own = if args.redact || args.snapshot.is_some() { None } else { own_path() };
    for cure in &mut diagnosis.cures {
        for at in 0..cure.commands.len() {
            let Some(command) = cure.commands.get(at) else { continue };
            let adapted = adapted(command, attempt, args, own.as_deref());
            note_root(cure, &adapted, attempt);
            cure.commands[at] = adapted;
        }
    }
}

/// Changes the commands of a plan: our own, once more as root or with another flag, and the question why.
pub(super) fn adapt_plan(plan: &mut Plan, args: &AttemptArgs) {
    let own = own_path();
    let commands =
        plan.obstacles.iter_mut().flat_map(|obstacle| [&mut obstacle.command, &mut obstacle.again]);
    for command in commands.flatten() {
        let (sudo, words) = match command.0.as_slice() {
            [sudo, words @ ..] if sudo == b"sudo" => (Some(sudo), words),
            words => (None, words),
        };
        let [program, verb, rest @ ..] = words else { continue };
        if matches!((program.as_slice(), verb.as_slice()), (b"inuse", b"free" | b"why")) {
            let program = sudo.and(own.as_ref()).unwrap_or(program);
            let words = sudo.into_iter().chain([program, verb]).cloned();
            *command = Command(words.chain(place(args)).chain(rest.iter().cloned()).collect());
        }
    }
}

/// To enter a namespace takes root.
fn note_root(cure: &mut Cure, command: &Command, attempt: &Attempt) {
    let sudo = command.0.first().is_some_and(|word| word == b"sudo");
    if sudo && attempt.uid != 0 && cure.needs.is_none() {
        cure.needs = Some("root".into());
    }
}

/// This program's file, where sudo does not look for it.
pub(super) fn own_path() -> Option<Vec<u8>> {
    let path = std::env::current_exe().ok()?;
    let found = path.parent().is_some_and(|folder| SECURE_PATH.iter().any(|s| folder == Path::new(s)));
    (!found).then(|| path.as_os_str().as_bytes().to_vec())
}

/// The same question as root: all words as they were typed, and this program where sudo would not find it.
pub(super) fn as_root(words: impl Iterator<Item = Vec<u8>>, own: Option<Vec<u8>>) -> Command {
    let program = own.unwrap_or_else(|| b"inuse".to_vec());
    Command([b"sudo".to_vec(), program].into_iter().chain(words).collect())
}

fn adapted(command: &Command, attempt: &Attempt, args: &WhyArgs, own: Option<&[u8]>) -> Command {
    let (mut sudo, words) = match command.0.as_slice() {
        [sudo, words @ ..] if sudo == b"sudo" => (true, words),
        words => (false, words),
    };
    let [program, rest @ ..] = words else { return command.clone() };
    let mut entered: Vec<Vec<u8>> = Vec::new();
    let mut rest = rest.to_vec();
    let verb = rest.first().map(Vec::as_slice);
    match (program.as_slice(), verb) {
        (b"inuse", Some(b"why")) => {
            let probe = args.probe.then(|| b"--probe".to_vec());
            rest.splice(1..1, probe.into_iter().chain(options(attempt, &args.attempt)));
        }
        (b"inuse", Some(b"wait" | b"free")) => {
            rest.splice(1..1, options(attempt, &args.attempt));
        }
        (b"inuse", Some(b"opts")) => {
            let netns = args.attempt.netns.as_deref();
            rest.splice(1..1, netns.map(|netns| [b"--netns=", netns.as_bytes()].concat()));
        }
        (b"inuse" | b"ss" | b"sysctl" | b"ip", _) => entered = enter(args),
        _ => {}
    }
    sudo |= !entered.is_empty() && attempt.uid != 0;
    let program = match own {
        Some(own) if sudo && program == b"inuse" => own.to_vec(),
        _ => program.clone(),
    };
    let sudo = sudo.then(|| b"sudo".to_vec());
    Command(sudo.into_iter().chain(entered).chain([program]).chain(rest).collect())
}

/// What runs the rest of the line in the namespace.
fn enter(args: &WhyArgs) -> Vec<Vec<u8>> {
    let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect();
    match args.attempt.netns() {
        None => Vec::new(),
        Some(NetnsName::Name(name)) => words(&["ip", "netns", "exec", &name]),
        Some(NetnsName::Pid(pid)) => words(&["nsenter", "-t", &pid.to_string(), "-n"]),
        Some(NetnsName::Path(path)) => {
            vec![b"nsenter".to_vec(), [b"--net=", path.as_os_str().as_bytes()].concat()]
        }
    }
}

/// The options of the bind that was meant, for a verb that takes them too.
fn options(attempt: &Attempt, args: &AttemptArgs) -> impl Iterator<Item = Vec<u8>> {
    let flags = [
        (attempt.reuseaddr, "--reuseaddr"),
        (attempt.reuseport, "--reuseport"),
        (attempt.v6only, "--v6only"),
    ];
    flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag.into()).chain(place(args))
}

/// Whose bind it is, and where.
fn place(args: &AttemptArgs) -> impl Iterator<Item = Vec<u8>> {
    let user = args.as_uid.as_ref().map(|user| format!("--as-uid={user}").into_bytes());
    let netns = args.netns.as_deref().map(|netns| [b"--netns=", netns.as_bytes()].concat());
    user.into_iter().chain(netns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use inuse_rules::Address;

    fn attempt(uid: u32) -> Attempt {
        Attempt { uid, ..Attempt::plain(Address::tcp(([127, 0, 0, 1], 80).into())) }
    }

    #[track_caller]
    fn check(netns: Option<&str>, uid: u32, command: &str, expect: &str) {
        let attempt_args = AttemptArgs { netns: netns.map(Into::into), ..AttemptArgs::default() };
        let args = WhyArgs { attempt: attempt_args, ..WhyArgs::default() };
        let command = Command::new(command.split(' '));
        assert_eq!(adapted(&command, &attempt(uid), &args, None).to_string(), expect);
    }

    #[test]
    fn what_acts_on_a_namespace_enters_it() {
        for (netns, enter) in [
            ("blue", "ip netns exec blue"),
            ("4412", "nsenter -t 4412 -n"),
            ("/run/x/net", "nsenter --net=/run/x/net"),
            ("/a b", "nsenter '--net=/a b'"),
        ] {
            for words in ["ss -K -a -t", "sysctl -w a.b=1", "ip -brief address", "inuse next 80"] {
                let sudo = format!("sudo {words}");
                check(Some(netns), 1000, &sudo, &format!("sudo {enter} {words}"));
                check(Some(netns), 1000, words, &format!("sudo {enter} {words}"));
                check(Some(netns), 0, words, &format!("{enter} {words}"));
                check(None, 1000, words, words);
                check(None, 1000, &sudo, &sudo);
            }
            for words in ["kill -TERM 7", "rm -- /run/x.sock", "systemctl stop x.service", "sleep 46"] {
                check(Some(netns), 1000, words, words);
            }
        }
        check(Some("blue"), 1000, "sudo systemctl stop x.service", "sudo systemctl stop x.service");
        check(Some("blue"), 1000, "sudo docker stop x", "sudo docker stop x");
    }

    #[test]
    fn a_verb_that_knows_namespaces_is_told() {
        check(Some("blue"), 1000, "inuse why tcp/:::80", "inuse why --netns=blue tcp/:::80");
        check(Some("7"), 1000, "sudo inuse why 80", "sudo inuse why --netns=7 80");
        check(Some("blue"), 0, "inuse wait 80", "inuse wait --netns=blue 80");
        check(Some("blue"), 0, "inuse opts 80 SO_REUSEADDR=1", "inuse opts --netns=blue 80 SO_REUSEADDR=1");
        let opts = "inuse opts tcp/127.0.0.1:80 SO_REUSEADDR=1";
        let there = "inuse opts --netns=blue tcp/127.0.0.1:80 SO_REUSEADDR=1";
        check(Some("blue"), 1000, &format!("sudo {opts}"), &format!("sudo {there}"));
        check(Some("blue"), 1000, opts, there);
        check(None, 1000, &format!("sudo {opts}"), &format!("sudo {opts}"));
        check(None, 1000, "inuse wait 80", "inuse wait 80");
    }

    #[test]
    fn a_question_asked_again_keeps_its_options() {
        let tom = AttemptArgs { as_uid: Some("tom".into()), ..AttemptArgs::default() };
        let args = WhyArgs { probe: true, attempt: tom, ..WhyArgs::default() };
        let attempt = Attempt { reuseaddr: true, reuseport: true, v6only: true, ..attempt(1000) };
        let command = Command::new(["sudo", "inuse", "why", "80"]);
        let own = Some(&b"/opt/inuse"[..]);
        assert_eq!(
            adapted(&command, &attempt, &args, own).to_string(),
            "sudo /opt/inuse why --probe --reuseaddr --reuseport --v6only --as-uid=tom 80"
        );
        let command = Command::new(["sudo", "inuse", "free", "--destroy", "80"]);
        assert_eq!(
            adapted(&command, &attempt, &args, own).to_string(),
            "sudo /opt/inuse free --reuseaddr --reuseport --v6only --as-uid=tom --destroy 80"
        );
    }
}

//! The search for the owner among very many open files: it ends in time, and the answer says what it could.
//!
//! The crowd has namespaces of its own (processes and network), so that no other process of the machine is searched,
//! and everybody in it ends with the first of them. The other way round the machine does see it: so this is a test
//! binary of its own, beside which no other runs.
#![allow(clippy::print_stdout, reason = "a copy's answer goes to the process that started it")]

use inuse_bind::{listen, why};
use inuse_rules::Ownership;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// 60,000 open files: reading their names takes longer than the time that an error has.
const PROCESSES: usize = 300;
const FILES: usize = 200;
/// The search has 0.1 s; the rest is for everything else that an answer needs, on a machine that is busy.
const IN_TIME: Duration = Duration::from_millis(2000);
/// Who was started last is looked at first; only a very busy machine leaves no time even for that.
const TRIES: usize = 10;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("__first") => match first_of_many() {
            Ok(()) => println!("in time"),
            Err(failed) => println!("{}", failed.message().unwrap_or("failed")),
        },
        Some("__hold") => {
            let held = TcpListener::bind("0.0.0.0:0").expect("a free port");
            println!("{}", held.local_addr().expect("bound"));
            until_dismissed();
        }
        Some("__open") => {
            let open = || File::open("/dev/null").expect("it is always there");
            let _files: Vec<File> = std::iter::repeat_with(open).take(FILES).collect();
            println!("ready");
            until_dismissed();
        }
        _ => {
            let trials = vec![Trial::ignorable_test("an_error_is_told_in_time", told_in_time)];
            libtest_mimic::run(&Arguments::from_args(), trials).exit();
        }
    }
}

fn until_dismissed() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn told_in_time() -> Result<Completion, Failed> {
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    let possible = Command::new(unshare.get_program()).args(unshare.get_args()).arg("true").output();
    if !possible.is_ok_and(|ran| ran.status.success()) {
        let why = "namespaces of its own are not to be had (unshare)";
        return if inuse_lab::all_required() { Err(why.into()) } else { Ok(Completion::ignored_with(why)) };
    }
    let output = unshare.arg(std::env::current_exe()?).arg("__first").stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && said.trim_end() == "in time" {
        return Ok(Completion::Completed);
    }
    Err(format!("{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// The first process of its namespace.
fn first_of_many() -> Result<(), Failed> {
    let oldest = Member::start("__hold")?;
    let crowd = (0..PROCESSES).map(|_| Member::start("__open")).collect::<Result<Vec<_>, Failed>>()?;
    let newest = Member::start("__hold")?;

    // Looked at last: found, or the answer says why not and how to find it. The rest of it is there in any case.
    let (at, named) = (oldest.said.as_str(), format!("(pid {})", oldest.child.id()));
    let text = in_time(&oldest.said)?;
    if !text.contains(&named) {
        let (stopped, how) = ("stopped after 100 ms", format!("'inuse why tcp/{at}' takes the time"));
        for part in ["listens on", stopped, &how] {
            if !text.contains(part) {
                return Err(format!("'{part}' is missing in: {text}").into());
            }
        }
    }
    // Looked at first.
    let named = format!("(pid {})", newest.child.id());
    if !(0..TRIES).any(|_| in_time(&newest.said).is_ok_and(|text| text.contains(&named))) {
        return Err(format!("{TRIES} tries did not find {named}").into());
    }
    // And before everybody else this very process.
    let own = TcpListener::bind("0.0.0.0:0")?;
    let at_own = own.local_addr()?.to_string();
    if !(0..TRIES).any(|_| in_time(&at_own).is_ok_and(|text| text.contains("This very process"))) {
        return Err(format!("{TRIES} tries did not find the process itself").into());
    }
    // Without the limit it is found wherever it is.
    let report = why(oldest.said.parse::<SocketAddr>()?)?;
    let found = report.snapshot.sockets.iter().any(|socket| match &socket.owners {
        Ownership::Held(holdings) => holdings.iter().any(|holding| holding.pid == oldest.child.id()),
        _ => false,
    });
    drop(crowd);
    if found { Ok(()) } else { Err("the patient search did not find it".into()) }
}

/// The error of a bind to an address that is held.
fn in_time(held: &str) -> Result<String, Failed> {
    let began = Instant::now();
    let error = listen(held).err().ok_or("it is held")?;
    let (took, text) = (began.elapsed(), error.to_string());
    let complete = text.starts_with(&format!("cannot bind {held}: Address already in use. "));
    if took <= IN_TIME && complete { Ok(text) } else { Err(format!("{took:?} for: {text}").into()) }
}

/// A process of the crowd, or one that holds a port; it ends with this value.
struct Member {
    child: Child,
    /// Its first line.
    said: String,
}

impl Member {
    fn start(word: &str) -> Result<Member, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg(word).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut said)?;
        Ok(Member { child, said: said.trim_end().to_owned() })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.child.stdin = None;
        let _ = self.child.wait();
    }
}

//! `inuse free` as people and programs call it: what is asked, what is refused, the exit code, the JSON.
//!
//! What it does to every cause is tested on a stage, in the lab.

#[path = "../common/pty.rs"]
mod pty;
#[path = "../common/ran.rs"]
mod ran;
mod stage;
mod terminal;

use libtest_mimic::{Arguments, Trial};
use ran::Ran;
use serde_json::Value;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};

fn main() {
    inuse_lab::helper_main();
    let plain: [(&str, fn()); 7] = [
        ("the_plan_is_shown_and_nothing_is_done", the_plan_is_shown_and_nothing_is_done),
        ("a_dry_run_shows_the_plan_that_is_run", a_dry_run_shows_the_plan_that_is_run),
        ("who_called_us_is_never_signalled", who_called_us_is_never_signalled),
        ("what_is_free_already_needs_no_agreement", what_is_free_already_needs_no_agreement),
        ("of_several_addresses_the_worst_counts", of_several_addresses_the_worst_counts),
        ("wrong_words_do_nothing", wrong_words_do_nothing),
        ("only_a_yes_is_a_yes_and_it_is_asked_once", terminal::only_a_yes_is_a_yes_and_it_is_asked_once),
    ];
    let plain = plain.into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    let staged = stage::ALL.iter().map(|(name, test)| Trial::ignorable_test(*name, move || stage::on(*test)));
    libtest_mimic::run(&Arguments::from_args(), plain.chain(staged).collect()).exit();
}

fn inuse(arguments: &[&str]) -> Ran {
    Ran::of(Command::new(env!("CARGO_BIN_EXE_inuse")).args(arguments))
}

/// A program that holds a listener, as its standard input, and the address.
struct Holder {
    child: Child,
    address: String,
}

impl Holder {
    fn start() -> Holder {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let child = Command::new("sleep").arg("1000").stdin(OwnedFd::from(listener)).spawn().expect("sleep");
        Holder { child, address }
    }

    fn lives(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A document that fits the schema.
fn document(text: &str) -> Value {
    let path = format!("{}/../../docs/schema/inuse.free-1.json", env!("CARGO_MANIFEST_DIR"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(&path).expect(&path)).expect("JSON");
    let document: Value = serde_json::from_str(text).expect(text);
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors: Vec<String> =
        validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path)).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
    document
}

fn the_plan_is_shown_and_nothing_is_done() {
    let mut holder = Holder::start();
    let ran = inuse(&["free", &holder.address]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{}", ran.stderr);
    let step =
        format!("1. Send SIGTERM to sleep (pid {}), and wait until the socket is gone.", holder.child.id());
    assert!(ran.stderr.contains(&step), "{}", ran.stderr);
    assert!(ran.stderr.contains("'--yes' agrees to this plan"), "{}", ran.stderr);
    assert!(holder.lives());
}

fn a_dry_run_shows_the_plan_that_is_run() {
    let mut holder = Holder::start();
    let dry = inuse(&["free", "--dry-run", "--json", &holder.address]);
    assert_eq!((dry.code, dry.stderr.as_str()), (Some(0), ""));
    assert!(holder.lives());
    let wet = inuse(&["free", "--yes", "--json", &holder.address]);
    assert_eq!(wet.code, Some(0), "{}{}", wet.stdout, wet.stderr);
    assert!(!holder.lives());
    let (dry, wet) = (document(&dry.stdout), document(&wet.stdout));
    assert_eq!(dry["results"][0]["outcome"], "planned");
    assert_eq!(wet["results"][0]["outcome"], "free");
    assert_eq!(dry["results"][0]["plan"], wet["results"][0]["plan"]);
    let pid = &wet["results"][0]["plan"]["steps"][0]["processes"][0]["pid"];
    assert_eq!(pid.as_u64(), Some(holder.child.id().into()));
    // And the proof is true.
    TcpListener::bind(&holder.address).expect("it is free");
}

fn who_called_us_is_never_signalled() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let ran = inuse(&["free", "--yes", "--kill", "--destroy", "--json", &address]);
    assert_eq!(ran.code, Some(4), "{}", ran.stdout);
    let document = document(&ran.stdout);
    assert_eq!(document["results"][0]["outcome"], "refused");
    assert_eq!(document["results"][0]["plan"]["obstacles"][0]["kind"], "never");
}

fn what_is_free_already_needs_no_agreement() {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("bound");
    let ran = inuse(&["free", &address.to_string()]);
    let expect = format!("tcp/{address} is free already: nothing to do.\n");
    assert_eq!((ran.code, ran.stdout, ran.stderr), (Some(0), expect, String::new()));
}

fn of_several_addresses_the_worst_counts() {
    let holder = Holder::start();
    let ours = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = ours.local_addr().expect("bound").to_string();
    let ran = inuse(&["free", "--yes", "--json", &holder.address, &address]);
    let document = document(&ran.stdout);
    assert_eq!((ran.code, &document["exit"]), (Some(4), &Value::from(4)));
    assert_eq!(document["results"][0]["exit"], 0);
    assert_eq!(document["results"][1]["exit"], 4);
}

fn wrong_words_do_nothing() {
    let check = |arguments: &[&str], line: &str| {
        let ran = inuse(&[&["free"], arguments].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ran.stderr.starts_with(line), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    };
    check(&[], "inuse: the following required arguments were not provided");
    check(&["99999"], "inuse: '99999'");
    check(
        &["--dry-run", "1", "0-3"],
        "inuse: '0-3': port 0 is no port, the kernel chooses a free one at bind()",
    );
    check(&["8080", "--grace", "soon"], "inuse: invalid value 'soon' for '--grace <T>'");
    check(&["8080", "--netns", "no-such-netns"], "inuse: --netns: ");
}

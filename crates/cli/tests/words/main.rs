//! `inuse explain`, `inuse next`, and the pages and completions that are made from the definition.

mod piped;
#[path = "../common/ran.rs"]
mod ran;

use inuse_cli::generate::{artifacts, text};
use ran::Ran;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};

fn inuse(arguments: &[&str]) -> Ran {
    Ran::of(Command::new(env!("CARGO_BIN_EXE_inuse")).args(arguments).env_clear())
}

#[test]
fn explain_knows_causes_and_errors() {
    let check = |topic: &str, start: &str| {
        let ran = inuse(&["explain", topic]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{topic}");
        assert!(ran.stdout.starts_with(start), "{topic}: {}", ran.stdout);
    };
    check("time-wait", "time-wait: the remains of a connection that this side closed first\n\n");
    check("EADDRINUSE", "EADDRINUSE: Address already in use\n\n");
    check("98", "EADDRINUSE: ");
    check("48", "48: address already in use, on macOS and the BSDs\n\n");
    check("10048", "10048: address already in use, on Windows\n\n");
    check("EACCES", "EACCES: Permission denied\n\n");
    check("EADDRNOTAVAIL", "EADDRNOTAVAIL: Cannot assign requested address\n\n");
}

#[test]
fn explain_alone_lists_every_cause() {
    let ran = inuse(&["explain"]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.stdout.lines().count(), inuse_rules::Cause::ALL.len());
}

/// Who pipes a message into it means another verb, and is told which.
#[test]
fn explain_says_what_reads_a_message() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inuse"));
    command.arg("explain").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = Ran::from(command.spawn().and_then(|child| child.wait_with_output()).expect("the command"));
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.stdout.lines().count(), inuse_rules::Cause::ALL.len());
    let instead = "'YOUR-COMMAND 2>&1 | inuse -' reads a message and explains the address in it; \
                   'inuse explain EADDRINUSE' has the page\n";
    assert_eq!(ran.stderr, format!("inuse: standard input was not read: {instead}"));
    let ran = inuse(&["explain", "-"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert_eq!(ran.stderr, format!("inuse: '-': this verb reads no standard input: {instead}"));
}

#[test]
fn explain_refuses_what_it_does_not_know_in_one_line() {
    let ran = inuse(&["explain", "tea\u{1b}"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert_eq!(
        ran.stderr,
        "inuse: there is no page on 'tea\\u{1b}'; 'inuse explain' lists the causes, and 98, 48, 10048, EACCES and EADDRNOTAVAIL work too\n"
    );
}

#[test]
fn explain_names_the_page_that_was_meant() {
    let check = |topic: &str, line: &str| {
        let ran = inuse(&["explain", topic]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{topic}");
        assert_eq!(ran.stderr, format!("inuse: there is no page on '{topic}'; {line}\n"));
    };
    check("time-wai", "did you mean 'inuse explain time-wait'?");
    check("EADDRINUS", "did you mean 'inuse explain EADDRINUSE'?");
    check("container", "did you mean container-proxy-stale or container-proxy?");
}

/// As `ss` and the views write it.
#[test]
fn explain_takes_the_name_of_a_state() {
    let (plain, state) = (inuse(&["explain", "time-wait"]), inuse(&["explain", "TIME_WAIT"]));
    assert_eq!((state.code, state.stdout), (Some(0), plain.stdout));
}

#[test]
fn addresses_with_commas_between_are_words_of_their_own() {
    let expect =
        "inuse: '8080,8081': a comma joins no addresses; give each address as a word of its own: 8080 8081\n";
    for arguments in
        [&["8080,8081"][..], &["why", "8080,8081"], &["free", "8080,8081"], &["wait", "8080,8081"]]
    {
        let ran = inuse(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), expect), "{arguments:?}");
    }
}

#[test]
fn words_of_other_tools_are_answered_in_one_line() {
    let check = |arguments: &[&str], right: &str| {
        let ran = inuse(arguments);
        let word = arguments[0];
        let said =
            format!("inuse: '{word}': this is neither a verb nor an address; did you mean '{right}'?\n");
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(2), "", said.as_str()));
    };
    check(&["restart"], "inuse ctl restart");
    check(&["restart", "web"], "inuse ctl restart");
    check(&["status"], "inuse ctl status");
    check(&["kill", "8080"], "inuse free …");
    check(&["list"], "inuse ls");
}

#[test]
fn explain_and_next_speak_json() {
    let schema = |name: &str| -> serde_json::Value {
        let path = format!("{}/../../docs/schema/{name}", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let check = |name: &str, arguments: &[&str]| {
        let value: serde_json::Value = serde_json::from_str(&inuse(arguments).stdout).unwrap();
        assert!(jsonschema::draft202012::is_valid(&schema(name), &value), "{value}");
    };
    check("inuse.explain-1.json", &["explain", "listener", "--json"]);
    check("inuse.next-1.json", &["next", "127.0.0.1:20000", "--json"]);
}

/// Two neighbouring ports below the ephemeral range, the first held by this process.
fn held_port() -> (TcpListener, u16) {
    for port in (20_000..30_000).step_by(7) {
        let next_is_free = || TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok();
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            && next_is_free()
        {
            return (listener, port);
        }
    }
    panic!("no port between 20000 and 30000 is free");
}

#[test]
fn next_passes_over_what_is_held() {
    let (_listener, port) = held_port();
    let ran = inuse(&["next", &format!("127.0.0.1:{port}")]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout, format!("127.0.0.1:{}\n", port + 1));
    assert!(ran.stderr.contains("only a socket that is held is certain"), "{}", ran.stderr);
    let ran = inuse(&["next", &port.to_string(), "-v"]);
    let found: u16 = ran.stdout.trim().parse().unwrap();
    assert!(found > port, "{found}");
    let passed = format!("inuse: {port} is passed over: refused: EADDRINUSE from bind()\n");
    assert!(ran.stderr.contains(&passed), "{}", ran.stderr);
}

#[test]
fn next_leaves_the_ephemeral_range_alone() {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let range: Vec<u16> = range.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let ran = inuse(&["next", &range[0].to_string()]);
    match ran.code {
        Some(0) => assert!(ran.stdout.trim().parse::<u16>().unwrap() > range[1], "{}", ran.stdout),
        code => assert_eq!((code, range[1]), (Some(1), u16::MAX)),
    }
    let ran = inuse(&["next", &format!("{}-{}", range[0], range[0].saturating_add(5))]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
}

#[test]
fn next_refuses_what_has_no_next_one() {
    let ran = inuse(&["next", "@name"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert_eq!(ran.stderr, "inuse: '@name': this is no port; a unix name has no next one\n");
    assert_eq!(inuse(&["next"]).code, Some(2));
}

#[test]
fn an_address_that_is_given_twice_is_asked_once() {
    let count = |arguments: &[&str]| {
        let value: serde_json::Value = serde_json::from_str(&inuse(arguments).stdout).unwrap();
        value["results"].as_array().map(Vec::len)
    };
    assert_eq!(count(&["why", "--json", "127.0.0.1:1", "tcp/127.0.0.1:1", "127.0.0.1:1-2"]), Some(2));
}

#[test]
fn port_0_is_chosen_by_the_kernel() {
    for word in ["0", "127.0.0.1:0", "udp/0"] {
        let ran = inuse(&[word]);
        assert!(ran.stdout.contains("the kernel chooses a free one at bind()"), "{}", ran.stdout);
        assert!(!ran.stdout.contains("gone since"), "{}", ran.stdout);
    }
}

#[test]
fn help_is_a_verb_and_mistyped_verbs_are_recognised() {
    assert_eq!(inuse(&["help"]).stdout, inuse(&["--help"]).stdout);
    assert_eq!(inuse(&["help", "why"]).stdout, inuse(&["why", "--help"]).stdout);
    assert!(inuse(&["next", "--help"]).stdout.contains("1  none is left"));
    let ran = inuse(&["whi", "8080"]);
    let expect = "inuse: 'whi': this is neither a verb nor an address; did you mean 'inuse why …'?\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), expect));
}

#[test]
fn a_full_device_is_said_and_is_exit_code_1() {
    for arguments in [&["why", "1"][..], &["explain"], &["explain", "98", "--json"], &["--help"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_inuse"));
        let ran = command.args(arguments).stdin(Stdio::null()).stdout(full).output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        let expect = "inuse: stdout cannot be written: No space left on device (os error 28)\n";
        assert!(said.ends_with(expect), "{arguments:?}: {said}");
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}");
    }
}

/// The committed files are what the binary writes; `--generate` renews them.
#[test]
fn man_pages_and_completions_are_up_to_date() {
    for artifact in artifacts() {
        let (name, file) = (&artifact.name, &artifact.file);
        let path = format!("{}/../../docs/{file}", env!("CARGO_MANIFEST_DIR"));
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let made = text(&artifact).unwrap();
        assert!(
            committed == made,
            "docs/{file} is out of date: cargo run -- --generate {name} > docs/{file}"
        );
        assert_eq!(inuse(&["--generate", name]).stdout, made, "{name}");
    }
    let ran = inuse(&["--generate", "tea"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert!(ran.stderr.starts_with("inuse: --generate makes one of: man, man-why, "), "{}", ran.stderr);
}

//! Privileged ports and user namespaces: the command answers what the kernel answers to a real bind, in the
//! user namespace that owns the network namespace and in others.

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;
use std::net::TcpListener;
use std::process::{Command, ExitCode, Output, Stdio};

/// Set for a copy of this program that only tries a bind to the address given.
const BIND_INSTEAD: &str = "INUSE_TEST_BIND";

fn main() -> ExitCode {
    if let Ok(address) = std::env::var(BIND_INSTEAD) {
        return match TcpListener::bind(address.as_str()) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => ExitCode::from(u8::try_from(error.raw_os_error().unwrap_or(255)).unwrap_or(255)),
        };
    }
    let cases: [(&str, &str, &[&str], &str); 5] = [
        ("as_we_are", "", &[], "127.0.0.1:81"),
        ("root_of_a_user_namespace_in_the_old_network", "unshare -Ur", &[], "127.0.0.1:81"),
        ("named_root_in_the_old_network", "unshare -Ur", &["--as-uid", "0"], "127.0.0.1:81"),
        ("root_of_a_user_namespace_in_its_own_network", "unshare -Urn", &[], "0.0.0.0:81"),
        ("root_of_a_nested_one_in_the_outer_ones_network", "unshare -Urn unshare -Ur", &[], "0.0.0.0:81"),
    ];
    let trials = cases.map(|(name, within, words, address)| {
        Trial::ignorable_test(name, move || agree(within, words, address))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// Asks the kernel and the command from inside the same kind of namespace.
fn agree(within: &str, words: &[&str], address: &str) -> Result<Completion, Failed> {
    if let Err(reason) = run(within, "true", |command| command) {
        let required = std::env::var_os("INUSE_REQUIRE_ALL").is_some_and(|value| value == "1");
        return if required { Err(reason.into()) } else { Ok(Completion::ignored_with(reason)) };
    }
    let itself = std::env::current_exe()?;
    let bind = run(within, &itself.to_string_lossy(), |command| command.env(BIND_INSTEAD, address));
    let kernel = match bind {
        Ok(_) => "ok".to_owned(),
        Err(status) => status,
    };
    let asked = within_command(within, env!("CARGO_BIN_EXE_inuse"))
        .args(["why", "--json", address])
        .args(words)
        .env_remove("SUDO_UID")
        .output()?;
    let answer: Value = serde_json::from_slice(&asked.stdout)?;
    let plain = &answer["results"][0]["verdicts"]["plain"];
    let command = match (plain["outcome"].as_str(), plain["errno"].as_str()) {
        (Some("ok"), _) => "ok",
        (_, Some("EACCES")) => "exit status: 13",
        (_, Some("EADDRINUSE")) => "exit status: 98",
        _ => return Err(format!("no verdict in {answer}").into()),
    };
    if kernel.starts_with(command) {
        Ok(Completion::Completed)
    } else {
        Err(format!("the kernel says {kernel}, the command {command}: {plain}").into())
    }
}

fn within_command(within: &str, program: &str) -> Command {
    let mut words = within.split_whitespace().chain([program]);
    let mut command = Command::new(words.next().unwrap_or(program));
    command.args(words).stdin(Stdio::null());
    command
}

/// What it answers, or how it failed.
fn run(within: &str, program: &str, with: impl Fn(&mut Command) -> &mut Command) -> Result<Output, String> {
    let output = with(&mut within_command(within, program)).output();
    let output = output.map_err(|error| format!("{within} {program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(output) } else { Err(format!("{} {}", output.status, said.trim())) }
}

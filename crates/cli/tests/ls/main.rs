//! `inuse ls`: its views of made-up facts, its words and exit status, and, on a stage with real servers, that
//! it shows whatever ss(8) and lsof(8) show.

mod bench;
mod live;
#[path = "../common/pty.rs"]
mod pty;
#[path = "../common/ran.rs"]
mod ran;
mod views;
mod width;
mod words;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use ran::Ran;
use std::process::Command;

fn main() {
    inuse_lab::bench::helper_main();
    inuse_lab::helper_main();
    let plain = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let tests = vec![
        plain("views::one_line_a_service", views::one_line_a_service),
        plain("views::connections_have_their_columns", views::connections_have_their_columns),
        plain("views::every_socket_has_its_own_row", views::every_socket_has_its_own_row),
        plain("views::names_give_way_and_addresses_do_not", views::names_give_way_and_addresses_do_not),
        plain("views::what_does_not_fit_stands_below", views::what_does_not_fit_stands_below),
        plain("views::wide_characters_take_two_columns", views::wide_characters_take_two_columns),
        plain("views::what_others_chose_is_escaped", views::what_others_chose_is_escaped),
        plain("views::every_owner_has_a_word", views::every_owner_has_a_word),
        plain("views::documents_fit_the_schema", views::documents_fit_the_schema),
        plain("views::what_could_not_be_seen_is_said", views::what_could_not_be_seen_is_said),
        plain("words::wrong_words", words::wrong_words),
        plain("words::this_process_is_listed", words::this_process_is_listed),
        plain("words::addresses_as_every_verb_takes_them", words::addresses_as_every_verb_takes_them),
        plain("words::a_unix_socket_by_its_path", words::a_unix_socket_by_its_path),
        plain("words::nothing_that_fits", words::nothing_that_fits),
        plain("width::columns_limits_what_is_piped", width::columns_limits_what_is_piped),
        plain("width::a_terminal_knows_better", width::a_terminal_knows_better),
        Trial::ignorable_test("words::the_note_keeps_the_words", words::the_note_keeps_the_words),
        Trial::ignorable_test("bench::the_report_is_written", bench::the_report_is_written),
        Trial::ignorable_test("bench::a_wrong_answer_is_seen", bench::a_wrong_answer_is_seen),
        Trial::ignorable_test("live::every_listener_of_ss_and_lsof_is_listed", live::parity),
        Trial::ignorable_test("live::other_namespaces", live::other_namespaces),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit();
}

/// Runs the command to its end, with nothing of the tester's environment.
fn inuse(arguments: &[&str]) -> Ran {
    Ran::of(Command::new(env!("CARGO_BIN_EXE_inuse")).args(arguments).env_clear())
}

/// Reads a document, and holds it against the schema.
#[track_caller]
fn fits(text: &str) -> serde_json::Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema/inuse.ls-1.json");
    let schema = serde_json::from_str(&std::fs::read_to_string(path).expect(path)).expect("a schema is JSON");
    let value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let faults: Vec<String> =
        validator.iter_errors(&value).map(|fault| format!("{}: {fault}", fault.instance_path)).collect();
    assert!(faults.is_empty(), "{faults:#?}\n{text}");
    value
}

/// Ignored with a reason, or failed where everything is required.
fn cannot(reason: impl std::fmt::Display) -> Result<Completion, Failed> {
    match inuse_lab::all_required() {
        true => Err(format!("could not run: {reason}").into()),
        false => Ok(Completion::ignored_with(reason)),
    }
}

//! The JSON contract: every document fits the committed schema, and the schema knows every word.

use crate::fixtures;
use inuse_cli::render::json::document;
use inuse_rules::cure::Action;
use inuse_rules::{Cause, Errno, State};
use serde_json::Value;

pub(crate) fn schema(name: &str) -> Value {
    let path = format!("{}/../../docs/schema/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).expect(&path)).expect("a schema is JSON")
}

#[track_caller]
pub(crate) fn fits(schema_name: &str, text: &str) -> Value {
    let value: Value = serde_json::from_str(text).expect("JSON");
    let validator = jsonschema::draft202012::new(&schema(schema_name)).expect("a schema");
    let faults: Vec<String> =
        validator.iter_errors(&value).map(|fault| format!("{}: {fault}", fault.instance_path)).collect();
    assert!(faults.is_empty(), "{faults:#?}\n{text}");
    value
}

#[test]
fn every_document_fits_the_schema() {
    for (name, answers) in fixtures::all() {
        let text = document(&answers, None);
        assert_eq!(text.lines().count(), 1, "{name}");
        fits("inuse.why-1.json", &text);
    }
}

#[test]
fn the_schema_knows_every_word() {
    let schema = schema("inuse.why-1.json");
    let words = |pointer: &str| -> Vec<String> {
        let list = schema.pointer(pointer).and_then(Value::as_array).expect(pointer);
        list.iter().filter_map(Value::as_str).map(String::from).collect()
    };
    let causes: Vec<&str> = Cause::ALL.iter().map(|cause| cause.code()).collect();
    assert_eq!(words("/$defs/result/properties/cause/enum"), causes);
    let states: Vec<&str> = State::ALL.iter().map(|state| state.name()).collect();
    assert_eq!(words("/$defs/holder/properties/state/enum"), states);
    let errors = words("/$defs/verdict/properties/errno/enum");
    for errno in Errno::ALL {
        assert!(errors.contains(&errno.name().to_owned()), "{errno}");
    }
    let actions = words("/$defs/cure/properties/action/enum");
    for action in [Action::StopUnit, Action::Destroy, Action::LookAgain, Action::SetOption, Action::Unlink] {
        assert!(actions.contains(&action.code().to_owned()), "{}", action.code());
    }
}

#[test]
fn the_contract_as_it_was_published() {
    let value = fits("inuse.why-1.json", &document(&fixtures::fin_wait_2(), None));
    assert_eq!(value["schema"], "inuse.why/1");
    let result = &value["results"][0];
    assert_eq!(result["address"], "tcp/127.0.0.1:8080");
    assert_eq!(result["cause"], "fin-wait-2");
    assert_eq!(result["verdicts"]["plain"]["outcome"], "refused");
    assert_eq!(result["verdicts"]["plain"]["errno"], "EADDRINUSE");
    assert_eq!(result["verdicts"]["plain"]["at"], "bind");
    assert_eq!(result["verdicts"]["plain"]["by"], serde_json::json!([0]));
    let holder = &result["holders"][0];
    assert_eq!(holder["state"], "FIN_WAIT_2");
    assert_eq!(holder["local"], "127.0.0.1:8080");
    assert_eq!(holder["remote"], "127.0.0.1:40112");
    assert_eq!(holder["timer_ms"], 51_000);
    assert_eq!(holder["uid"], Value::Null);
    assert_eq!(holder["no_owner"], "orphan");
    assert_eq!(holder["peer"]["state"], "CLOSE_WAIT");
    assert_eq!(holder["peer"]["recv_q"], 290_960);
    assert_eq!(holder["peer"]["owners"][0]["started"], "2026-11-20T08:48:00Z");

    let unknown = fits("inuse.why-1.json", &document(&fixtures::time_wait_unseen(), None));
    let verdict = &unknown["results"][0]["verdicts"]["reuseaddr"];
    assert_eq!(verdict["outcome"], "unknown");
    assert_eq!(verdict["errno"], Value::Null);
    assert_eq!(verdict["possible"], serde_json::json!(["ok", "EADDRINUSE"]));
    assert_eq!(verdict["missing"], serde_json::json!(["holder 0: SO_REUSEADDR"]));
}

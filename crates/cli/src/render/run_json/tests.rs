//! The schema is held against every step that there is, and against nothing else.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// Steps with all that they may know.
fn samples() -> Vec<Step> {
    let exit = Exit::Signal(9);
    let text = || String::from("a text");
    let time = Duration::from_millis(1234);
    let address = || String::from("tcp/127.0.0.1:80");
    let refused = || Refused {
        addresses: vec![address()],
        errno: Some("EADDRINUSE".into()),
        cause: Some("listener".into()),
        holders: [70].into(),
        commands: vec!["inuse free tcp/127.0.0.1:80".into()],
        text: text(),
    };
    let generation = 2;
    let who = [
        Who::Ctl,
        Who::Signal { signal: 1, sender: Some(70) },
        Who::Signal { signal: 64, sender: None },
        Who::Terminal { signal: 2 },
        Who::Change { path: text() },
    ];
    let how = [
        How::Notify,
        How::Descriptor { number: 3 },
        How::Alive { time, blind: true },
        How::Listens { addresses: vec![address()], partly: true },
        How::Waits,
    ];
    let reasons = [
        Reason::Ended { generation, exit },
        Reason::Ended { generation, exit: Exit::Code(1) },
        Reason::EndedInWindow { generation, exit, lived: time },
        Reason::NotReady { generation, waited: time },
        Reason::NotRun { error: text() },
        Reason::NoProcess { generation, error: text() },
        Reason::Stopping,
    ];
    let before = [
        Reason::Before { exit: Exit::Code(1) },
        Reason::Before { exit },
        Reason::BeforeNotRun { error: text() },
    ];
    let warnings = [
        Warning::EphemeralPort { port: 40_000 },
        Warning::ManySockets { count: 300 },
        Warning::NoCtl { error: text() },
        Warning::NotKept { why: text(), given: true },
        Warning::NotSeen { address: address() },
        Warning::NotWaiting { generation, addresses: vec![address()] },
        Warning::Shared { generation, address: address(), what: text() },
        Warning::QueueReset { generation, address: address(), why: text() },
        Warning::Unclaimed { generation, address: address(), waiting: Some(1), dropped: true, why: text() },
        Warning::Unclaimed { generation, address: address(), waiting: None, dropped: false, why: text() },
        Warning::StandInLost { replaced: true },
        Warning::Lost { count: 9 },
        Warning::ShutDown { address: address(), again: true },
        Warning::Nonblocking { address: address(), set: true },
    ];
    // What may be left out, is once.
    let mut all = vec![
        Step::Holds { name: "web".into(), address: address(), protocol: Some("tcp") },
        Step::Holds { name: "unknown".into(), address: address(), protocol: None },
        Step::NotBound(refused()),
        Step::NotBound(Refused { addresses: vec![address()], text: text(), ..Refused::default() }),
        Step::NotSetUp { error: text() },
        Step::Reachable { name: text(), wanted: Some(text()) },
        Step::Started { generation, pid: 70 },
        Step::Listens { generation, address: address(), protocol: "tcp", adopted: true },
        Step::QueueRaised { address: address(), from: 5, to: 4096 },
        Step::Taken { generation, refused: refused() },
        Step::Forked { generation },
        Step::LeftBehind { generation, exit },
        Step::LeftBehind { generation, exit: Exit::Code(0) },
        Step::Draining { generation, signal: 15 },
        Step::DrainOver { generation },
        Step::TooManyDraining { generation },
        Step::Ended { generation, exit },
        Step::Ended { generation, exit: Exit::Code(255) },
        Step::Restarted { generation, took: time },
        Step::NotStarted { status: 127, reason: Reason::NotRun { error: text() } },
        Step::NotStarted { status: 126, reason: Reason::NoProcess { generation, error: text() } },
        Step::RolledBack { generation },
        Step::BeforeRuns,
        Step::ComesBack { after: time },
        Step::GaveUp { failures: 5 },
        Step::WaitsForChange,
    ];
    for who in who {
        all.push(Step::Restart { who: who.clone() });
        all.push(Step::Joined { who: who.clone() });
        all.push(Step::Stopping { who: who.clone(), signal: None });
        all.push(Step::Stopping { who, signal: Some(15) });
    }
    all.extend(how.map(|how| Step::Ready { generation, how, after: time }));
    for reason in reasons {
        all.push(Step::RestartFailed { reason: reason.clone() });
        all.push(Step::FailedStart { generation, reason });
    }
    all.extend(before.map(|reason| Step::BeforeFailed { reason }));
    all.extend(warnings.map(Step::Warning));
    all
}

fn schema() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema/inuse.run-1.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect(path)).expect("a schema is JSON")
}

fn told(step: &Step) -> Value {
    serde_json::from_str(&line(step, "2026-01-02T03:04:05Z".into())).expect("a line is JSON")
}

/// For each event the words and the fields that the schema knows.
fn known(schema: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let word = |branch: &Value| branch["properties"]["event"]["const"].as_str().expect("a word").to_owned();
    let fields = |branch: &Value| -> BTreeSet<String> {
        let own = branch["properties"].as_object().expect("fields").keys().cloned();
        own.filter(|field| field != "event").collect()
    };
    let branches = schema["oneOf"].as_array().expect("a branch for each event");
    branches.iter().map(|branch| (word(branch), fields(branch))).collect()
}

#[test]
fn every_step_fits_the_schema_and_the_schema_knows_no_other() {
    let schema = schema();
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let mut written: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for step in samples() {
        let told = told(&step);
        if let Err(error) = validator.validate(&told) {
            panic!("{error}: {told}");
        }
        let fields = written.entry(step.event().into()).or_default();
        let common = ["schema", "time", "event", "message"];
        fields.extend(told.as_object().expect("an object").keys().cloned());
        common.iter().for_each(|field| _ = fields.remove(*field));
    }
    let all: BTreeSet<&str> = Step::EVENTS.iter().copied().collect();
    assert_eq!(written.keys().map(String::as_str).collect::<BTreeSet<_>>(), all, "a sample of each step");
    assert_eq!(known(&schema), written, "the schema, and what is written");
}

#[test]
fn the_schema_knows_the_words_that_steps_use() {
    let schema = schema();
    let check = |name: &str, words: &[&str]| {
        let list = schema["$defs"][name]["enum"].as_array().expect(name);
        let list: BTreeSet<&str> = list.iter().filter_map(Value::as_str).collect();
        assert_eq!(list, words.iter().copied().collect(), "{name}");
        let used: BTreeSet<String> =
            samples().iter().filter_map(|step| Some(told(step)[name].as_str()?.to_owned())).collect();
        assert_eq!(used.iter().map(String::as_str).collect::<BTreeSet<_>>(), list, "samples of {name}");
    };
    check("by", Who::WORDS);
    check("how", How::WORDS);
    check("reason", Reason::WORDS);
    check("about", Warning::ABOUT);
}

#[test]
fn what_the_schema_does_not_know_is_refused() {
    let validator = jsonschema::draft202012::new(&schema()).expect("a schema");
    let with = |field: &str, value: Value| {
        let mut told = told(&Step::Started { generation: 2, pid: 70 });
        told.as_object_mut().expect("an object").insert(field.into(), value);
        validator.is_valid(&told)
    };
    assert!(with("pid", 71.into()));
    for (field, value) in
        [("event", "explodes".into()), ("exit_status", 1.into()), ("pid", "70".into()), ("pid", 0.into())]
    {
        assert!(!with(field, value), "{field}");
    }
}

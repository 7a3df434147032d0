//! What is to be seen in each lesson: written by hand after the documents that teach it.

use super::Ended;
use libtest_mimic::Failed;
use serde_json::Value;

/// Holds a lesson against what it must show.
pub(crate) fn check(name: &str, ended: &Ended) -> Result<(), Failed> {
    let states = |whose: &str| states(ended, whose);
    let causes = causes(ended);
    match name {
        "time-wait" => {
            in_order(&states("server"), &["BOUND", "LISTEN", "ESTABLISHED", "FIN_WAIT_2", "TIME_WAIT"])?;
            in_order(&states("client"), &["ESTABLISHED", "CLOSE_WAIT"])?;
            if states("client").iter().any(|state| state == "TIME_WAIT") {
                return Err("the client closed second and has a TIME_WAIT".into());
            }
            in_order(&segments(ended), &["SYN", "SYN+ACK", "ACK", "FIN+ACK", "ACK", "FIN+ACK", "ACK"])?;
            same(&causes, &["time-wait"])
        }
        "fin-wait-2" => {
            in_order(&states("client"), &["ESTABLISHED", "CLOSE_WAIT"])?;
            in_order(&states("server"), &["LISTEN", "ESTABLISHED", "FIN_WAIT_2"])?;
            // The FIN counts as well.
            in_order(&queues(ended, "client"), &["0", "100", "200", "300", "301"])?;
            same(&causes, &["fin-wait-2"])
        }
        "without-and-with-reuseaddr" => {
            let rounds: Vec<Vec<&Value>> = rounds(ended);
            let refused = |acts: &Vec<&Value>| acts.iter().any(|act| act["errno"] == "EADDRINUSE");
            let (without, with): (Vec<_>, Vec<_>) = rounds.iter().partition(|acts| refused(acts));
            assert_eq!((without.len(), with.len()), (10, 10));
            let left = sockets(ended.acts().last()).filter(|socket| socket["state"] == "TIME_WAIT").count();
            assert_eq!(left, 11, "the option removes nothing");
            same(&causes, &["time-wait"])
        }
        "old-server-without-option" => {
            assert_eq!(ended.binds().iter().filter(|bind| bind.is_some()).count(), 1);
            same(&causes, &["time-wait"])
        }
        "option-after-bind" | "option-value-zero" => {
            let left = sockets(ended.acts().last()).any(|socket| socket["state"] == "TIME_WAIT");
            assert!(left, "the remains are still there, beside the new listener");
            same(&causes, &["time-wait"])
        }
        "different-local-addresses" => {
            let listeners = sockets(ended.acts().last()).filter(|socket| socket["state"] == "LISTEN");
            let mut at: Vec<&str> = listeners.filter_map(|socket| socket["local"].as_str()).collect();
            at.sort_unstable();
            assert_eq!(at, ["tcp/127.0.0.1:8080", "tcp/127.0.0.2:8080", "tcp/127.0.0.3:8080"]);
            same(&causes, &["wildcard-vs-specific"])
        }
        "same-address-twice" => same(&causes, &["listener"]),
        "reuseport-pair" => {
            let last = ended.acts().filter(|act| act["who"] == "clients").last();
            let queues: Vec<u64> = sockets(last)
                .filter(|socket| socket["state"] == "LISTEN")
                .filter_map(|socket| socket["recv_q"].as_u64())
                .collect();
            assert_eq!((queues.len(), queues.iter().sum::<u64>()), (2, 10), "{queues:?}");
            same(&causes, &["listener"])
        }
        "ctrl-c-and-the-child" => {
            let after = ended.acts().skip_while(|act| act["who"] != "terminal");
            let holders: Vec<&Value> =
                sockets(after.into_iter().next()).map(|socket| &socket["open_in"]).collect();
            assert_eq!(holders, [&serde_json::json!(["child"])]);
            same(&causes, &["listener-inherited"])
        }
        "signal-handler" => {
            in_order(&states("server"), &["LISTEN", "ESTABLISHED", "FIN_WAIT_2", "TIME_WAIT"])?;
            in_order(&states("careful"), &["LISTEN", "ESTABLISHED", "FIN_WAIT_2", "TIME_WAIT"])?;
            same(&causes, &["time-wait"])
        }
        "wait-it-out" => {
            let seconds: Vec<u64> = ended
                .events
                .iter()
                .filter(|event| event["waited"]["over"] == true)
                .filter_map(|event| event["waited"]["elapsed_ms"].as_u64().map(|ms| ms / 1000))
                .collect();
            assert!(matches!(seconds[..], [3..12, 58..75]), "{seconds:?}");
            same(&causes, &["time-wait", "fin-wait-2"])
        }
        other => Err(format!("nobody has written down what {other} must show").into()),
    }
}

/// The states that the sockets of an actor went through.
fn states(ended: &Ended, whose: &str) -> Vec<String> {
    of_actor(ended, whose).filter(|s| s["state"] != s["before"]).filter_map(|s| text(&s["state"])).collect()
}

/// Recv-Q of its sockets, look after look.
fn queues(ended: &Ended, whose: &str) -> Vec<String> {
    of_actor(ended, whose).map(|socket| socket["recv_q"].to_string()).collect()
}

fn of_actor<'a>(ended: &'a Ended, whose: &'a str) -> impl Iterator<Item = &'a Value> {
    ended.acts().flat_map(|act| sockets(Some(act))).filter(move |socket| socket["whose"] == whose)
}

fn segments(ended: &Ended) -> Vec<String> {
    let segments = ended.acts().filter_map(|act| act["segments"].as_array()).flatten();
    segments.filter_map(|segment| text(&segment["flags"])).collect()
}

fn causes(ended: &Ended) -> Vec<String> {
    ended.events.iter().filter_map(|event| text(&event["why"]["cause"])).collect()
}

fn rounds(ended: &Ended) -> Vec<Vec<&Value>> {
    let rounds = ended.events.iter().filter(|event| event["kind"] == "round");
    rounds.filter_map(|event| Some(event["acts"].as_array()?.iter().collect())).collect()
}

fn sockets(act: Option<&Value>) -> impl Iterator<Item = &Value> {
    act.and_then(|act| act["sockets"].as_array()).into_iter().flatten()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Each of these comes, one after the other; others may stand between them.
fn in_order(seen: &[String], expect: &[&str]) -> Result<(), Failed> {
    let mut rest = seen.iter();
    match expect.iter().find(|wanted| !rest.any(|state| state == *wanted)) {
        None => Ok(()),
        Some(missing) => Err(format!("{missing} of {expect:?} does not come in its place: {seen:?}").into()),
    }
}

fn same(seen: &[String], expect: &[&str]) -> Result<(), Failed> {
    if seen == expect { Ok(()) } else { Err(format!("the causes were {seen:?}, expected {expect:?}").into()) }
}

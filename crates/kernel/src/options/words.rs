//! What is asked about an option in words: `SO_REUSEADDR` to read it, `SO_REUSEADDR=1` to set it. Pure.

use super::spec::{Settable, Spec};
use super::table;
use super::value::{self, Value};
use std::fmt;

/// The longest word that is looked at.
const LONGEST: usize = 256;

/// One option to read or to set.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The option.
    pub spec: &'static Spec,
    /// The value to set; `None` to read.
    pub value: Option<Value>,
}

/// What is wrong with a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// There is no option of that name.
    Unknown(String),
    /// It is never set, for this reason.
    NeverSet(&'static str, &'static str),
    /// That is no value of it: what was written, and what would be right.
    Value {
        /// The option.
        option: &'static str,
        /// What was written.
        written: String,
        /// What would be right.
        right: String,
    },
}

/// Reads a word.
///
/// # Errors
/// What is wrong with it.
pub fn parse(word: &str) -> Result<Asked, Wrong> {
    let (name, written) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let known = if word.len() <= LONGEST { table::named(name) } else { None };
    let spec = known.ok_or_else(|| Wrong::Unknown(name.chars().take(64).collect()))?;
    let Some(written) = written else { return Ok(Asked { spec, value: None }) };
    if let Settable::Never(why) = spec.settable {
        return Err(Wrong::NeverSet(spec.name, why));
    }
    match value::parse(spec.form, written) {
        Ok(value) => Ok(Asked { spec, value: Some(value) }),
        Err(right) => Err(Wrong::Value { option: spec.name, written: written.to_owned(), right }),
    }
}

impl fmt::Display for Wrong {
    /// One line without a full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape = |text: &str| inuse_rules::address::escape(text.as_bytes());
        match self {
            Wrong::Unknown(name) => write!(f, "there is no option '{}'", escape(name)),
            Wrong::NeverSet(option, why) => write!(f, "{option} is not set here: {why}"),
            Wrong::Value { option, written, right } => {
                write!(f, "'{}' is no value of {option}: {right}", escape(written))
            }
        }
    }
}

impl std::error::Error for Wrong {}

#[cfg(test)]
mod tests {
    use super::super::form::Form;
    use super::super::value::{decode, encode, show};
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[track_caller]
    fn check(word: &str, expect: Result<Value, &str>) {
        match (parse(word), expect) {
            (Ok(asked), Ok(value)) => assert_eq!(asked.value, Some(value), "{word}"),
            (Err(wrong), Err(part)) => assert!(wrong.to_string().contains(part), "{word}: {wrong}"),
            (got, expect) => panic!("{word}: {got:?}, not {expect:?}"),
        }
    }

    #[test]
    fn values_are_read_by_type() {
        for (word, on) in [("on", 1), ("1", 1), ("yes", 1), ("True", 1), ("off", 0), ("0", 0), ("NO", 0)] {
            check(&format!("SO_REUSEADDR={word}"), Ok(Value::Int(on)));
        }
        check("so_rcvbuf=256KiB", Ok(Value::Int(262_144)));
        check("SO_RCVBUF=262144", Ok(Value::Int(262_144)));
        check("SO_RCVTIMEO=1500ms", Ok(Value::Time(Duration::from_millis(1500))));
        check("SO_RCVTIMEO=5", Ok(Value::Time(Duration::from_secs(5))));
        check("SO_SNDTIMEO=off", Ok(Value::Time(Duration::ZERO)));
        check("SO_LINGER=off", Ok(Value::Linger(None)));
        check("SO_LINGER=5s", Ok(Value::Linger(Some(5))));
        check("SO_LINGER=0s", Ok(Value::Linger(Some(0))));
        check("SO_BINDTODEVICE=eth0", Ok(Value::Text(b"eth0".to_vec())));
        check("SO_BINDTODEVICE=off", Ok(Value::Text(Vec::new())));
        check("SO_MARK=0x2a", Ok(Value::Int(42)));
        check("SO_MARK=4294967295", Ok(Value::Int(-1)));
        check("SO_MAX_PACING_RATE=unlimited", Ok(Value::Unsigned(u64::MAX)));
        check("SO_MAX_PACING_RATE=10MiB/s", Ok(Value::Unsigned(10 << 20)));
        check("SO_BUF_LOCK=send,receive", Ok(Value::Int(3)));
        check("SO_BUF_LOCK=off", Ok(Value::Int(0)));
        check("TCP_KEEPIDLE=2m", Ok(Value::Int(120)));
        check("TCP_USER_TIMEOUT=1.5s", Ok(Value::Int(1500)));
        check("TCP_USER_TIMEOUT=off", Ok(Value::Int(0)));
        check("TCP_CONGESTION=reno", Ok(Value::Text(b"reno".to_vec())));
        check("IP_MTU_DISCOVER=probe", Ok(Value::Int(3)));
        check("IP_LOCAL_PORT_RANGE=40000-50000", Ok(Value::Ports(Some((40_000, 50_000)))));
        check("SO_PEEK_OFF=-1", Ok(Value::Int(-1)));
    }

    #[test]
    fn a_wrong_value_says_what_would_be_right() {
        for (word, right) in [
            ("SO_REUSEADDR=2", "write on or off"),
            ("SO_REUSEADDR=", "write on or off"),
            ("SO_REUSEADDR=perhaps", "write on or off"),
            ("SO_RCVBUF=-1", "write a size"),
            ("SO_RCVBUF=3GiB", "more than an int holds"),
            ("SO_RCVBUF=64K", "KiB"),
            ("SO_RCVTIMEO=soon", "write a duration"),
            ("SO_RCVTIMEO=-1s", "write a duration"),
            ("SO_RCVTIMEO=9000h", "more than a year"),
            ("SO_LINGER=0", "write off, or 0s"),
            ("SO_LINGER=1500ms", "whole seconds"),
            ("SO_LINGER=on", "write a duration"),
            ("SO_LINGER=48h", "more than a day"),
            ("SO_BINDTODEVICE=averyverylongname", "at most 15 bytes"),
            ("SO_BINDTODEVICE=a/b", "no slashes"),
            ("SO_BINDTODEVICE=a\\b", "no slashes"),
            ("SO_BINDTODEVICE=a\u{202e}b", "does not show"),
            ("SO_MARK=-1", "32 bits"),
            ("SO_MARK=5000000000", "32 bits"),
            ("SO_BUF_LOCK=both", "send, receive"),
            ("TCP_KEEPIDLE=0", "from 1 to 32767 s"),
            ("TCP_KEEPIDLE=1500ms", "whole seconds"),
            ("TCP_KEEPCNT=5s", "without a unit"),
            ("TCP_KEEPCNT=128", "from 1 to 127"),
            ("IP_TTL=256", "from 1 to 255"),
            ("IP_MTU_DISCOVER=maybe", "dont, want, do"),
            ("IP_LOCAL_PORT_RANGE=5-4", "lower port comes first"),
            ("IP_LOCAL_PORT_RANGE=70000-80000", "write two ports"),
            ("SO_TYPE=stream", "nobody can set it"),
            ("SO_ATTACH_BPF=1", "program"),
            ("TCP_REPAIR=on", "checkpoint"),
            ("SO_REUSEADR=1", "there is no option 'SO_REUSEADR'"),
            ("SO_\u{1b}[2J=1", "there is no option 'SO_\\u{1b}[2J'"),
            ("=1", "there is no option ''"),
        ] {
            check(word, Err(right));
        }
        check(&format!("SO_MARK={}", "9".repeat(10_000)), Err("there is no option"));
    }

    /// A value of any type.
    fn values() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i32>().prop_map(Value::Int),
            any::<u64>().prop_map(Value::Unsigned),
            (0u64..31_000_000_000_000).prop_map(|us| Value::Time(Duration::from_micros(us))),
            proptest::option::of(0u32..86_401).prop_map(Value::Linger),
            "[a-z0-9.:@é\\\\-]{1,7}".prop_map(|text| Value::Text(text.into_bytes())),
            proptest::option::of((1u16.., 0u16..100))
                .prop_map(|range| { Value::Ports(range.map(|(low, more)| (low, low.saturating_add(more)))) }),
        ]
    }

    proptest! {
        #[test]
        fn no_word_makes_it_panic(word: String) {
            let _ = parse(&word);
        }

        #[test]
        fn no_value_makes_it_panic(option in 0usize..200, written in "[a-zA-Z0-9.,= µ-]{0,40}") {
            if let Some(spec) = table::all().nth(option) {
                let _ = parse(&format!("{}={written}", spec.name));
            }
        }

        #[test]
        fn what_is_shown_reads_back(option in 0usize..200, value in values()) {
            let Some(spec) = table::all().nth(option) else { return Ok(()) };
            // A value that the type does not have is refused by one of the two, and never read as another.
            if spec.is_settable()
                && encode(spec.form, &value).is_some()
                && let Ok(read) = value::parse(spec.form, &show(spec.form, &value))
            {
                let none = matches!(&value, Value::Text(text) if [&b"off"[..], b"no", b"none"].contains(&&text[..]));
                prop_assert!(read == value || none, "{}: {} became {}", spec.name, show(spec.form, &value), show(spec.form, &read));
            }
        }

        #[test]
        fn bytes_come_back(option in 0usize..200, value in values()) {
            let Some(spec) = table::all().nth(option) else { return Ok(()) };
            if let Some(bytes) = encode(spec.form, &value)
                && !matches!(spec.form, Form::Filter)
            {
                prop_assert_eq!(decode(spec.form, &bytes), Some(value), "{}", spec.name);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(option in 0usize..200, bytes: Vec<u8>) {
            if let Some(spec) = table::all().nth(option)
                && let Some(value) = decode(spec.form, &bytes)
            {
                let _ = show(spec.form, &value);
            }
        }
    }
}

//! Values of socket options: as words, and as the bytes of getsockopt(2) and setsockopt(2). Pure.
//!
//! What [`show`] writes [`parse`] reads back. Bytes come from the kernel and words from whoever types: neither makes
//! anything here panic.

use super::form::{Form, Unit};
use super::measure::{Measure, duration, measured, size};
use inuse_rules::address::{deceives, escape};
use std::net::SocketAddr;
use std::time::Duration;

/// The most that `SO_RCVTIMEO` is set to; the kernel itself takes more than anybody waits.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An `int`, whatever it means.
    Int(i32),
    /// 64 bits; all ones where there is no limit.
    Unsigned(u64),
    /// `struct timeval`; zero is none.
    Time(Duration),
    /// `struct linger`: off, or so many seconds.
    Linger(Option<u32>),
    /// Bytes without a NUL; empty for none.
    Text(Vec<u8>),
    /// From this port to that one.
    Ports(Option<(u16, u16)>),
    /// `struct ucred`.
    Credentials {
        /// Process; 0 where it does not show from here.
        pid: u32,
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// Numbers of 32 bits.
    Numbers(Vec<u32>),
    /// An IP address and port.
    Address(SocketAddr),
    /// Of `struct tcp_info`.
    TcpInfo {
        /// The state's number.
        state: u8,
        /// Segments on the way; of a listener, connections that wait to be accepted.
        unacked: u32,
        /// Segments acknowledged out of order; of a listener, its backlog.
        sacked: u32,
        /// The round trip time in microseconds.
        rtt: u32,
    },
    /// Instructions of a filter.
    Filter(u32),
}

/// A value in words.
pub fn show(form: Form, value: &Value) -> String {
    match (form, value) {
        (Form::Switch, Value::Int(0)) => "off".into(),
        (Form::Switch, Value::Int(1)) => "on".into(),
        (Form::Bits, Value::Int(bits)) => format!("{bits:#x}"),
        (Form::Number { unit: Unit::Bytes, .. }, Value::Int(1)) => "1 byte".into(),
        (Form::Number { unit, .. }, Value::Int(number)) if unit != Unit::None => {
            format!("{number} {}", unit.name())
        }
        (Form::Choice(words), Value::Int(number)) => {
            let word = words.iter().find(|(_, value)| value == number);
            word.map_or_else(|| number.to_string(), |(word, _)| (*word).to_owned())
        }
        (Form::Flags(words), Value::Int(bits)) => flags(words, *bits as u32),
        (_, Value::Int(number)) => number.to_string(),
        (_, Value::Unsigned(u64::MAX)) => "unlimited".into(),
        (Form::Unsigned(unit), Value::Unsigned(number)) if unit != Unit::None => {
            format!("{number} {}", unit.name())
        }
        (_, Value::Unsigned(number)) => number.to_string(),
        (_, Value::Time(Duration::ZERO)) => "off".into(),
        (_, Value::Time(time)) => match time.as_micros() {
            us if us % 1_000_000 == 0 => format!("{} s", us / 1_000_000),
            us if us % 1_000 == 0 => format!("{} ms", us / 1_000),
            us => format!("{us} µs"),
        },
        (_, Value::Linger(None) | Value::Ports(None)) => "off".into(),
        (_, Value::Linger(Some(seconds))) => format!("{seconds} s"),
        (_, Value::Text(text)) if text.is_empty() => "none".into(),
        (_, Value::Text(text)) => escape(text),
        (_, Value::Ports(Some((low, high)))) => format!("{low}-{high}"),
        (_, Value::Credentials { pid, uid, gid }) => format!("pid {pid}, uid {uid}, gid {gid}"),
        (_, Value::Numbers(numbers)) if numbers.is_empty() => "none".into(),
        (_, Value::Numbers(numbers)) => numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
        (_, Value::Address(address)) => address.to_string(),
        (_, Value::TcpInfo { state, unacked, sacked, rtt }) => tcp_info(*state, *unacked, *sacked, *rtt),
        (_, Value::Filter(0)) => "none".into(),
        (_, Value::Filter(length)) => format!("{length} instructions"),
    }
}

/// Reads a value.
///
/// # Errors
/// What would be right, as a sentence part.
pub fn parse(form: Form, written: &str) -> Result<Value, String> {
    let written = written.trim();
    let none = ["off", "none", "no"].iter().any(|word| word.eq_ignore_ascii_case(written));
    match form {
        Form::Switch => switch(written).map(|on| Value::Int(on.into())),
        Form::Number { least, most, unit } => {
            let number = match unit {
                _ if none && least <= 0 && is_time(unit) => 0,
                Unit::Bytes => i128::try_from(size(written)?).unwrap_or(i128::MAX),
                unit if is_time(unit) && !written.starts_with('-') => in_units(written, unit)?,
                _ => whole(written)?,
            };
            let allowed = i128::from(least)..=i128::from(most);
            if !allowed.contains(&number) {
                let unit = if unit == Unit::None { String::new() } else { format!(" {}", unit.name()) };
                return Err(if most == i32::MAX && least == 0 {
                    "that is more than an int holds, or negative".to_owned()
                } else {
                    format!("it goes from {least} to {most}{unit}")
                });
            }
            Ok(Value::Int(i32::try_from(number).unwrap_or(most)))
        }
        Form::Bits => {
            let number = whole(written)?;
            let bits =
                u32::try_from(number).map_err(|_| "it has 32 bits: write 0 to 0xffffffff".to_owned())?;
            Ok(Value::Int(bits as i32))
        }
        Form::Unsigned(_) if written.eq_ignore_ascii_case("unlimited") => Ok(Value::Unsigned(u64::MAX)),
        Form::Unsigned(_) => {
            let number = size(written.trim_end_matches("/s"))?;
            u64::try_from(number)
                .map(Value::Unsigned)
                .map_err(|_| "that is more than 64 bits hold".to_owned())
        }
        Form::Choice(words) => {
            let word = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(written));
            word.map(|(_, value)| Value::Int(*value)).ok_or_else(|| {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                format!("write one of {}", words.join(", "))
            })
        }
        Form::Flags(_) if none => Ok(Value::Int(0)),
        Form::Flags(words) => {
            let mut bits = 0;
            for part in written.split(',').map(str::trim) {
                let word = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(part));
                let (_, bit) = word.ok_or_else(|| {
                    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                    format!("write off, or some of {}, joined by commas", words.join(", "))
                })?;
                bits |= bit;
            }
            Ok(Value::Int(bits as i32))
        }
        Form::Time if none => Ok(Value::Time(Duration::ZERO)),
        Form::Time => {
            let time = duration(written, 1_000_000)?;
            if time > LONGEST.as_micros() {
                return Err("that is more than a year; off waits without limit".to_owned());
            }
            Ok(Value::Time(Duration::from_micros(u64::try_from(time).unwrap_or(0))))
        }
        Form::Linger if none => Ok(Value::Linger(None)),
        Form::Linger if written == "0" => Err("write off, or 0s for a reset at close()".to_owned()),
        Form::Linger => {
            let seconds = in_units(written, Unit::Seconds)?;
            // The kernel counts it in ticks of a clock.
            let seconds = u32::try_from(seconds).ok().filter(|seconds| *seconds <= 86_400);
            seconds
                .map(|seconds| Value::Linger(Some(seconds)))
                .ok_or_else(|| "that is more than a day".to_owned())
        }
        Form::Text(_) if none || written.is_empty() => Ok(Value::Text(Vec::new())),
        Form::Text(most) if written.len() > most => Err(format!("a name has at most {most} bytes")),
        Form::Text(_) if written.chars().any(|c| matches!(c, '/' | '\\' | ' ') || deceives(c)) => {
            Err("a name has no spaces, no slashes and nothing that does not show".to_owned())
        }
        Form::Text(_) => Ok(Value::Text(written.as_bytes().to_vec())),
        Form::PortRange if none => Ok(Value::Ports(None)),
        Form::PortRange => {
            let ports = written
                .split_once('-')
                .and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?)));
            match ports {
                Some((low, high)) if 0 < low && low <= high => Ok(Value::Ports(Some((low, high)))),
                Some(_) => Err("the lower port comes first, and 0 is none".to_owned()),
                None => Err("write two ports: 40000-50000; or off".to_owned()),
            }
        }
        Form::Credentials | Form::Numbers | Form::Name | Form::TcpInfo | Form::Filter | Form::Opaque => {
            Err("it has no value that could be written".to_owned())
        }
    }
}

/// The bytes that setsockopt(2) takes; `None` for a value of another type, and for what cannot be set.
pub fn encode(form: Form, value: &Value) -> Option<Vec<u8>> {
    Some(match (form, value) {
        (
            Form::Switch | Form::Number { .. } | Form::Bits | Form::Choice(_) | Form::Flags(_),
            Value::Int(number),
        ) => number.to_ne_bytes().to_vec(),
        (Form::Unsigned(_), Value::Unsigned(number)) => number.to_ne_bytes().to_vec(),
        (Form::Time, Value::Time(time)) => {
            let seconds = libc::c_long::try_from(time.as_secs()).ok()?;
            let micros = libc::c_long::from(i32::try_from(time.subsec_micros()).ok()?);
            [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat()
        }
        (Form::Linger, Value::Linger(linger)) => {
            let on = i32::from(linger.is_some());
            let seconds = i32::try_from(linger.unwrap_or(0)).ok()?;
            [on.to_ne_bytes(), seconds.to_ne_bytes()].concat()
        }
        (Form::Text(_), Value::Text(text)) => [text.as_slice(), &[0]].concat(),
        (Form::PortRange, Value::Ports(ports)) => {
            let (low, high) = ports.unwrap_or_default();
            (u32::from(high) << 16 | u32::from(low)).to_ne_bytes().to_vec()
        }
        _ => return None,
    })
}

/// The value in the bytes that getsockopt(2) gave; `None` where they are none of that type.
pub fn decode(form: Form, bytes: &[u8]) -> Option<Value> {
    let u32_at = |at: usize| bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes);
    Some(match form {
        Form::Switch | Form::Number { .. } | Form::Bits | Form::Choice(_) | Form::Flags(_) => {
            Value::Int(u32_at(0)? as i32)
        }
        Form::Unsigned(_) => Value::Unsigned(match bytes.get(..8) {
            Some(eight) => u64::from_ne_bytes(eight.try_into().ok()?),
            None => match u32_at(0)? {
                u32::MAX => u64::MAX,
                number => number.into(),
            },
        }),
        Form::Time => {
            const LONG: usize = size_of::<libc::c_long>();
            let long = |at: usize| bytes.get(at..at + LONG)?.try_into().ok().map(libc::c_long::from_ne_bytes);
            let seconds = Duration::from_secs(u64::try_from(long(0)?).ok()?);
            Value::Time(seconds.checked_add(Duration::from_micros(u64::try_from(long(LONG)?).ok()?))?)
        }
        Form::Linger => Value::Linger(if u32_at(0)? == 0 { None } else { Some(u32_at(4)?) }),
        Form::Text(most) => {
            let text = bytes.split(|&b| b == 0).next().unwrap_or_default();
            Value::Text(text.get(..most).unwrap_or(text).to_vec())
        }
        Form::PortRange => match u32_at(0)? {
            0 => Value::Ports(None),
            both => Value::Ports(Some((both as u16, (both >> 16) as u16))),
        },
        Form::Credentials => Value::Credentials { pid: u32_at(0)?, uid: u32_at(4)?, gid: u32_at(8)? },
        Form::Numbers => Value::Numbers((0..bytes.len() / 4).filter_map(|n| u32_at(4 * n)).collect()),
        Form::Name => name(bytes)?,
        Form::TcpInfo => Value::TcpInfo {
            state: *bytes.first()?,
            unacked: u32_at(24)?,
            sacked: u32_at(28)?,
            rtt: u32_at(68)?,
        },
        Form::Filter | Form::Opaque => return None,
    })
}

fn switch(written: &str) -> Result<bool, String> {
    match written.to_ascii_lowercase().as_str() {
        "on" | "1" | "yes" | "true" => Ok(true),
        "off" | "0" | "no" | "false" => Ok(false),
        _ => Err("write on or off".to_owned()),
    }
}

fn is_time(unit: Unit) -> bool {
    matches!(unit, Unit::Seconds | Unit::Milliseconds | Unit::Microseconds)
}

/// A duration as a whole number of an option's units; without a unit it is in them already.
fn in_units(written: &str, unit: Unit) -> Result<i128, String> {
    let us = match unit {
        Unit::Seconds => 1_000_000,
        Unit::Milliseconds => 1_000,
        _ => 1,
    };
    let time = duration(written, us)?;
    if time % us != 0 {
        return Err(format!("it counts whole {}", if us == 1_000_000 { "seconds" } else { "milliseconds" }));
    }
    Ok(i128::try_from(time / us).unwrap_or(i128::MAX))
}

/// A whole number, decimal or hexadecimal.
fn whole(written: &str) -> Result<i128, String> {
    let (negative, digits) = written.strip_prefix('-').map_or((false, written), |digits| (true, digits));
    let number = match digits.strip_prefix("0x") {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
            i128::from_str_radix(digits, 16).ok()
        }
        None if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<i128>().ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| match measured(written) {
        Some(Measure { unit, .. }) if !unit.is_empty() => "it is a number without a unit".to_owned(),
        _ => "write a whole number".to_owned(),
    })?;
    Ok(if negative { -number } else { number })
}

fn flags(words: &[(&str, u32)], bits: u32) -> String {
    let mut names: Vec<String> =
        words.iter().filter(|(_, bit)| bits & bit != 0).map(|(word, _)| (*word).to_owned()).collect();
    let unnamed = words.iter().fold(bits, |left, (_, bit)| left & !bit);
    if unnamed != 0 {
        names.push(format!("{unnamed:#x}"));
    }
    if names.is_empty() { "off".to_owned() } else { names.join(",") }
}

fn tcp_info(state: u8, unacked: u32, sacked: u32, rtt: u32) -> String {
    const LISTEN: u8 = 10;
    if state == LISTEN {
        let wait = if unacked == 1 { "connection waits" } else { "connections wait" };
        return format!("LISTEN, {unacked} {wait} to be accepted, and {sacked} may");
    }
    // 7 is TCP_CLOSE, which sock_diag shows as bound: a socket without a port is neither.
    match crate::sockdiag::state(state, true).filter(|_| state != 7) {
        Some(state) => format!("{}, round trip {rtt} µs", state.name()),
        None => "CLOSE".to_owned(),
    }
}

/// A `struct sockaddr` of IP; another family has no value.
fn name(bytes: &[u8]) -> Option<Value> {
    let family = i32::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    Some(Value::Address(match family {
        libc::AF_INET => {
            let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            (ip, port).into()
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            (ip, port).into()
        }
        _ => return None,
    }))
}

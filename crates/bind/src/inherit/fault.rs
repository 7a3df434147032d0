//! What a parent can get wrong in announcing sockets, in sentences for whoever has to repair it.
//!
//! What the parent wrote is shown escaped, and cut: it may be anything.

use inuse_rules::address::escape;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

/// What a parent can get wrong.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// A variable that is not a number in its range.
    Malformed { variable: &'static str, word: OsString },
    /// Not one name for each descriptor.
    Names { names: usize, descriptors: i32 },
    /// A number that was announced, and is not open.
    NotOpen(i32),
    /// The socket of that name is something else than what was asked for.
    Mismatch { name: String, is: String, wanted: String },
    /// IPV6_V6ONLY is not as asked.
    V6only { address: String, only: bool },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Malformed { variable, word } => {
                let shown: String = escape(word.as_bytes()).chars().take(60).collect();
                let right = if *variable == "LISTEN_FDS" { "a number from 1 on" } else { "a decimal number" };
                write!(
                    f,
                    "{variable} is '{shown}', and must be {right}: the program that started this one is to blame"
                )
            }
            Fault::Names { names, descriptors } => {
                let s = if *names == 1 { "" } else { "s" };
                write!(
                    f,
                    "LISTEN_FDNAMES has {names} name{s}, and LISTEN_FDS announces {descriptors}: the program that \
                     started this one is to blame"
                )
            }
            Fault::NotOpen(number) => write!(
                f,
                "LISTEN_FDS announces descriptor {number}, which is not open: a program in between closed it, or \
                 something in this process did"
            ),
            Fault::Mismatch { name, is, wanted } => write!(
                f,
                "the inherited socket '{}' is {is}, and {wanted} was asked for",
                escape(name.as_bytes())
            ),
            Fault::V6only { address, only: true } => {
                write!(f, "the inherited socket on {address} takes IPv6 only, and IPv4 was asked for as well")
            }
            Fault::V6only { address, only: false } => {
                write!(f, "the inherited socket on {address} takes IPv4 as well, and IPv6 only was asked for")
            }
        }
    }
}

impl std::error::Error for Fault {}

//! Asking a socket: every option that it has, or those that are asked for, each compared with a new socket's.

use super::seen::{Question, Reading};
use inuse_kernel::netns::Netns;
use inuse_kernel::options::fresh::{Changed, Fresh};
use inuse_kernel::options::live::{Live, Traits};
use inuse_kernel::options::spec::{Readable, Spec};
use inuse_kernel::options::table;
use std::collections::BTreeSet;

/// Of more sockets than this only what was changed is kept: nobody reads the rest.
const IN_FULL: usize = 4;

/// Reads sockets one after the other.
pub(super) struct Reader<'a> {
    fresh: Fresh<'a>,
    /// Nothing where the options are read later.
    wanted: Option<&'a [&'static Spec]>,
    few: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(netns: &'a Netns, question: Option<Question<'a>>, sockets: usize) -> Reader<'a> {
        let few = question.is_some_and(|question| question.in_full) || sockets <= IN_FULL;
        Reader { fresh: Fresh::new(netns), wanted: question.map(|question| question.wanted), few }
    }

    pub(super) fn in_full(&self) -> bool {
        self.few && self.wanted.is_some_and(<[_]>::is_empty)
    }

    /// What the socket is and says; the duplicate ends here.
    pub(super) fn read(&mut self, live: Live) -> (Traits, Vec<Reading>) {
        let traits = live.traits();
        let Some(wanted) = self.wanted else { return (traits, Vec::new()) };
        let all = wanted.is_empty();
        let names: BTreeSet<&str> = wanted.iter().map(|spec| spec.name).collect();
        let lock = table::named("SO_BUF_LOCK").and_then(|spec| live.get(spec).ok());
        let mut readings = Vec::new();
        for spec in table::all().filter(|spec| traits.kind.has(spec)) {
            if !(all && spec.readable == Readable::Yes || names.contains(spec.name)) {
                continue;
            }
            let value = live.get(spec);
            let changed = match &value {
                Ok(value) => self.fresh.changed(&traits, spec, value, lock.as_ref()),
                Err(_) => Changed::Unknown,
            };
            // What the kernel does not have, or has not for this socket, is no news unless it was asked for.
            if !all || value.is_ok() && (self.few || matches!(changed, Changed::From(_))) {
                let preset = self.fresh.value(&traits, spec);
                readings.push(Reading { spec, value, preset, changed });
            }
        }
        (traits, readings)
    }
}

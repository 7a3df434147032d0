//! The JSON view of `inuse opts`, schema `inuse.opts/1`: docs/schema/inuse.opts-1.json says what each field means.
//! Fields are added, never renamed or removed.

use super::json::{to_text, write};
use crate::exit::ExitStatus;
use inuse_keeper::act::options::{Again, Deed, Ending, Found, Holder, Look, Outcome, Plan, Reading};
use inuse_kernel::options::fresh::Changed;
use inuse_kernel::options::spec::{Readable, Settable, Spec};
use inuse_kernel::options::value::{Value, show};
use inuse_rules::address::escape;
use serde::{Serialize, Serializer};
use std::cell::RefCell;

/// The schema of the view.
pub const SCHEMA: &str = "inuse.opts/1";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<Vec<SpecView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets: Option<Sockets<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_full: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_of_reach: Option<BeyondView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    objections: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<Vec<DeedView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_seen: Option<Vec<BlindView<'a>>>,
    exit: u8,
}

#[derive(Serialize)]
struct SpecView {
    name: &'static str,
    also: &'static [&'static str],
    level: &'static str,
    level_number: i32,
    number: i32,
    #[serde(rename = "type")]
    kind: &'static str,
    written: &'static str,
    words: Vec<&'static str>,
    default: &'static str,
    since: &'static str,
    readable: bool,
    settable: &'static str,
    why: Option<&'static str>,
    sockets: String,
    says: &'static str,
}

/// Each is made when it is written: of thousands the views would be many times what was read.
struct Sockets<'a> {
    found: &'a [Found],
    /// Who reads the options, where they were not kept.
    again: Option<&'a RefCell<Again<'a>>>,
}

impl Serialize for Sockets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.found.iter().filter_map(|found| match self.again {
            None => Some(socket(found, &found.readings)),
            Some(again) => again.borrow_mut().read(found).map(|readings| socket(found, &readings)),
        }))
    }
}

#[derive(Serialize)]
struct SocketView {
    socket: String,
    address: Option<String>,
    remote: Option<String>,
    state: Option<&'static str>,
    inode: u64,
    cookie: u64,
    holders: Vec<HolderView>,
    options: Vec<OptionView>,
}

#[derive(Serialize)]
struct HolderView {
    pid: u32,
    tid: Option<u32>,
    comm: String,
    start_ticks: u64,
    fds: Vec<u32>,
}

#[derive(Serialize)]
struct OptionView {
    name: &'static str,
    value: Option<String>,
    number: Option<i64>,
    error: Option<String>,
    default: Option<String>,
    changed: &'static str,
}

#[derive(Serialize)]
struct BeyondView {
    waiting_to_be_accepted: usize,
    closed_connections: usize,
    time_wait: usize,
    without_visible_holder: usize,
}

#[derive(Serialize)]
struct DeedView {
    name: &'static str,
    socket: String,
    cookie: u64,
    asked: String,
    outcome: &'static str,
    before: Option<String>,
    after: Option<String>,
    says: Option<String>,
}

#[derive(Serialize)]
struct BlindView<'a> {
    what: &'a str,
    remedy: &'a str,
}

impl Document<'_> {
    fn new(exit: ExitStatus) -> Self {
        Document {
            schema: SCHEMA,
            list: None,
            sockets: None,
            in_full: None,
            out_of_reach: None,
            objections: None,
            done: None,
            notes: None,
            not_seen: None,
            exit: exit.code(),
        }
    }
}

/// The rows of the table.
pub fn list(specs: &[&'static Spec]) -> String {
    let list = specs.iter().map(|spec| spec_view(spec)).collect();
    to_text(&Document { list: Some(list), ..Document::new(ExitStatus::Success) })
}

/// Sockets and their options, a piece at a time.
pub fn look(look: &Look, exit: ExitStatus, each: &mut dyn FnMut(&str)) {
    let sockets = Some(Sockets { found: &look.found, again: None });
    write(&Document { sockets, in_full: Some(look.in_full), ..seen(look, exit) }, each);
}

/// Sockets with every option, each read just before it is written; those that were closed meanwhile are left out.
pub fn all(look: &Look, again: Again<'_>, exit: ExitStatus, each: &mut dyn FnMut(&str)) {
    let again = RefCell::new(again);
    let sockets = Some(Sockets { found: &look.found, again: Some(&again) });
    write(&Document { sockets, in_full: Some(true), ..seen(look, exit) }, each);
}

/// What was to be set, and what came of it; `None` where nothing was tried.
pub fn set(look: &Look, plan: &Plan, outcome: Option<&Outcome>, exit: ExitStatus) -> String {
    to_text(&Document {
        objections: Some(plan.objections.iter().map(|objection| objection.says()).collect()),
        done: outcome.map(|outcome| outcome.deeds.iter().map(deed).collect()),
        notes: Some(&plan.notes),
        ..seen(look, exit)
    })
}

fn seen(look: &Look, exit: ExitStatus) -> Document<'_> {
    let beyond = look.beyond;
    Document {
        out_of_reach: Some(BeyondView {
            waiting_to_be_accepted: beyond.queued,
            closed_connections: beyond.orphans,
            time_wait: beyond.time_wait,
            without_visible_holder: beyond.hidden + beyond.elsewhere,
        }),
        not_seen: Some(
            look.blind.iter().map(|spot| BlindView { what: &spot.what, remedy: &spot.remedy }).collect(),
        ),
        ..Document::new(exit)
    }
}

fn spec_view(spec: &Spec) -> SpecView {
    let (settable, why) = match spec.settable {
        Settable::Freely => ("yes", None),
        Settable::Forced(why) => ("force", Some(why)),
        Settable::ForcedWhere(_, why) => ("some-values-force", Some(why)),
        Settable::Never(why) => ("no", Some(why)),
    };
    SpecView {
        name: spec.name,
        also: spec.aliases,
        level: spec.level.name(),
        level_number: spec.level.number(),
        number: spec.number,
        kind: spec.form.type_name(),
        written: spec.form.written(),
        words: spec.form.words(),
        default: spec.default,
        since: spec.since,
        readable: spec.readable == Readable::Yes,
        settable,
        why,
        sockets: spec.on.says(),
        says: spec.says,
    }
}

fn socket(found: &Found, readings: &[Reading]) -> SocketView {
    let traits = &found.traits;
    SocketView {
        socket: traits.kind.name(),
        address: traits.address.as_ref().map(ToString::to_string),
        remote: traits.remote.map(|remote| remote.to_string()),
        state: traits.state.map(|state| state.name()),
        inode: traits.inode,
        cookie: traits.cookie,
        holders: found.holders.iter().map(holder).collect(),
        options: readings.iter().map(option).collect(),
    }
}

fn holder(holder: &Holder) -> HolderView {
    HolderView {
        pid: holder.pid,
        tid: holder.tid,
        comm: escape(&holder.comm),
        start_ticks: holder.start_ticks,
        fds: holder.fds.clone(),
    }
}

fn option(reading: &Reading) -> OptionView {
    let form = reading.spec.form;
    OptionView {
        name: reading.spec.name,
        value: reading.value.as_ref().ok().map(|value| show(form, value)),
        number: match reading.value {
            Ok(Value::Int(number)) => Some(number.into()),
            _ => None,
        },
        error: reading.value.as_ref().err().map(ToString::to_string),
        default: reading
            .preset
            .as_ref()
            .filter(|_| reading.changed != Changed::Fact)
            .map(|value| show(form, value)),
        changed: match reading.changed {
            Changed::From(_) => "yes",
            Changed::No => "no",
            Changed::Unknown => "unknown",
            Changed::Fact => "fact",
        },
    }
}

fn deed(deed: &Deed) -> DeedView {
    let form = deed.spec.form;
    let (outcome, says) = match &deed.ending {
        Ending::Set { remark, .. } => ("set", remark.clone()),
        Ending::Gone => ("gone", None),
        Ending::Failed(_, why) => ("failed", Some(why.clone())),
        Ending::Unproven(why) => ("unproven", Some(why.to_string())),
        Ending::NotTried => ("not-tried", None),
    };
    let (before, after) = match &deed.ending {
        Ending::Set { before, after, .. } => (before.as_ref(), after.as_ref()),
        _ => (None, None),
    };
    DeedView {
        name: deed.spec.name,
        socket: deed.place.clone(),
        cookie: deed.cookie,
        asked: show(form, &deed.value),
        outcome,
        before: before.map(|value| show(form, value)),
        after: after.map(|value| show(form, value)),
        says,
    }
}

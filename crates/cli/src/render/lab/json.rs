//! A play for programs, schema `inuse.lab/1`, one event a line: docs/schema/inuse.lab-1.json says what each
//! field means. Fields are added, never renamed or removed.

use super::text::{looks, place};
use super::{Played, group, is_long, needs};
use crate::exit::ExitStatus;
use crate::render::json::to_text;
use inuse_bind::Report;
use inuse_lab::play::{Acted, Gone, Ground, Moment, Seen, Told, needs_only_loopback};
use inuse_lab::stage::Segment;
use inuse_rules::Verdict;
use inuse_rules::cure::Cure;
use inuse_rules::scene::lesson::{Play, plays};
use inuse_rules::verdict::Outcome;
use serde::Serialize;

/// The schema of the view.
pub const SCHEMA: &str = "inuse.lab/1";

#[derive(Serialize)]
struct Event<'a, T> {
    schema: &'static str,
    event: &'a str,
    #[serde(flatten)]
    what: T,
}

fn event<T: Serialize>(event: &str, what: T) -> String {
    to_text(&Event { schema: SCHEMA, event, what })
}

#[derive(Serialize)]
struct ListView {
    scenes: Vec<SceneView>,
}

#[derive(Serialize)]
struct SceneView {
    name: &'static str,
    kind: &'static str,
    group: &'static str,
    title: &'static str,
    story: &'static str,
    needs: Vec<&'static str>,
    without_namespaces: bool,
    long: bool,
}

/// Every play.
pub fn list() -> String {
    event("list", ListView { scenes: plays().map(|play| scene(&play)).collect() })
}

fn scene(play: &Play) -> SceneView {
    SceneView {
        name: play.name(),
        kind: match play {
            Play::Lesson(_) => "lesson",
            Play::Scene(_) => "scene",
        },
        group: group(play),
        title: play.title(),
        story: play.story(),
        needs: needs(play),
        without_namespaces: needs_only_loopback(play),
        long: is_long(play),
    }
}

#[derive(Serialize)]
struct BeginView<'a> {
    scene: SceneView,
    ground: GroundView<'a>,
}

#[derive(Serialize)]
struct GroundView<'a> {
    kind: &'static str,
    pid: Option<u32>,
    user_namespace: bool,
    ports: Vec<u16>,
    why: Option<&'a str>,
}

/// The first event.
pub fn begin(play: Play, ground: &Ground) -> String {
    let ground = match ground {
        Ground::Namespace { pid, of_a_user } => GroundView {
            kind: "namespaces",
            pid: Some(*pid),
            user_namespace: *of_a_user,
            ports: Vec::new(),
            why: None,
        },
        Ground::Loopback { ports, why } => GroundView {
            kind: "loopback",
            pid: None,
            user_namespace: false,
            ports: ports.to_vec(),
            why: Some(why),
        },
    };
    event("begin", BeginView { scene: scene(&play), ground })
}

#[derive(Serialize)]
struct MomentView<'a> {
    number: usize,
    elapsed_ms: u128,
    kind: &'static str,
    says: &'a str,
    acts: Vec<ActView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round: Option<RoundView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<WhyView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cure: Option<CureView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waited: Option<WaitedView>,
}

#[derive(Serialize)]
struct ActView<'a> {
    who: &'a str,
    call: &'a str,
    binds: bool,
    errno: Option<&'static str>,
    segments: Vec<SegmentView<'a>>,
    sockets: Vec<SocketView<'a>>,
    gone: Vec<GoneView<'a>>,
}

#[derive(Serialize)]
struct SegmentView<'a> {
    from: String,
    to: String,
    flags: &'a str,
    bytes: u32,
}

#[derive(Serialize)]
struct SocketView<'a> {
    id: usize,
    whose: &'a str,
    local: &'a str,
    remote: Option<&'a str>,
    state: &'static str,
    before: Option<&'static str>,
    place: Option<String>,
    recv_q: u32,
    send_q: u32,
    timer_ms: Option<u32>,
    inode: u64,
    open_in: &'a [String],
}

#[derive(Serialize)]
struct GoneView<'a> {
    id: usize,
    whose: &'a str,
    local: &'a str,
    state: &'static str,
}

#[derive(Serialize)]
struct RoundView {
    number: u32,
    of: u32,
}

#[derive(Serialize)]
struct WhyView<'a> {
    address: String,
    cause: &'static str,
    expected: &'static str,
    as_told: bool,
    also: Vec<&'static str>,
    summary: &'a str,
    verdict: String,
    plain: String,
    reuseaddr: String,
    reuseport: String,
    cures: Vec<CureView<'a>>,
}

#[derive(Serialize)]
struct CureView<'a> {
    action: &'static str,
    says: &'a str,
    commands: Vec<String>,
    promise: &'static str,
}

#[derive(Serialize)]
struct WaitedView {
    address: String,
    over: bool,
    elapsed_ms: u128,
    as_told: Option<bool>,
}

/// One moment.
pub fn moment(moment: &Moment) -> String {
    let waited =
        |at: &std::net::SocketAddr, passed: &std::time::Duration, as_told: Option<bool>| WaitedView {
            address: at.to_string(),
            over: as_told.is_some(),
            elapsed_ms: passed.as_millis(),
            as_told,
        };
    let view = MomentView {
        number: moment.number,
        elapsed_ms: moment.after.as_millis(),
        kind: moment.told.kind(),
        says: &moment.says,
        acts: moment.acts.iter().map(act).collect(),
        round: match moment.told {
            Told::Round { number, of } => Some(RoundView { number, of }),
            _ => None,
        },
        why: match &moment.told {
            Told::Why { report, expected, as_told } => Some(why(report, expected.code(), *as_told)),
            _ => None,
        },
        cure: match &moment.told {
            Told::Cure(cure) => Some(self::cure(cure)),
            _ => None,
        },
        waited: match &moment.told {
            Told::Waiting { at, passed } => Some(waited(at, passed, None)),
            Told::Waited { at, passed, as_told, .. } => Some(waited(at, passed, Some(*as_told))),
            _ => None,
        },
    };
    event("moment", view)
}

fn act(acted: &Acted) -> ActView<'_> {
    ActView {
        who: &acted.who,
        call: &acted.call,
        binds: acted.bind.is_some(),
        errno: acted.refused().map(|errno| errno.name()),
        segments: acted.segments.iter().map(segment).collect(),
        sockets: acted.ends.iter().map(socket).collect(),
        gone: acted.gone.iter().map(gone).collect(),
    }
}

fn segment(segment: &Segment) -> SegmentView<'_> {
    SegmentView {
        from: segment.from.to_string(),
        to: segment.to.to_string(),
        flags: &segment.flags,
        bytes: segment.bytes,
    }
}

fn socket(seen: &Seen) -> SocketView<'_> {
    let end = &seen.end;
    SocketView {
        id: seen.id,
        whose: &seen.whose,
        local: &end.local,
        remote: end.remote.as_deref(),
        state: end.state.name(),
        before: seen.before.map(|state| state.name()),
        place: place(seen),
        recv_q: end.recv_q,
        send_q: end.send_q,
        timer_ms: end.timer_ms,
        inode: end.inode,
        open_in: &end.held_by,
    }
}

fn gone(gone: &Gone) -> GoneView<'_> {
    GoneView { id: gone.id, whose: &gone.whose, local: &gone.local, state: gone.state.name() }
}

fn why<'a>(report: &'a Report, expected: &'static str, as_told: bool) -> WhyView<'a> {
    let diagnosis = &report.diagnosis;
    WhyView {
        address: diagnosis.attempt.address.to_string(),
        cause: diagnosis.cause.code(),
        expected,
        as_told,
        also: diagnosis.also.iter().map(|cause| cause.code()).collect(),
        summary: &diagnosis.summary,
        verdict: verdict(&diagnosis.verdict),
        plain: verdict(&diagnosis.plain),
        reuseaddr: verdict(&diagnosis.reuseaddr),
        reuseport: verdict(&diagnosis.reuseport),
        cures: diagnosis.cures.iter().map(cure).collect(),
    }
}

/// "ok", "unknown", or an errno and the call that returns it.
fn verdict(verdict: &Verdict) -> String {
    match &verdict.outcome {
        Outcome::Ok => "ok".into(),
        Outcome::Refused(refusal) => format!("{} at {}", refusal.errno, refusal.at.name()),
        Outcome::Unknown { .. } => "unknown".into(),
    }
}

fn cure(cure: &Cure) -> CureView<'_> {
    CureView {
        action: cure.action.code(),
        says: &cure.says,
        commands: cure.commands.iter().map(ToString::to_string).collect(),
        promise: cure.promise.code(),
    }
}

#[derive(Serialize)]
struct StandingView {
    commands: Vec<String>,
}

/// It is left standing.
pub fn standing(ground: &Ground) -> String {
    event("standing", StandingView { commands: looks(ground) })
}

#[derive(Serialize)]
struct EndView<'a> {
    scene: &'static str,
    as_told: bool,
    moral: Option<&'static str>,
    error: Option<&'a str>,
    exit: u8,
}

/// The last event, but for `standing`.
pub fn end(played: &Played, status: ExitStatus) -> String {
    let moral = match played.play {
        Play::Lesson(lesson) => Some(lesson.moral),
        Play::Scene(_) => None,
    };
    let view = EndView {
        scene: played.play.name(),
        as_told: played.as_told,
        moral,
        error: played.error.as_deref(),
        exit: status.code(),
    };
    event("end", view)
}

//! `-v`: every fact behind an answer, for people who want to check it.

use super::super::Answer;
use super::super::rows::{Row, table};
use super::super::wording::{foreign, learned, left, switch};
use super::super::wrap::hanging;
use super::{Look, alike, heading};
use inuse_rules::verdict::Outcome;
use inuse_rules::{Snapshot, Socket, Transport};

pub(super) fn section(out: &mut String, group: &[&Answer], look: &Look) {
    let Some(&first) = group.first() else { return };
    heading(out, "Every fact");
    for answer in group {
        line(out, &judged(answer), look);
    }
    let in_the_way = first.in_the_way();
    for socket in in_the_way.iter().filter_map(|&index| first.snapshot.sockets.get(index)) {
        line(out, &facts(socket), look);
    }
    line(out, &machine(first), look);
    line(out, &sysctls(&first.snapshot), look);
    let shown = first.shown();
    let others = shown.iter().filter(|index| !in_the_way.contains(index));
    let rows: Vec<Row<'_>> = others
        .filter_map(|&index| first.snapshot.sockets.get(index))
        .map(|socket| Row { socket, mark: alike(socket) })
        .collect();
    if !rows.is_empty() {
        heading(out, "Other sockets of the port, not in the way");
        out.push_str(&table(&rows, "  "));
    }
}

fn line(out: &mut String, text: &str, look: &Look) {
    out.push_str(&hanging(text, "  ", "    ", look.width));
}

/// For whom it was judged, with which options, and which rule decided.
fn judged(answer: &Answer) -> String {
    let attempt = &answer.diagnosis.attempt;
    let options = [
        (attempt.reuseaddr, "SO_REUSEADDR"),
        (attempt.reuseport, "SO_REUSEPORT"),
        (attempt.v6only, "IPV6_V6ONLY"),
        (attempt.freebind, "IP_FREEBIND"),
    ];
    let set: Vec<&str> = options.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    let options = if set.is_empty() { "no option".into() } else { set.join(", ") };
    let privilege = if attempt.net_bind_service { "with" } else { "without" };
    let rule = match &answer.diagnosis.verdict.outcome {
        Outcome::Refused(refusal) => {
            format!("; rule {} of {}", refusal.rule.code(), refusal.rule.kernel_function())
        }
        _ => String::new(),
    };
    format!(
        "{} judged for uid {} {privilege} CAP_NET_BIND_SERVICE, {options}{rule}",
        attempt.address, attempt.uid
    )
}

fn facts(socket: &Socket) -> String {
    let mut parts = Vec::new();
    let remote = socket.remote.map(|remote| format!(" to {remote}")).unwrap_or_default();
    let mini = if socket.mini { " (small time-wait socket)" } else { "" };
    parts.push(format!("{} {}{remote}{mini}: inode {}", socket.state.name(), socket.address, socket.inode));
    if socket.cookie != 0 {
        parts.push(format!("cookie {:x}", socket.cookie));
    }
    if let Some(uid) = socket.uid {
        parts.push(format!("uid {uid}"));
    }
    if let Some((_, local, device)) = socket.inet() {
        if device != 0 {
            parts.push(format!("bound to interface {device}"));
        }
        let options = socket.options;
        parts.push(format!(
            "SO_REUSEADDR {}, SO_REUSEPORT {}{}",
            switch(options.reuseaddr),
            switch(options.reuseport),
            learned(options.learned)
        ));
        if local.is_ipv6() {
            parts.push(format!("IPV6_V6ONLY {}", switch(options.v6only)));
        }
        match socket.bound_explicitly {
            Some(true) => parts.push("port asked for with bind()".into()),
            Some(false) => parts.push("port chosen by the kernel".into()),
            None => {}
        }
    }
    if let Some(timer) = socket.timer {
        parts.push(format!("timer {}", left(u64::from(timer.left_ms))));
    }
    if socket.alike > 0 {
        parts.push(alike(socket));
    }
    if socket.cgroup != 0 {
        parts.push(format!("cgroup {}", socket.cgroup));
    }
    if let Some(file) = socket.file {
        parts.push(format!("file {} on device {}", file.ino, file.dev));
    }
    parts.join(", ")
}

fn machine(answer: &Answer) -> String {
    let snapshot = &answer.snapshot;
    let kernel = snapshot
        .kernel
        .as_ref()
        .map_or_else(|| "unknown".into(), |kernel| foreign(kernel.release.as_bytes(), 60));
    let netns = snapshot.netns.map(|netns| format!(", network namespace {netns}")).unwrap_or_default();
    let tcp = matches!(answer.diagnosis.attempt.address.inet(), Some((Transport::Tcp, ..)));
    let bound = match (tcp, snapshot.coverage.bound_inactive) {
        (false, _) => "",
        (true, true) => "; it can list bound sockets that do not listen",
        (true, false) => "; it cannot list bound sockets that do not listen",
    };
    format!("kernel {kernel}{netns}{bound}")
}

fn sysctls(snapshot: &Snapshot) -> String {
    let sysctls = &snapshot.sysctls;
    let range = |(low, high): (u16, u16)| if low == high { low.to_string() } else { format!("{low}-{high}") };
    let reserved = sysctls.reserved_ports.as_ref().map(|ranges| {
        if ranges.is_empty() {
            "none".into()
        } else {
            ranges.iter().copied().map(range).collect::<Vec<_>>().join(",")
        }
    });
    let flag = |value: Option<bool>| value.map(|value| u8::from(value).to_string());
    let settings = [
        ("ip_unprivileged_port_start", sysctls.unprivileged_port_start.map(|port| port.to_string())),
        ("ip_local_port_range", sysctls.local_port_range.map(range)),
        ("ip_local_reserved_ports", reserved),
        ("tcp_fin_timeout", sysctls.tcp_fin_timeout.map(|seconds| seconds.to_string())),
        ("tcp_tw_reuse", sysctls.tcp_tw_reuse.map(|value| value.to_string())),
        ("tcp_rfc1337", flag(sysctls.tcp_rfc1337)),
        ("ip_nonlocal_bind", flag(sysctls.nonlocal_bind_v4)),
        ("ipv6.ip_nonlocal_bind", flag(sysctls.nonlocal_bind_v6)),
        ("bindv6only", flag(sysctls.bindv6only)),
        ("ip_autobind_reuse", flag(sysctls.autobind_reuse)),
    ];
    let read: Vec<String> =
        settings.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))).collect();
    if read.is_empty() {
        "no kernel setting was read".into()
    } else {
        format!("settings: {}", read.join(", "))
    }
}

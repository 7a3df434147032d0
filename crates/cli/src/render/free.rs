//! What `inuse free` says to people: the plan, what stands against it, what was done, and the proof.
//!
//! Addresses with one and the same plan are told together.

use super::wording::list;
use super::wrap::{hanging, wrapped};
use inuse_keeper::act::{Ending, Obstacle, Outcome, Plan, Step};
use inuse_rules::cure::Command;
use inuse_rules::{Address, Transport};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most addresses or steps of a kind that are listed by name.
const FEW: usize = 8;

/// A plan, and what came of it where it was run.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What came of it.
    pub outcome: Option<&'a Outcome>,
}

/// The plans, before the question.
pub fn plans(plans: &[Plan], width: usize) -> String {
    let told: Vec<Told> = plans.iter().map(|plan| Told { plan, outcome: None }).collect();
    results(&told, width)
}

/// The plans, or what came of them.
pub fn results(told: &[Told<'_>], width: usize) -> String {
    let mut groups: Vec<Vec<Told>> = Vec::new();
    for &one in told {
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| same(first, &one))) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    let texts: Vec<String> = groups.iter().map(|group| text(group, width)).collect();
    texts.join("\n")
}

/// Whether two addresses have one story.
fn same(a: &Told<'_>, b: &Told<'_>) -> bool {
    let ending = |told: &Told<'_>| told.outcome.map(|outcome| outcome.ending);
    a.plan.resembles(b.plan) && ending(a) == ending(b)
}

fn text(group: &[Told<'_>], width: usize) -> String {
    let Some(first) = group.first() else { return String::new() };
    let names: Vec<String> = group.iter().map(|told| told.plan.attempt.address.to_string()).collect();
    let (are, names) = (if names.len() > 1 { "are" } else { "is" }, list(&names, FEW));
    let plan = first.plan;
    if plan.is_free() {
        return wrapped(&format!("{names} {are} free already: nothing to do."), "", width);
    }
    let mut out = String::new();
    match first.outcome {
        Some(outcome) if !matches!(outcome.ending, Ending::Refused(_)) => {
            for told in group {
                for deed in told.outcome.iter().flat_map(|outcome| &outcome.deeds) {
                    out.push_str(&hanging(&format!("{}.", deed.says), "  - ", "    ", width));
                }
            }
            match outcome.ending {
                Ending::Free => out.push_str(&wrapped(&format!("{names} {are} free."), "", width)),
                _ => {
                    for told in group {
                        let says = told.outcome.map(|outcome| outcome.says.as_str()).unwrap_or_default();
                        out.push_str(&wrapped(says, "", width));
                    }
                }
            }
        }
        _ => {
            out.push_str(&wrapped(&plan.summary, "", width));
            out.push_str(&format!("\nPlan for {names}\n"));
            steps(&mut out, plan, width);
            for note in &plan.notes {
                out.push_str(&hanging(note, "  note: ", "        ", width));
            }
            if !plan.obstacles.is_empty() {
                out.push_str("  Nothing is done:\n");
            }
            let addresses: Vec<&Address> = group.iter().map(|told| &told.plan.attempt.address).collect();
            let addresses = typed(&addresses);
            for obstacle in &plan.obstacles {
                self::obstacle(&mut out, obstacle, |command| plan.about(command, &addresses), width);
            }
        }
    }
    out
}

/// The steps in order; many of one kind are counted.
fn steps(out: &mut String, plan: &Plan, width: usize) {
    if !plan.obstacles.is_empty() {
        return;
    }
    for (number, step) in plan.steps.iter().enumerate() {
        if number >= FEW && plan.steps.len() > FEW + 1 {
            let more = plan.steps.len() - number;
            out.push_str(&hanging(&format!("and {more} more steps of this kind."), "     ", "     ", width));
            break;
        }
        out.push_str(&hanging(&step.says(), &format!("  {}. ", number + 1), "     ", width));
        if let Some(command) = command(step) {
            out.push_str(&format!("       {command}\n"));
        }
    }
}

/// The command of another program that a step runs.
pub(super) fn command(step: &Step) -> Option<&Command> {
    match step {
        Step::StopUnits(managed) | Step::StopContainer(managed) => Some(&managed.command),
        _ => None,
    }
}

/// What stands in the way, and its commands, about every address of the group.
fn obstacle(out: &mut String, obstacle: &Obstacle, about: impl Fn(&Command) -> Command, width: usize) {
    out.push_str(&hanging(&obstacle.says, "  - ", "    ", width));
    for command in obstacle.again.iter().chain(&obstacle.command) {
        out.push_str(&format!("      {}\n", about(command)));
    }
}

/// Addresses as they are typed: a port alone stands for both wildcards, and for loopback where that differs.
fn typed(addresses: &[&Address]) -> Vec<String> {
    let wildcard = |port: &Address, ip: IpAddr| {
        let Address::Inet { transport, local, .. } = port else { return false };
        let (transport, local) = (*transport, SocketAddr::new(ip, local.port()));
        addresses.contains(&&Address::Inet { transport, local, device: 0 })
    };
    let mut typed = Vec::new();
    for &address in addresses {
        let stands_for_it = address.inet().filter(|(_, local, device)| {
            *device == 0
                && (local.ip().is_unspecified() || local.ip().is_loopback())
                && wildcard(address, Ipv4Addr::UNSPECIFIED.into())
                && wildcard(address, Ipv6Addr::UNSPECIFIED.into())
        });
        let word = match stands_for_it {
            Some((Transport::Tcp, local, _)) => local.port().to_string(),
            Some((transport, local, _)) => format!("{}/{}", transport.name(), local.port()),
            None => address.to_string(),
        };
        if !typed.contains(&word) {
            typed.push(word);
        }
    }
    typed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_stands_for_its_addresses() {
        let check = |addresses: &[&str], expect: &[&str]| {
            let all: Vec<Address> = addresses
                .iter()
                .map(|word| match word.split_once('/') {
                    Some((transport, at)) => Address::Inet {
                        transport: if transport == "udp" { Transport::Udp } else { Transport::Tcp },
                        local: at.parse().unwrap(),
                        device: 0,
                    },
                    None => Address::tcp(word.parse().unwrap()),
                })
                .collect();
            assert_eq!(typed(&all.iter().collect::<Vec<_>>()), expect);
        };
        check(&["0.0.0.0:80"], &["tcp/0.0.0.0:80"]);
        check(&["0.0.0.0:80", "[::]:80"], &["80"]);
        check(&["[::]:80", "0.0.0.0:80", "127.0.0.1:80", "10.0.0.1:80"], &["80", "tcp/10.0.0.1:80"]);
        check(&["0.0.0.0:80", "[::]:81"], &["tcp/0.0.0.0:80", "tcp/[::]:81"]);
        check(&["udp/0.0.0.0:53", "[::]:53"], &["udp/0.0.0.0:53", "tcp/[::]:53"]);
        check(&["udp/0.0.0.0:53", "udp/[::]:53"], &["udp/53"]);
    }
}

//! Those who are not to be hurt: actors that a cure does not name, their connections, and their service.

use crate::common::{Answer, tell};
use crate::holders;
use inuse_lab::Stage;
use inuse_rules::cure::Action;
use inuse_rules::scene::{Act, AskedBy, Kind, Place, Scene, Signal, Step};
use inuse_rules::{Cure, State};
use std::net::SocketAddr;

/// An actor, as far as its scene tells.
pub(crate) struct Actor {
    pub(crate) name: &'static str,
    pub(crate) pid: u32,
    /// Whether it is still the program that obeys, with its main thread.
    obeys: bool,
    /// Its listeners that can be reached: socket and address.
    listens: Vec<(&'static str, Place<'static>)>,
}

/// Those who are not named by a cure, and the connections of a moment before it.
pub(crate) struct Bystanders {
    actors: Vec<Actor>,
    connections: Vec<(SocketAddr, SocketAddr)>,
}

impl Bystanders {
    pub(crate) fn of(
        stage: &mut Stage,
        scene: &Scene,
        answer: &Answer,
        cure: &Cure,
    ) -> Result<Bystanders, String> {
        let mut actors = Bystanders::actors(stage, scene)?;
        let holders = holders(answer);
        let stops = matches!(cure.action, Action::StopProcess | Action::ResumeAndStop);
        let named = |pid: u32| stops && holders.contains(&pid);
        // The actor that asked has ended with that.
        actors.retain(|actor| !named(actor.pid) && AskedBy::Actor(actor.name) != scene.asker);
        Ok(Bystanders { actors, connections: connections(stage)? })
    }

    /// The actors of a scene that are alive at its end.
    pub(crate) fn actors(stage: &mut Stage, scene: &Scene) -> Result<Vec<Actor>, String> {
        let mut actors: Vec<(Actor, Vec<(&str, Place<'static>)>)> = Vec::new();
        for step in scene.steps() {
            let new = |name, named: &[_]| {
                (Actor { name, pid: 0, obeys: true, listens: Vec::new() }, Vec::from(named))
            };
            let (who, act) = match step {
                Step::Actor(name, _) => {
                    actors.push(new(name, &[]));
                    continue;
                }
                Step::Signal(name, Signal::Kill) => {
                    actors.retain(|(actor, _)| actor.name != *name);
                    continue;
                }
                Step::Signal(name, signal) => {
                    let stopped = *signal == Signal::Stop;
                    actors.iter_mut().filter(|(a, _)| a.name == *name).for_each(|(a, _)| a.obeys = !stopped);
                    continue;
                }
                Step::Remove(path) => {
                    let other = |place: &Place<'_>| *place != Place::Path(path);
                    actors.iter_mut().for_each(|(actor, _)| actor.listens.retain(|(_, p)| other(p)));
                    continue;
                }
                Step::Does(who, act) => (*who, *act),
                _ => continue,
            };
            let Some(index) = actors.iter().position(|(actor, _)| actor.name == who) else { continue };
            let (actor, bound) = &mut actors[index];
            match act {
                Act::Fork(child) => {
                    let inherited = new(child, bound);
                    actors.push(inherited);
                }
                Act::Exit => _ = actors.remove(index),
                Act::Exec(_) | Act::EndMainThread => actor.obeys = false,
                // Not to be reached from here.
                Act::OwnNetwork => actor.obeys = false,
                Act::Bind(s, place) => bound.push((s, place)),
                // A backlog of 0 is there to be full.
                Act::Listen(_, 0) => {}
                Act::Listen(s, _) => {
                    actor.listens.extend(bound.iter().filter(|(other, _)| *other == s).copied());
                }
                Act::Close(s) | Act::ShutdownRead(s) => actor.listens.retain(|(other, _)| *other != s),
                _ => {}
            }
        }
        let mut living = Vec::new();
        for (mut actor, _) in actors {
            actor.pid = stage.pid(actor.name).map_err(tell)?;
            living.push(actor);
        }
        Ok(living)
    }

    /// They are alive and obey; and if the cure says that it hurts nobody, every connection goes on.
    pub(crate) fn live(&self, stage: &mut Stage, cure: &Cure) -> Result<(), String> {
        for actor in &self.actors {
            if stage.pid(actor.name).ok() != Some(actor.pid) {
                return Err(format!("{} is gone", actor.name));
            }
            if actor.obeys {
                let step = Step::Does(actor.name, Act::Socketpair("alive-1", "alive-2"));
                stage.step(&step).map_err(tell)?;
            }
        }
        if cure.harms == "nobody" {
            let now = connections(stage)?;
            if let Some((local, remote)) = self.connections.iter().find(|there| !now.contains(there)) {
                return Err(format!("it hurts nobody, it says; the connection {local}-{remote} is gone"));
            }
        }
        Ok(())
    }

    /// Those that listened still accept.
    pub(crate) fn serve(&self, stage: &mut Stage) -> Result<(), String> {
        // A scene may have left no port to those who call.
        stage.step(&Step::Sysctl("net/ipv4/ip_local_port_range", "20000 60000")).map_err(tell)?;
        for actor in self.actors.iter().filter(|actor| actor.obeys) {
            for (s, place) in &actor.listens {
                let kind = match place {
                    Place::Inet(at) if at.is_ipv4() => Kind::Tcp4,
                    Place::Inet(_) => Kind::Tcp6,
                    _ => Kind::UnixStream,
                };
                let caller = format!("call-{}", actor.name);
                for step in [
                    Step::Actor(&caller, 0),
                    Step::Does(&caller, Act::Socket("c", kind)),
                    Step::Does(&caller, Act::Connect("c", *place)),
                    Step::Does(actor.name, Act::Accept(s, "accepted")),
                ] {
                    stage.step(&step).map_err(tell)?;
                }
            }
        }
        Ok(())
    }
}

/// The connections of a stage whose both ends are open.
pub(crate) fn connections(stage: &mut Stage) -> Result<Vec<(SocketAddr, SocketAddr)>, String> {
    let rows = stage.rows().map_err(tell)?;
    let open = rows.iter().filter(|row| row.state == State::Established);
    Ok(open.map(|row| (row.local, row.remote)).collect())
}

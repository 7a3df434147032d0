//! What the supervisor knows of listeners that are kept: which generation listens where, whether that is all that
//! the one before it had, and which lines the log gets.
//!
//! Not here: keeping them (`keep`), and when a generation counts as ready for it (`generation`).

use super::held::Held;
use super::held::protocol;
use super::keep::{Bind, Event, Generation, KeepOptions, Keeper, Kept};
use super::log::{Step, Warning};
use rustix::fd::{AsFd, BorrowedFd};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

/// The most addresses of one generation that are counted.
const MOST: usize = 1024;

/// The most binds of one generation that are remembered until they show.
const MOST_BINDS: usize = 16;

/// Listeners that are kept, and by whom.
#[derive(Debug)]
pub(super) struct Listeners {
    keeper: Keeper,
    generations: BTreeMap<Generation, Own>,
    /// Addresses whose queue was told to be longer than it was asked for.
    raised: BTreeSet<String>,
}

/// What one generation listens on.
#[derive(Debug, Default)]
struct Own {
    /// How many sockets it has on each address.
    addresses: BTreeMap<String, u32>,
    /// When the last one came.
    last: Option<Instant>,
    /// It has been ready: what it has is what the next one is to have.
    served: bool,
    /// Nothing of it lives any more.
    ended: bool,
    /// Binds that the kernel decided on, and that have not become listeners; and when they were asked for.
    binds: Vec<(Bind, Instant)>,
}

/// How far a generation is with its listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listening {
    /// It listens nowhere. `expected`: the one that served last did. `binds`: it asked for an address a moment ago.
    Nowhere { expected: bool, binds: bool },
    /// It listens, not everywhere where the one that served last did; the last listener came then.
    Partly { addresses: Vec<String>, since: Instant },
    /// It listens, and everywhere where the one that served last did.
    Everywhere { addresses: Vec<String> },
}

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) steps: Vec<Step>,
    /// Something cannot be kept: a sentence.
    pub(super) impossible: Option<String>,
    /// The handler is gone, which it never should be.
    pub(super) gone: bool,
}

impl Listeners {
    /// Starts the handler, and gives it what is bound for the program.
    pub(super) fn start(bound: &[Held]) -> io::Result<Listeners> {
        let keeper = Keeper::start(&KeepOptions::default())?;
        for held in bound {
            keeper.preload(&held.name, held.as_fd())?;
        }
        Ok(Listeners { keeper, generations: BTreeMap::new(), raised: BTreeSet::new() })
    }

    /// What a new generation's stub is given.
    pub(super) fn channel(&self) -> BorrowedFd<'_> {
        self.keeper.channel()
    }

    /// Takes what the handler has to say. Never waits.
    pub(super) fn hear(&mut self) -> Heard {
        let mut heard = Heard::default();
        loop {
            match self.keeper.next_event() {
                Ok(Some(event)) => self.heard(event, &mut heard),
                Ok(None) => return heard,
                Err(_) => {
                    heard.gone = true;
                    return heard;
                }
            }
        }
    }

    fn heard(&mut self, event: Event, heard: &mut Heard) {
        heard.steps.extend(match event {
            // What no_new_privs takes away is told where it is seen before the start (`set_uid_obstacle`).
            Event::Entered { .. } => None,
            Event::LeftToKernel { generation, bind } => {
                let own = self.generations.entry(generation).or_default();
                if own.binds.len() < MOST_BINDS && own.binds.iter().all(|(other, _)| *other != bind) {
                    own.binds.push((bind, Instant::now()));
                }
                None
            }
            Event::Listening { generation, address, adopted } => {
                let own = self.generations.entry(generation).or_default();
                own.binds.retain(|(bind, _)| bind.address != address);
                let protocol = protocol(&address);
                let address = address.to_string();
                own.last = Some(Instant::now());
                if own.addresses.len() < MOST || own.addresses.contains_key(&address) {
                    *own.addresses.entry(address.clone()).or_default() += 1;
                }
                Some(Step::Listens { generation, address, protocol, adopted })
            }
            Event::Raised { address, from, to, .. } => {
                let address = address.to_string();
                let news = self.raised.len() < MOST && self.raised.insert(address.clone());
                news.then_some(Step::QueueRaised { address, from, to })
            }
            Event::Shared { generation, address, what } => {
                Some(Step::Warning(Warning::Shared { generation, address: address.to_string(), what }))
            }
            Event::QueueReset { generation, address, why } => {
                Some(Step::Warning(Warning::QueueReset { generation, address: address.to_string(), why }))
            }
            Event::Unclaimed { generation, address, waiting, dropped, why, .. } => {
                let address = address.to_string();
                if dropped {
                    self.generations.values_mut().for_each(|own| _ = own.addresses.remove(&address));
                }
                let is_told = dropped || !self.listens_on_port_of(generation, &address);
                is_told.then_some(Step::Warning(Warning::Unclaimed {
                    generation,
                    address,
                    waiting,
                    dropped,
                    why,
                }))
            }
            Event::Impossible { sentence } => {
                heard.impossible = Some(sentence);
                None
            }
            Event::StandInLost { replaced } => Some(Step::Warning(Warning::StandInLost { replaced })),
            Event::Lost { count } => Some(Step::Warning(Warning::Lost { count })),
        });
    }

    /// What is bound for a port stands there in several forms, of which a program takes one.
    fn listens_on_port_of(&self, generation: Generation, address: &str) -> bool {
        let port = |address: &str| address.rsplit_once(':').map(|(_, port)| port.to_owned());
        let wanted = port(address);
        let own = self.generations.get(&generation);
        wanted.is_some() && own.is_some_and(|own| own.addresses.keys().any(|other| port(other) == wanted))
    }

    /// How far a generation is.
    pub(super) fn of(&self, generation: Generation) -> Listening {
        let before = self.generations.range(..generation).rev().find(|(_, own)| own.served);
        let wanted = before.map(|(_, own)| &own.addresses).filter(|addresses| !addresses.is_empty());
        let own = self.generations.get(&generation);
        let Some((own, since)) = own.and_then(|own| Some((own, own.last?))) else {
            let binds = own.is_some_and(|own| !own.binds.is_empty());
            return Listening::Nowhere { expected: wanted.is_some(), binds };
        };
        let addresses = own.addresses.keys().cloned().collect();
        let has = |(address, count): (&String, &u32)| own.addresses.get(address).is_some_and(|n| n >= count);
        match wanted.is_none_or(|wanted| wanted.iter().all(has)) {
            true => Listening::Everywhere { addresses },
            false => Listening::Partly { addresses, since },
        }
    }

    /// Takes the binds that may have been refused: so long ago, and nothing listens there since.
    pub(super) fn take_binds(&mut self, generation: Generation, age: Duration) -> Vec<Bind> {
        let Some(own) = self.generations.get_mut(&generation) else { return Vec::new() };
        own.binds.extract_if(.., |(_, asked)| asked.elapsed() >= age).map(|(bind, _)| bind).collect()
    }

    /// Whether the generation listens there, and is kept.
    pub(super) fn has(&self, generation: Generation, address: &str) -> bool {
        self.generations.get(&generation).is_some_and(|own| own.addresses.contains_key(address))
    }

    /// A generation is ready: from now on it is the measure.
    pub(super) fn serves(&mut self, generation: Generation) {
        self.generations.entry(generation).or_default().served = true;
        self.generations.retain(|number, own| *number >= generation || !own.ended);
    }

    /// A generation has proven itself: what it did not bind is let go, unless a newer one may still want it.
    pub(super) fn proven(&mut self, generation: Generation, newest: Generation) {
        if generation == newest {
            // Should the handler be gone, that is heard next.
            let _ = self.keeper.ready(generation);
        }
    }

    /// Nothing of the generation lives any more. What it had is remembered until another one has served.
    pub(super) fn ended(&mut self, generation: Generation) {
        let _ = self.keeper.ended(generation);
        let newer = self.generations.range(generation.saturating_add(1)..).any(|(_, own)| own.served);
        match self.generations.get_mut(&generation) {
            Some(own) if own.served && !newer => own.ended = true,
            _ => _ = self.generations.remove(&generation),
        }
    }

    /// The sockets that are kept now; none where the handler does not answer.
    pub(super) fn status(&self) -> Vec<Kept> {
        self.keeper.status().unwrap_or_default()
    }
}

impl AsFd for Listeners {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.keeper.as_fd()
    }
}

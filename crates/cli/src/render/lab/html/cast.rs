//! Who takes part in a play, and where they stand: each party has a column, and in it a lane for its own
//! address and one for its connections. A column is given on when who had it is gone.

use inuse_lab::play::{Acted, Moment, Seen, Told};
use inuse_rules::socket::State;

/// What a lane shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Sockets that have an address and no other end.
    Own,
    /// Connections, and what is left of them.
    Connections,
    /// All of it, where there is no room for two.
    All,
}

impl Lane {
    /// The lane of a socket.
    pub(super) fn of(seen: &Seen) -> Lane {
        match seen.end.state {
            State::Listen | State::Bound => Lane::Own,
            State::Unconn if seen.end.remote.is_none() => Lane::Own,
            _ => Lane::Connections,
        }
    }
}

/// A party.
#[derive(Clone, Debug)]
pub(super) struct Party {
    pub(super) name: String,
    pub(super) column: usize,
    /// The lanes that it needs, in order.
    pub(super) lanes: Vec<Lane>,
    /// The first and the last moment that it has a part in.
    pub(super) first: usize,
    pub(super) last: usize,
    /// Whether it is a client, which stand with their like.
    connects: bool,
}

/// Everybody, and how many lanes each column has.
#[derive(Clone, Debug, Default)]
pub(super) struct Cast {
    pub(super) parties: Vec<Party>,
    pub(super) columns: Vec<usize>,
}

impl Cast {
    /// Who has a socket, or wants one.
    pub(super) fn of(moments: &[Moment]) -> Cast {
        let mut cast = Cast::default();
        for (index, moment) in moments.iter().enumerate() {
            for acted in &moment.acts {
                if acted.bind.is_some() {
                    cast.enter(&acted.who, index, Some(Lane::Own));
                }
                for seen in &acted.ends {
                    for name in holders(seen) {
                        cast.enter(name, index, Some(Lane::of(seen)));
                    }
                }
                for gone in &acted.gone {
                    cast.enter(&gone.whose, index, None);
                }
            }
        }
        for (index, moment) in moments.iter().enumerate() {
            for acted in &moment.acts {
                if let Some(party) = cast.parties.iter_mut().find(|party| party.name == acted.who) {
                    (party.first, party.last) = (party.first.min(index), party.last.max(index));
                    party.connects |= acted.call.starts_with("connect(");
                }
            }
        }
        cast.place();
        cast
    }

    fn enter(&mut self, name: &str, index: usize, lane: Option<Lane>) {
        let at = self.parties.iter().position(|party| party.name == name).unwrap_or_else(|| {
            let (name, lanes) = (name.to_owned(), Vec::new());
            self.parties.push(Party { name, column: 0, lanes, first: index, last: index, connects: false });
            self.parties.len() - 1
        });
        let party = &mut self.parties[at];
        party.last = index;
        if let Some(lane) = lane.filter(|lane| !party.lanes.contains(lane)) {
            party.lanes.push(lane);
            party.lanes.sort_unstable();
        }
    }

    fn place(&mut self) {
        self.parties.sort_by_key(|party| party.first);
        for index in 0..self.parties.len() {
            let (before, rest) = self.parties.split_at_mut(index);
            let party = &mut rest[0];
            let free = |column: &usize| {
                let mut of = before.iter().filter(|other| other.column == *column);
                of.all(|other| other.last < party.first && other.connects == party.connects)
            };
            party.column = (0..self.columns.len()).find(free).unwrap_or(self.columns.len());
            if party.column == self.columns.len() {
                self.columns.push(1);
            }
            let lanes = &mut self.columns[party.column];
            *lanes = (*lanes).max(party.lanes.len());
        }
    }

    /// How many lanes there are.
    pub(super) fn lanes(&self) -> usize {
        self.columns.iter().sum()
    }

    /// The same with one lane for each party.
    pub(super) fn folded(&self) -> Cast {
        let mut folded = self.clone();
        folded.parties.iter_mut().for_each(|party| party.lanes = vec![Lane::All]);
        folded.columns.fill(1);
        folded
    }

    /// That party.
    pub(super) fn party(&self, name: &str) -> Option<&Party> {
        self.parties.iter().find(|party| party.name == name)
    }

    /// Whether that is somebody who connects to others.
    pub(super) fn is_client(&self, name: &str) -> bool {
        self.party(name).is_some_and(|party| party.connects)
    }

    /// Who has a part in that moment.
    pub(super) fn present(&self, index: usize) -> impl Iterator<Item = &Party> {
        self.parties.iter().filter(move |party| (party.first..=party.last).contains(&index))
    }
}

/// Whose it is, and who else has it open.
fn holders(seen: &Seen) -> impl Iterator<Item = &str> {
    let others = seen.end.held_by.iter().filter(|name| **name != seen.whose);
    std::iter::once(&seen.whose).chain(others).map(String::as_str)
}

/// What stands in a lane: words, and the class of their colour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) words: Vec<String>,
    pub(super) class: &'static str,
    /// Whether no process has it open.
    pub(super) ghost: bool,
}

/// What a lane shows of these sockets.
pub(super) fn content(ends: &[Seen], party: &str, lane: Lane) -> Content {
    let mut content = Content::default();
    // What is listened with comes first where all share a lane.
    let own = |state: &State| matches!(state, State::Listen | State::Bound | State::Unconn);
    let (own, others): (Vec<State>, Vec<State>) = State::ALL.into_iter().partition(own);
    for state in own.into_iter().chain(others) {
        let of: Vec<&Seen> = ends
            .iter()
            .filter(|seen| seen.end.state == state && (lane == Lane::All || Lane::of(seen) == lane))
            .filter(|seen| holders(seen).any(|name| name == party))
            .collect();
        let Some(first) = of.first() else { continue };
        if content.words.is_empty() {
            content.class = class(state);
            content.ghost = of.iter().all(|seen| seen.end.inode == 0);
        }
        content.words.push(state.name().to_owned());
        if of.len() > 1 {
            content.words.push(format!("× {}", of.len()));
        }
        let waits: u32 = of.iter().map(|seen| seen.end.recv_q).fold(0, u32::saturating_add);
        if waits > 0 {
            content.words.push(format!("Recv-Q {waits}"));
        }
        if of.iter().all(|seen| seen.end.inode == 0) {
            let waiting = matches!(state, State::Established | State::CloseWait | State::SynRecv);
            content.words.push(if waiting { "not accepted" } else { "no process" }.to_owned());
        } else if first.whose != party {
            content.words.push("the same".to_owned());
        }
    }
    content
}

/// The colour of a state: states that mean the same to a reader share one.
pub(super) const fn class(state: State) -> &'static str {
    match state {
        State::Listen => "listen",
        State::Bound | State::Unconn => "bound",
        State::SynSent | State::SynRecv | State::Established => "open",
        State::FinWait1 | State::FinWait2 | State::Closing => "first",
        State::CloseWait | State::LastAck => "second",
        State::TimeWait => "wait",
    }
}

/// The cause of a refusal: what the answer about that address says, the next one if there are several.
pub(super) fn cause(moments: &[Moment], index: usize, acted: &Acted) -> Option<&'static str> {
    acted.refused()?;
    let answers = moments.iter().enumerate().filter_map(|(at, moment)| match &moment.told {
        Told::Why { report, .. } => Some((at, &report.diagnosis)),
        _ => None,
    });
    let asked = |address: String| {
        let bare = address.split_once(['/', ':']).map(|(_, bare)| bare.to_owned()).unwrap_or_default();
        acted.call.contains(&address) || (!bare.is_empty() && acted.call.contains(&bare))
    };
    let all: Vec<_> = answers.collect();
    let about: Vec<_> = all.iter().filter(|(_, of)| asked(of.attempt.address.to_string())).collect();
    let next = about.iter().find(|(at, _)| *at > index).or(about.last()).copied();
    // A listen() does not name its address.
    let next = next.or_else(|| all.iter().find(|(at, _)| *at > index).filter(|_| about.is_empty()));
    next.map(|(_, diagnosis)| diagnosis.cause.code())
}

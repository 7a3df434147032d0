//! A smaller case that still shows the same trouble: fewer sockets, fewer options.

use super::case::{Case, Device, Fate, Later, Make, Role, Stay};

/// Makes the case smaller for as long as `troubles` says that it still does.
pub fn shrink(case: &Case, mut troubles: impl FnMut(&Case) -> bool) -> Case {
    let mut best = case.clone();
    'again: loop {
        for smaller in smaller(&best) {
            if troubles(&smaller) {
                best = smaller;
                continue 'again;
            }
        }
        return best;
    }
}

/// Every case that is one step smaller.
fn smaller(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    for i in 0..case.olds.len() {
        let mut without = case.clone();
        without.olds.remove(i);
        all.push(without);
    }
    for i in 0..case.olds.len() {
        let mut change = |act: &dyn Fn(&mut super::case::Old)| {
            let mut changed = case.clone();
            if let Some(old) = changed.olds.get_mut(i) {
                act(old);
            }
            if changed != *case {
                all.push(changed);
            }
        };
        change(&|old| old.fate = Fate::Bound(Stay::Stays));
        change(&|old| old.later = Later::Nothing);
        change(&|old| {
            if let Fate::Connection { over_v4, .. } = &mut old.fate {
                *over_v4 = false;
            }
        });
        change(&|old| {
            let own = old.make.uid;
            if let Fate::Connection { role: Role::Accepted { uid, .. }, .. } = &mut old.fate {
                *uid = own;
            }
        });
        change(&|old| {
            if let Fate::Connection { role: Role::Accepted { listener, .. }, .. } = &mut old.fate {
                *listener = false;
            }
        });
        for simpler in plainer(case.olds[i].make) {
            change(&|old| old.make = simpler);
        }
    }
    for attempt in plainer(case.attempt) {
        all.push(Case { attempt, ..case.clone() });
    }
    all
}

/// The same socket with one option less.
fn plainer(make: Make) -> Vec<Make> {
    let candidates = [
        Make { reuseaddr: false, ..make },
        Make { reuseport: false, ..make },
        Make { v6only: false, ..make },
        Make { device: Device::Free, ..make },
        Make { uid: 0, ..make },
    ];
    candidates.into_iter().filter(|candidate| *candidate != make).collect()
}

//! `inuse ls`: what listens (or every socket), and who it is.
//!
//! Here are the words and the exit status; the rows are `inuse_bind::table`, the views `render::ls` and
//! `render::ls_json`. What could not be seen is said on stderr, behind the table.

use super::typed::{as_root, own_path};
use crate::args::LsArgs;
use crate::caller;
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::render::{ls, ls_json};
use inuse_bind::table::{Filter, Pattern, Table, TableOptions, gather};
use inuse_kernel::Seen;
use inuse_kernel::netns::NetnsName;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// Lists.
pub fn run(args: &LsArgs, output: &mut Output) -> ExitStatus {
    let filter = match filter(args) {
        Ok(filter) => filter,
        Err(wrong) => {
            output.say(&wrong);
            return ExitStatus::WrongWords;
        }
    };
    let netns = args.netns.as_deref().map(NetnsName::new);
    let options = TableOptions { netns, all_netns: args.all_netns, filter };
    let seen = match gather(&options) {
        Ok(seen) => seen,
        Err(error) => {
            let spot = error.blind_spot();
            output.say(&format!("{}; {}", spot.what, spot.remedy));
            return ExitStatus::CannotSay;
        }
    };
    if args.json {
        ls_json::document(&seen, output);
    } else {
        ls::table(&seen.found, args.verbose, output);
        output.flush();
        let words = std::env::args_os().skip(1).map(OsString::into_vec);
        for line in ls::closing(&seen, &options.filter, &as_root(words, own_path())) {
            output.say(&line);
        }
    }
    status(&seen, &options.filter)
}

/// An empty list is an answer; that nothing fits a filter is news, as for grep(1).
fn status(seen: &Seen<Table>, filter: &Filter) -> ExitStatus {
    let Seen { found, blind } = seen;
    match (found.rows.is_empty() && filter.narrows(), found.hidden_elsewhere > 0 || !blind.is_empty()) {
        (false, _) => ExitStatus::Success,
        (true, false) => ExitStatus::InUse,
        (true, true) => ExitStatus::CannotSay,
    }
}

fn filter(args: &LsArgs) -> Result<Filter, String> {
    let patterns = |written: &[OsString]| written.iter().map(|word| Pattern::new(word.as_bytes())).collect();
    Ok(Filter {
        all: args.all,
        ports: [args.ports.as_slice(), &args.port].concat(),
        states: args.state.clone(),
        protocols: args.proto.iter().copied().map(Into::into).collect(),
        pids: args.pid.clone(),
        users: args.user.iter().map(|user| caller::uid("--user", user)).collect::<Result<_, _>>()?,
        programs: patterns(&args.program),
        units: patterns(&args.unit),
        containers: patterns(&args.container),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use inuse_bind::table::Protocol;
    use inuse_rules::BlindSpot;

    #[test]
    fn as_root_it_is_the_same_question() {
        let check = |words: &[&str], own: Option<&str>, expect: &str| {
            let words = words.iter().map(|word| word.as_bytes().to_vec());
            assert_eq!(as_root(words, own.map(|own| own.as_bytes().to_vec())).to_string(), expect);
        };
        check(&["ls"], None, "sudo inuse ls");
        check(&["--no-color", "ls", "--port", "80,443"], None, "sudo inuse --no-color ls --port 80,443");
        check(&["ls", "--program", "my *"], Some("/opt/in use"), "sudo '/opt/in use' ls --program 'my *'");
    }

    #[test]
    fn nothing_that_fits_is_told_from_nothing_that_shows() {
        let check = |filter: Filter, hidden: usize, blind: bool, expect| {
            let found = Table { hidden_elsewhere: hidden, ..Table::default() };
            let spot = BlindSpot { what: "x".into(), remedy: "y".into() };
            let blind = blind.then_some(spot).into_iter().collect();
            assert_eq!(status(&Seen { found, blind }, &filter), expect, "{filter:?}");
        };
        let tcp = || Filter { protocols: vec![Protocol::Tcp], ..Filter::default() };
        check(Filter::default(), 0, false, ExitStatus::Success);
        check(Filter::default(), 0, true, ExitStatus::Success);
        check(tcp(), 0, false, ExitStatus::InUse);
        check(tcp(), 0, true, ExitStatus::CannotSay);
        check(Filter { pids: vec![1], ..Filter::default() }, 2, false, ExitStatus::CannotSay);
    }
}

//! `inuse ls`: what listens (or every socket), and who it is.
//!
//! Here are the words and the exit status; the rows are `inuse_bind::table`, the views `render::ls` and
//! `render::ls_json`. What could not be seen is said on stderr, behind the table.

use super::asked::{no_port_zero, port_zero, text_of};
use super::stop::Stop;
use super::typed::{as_root, own_path};
use crate::args::{LsArgs, ports_alone};
use crate::caller;
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::render::{ls, ls_json};
use inuse_bind::resolve::resolve;
use inuse_bind::table::{Filter, Pattern, Site, Table, TableOptions, gather};
use inuse_kernel::Seen;
use inuse_kernel::locality::interface_index;
use inuse_kernel::netns::{Netns, NetnsName};
use inuse_rules::written::{self, Host, Mistake, Target};
use inuse_rules::{Address, UnixKind};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// Lists.
pub fn run(args: &LsArgs, output: &mut Output) -> ExitStatus {
    list(args, output).unwrap_or_else(|stop| stop.tell(output))
}

fn list(args: &LsArgs, output: &mut Output) -> Result<ExitStatus, Stop> {
    let filter = filter(args)?;
    let netns = args.netns.as_deref().map(NetnsName::new);
    let options = TableOptions { netns, all_netns: args.all_netns, filter };
    let seen = gather(&options).map_err(|error| {
        let spot = error.blind_spot();
        Stop::Blind(format!("{}; {}", spot.what, spot.remedy))
    })?;
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
    Ok(status(&seen, &options.filter))
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

fn filter(args: &LsArgs) -> Result<Filter, Stop> {
    let patterns = |written: &[OsString]| written.iter().map(|word| Pattern::new(word.as_bytes())).collect();
    let uid = |user: &String| caller::uid("--user", user).map_err(Stop::Words);
    let mut sites: Vec<Site> = args.port.iter().cloned().map(Site::ports).collect();
    for word in &args.addresses {
        sites.extend(named(word, args.netns.as_deref())?);
    }
    Ok(Filter {
        all: args.all,
        sites,
        states: args.state.clone(),
        protocols: args.proto.iter().copied().map(Into::into).collect(),
        pids: args.pid.clone(),
        users: args.user.iter().map(uid).collect::<Result<_, _>>()?,
        programs: patterns(&args.program),
        units: patterns(&args.unit),
        containers: patterns(&args.container),
    })
}

/// What a word asks for: ports as with --port, else an address as every verb takes it.
fn named(word: &OsStr, netns: Option<&OsStr>) -> Result<Vec<Site>, Stop> {
    let text = text_of(word);
    if let Some(ports) = ports_alone(&text) {
        if ports.contains(&(0..=0)) {
            return Err(port_zero(&text));
        }
        return Ok(ports.into_iter().map(Site::ports).collect());
    }
    let written = written::parse(&text).map_err(|mistake| Stop::Mistake(perhaps_another_trait(mistake)))?;
    no_port_zero(std::slice::from_ref(&written))?;
    let (transport, host, ports) = match &written.target {
        Target::Unix { kind, name } => {
            // A stream is what a path alone means, and /dev/log is none.
            let kind = Some(*kind).filter(|kind| *kind != UnixKind::Stream);
            return Ok(vec![Site::unix(kind, name.clone())]);
        }
        Target::Inet { transport, host, ports, .. } => (*transport, host, ports),
    };
    // Where a protocol can be put in front, none was said, and both are listed, as for a port alone.
    let said = written::parse(&format!("udp/{}", text.trim())).is_err();
    let transport = said.then_some(transport);
    // One port stands for all: they are at the same addresses.
    let mut first = written.clone();
    if let Target::Inet { ports, .. } = &mut first.target {
        *ports = *ports.start()..=*ports.start();
    }
    let netns = match netns.map(NetnsName::new) {
        Some(name) => Netns::open(&name).map_err(|error| Stop::Words(format!("--netns: {error}")))?,
        None => Netns::current(),
    };
    let asks = resolve(&first, |name| interface_index(&netns, name)).map_err(Stop::Mistake)?;
    let mut sites: Vec<Site> = Vec::new();
    for ask in asks {
        let Address::Inet { local, device, .. } = ask.address else { continue };
        // A link-local address is on one link only.
        let scope = if let std::net::SocketAddr::V6(six) = local { six.scope_id() } else { 0 };
        let ip = (*host != Host::Every).then(|| local.ip());
        let site = Site::Inet { transport, ip, device: device.max(scope), ports: ports.clone() };
        if !sites.contains(&site) {
            sites.push(site);
        }
    }
    Ok(sites)
}

/// A plain word is no address, and may be meant as another trait.
fn perhaps_another_trait(mistake: Mistake) -> Mistake {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.@".contains(&b);
    if !mistake.text.bytes().all(plain) || mistake.text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return mistake;
    }
    const OTHERS: &str =
        "other traits are filtered with --program, --user, --pid, --state, --proto, --unit and --container";
    let right = format!("{}; {OTHERS}", mistake.right);
    Mistake { right, ..mistake }
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

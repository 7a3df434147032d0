//! Until somebody listens: here, on unix names, and in another network namespace.

use crate::begun::*;
use crate::cannot;
use inuse_bind::WhyOptions;
use inuse_bind::wait::Waiter;
use inuse_kernel::netns::NetnsName;
use inuse_lab::Stage;
use inuse_rules::scene::{Act, Kind, Place, Step};
use inuse_rules::{Cause, UnixName};
use libtest_mimic::Failed;
use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::{UnixDatagram, UnixListener};

pub(crate) fn listening() -> Told {
    for (wanted, address) in [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("127.0.0.1:8080", "0.0.0.0:8080"),
        ("0.0.0.0:8080", "127.0.0.1:8080"),
    ] {
        // Others are there, and are not meant; bound is not listening.
        let _other = held(true, (Ipv4Addr::new(127, 0, 0, 2), 81).into())?;
        let fd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&fd, &address.parse::<SocketAddr>()?)?;
        let waiter = Waiter::listening(&WhyOptions::default(), vec![vec![tcp("[::1]:1"), tcp(wanted)]])?;
        let begun = begin(waiter, None)?;
        begun.goes_on()?;
        let took = begun.ends_after(|| Ok(listen(&fd, 1)?))?;
        if took > SOON {
            return Err(format!("it took {took:?}").into());
        }
    }
    Ok(())
}

pub(crate) fn listening_on_unix_names() -> Told {
    use std::os::linux::net::SocketAddrExt as _;
    drop(UnixListener::bind("/run/x.sock")?);
    let waiter = |attempt| Waiter::listening(&WhyOptions::default(), vec![vec![attempt]]);
    // A stale file is nobody.
    let begun = begin(waiter(path("/run/x.sock"))?, None)?;
    begun.goes_on()?;
    let mut held = None;
    begun.ends_after(|| {
        std::fs::remove_file("/run/x.sock")?;
        held = Some(UnixListener::bind("/run/x.sock")?);
        Ok(())
    })?;
    let begun = begin(waiter(path("/run/log.sock"))?, None)?;
    let mut datagram = None;
    begun.ends_after(|| {
        datagram = Some(UnixDatagram::bind("/run/log.sock")?);
        Ok(())
    })?;
    let begun = begin(waiter(unix(UnixName::Abstract(b"x".to_vec())))?, None)?;
    begun.goes_on()?;
    let name = std::os::unix::net::SocketAddr::from_abstract_name("x")?;
    begun.ends_after(|| {
        held = Some(UnixListener::bind_addr(&name)?);
        Ok(())
    })?;
    Ok(())
}

/// The waiter is outside, the server on the stage.
pub(crate) fn elsewhere(stage: &mut Stage) -> Result<(), Failed> {
    let netns = NetnsName::Path(format!("/proc/{}/ns/net", stage.helper_pid()).into());
    let options = WhyOptions { netns: Some(netns), ..WhyOptions::default() };
    let waiter = match Waiter::listening(&options, vec![vec![tcp("127.0.0.1:5432")]]) {
        Err(error @ inuse_kernel::Error::Denied { .. }) => {
            cannot(error)?;
            return Ok(());
        }
        other => other?,
    };
    let place = Place::Inet("127.0.0.1:5432".parse()?);
    let steps = |stage: &mut Stage, acts: &[Act<'_>]| -> Told {
        acts.iter().try_for_each(|act| Ok(stage.step(&Step::Does("server", *act))?))
    };
    stage.step(&Step::Actor("server", 0))?;
    let said = |error: Trouble| Failed::from(error.to_string());
    let begun = begin(waiter, None).map_err(said)?;
    begun.goes_on().map_err(said)?;
    begun
        .ends_after(|| {
            steps(stage, &[Act::Socket("s", Kind::Tcp4), Act::Bind("s", place), Act::Listen("s", 1)])
        })
        .map_err(said)?;
    let begun =
        begin(Waiter::new(&options, &[tcp("127.0.0.1:5432")])?, Some(Cause::Listener)).map_err(said)?;
    begun.goes_on().map_err(said)?;
    let took = begun.ends_after(|| steps(stage, &[Act::Close("s")])).map_err(said)?;
    // A path is reached from every namespace: it is seen from outside, where nobody gave a --netns, and from there.
    let folder = std::env::temp_dir().join(format!("inuse-elsewhere-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let name = folder.join("x.sock");
    let name = name.to_str().ok_or("a path that is no text")?;
    let seen = [WhyOptions::default(), options].iter().enumerate().try_for_each(|(number, options)| {
        let name = format!("{name}{number}");
        let begun = begin(Waiter::listening(options, vec![vec![path(&name)]])?, None)?;
        begun.goes_on()?;
        let (s, place) = (format!("u{number}"), Place::Path(&name));
        let acts = [Act::Socket(&s, Kind::UnixStream), Act::Bind(&s, place), Act::Listen(&s, 1)];
        begun.ends_after(|| steps(stage, &acts)).map(|_| ())
    });
    std::fs::remove_dir_all(&folder)?;
    seen.map_err(said)?;
    if took > SOON { Err(format!("it took {took:?}").into()) } else { Ok(()) }
}

//! The text of every refusal: cause, holder, first cure.

use crate::roles::{Holder, role};
use crate::{same, says, unhurried};
use inuse_bind::{Error, Listen, explain, listen, why};
use inuse_rules::Cause;
use libtest_mimic::{Completion, Failed, Trial};
use std::error::Error as _;
use std::io::{self, ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("refusals::another_process", another_process),
        Trial::test("refusals::this_process", this_process),
        Trial::test("refusals::time_wait", time_wait),
        Trial::test("refusals::udp", udp),
        Trial::test("refusals::not_local", not_local),
        Trial::test("refusals::words", words),
        Trial::test("refusals::an_io_error_of_the_same_kind", an_io_error_of_the_same_kind),
        Trial::test("refusals::of_sockets_that_others_bound", of_sockets_that_others_bound),
        Trial::test("refusals::asked_beforehand", asked_beforehand),
        Trial::ignorable_test("refusals::another_user", another_user),
        Trial::ignorable_test("refusals::privileged", privileged),
    ]
}

fn another_process() -> Result<(), Failed> {
    let holder = Holder::start("127.0.0.1:0")?;
    let pid = format!("(pid {})", holder.pid());
    let at = holder.address.to_string();
    let error = unhurried(|| listen(holder.address).unwrap_err());
    says(
        &error,
        &[&format!("cannot bind {at}: Address already in use. "), &pid, "listens on", "inuse free"],
    )?;
    // None of its arguments.
    same(error.to_string().contains("__hold"), false)?;
    same((error.kind(), error.raw_os_error()), (ErrorKind::AddrInUse, Some(98)))?;
    let report = error.report().ok_or("no report")?;
    same(report.diagnosis.cause, Cause::Listener)?;

    let wildcard = format!("0.0.0.0:{}", holder.address.port());
    says(&unhurried(|| listen(&wildcard).unwrap_err()), &[&pid, "overlaps", &wildcard])?;
    // [::] stands for IPv4 as well, unless it is told not to.
    let every = format!("[::]:{}", holder.address.port());
    let dual = unhurried(|| Listen::tcp(&every).v6only(false).bind().unwrap_err());
    says(&dual, &[&format!("cannot bind {every}: Address already in use. "), &pid])?;
    same(Listen::tcp(&every).v6only(true).bind().is_ok(), true)
}

fn this_process() -> Result<(), Failed> {
    let first = listen("127.0.0.1:0")?;
    let address = first.local_addr()?;
    let error = unhurried(|| listen(address).unwrap_err());
    says(&error, &["This very process already holds"])?;
    same(error.report().map(|report| report.diagnosis.cause), Some(Cause::OwnProcess))
}

/// A connection that the server closed first.
fn leave_time_wait(server: TcpListener) -> Result<(), Failed> {
    let mut client = TcpStream::connect(server.local_addr()?)?;
    let (accepted, _) = server.accept()?;
    drop(server);
    drop(accepted);
    client.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn time_wait() -> Result<(), Failed> {
    let server = Listen::tcp("127.0.0.1:0").reuseaddr(false).bind()?;
    let address = server.local_addr()?;
    leave_time_wait(server)?;
    let error = Listen::tcp(address).reuseaddr(false).bind().unwrap_err();
    says(&error, &["in TIME_WAIT", "s left"])?;
    same(error.report().map(|report| report.diagnosis.cause), Some(Cause::TimeWait))?;
    // The old one lacked the option, so that of the new one does not help, and is not said to; nor is it doubted that
    // this one was refused, whatever can be seen of the old one.
    let error = listen(address).unwrap_err();
    says(&error, &["in TIME_WAIT", "Wait: the kernel lets go by itself"])?;
    same(error.to_string().contains("cannot be said"), false)?;

    let server = listen("127.0.0.1:0")?;
    let address = server.local_addr()?;
    leave_time_wait(server)?;
    let again = listen(address)?;
    same(again.local_addr()?, address)
}

fn udp() -> Result<(), Failed> {
    let first = Listen::udp("127.0.0.1:0").bind()?;
    let error = Listen::udp(first.local_addr()?).bind().unwrap_err();
    says(&error, &["cannot bind udp/127.0.0.1:", "Address already in use. "])
}

fn not_local() -> Result<(), Failed> {
    let error = listen("192.0.2.1:8080").unwrap_err();
    says(&error, &["192.0.2.1:8080 is on no interface of this machine"])?;
    same((error.kind(), error.raw_os_error()), (ErrorKind::AddrNotAvailable, Some(99)))
}

fn words() -> Result<(), Failed> {
    let check =
        |address: &str, part: &str| says(&listen(address).unwrap_err(), &["cannot read the address: ", part]);
    check("8080", "It is written IP:PORT")?;
    check("no-such-host.invalid:80", "NAME:PORT")?;
    same(listen(&[][..]).unwrap_err().kind(), ErrorKind::InvalidInput)?;
    same(listen("localhost:0").is_ok(), true)
}

fn an_io_error_of_the_same_kind() -> Result<(), Failed> {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    let first = listen("127.0.0.1:0")?;
    let error = listen(first.local_addr()?).unwrap_err();
    shared(&error);
    let text = error.to_string();
    same(format!("{error:?}"), text.clone())?;
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    same(source.and_then(io::Error::raw_os_error), Some(98))?;
    let error = io::Error::from(error);
    same(error.kind(), ErrorKind::AddrInUse)?;
    same(error.to_string(), text)?;
    same(error.get_ref().is_some_and(|inner| inner.is::<Error>()), true)
}

fn of_sockets_that_others_bound() -> Result<(), Failed> {
    let holder = Holder::start("127.0.0.1:0")?;
    let error = TcpListener::bind(holder.address).unwrap_err();
    let explained = unhurried(|| explain(&error, holder.address));
    says(&explained, &[&format!("(pid {})", holder.pid()), "listens on"])?;
    same(explained.kind(), error.kind())?;

    // Bound without SO_REUSEADDR by others: the option is not there to help.
    let server = listen("127.0.0.1:0")?;
    let address = server.local_addr()?;
    leave_time_wait(server)?;
    let explained = explain(&io::Error::from_raw_os_error(98), address);
    says(&explained, &["in TIME_WAIT", "SO_REUSEADDR"])?;

    // Over by the time of the look.
    let free = listen("127.0.0.1:0")?.local_addr()?;
    says(&explain(&io::Error::from_raw_os_error(98), free), &["nothing stood in the way any more"])?;
    // Nothing that a bind rule explains.
    let full = io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
    same(explain(&full, free).to_string(), format!("cannot bind {free}: Too many open files"))
}

fn asked_beforehand() -> Result<(), Failed> {
    let holder = Holder::start("127.0.0.1:0")?;
    same(why(holder.address)?.diagnosis.cause, Cause::Listener)?;
    same(why("127.0.0.1:0")?.diagnosis.cause, Cause::Free)?;
    let shared = Listen::tcp("127.0.0.1:0").reuseport(true).bind()?;
    let report = Listen::tcp(shared.local_addr()?).reuseport(true).why()?;
    same(report.diagnosis.verdict.outcome, inuse_rules::Outcome::Ok)
}

fn as_nobody(address: &str) -> Result<Result<String, Completion>, Failed> {
    if !rustix::process::geteuid().is_root() {
        return crate::ignored("needs root, to become another user").map(Err);
    }
    let began = Instant::now();
    let output = role(&["__as-nobody", address])?.output()?;
    same(began.elapsed() < Duration::from_secs(10), true)?;
    Ok(Ok(String::from_utf8(output.stdout)?))
}

/// In a pid namespace of its own, where the search has so few processes to look at that its time is enough.
fn another_user() -> Result<Completion, Failed> {
    if !rustix::process::geteuid().is_root() {
        return crate::ignored("needs root, to become another user");
    }
    let namespaces = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut unshare = Command::new("unshare");
    if !unshare.args(namespaces).arg("true").output().is_ok_and(|ran| ran.status.success()) {
        return crate::ignored("a pid namespace of its own is not to be had (unshare)");
    }
    let alone = role(&["__refused-as-nobody"])?;
    let output =
        Command::new("unshare").args(namespaces).arg(alone.get_program()).args(alone.get_args()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    says(&said, &["AddrInUse: ", "A process of root holds", "you may not see which", "sudo inuse why"])?;
    Ok(Completion::Completed)
}

/// Its role there: what nobody is told of an address that root holds.
pub(crate) fn refused_as_nobody() -> Result<String, Box<dyn std::error::Error>> {
    let holder = Holder::start("127.0.0.1:0")?;
    let address = holder.address.to_string();
    let refused = || role(&["__as-nobody", &address])?.output();
    Ok(unhurried(|| {
        refused().map(|ran| String::from_utf8_lossy(&ran.stdout).into_owned()).unwrap_or_default()
    }))
}

fn privileged() -> Result<Completion, Failed> {
    let start: u16 =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")?.trim().parse()?;
    if start <= 81 {
        return crate::ignored("port 81 is not privileged here");
    }
    let said = match as_nobody("127.0.0.1:81")? {
        Ok(said) => said,
        Err(ignored) => return Ok(ignored),
    };
    says(
        &said,
        &["PermissionDenied: cannot bind 127.0.0.1:81: Permission denied. ", "privileged programs", "setcap"],
    )?;
    Ok(Completion::Completed)
}

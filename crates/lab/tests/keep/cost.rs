//! What the filter costs: a bind under it and without it, and a call that it does not ask about.

use crate::driver::Supervisor;
use libtest_mimic::Failed;

/// The same program with and without. The figures are printed by `--nocapture`; what is asserted is only that the
/// calls which are not asked about cost nothing that could be measured beside them.
#[allow(clippy::print_stdout, reason = "figures for whoever runs it to see them")]
pub(crate) fn of_a_bind() -> Result<(), Failed> {
    let script = "import socket, time
def cost(act, count):
    since = time.monotonic()
    for _ in range(count): act()
    return (time.monotonic() - since) / count * 1e6
def bind():
    s = socket.socket(); s.bind(('127.0.0.1', 0)); s.close()
a, b = socket.socketpair()
def data():
    a.send(b'x'); b.recv(1)
cost(bind, 200)
print(min(cost(bind, 400) for _ in range(3)), min(cost(data, 4000) for _ in range(5)))";
    let plain = std::process::Command::new("python3").args(["-c", script]).output()?;
    let mut supervisor = Supervisor::new();
    let line = supervisor.start(1, &["python3", "-c", script]).line();
    let read = |text: &str| -> Result<(f64, f64), Failed> {
        let mut numbers = text.split_whitespace().map(str::parse);
        let mut next = || numbers.next().ok_or("too few figures");
        Ok((next()??, next()??))
    };
    let (plain, filtered) = (read(&String::from_utf8_lossy(&plain.stdout))?, read(&line)?);
    println!("socket+bind+close: {:.1} us, filtered {:.1} us", plain.0, filtered.0);
    println!("send+recv: {:.2} us, filtered {:.2} us", plain.1, filtered.1);
    match filtered.1 < plain.1 * 3.0 + 5.0 {
        true => Ok(()),
        false => {
            Err(format!("send and recv cost {} us under the filter, {} without", filtered.1, plain.1).into())
        }
    }
}

//! The examples of the project: each is run, or read by the tool that it is for.
//!
//! Those in Python, Node and Go are among the programs of the zoo, too.

use crate::notify::wait;
use crate::{Case, holds, inuse, same};
use inuse_lab::load::{Dialect, Load, Plan, ask};
use inuse_lab::zoo::{SERVER, Scratch, Supervisor, python, run};
use libtest_mimic::Failed;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const ALL: &[Case] = &[
    ("dev_loop", &["python3"], dev_loop),
    ("nginx", &["nginx"], nginx),
    ("axum", &["axum"], axum),
    ("systemd_unit", &["systemd-analyze"], systemd_unit),
    ("container_entrypoint", &["unshare", "python3"], container),
];

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// The directory of the command under test comes first in PATH: the examples call it by its name.
fn path() -> Result<std::ffi::OsString, Failed> {
    let folders = inuse().parent().map(Path::to_path_buf).into_iter();
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(folders.chain(std::env::split_paths(&path)))?)
}

/// An `inuse run` within a script tells its steps as text, among the program's lines.
fn says(supervisor: &Supervisor, words: &str) -> Result<(), Failed> {
    let said = || supervisor.output().iter().any(|line| line.contains(words));
    wait(said, words).map_err(|_| Failed::from(format!("no {words:?}\n{}", supervisor.log())))
}

/// A build that fails changes nothing; one that succeeds is served; clients notice neither.
fn dev_loop() -> Result<(), Failed> {
    let (at, sources, built) = (inuse_lab::zoo::address(), Scratch::new()?, Scratch::new()?);
    let (source, target) = (sources.write("server.py", SERVER)?, built.0.join("server.py"));
    let check = "import sys; compile(open(sys.argv[1]).read(), sys.argv[1], 'exec')";
    let build = format!("{} -c \"{check}\" '{source}' && cp '{source}' '{}'", python(), target.display());
    let mut command = Command::new(example("dev-loop/run.sh"));
    command.arg(&sources.0).args([&build, "--", python()]).arg(&target);
    command.env("LISTEN", at.to_string()).env("PATH", path()?);
    let mut supervisor = Supervisor::start(inuse(), command)?;
    says(&supervisor, "generation 1 is ready")?;
    let load = Load::start(&Plan::new(at, Dialect::Http))?;
    holds(load.goes_on(10), "no answers")?;
    sources.write("server.py", &format!("{SERVER}\nthis is no Python\n"))?;
    says(&supervisor, "the command of --before failed")?;
    holds(ask(at, Dialect::Http)?.ends_with(":1"), "another generation answers")?;
    sources.write("server.py", &format!("{SERVER}\n# changed\n"))?;
    says(&supervisor, "restarted: generation 2 serves")?;
    crate::nothing_lost(load)?;
    same(supervisor.stop()?.code(), Some(0), "the exit status")
}

/// Both ways of the example in which nginx is given its socket; the other way is in the zoo.
fn nginx() -> Result<(), Failed> {
    let (at, scratch) = (inuse_lab::zoo::address(), Scratch::new()?);
    let text = std::fs::read_to_string(example("nginx/nginx.conf"))?;
    scratch.write("nginx.conf", &text.replace("127.0.0.1:8080", &at.to_string()))?;
    let options = ["-l", &*at.to_string(), "--rollback-window", "100ms", "--stop-signal", "QUIT"];
    let script = example("nginx/serve.sh");
    let mut supervisor =
        Supervisor::start(inuse(), run(inuse(), &options, &[script.as_os_str(), scratch.0.as_os_str()]))?;
    supervisor.ready(1)?;
    says_hello(at)?;
    supervisor.restart()?;
    says_hello(at)?;
    supervisor.stop()?;
    Ok(())
}

/// The example of the library: a socket that it is given, and an end without a loss.
fn axum() -> Result<(), Failed> {
    let program = built_axum();
    let at = inuse_lab::zoo::address().to_string();
    let options = ["-l", &*at, "--rollback-window", "100ms"];
    let words = [program.as_os_str(), at.as_ref()];
    let mut supervisor = Supervisor::start(inuse(), run(inuse(), &options, &words))?;
    supervisor.ready(1)?;
    says_hello(at.parse()?)?;
    supervisor.restart()?;
    says_hello(at.parse()?)?;
    same(supervisor.stop()?.code(), Some(0), "the exit status")
}

/// Beside the command under test: all targets of the workspace are built for its tests.
pub(crate) fn built_axum() -> PathBuf {
    inuse().with_file_name("examples").join("axum")
}

fn says_hello(at: SocketAddr) -> Result<(), Failed> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(inuse_lab::zoo::PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    holds(answer.ends_with("hello\n"), answer)
}

/// systemd reads the unit and has nothing to say about it.
fn systemd_unit() -> Result<(), Failed> {
    let scratch = Scratch::new()?;
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no", "--recursive-errors=no"]).arg(example("systemd/web.service"));
    let output = command.env("XDG_RUNTIME_DIR", &scratch.0).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let about: Vec<&str> = said.lines().filter(|line| line.contains("web.service")).collect();
    holds(output.status.success() && about.is_empty(), format!("{}: {said}", output.status))
}

/// The entry point as process 1, restarted and ended as a container's runtime does it.
fn container() -> Result<(), Failed> {
    let (at, scratch) = (inuse_lab::zoo::address(), Scratch::new()?);
    let server = scratch.write("server.py", SERVER)?;
    let mut command = Command::new("unshare");
    command.args(crate::alone::unshare().unwrap_or_default());
    command.arg(example("container/entrypoint.sh")).args([python(), &server]);
    command.env("LISTEN", at.to_string()).env("PATH", path()?);
    let mut supervisor = Supervisor::start(inuse(), command)?;
    says(&supervisor, "generation 1 is ready")?;
    same(ask(at, Dialect::Http)?, "1:1".to_owned(), "who answers")?;
    supervisor.restart()?;
    same(ask(at, Dialect::Http)?, "1:2".to_owned(), "who answers")?;
    same(supervisor.ctl("stop")?.code, Some(0), "inuse ctl stop")?;
    same(supervisor.ended()?.code(), Some(0), "the exit status")
}

//! Unix sockets: what is replaced and what never is, and the permissions of the file.

use crate::{same, says, unhurried};
use inuse_bind::{Listen, SeqpacketListener};
use libtest_mimic::{Failed, Trial};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("unix::a_stale_file_is_replaced", a_stale_file_is_replaced),
        Trial::test("unix::a_live_server_stays", a_live_server_stays),
        Trial::test("unix::what_is_no_socket_stays", what_is_no_socket_stays),
        Trial::test("unix::the_mode", the_mode),
        Trial::test("unix::datagrams", datagrams),
        Trial::test("unix::seqpacket", seqpacket),
        Trial::test("unix::abstract_names", abstract_names),
        Trial::test("unix::refused_ways", refused_ways),
    ]
}

/// A folder of one test, removed with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> std::io::Result<Folder> {
        let folder = inuse_lab::scratch_root().join(format!("inuse-bind-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Folder(folder))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn a_stale_file_is_replaced() -> Result<(), Failed> {
    let folder = Folder::new("stale")?;
    let path = folder.path("s");
    drop(UnixListener::bind(&path)?);
    let stays = Listen::unix(&path).replace_stale(false).bind().unwrap_err();
    same(stays.kind(), ErrorKind::AddrInUse)?;
    let server = Listen::unix(&path).bind()?;
    UnixStream::connect(&path)?;
    server.accept()?;
    // The file of another type of socket is just as stale.
    drop(server);
    let datagrams = Listen::unix_datagram(&path).bind()?;
    UnixDatagram::unbound()?.send_to(b"x", &path)?;
    same(datagrams.recv(&mut [0; 8])?, 1)
}

fn a_live_server_stays() -> Result<(), Failed> {
    let folder = Folder::new("live")?;
    let path = folder.path("s");
    let server = UnixListener::bind(&path)?;
    let error = unhurried(|| Listen::unix(&path).bind().unwrap_err());
    says(&error, &["This very process already holds"])?;
    same(error.kind(), ErrorKind::AddrInUse)?;
    Listen::unix_datagram(&path).bind().unwrap_err();
    Listen::unix_seqpacket(&path).bind().unwrap_err();
    UnixStream::connect(&path)?;
    server.accept()?;
    // Bound, and nobody listens: its owner may be about to.
    let bound = folder.path("bound");
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(&bound)?)?;
    Listen::unix(&bound).bind().unwrap_err();
    same(bound.exists(), true)
}

fn what_is_no_socket_stays() -> Result<(), Failed> {
    let folder = Folder::new("file")?;
    let file = folder.path("file");
    fs::write(&file, "somebody's work")?;
    says(&Listen::unix(&file).bind().unwrap_err(), &["A regular file stands at"])?;
    same(fs::read_to_string(&file)?, "somebody's work".into())?;
    let link = folder.path("link");
    std::os::unix::fs::symlink(&file, &link)?;
    Listen::unix(&link).bind().unwrap_err();
    same(fs::read_link(&link)?, file)?;
    let below = folder.path("directory");
    fs::create_dir(&below)?;
    Listen::unix(&below).bind().unwrap_err();
    same(below.is_dir(), true)
}

fn the_mode() -> Result<(), Failed> {
    let folder = Folder::new("mode")?;
    for mode in [0o600, 0o660, 0o666, 0o777] {
        let path = folder.path(&format!("{mode:o}"));
        let _server = Listen::unix(&path).mode(mode).bind()?;
        let about = fs::metadata(&path)?;
        same((about.file_type().is_socket(), about.permissions().mode() & 0o777), (true, mode))?;
    }
    Ok(())
}

fn datagrams() -> Result<(), Failed> {
    let folder = Folder::new("dgram")?;
    let server = Listen::unix_datagram(folder.path("s")).nonblocking(true).bind()?;
    same(server.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock)
}

fn seqpacket() -> Result<(), Failed> {
    let folder = Folder::new("seq")?;
    let server: SeqpacketListener = Listen::unix_seqpacket(folder.path("s")).bind()?;
    let client = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    connect(&client, &SocketAddrUnix::new(folder.path("s"))?)?;
    let accepted = server.accept()?;
    rustix::io::write(&client, b"one")?;
    rustix::io::write(&client, b"two")?;
    let mut buffer = [0; 16];
    same(rustix::io::read(&accepted, &mut buffer)?, 3)
}

fn abstract_names() -> Result<(), Failed> {
    let name = format!("inuse-bind-test-{}", std::process::id());
    let _server = Listen::unix_abstract(&name).bind()?;
    says(&Listen::unix_abstract(&name).bind().unwrap_err(), &[&format!("@{name}")])
}

fn refused_ways() -> Result<(), Failed> {
    let folder = Folder::new("ways")?;
    let missing = folder.path("no/such/s");
    says(&Listen::unix(&missing).bind().unwrap_err(), &["The directory of", "does not exist"])?;
    let long = folder.path(&"x".repeat(200));
    same(Listen::unix(long).bind().unwrap_err().raw_os_error(), Some(36))
}

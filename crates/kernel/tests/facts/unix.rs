//! Unix sockets of every type and kind of name, the files they were bound to, and what stands at a path.

use crate::{Case, Missing};
use inuse_kernel::sockdiag::{States, UnixRow};
use inuse_kernel::unixpath::{absolute, path_fact, path_fact_as, settle_device};
use inuse_kernel::{Netns, SockDiag};
use inuse_rules::snapshot::{FileKind, PathFact};
use inuse_rules::{Address, State, UnixKind, UnixName};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

pub(crate) const CASES: &[Case] = &[
    ("unix_sockets_have_name_type_state_and_queues", rows_of_every_kind),
    ("a_unix_socket_names_its_file", file),
    ("an_overlay_and_its_sockets_name_one_file", overlay),
    ("a_path_says_what_stands_there", paths),
    ("a_path_is_another_users_to_find", another_user),
    ("a_read_only_mount_refuses_before_permissions_do", read_only),
    ("a_directory_that_takes_no_files_refuses_even_root", takes_no_files),
];

/// A directory that goes with the case.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = crate::scratch::scratch_root().join(format!("inuse-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn rows() -> Vec<UnixRow> {
    let seen = SockDiag::open(&Netns::current()).unwrap().unix_rows(States::ALL).unwrap();
    assert_eq!(seen.blind, []);
    seen.found
}

fn rows_of_every_kind() -> Result<(), Missing> {
    let directory = Directory::new("kinds");
    let path = directory.file("stream");
    let listener = UnixListener::bind(&path).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    let abstract_name = SocketAddr::from_abstract_name(b"na\0me").unwrap();
    let _datagram = UnixDatagram::bind_addr(&abstract_name).unwrap();
    let seqpacket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    bind(&seqpacket, &SocketAddrUnix::new_abstract_name(b"na\0me").unwrap()).unwrap();
    listen(&seqpacket, 7).unwrap();
    let _pair = UnixStream::pair().unwrap();

    let rows = rows();
    let find = |kind, name: UnixName, state| {
        let address = Address::Unix { kind, name };
        let mut found = rows.iter().filter(|row| row.socket.address == address && row.socket.state == state);
        let row = found.next().unwrap_or_else(|| panic!("no {address:?} in {state:?}: {rows:#?}"));
        assert_eq!(found.next(), None);
        row
    };
    let at_path = || UnixName::Path(path.as_os_str().as_bytes().to_vec());
    let at_name = || UnixName::Abstract(b"na\0me".to_vec());
    let listening = find(UnixKind::Stream, at_path(), State::Listen);
    assert_eq!(listening.socket.recv_q, 1, "connections not yet accepted");
    assert_ne!(listening.socket.cookie, 0);
    assert_eq!(listening.socket.uid, Some(rustix::process::geteuid().as_raw()));
    find(UnixKind::Datagram, at_name(), State::Unconn);
    let seqpacket_row = find(UnixKind::Seqpacket, at_name(), State::Listen);
    assert_eq!((seqpacket_row.socket.send_q, seqpacket_row.socket.file), (7, None));

    let unnamed = Address::Unix { kind: UnixKind::Stream, name: UnixName::Unnamed };
    let ends: Vec<_> = rows.iter().filter(|row| row.socket.address == unnamed && row.peer != 0).collect();
    assert!(ends.iter().any(|one| ends.iter().any(|other| one.peer == other.socket.inode)), "{ends:#?}");

    drop((listener, client));
    Ok(())
}

fn file() -> Result<(), Missing> {
    let directory = Directory::new("file");
    let path = directory.file("socket");
    let bytes = path.as_os_str().as_bytes();
    let _first = UnixListener::bind(&path).unwrap();
    let PathFact::Exists { kind: FileKind::Socket, file: first } = path_fact(bytes) else { panic!() };
    fs::remove_file(&path).unwrap();
    let _second = UnixListener::bind(&path).unwrap();
    let PathFact::Exists { kind: FileKind::Socket, file: second } = path_fact(bytes) else { panic!() };

    let mut sockets: Vec<_> = rows().into_iter().map(|row| row.socket).collect();
    settle_device(bytes, second, &mut sockets);
    let files: Vec<_> = sockets.iter().filter_map(|socket| socket.file).collect();
    assert!(files.contains(&first), "{first:?} in {files:?}");
    assert!(files.contains(&second), "{second:?} in {files:?}");
    assert_ne!(first, second);
    Ok(())
}

fn overlay() -> Result<(), Missing> {
    crate::stage::enter_fresh_mounts()?;
    crate::stage::mount(&format!("-t tmpfs one {}", crate::scratch::scratch_root().display()))?;
    let directory = Directory::new("overlay");
    let mount = |words: &str| crate::stage::mount(&words.replace("HERE", directory.0.to_str().unwrap()));
    for name in ["lower", "upper", "merged"] {
        fs::create_dir(directory.file(name)).unwrap();
    }
    mount("-t tmpfs two HERE/upper")?;
    for name in ["upper/upper", "upper/work"] {
        fs::create_dir(directory.file(name)).unwrap();
    }
    mount(
        "-t overlay three -o lowerdir=HERE/lower,upperdir=HERE/upper/upper,workdir=HERE/upper/work HERE/merged",
    )?;
    let path = directory.file("merged/socket");
    let _listener = UnixListener::bind(&path).unwrap();
    let PathFact::Exists { file, .. } = path_fact(path.as_os_str().as_bytes()) else { panic!() };
    let files: Vec<_> = rows().into_iter().filter_map(|row| row.socket.file).collect();
    assert_eq!(files, [file]);

    // Another namespace sees the file, and not the socket.
    crate::stage::enter_fresh_netns()?;
    assert_eq!(rows(), []);
    Ok(())
}

/// `daemon` has uid 1 and gid 1 on every Debian; nobody else has uid 54321.
fn another_user() -> Result<(), Missing> {
    // Root of a user namespace may have nobody to become.
    if path_fact_as(b"/", 1).is_err() {
        return Err(Missing("root, who may become another user".into()));
    }
    let directory = Directory::new("another");
    let (inside, taken) = (directory.file("inside"), directory.file("taken"));
    drop(UnixListener::bind(&taken).unwrap());
    let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
    let exists = path_fact(&bytes(&taken));
    let check = |mode, group, uid, expect: PathFact, beside: &PathFact| {
        std::os::unix::fs::chown(&directory.0, Some(0), Some(group)).unwrap();
        fs::set_permissions(&directory.0, fs::Permissions::from_mode(mode)).unwrap();
        let seen = path_fact_as(&bytes(&inside), uid).unwrap();
        assert_eq!(
            (&seen.found, seen.blind.len()),
            (&expect, usize::from(uid == 54321)),
            "{mode:o} {group} {uid}"
        );
        assert_eq!(path_fact_as(&bytes(&taken), uid).unwrap().found, *beside, "{mode:o} {group} {uid}");
        // The proof: that user's own bind(2).
        let answer = std::thread::scope(|scope| scope.spawn(|| bind_as(uid, &inside)).join().unwrap());
        let errno = (expect != PathFact::Absent).then(|| rustix::io::Errno::ACCESS.raw_os_error());
        assert_eq!(answer, errno, "{mode:o} {group} {uid}");
        let _ = fs::remove_file(&inside);
    };
    for uid in [1, 54321] {
        check(0o700, 0, uid, PathFact::NotSearchable, &PathFact::NotSearchable);
        check(0o755, 0, uid, PathFact::AbsentUnwritable, &exists);
        check(0o777, 0, uid, PathFact::Absent, &exists);
    }
    check(0o770, 1, 1, PathFact::Absent, &exists);
    check(0o750, 1, 1, PathFact::AbsentUnwritable, &exists);
    check(0o770, 1, 54321, PathFact::NotSearchable, &PathFact::NotSearchable);
    // The caller is who it was.
    assert!(rustix::process::geteuid().is_root());
    assert_eq!(path_fact(&bytes(&inside)), PathFact::Absent);
    Ok(())
}

/// This thread becomes that user, whose only group has the same number, and binds.
fn bind_as(uid: u32, path: &Path) -> Option<i32> {
    use rustix::process::{Gid, Uid};
    let (user, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(uid)));
    rustix::thread::set_thread_groups(&[]).unwrap();
    rustix::thread::set_thread_res_gid(group, group, group).unwrap();
    rustix::thread::set_thread_res_uid(user, user, user).unwrap();
    UnixListener::bind(path).err().and_then(|error| error.raw_os_error())
}

fn paths() -> Result<(), Missing> {
    let directory = Directory::new("paths");
    let file = |name: &str| directory.file(name);
    fs::write(file("regular"), "").unwrap();
    fs::create_dir(file("directory")).unwrap();
    drop(UnixListener::bind(file("stale")).unwrap());
    rustix::fs::mknodat(rustix::fs::CWD, file("fifo"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    symlink("regular", file("link")).unwrap();
    symlink("nowhere", file("dangling")).unwrap();
    symlink("loop", file("loop")).unwrap();

    // What a bind(2) then answers is the proof; it makes no file, for each of these refuses.
    let check = |path: &Path, expect: Result<FileKind, PathFact>, errno: &str| {
        let found = match path_fact(path.as_os_str().as_bytes()) {
            PathFact::Exists { kind, .. } => Ok(kind),
            other => Err(other),
        };
        assert_eq!(found, expect, "{path:?}");
        let answer = UnixListener::bind(path).map(drop).map_err(|error| error.raw_os_error());
        let answer = answer.map_or_else(
            |raw| format!("{:?}", rustix::io::Errno::from_raw_os_error(raw.unwrap())),
            |()| "ok".into(),
        );
        let expected = match errno {
            "ok" => "ok".to_owned(),
            "EADDRINUSE" => format!("{:?}", rustix::io::Errno::ADDRINUSE),
            "ENOENT" => format!("{:?}", rustix::io::Errno::NOENT),
            "ENOTDIR" => format!("{:?}", rustix::io::Errno::NOTDIR),
            "ELOOP" => format!("{:?}", rustix::io::Errno::LOOP),
            other => panic!("{other}"),
        };
        assert_eq!(answer, expected, "{path:?}");
    };
    check(&file("regular"), Ok(FileKind::Regular), "EADDRINUSE");
    check(&file("directory"), Ok(FileKind::Directory), "EADDRINUSE");
    check(&file("directory/."), Ok(FileKind::Directory), "EADDRINUSE");
    check(&file("stale"), Ok(FileKind::Socket), "EADDRINUSE");
    check(&file("fifo"), Ok(FileKind::Fifo), "EADDRINUSE");
    check(&file("link"), Ok(FileKind::Symlink), "EADDRINUSE");
    check(&file("dangling"), Ok(FileKind::DanglingSymlink), "EADDRINUSE");
    check(&file("loop"), Ok(FileKind::DanglingSymlink), "EADDRINUSE");
    check(Path::new("/dev/null"), Ok(FileKind::Device), "EADDRINUSE");
    check(&file("missing/socket"), Err(PathFact::NoDirectory), "ENOENT");
    check(&file("missing/"), Err(PathFact::NoDirectory), "ENOENT");
    check(&file("regular/socket"), Err(PathFact::NotADirectory), "ENOTDIR");
    check(&file("loop/socket"), Err(PathFact::TooManyLinks), "ELOOP");
    check(&file("absent"), Err(PathFact::Absent), "ok");

    assert_eq!(absolute(b"/x").unwrap(), b"/x");
    let here = std::env::current_dir().unwrap().join("x/y");
    assert_eq!(absolute(b"x/y").unwrap(), here.as_os_str().as_bytes());
    permissions(&directory)
}

/// Permissions bind whoever is not root: a thread that gives up root's right to pass them by.
fn permissions(directory: &Directory) -> Result<(), Missing> {
    fs::create_dir(directory.file("locked")).unwrap();
    fs::create_dir(directory.file("sealed")).unwrap();
    fs::set_permissions(directory.file("locked"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(directory.file("sealed"), fs::Permissions::from_mode(0o555)).unwrap();
    let [locked, sealed] = ["locked/socket", "sealed/socket"].map(|name| directory.file(name));
    let facts = std::thread::spawn(move || {
        crate::stage::give_up_capabilities();
        [locked, sealed].map(|path| path_fact(path.as_os_str().as_bytes()))
    });
    assert_eq!(facts.join().unwrap(), [PathFact::NotSearchable, PathFact::AbsentUnwritable]);
    Ok(())
}

/// /proc/sys grants nobody to write in its directories.
fn takes_no_files() -> Result<(), Missing> {
    assert_eq!(path_fact(b"/proc/sys/net/socket"), PathFact::AbsentUnwritable);
    Ok(())
}

fn read_only() -> Result<(), Missing> {
    crate::stage::enter_fresh_mounts()?;
    crate::stage::mount(&format!("-t tmpfs one {}", crate::scratch::scratch_root().display()))?;
    let directory = Directory::new("read-only");
    for name in ["writable", "sealed"] {
        fs::create_dir(directory.file(name)).unwrap();
    }
    drop(UnixListener::bind(directory.file("writable/stale")).unwrap());
    fs::set_permissions(directory.file("sealed"), fs::Permissions::from_mode(0o555)).unwrap();
    crate::stage::mount(&format!("-o remount,ro {}", crate::scratch::scratch_root().display()))?;
    let asked = std::thread::spawn(move || {
        crate::stage::give_up_capabilities();
        ["writable/new", "sealed/new", "writable/stale", "missing/new"].map(|name| {
            let path = directory.file(name);
            let answer = UnixListener::bind(&path).unwrap_err().raw_os_error();
            (path_fact(path.as_os_str().as_bytes()), rustix::io::Errno::from_raw_os_error(answer.unwrap()))
        })
    });
    let [writable, sealed, stale, missing] = asked.join().unwrap();
    assert_eq!(writable, (PathFact::ReadOnly, rustix::io::Errno::ROFS));
    assert_eq!(sealed, (PathFact::ReadOnly, rustix::io::Errno::ROFS));
    assert!(matches!(stale, (PathFact::Exists { .. }, rustix::io::Errno::ADDRINUSE)), "{stale:?}");
    assert_eq!(missing, (PathFact::NoDirectory, rustix::io::Errno::NOENT));
    Ok(())
}

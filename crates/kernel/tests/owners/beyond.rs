//! Sockets that are in no table: in flight, registered with an io_uring.

use crate::stage::stage;
use crate::tables::{held, owner_of};
use crate::{Ran, Test};
use inuse_kernel::owners::{self, FindOptions, Wanted};
use inuse_rules::Ownership;

pub(crate) const TESTS: &[Test] = &[
    ("beyond::a_descriptor_in_flight_is_proven", a_descriptor_in_flight_is_proven),
    ("beyond::a_descriptor_that_cannot_be_peeked_is_one_of", a_descriptor_that_cannot_be_peeked_is_one_of),
    ("beyond::looking_takes_nothing_from_the_queue", looking_takes_nothing_from_the_queue),
    ("beyond::looking_leaves_the_peek_offset_alone", looking_leaves_the_peek_offset_alone),
    ("beyond::looking_keeps_no_descriptor", looking_keeps_no_descriptor),
    ("beyond::a_file_registered_with_an_io_uring", a_file_registered_with_an_io_uring),
    ("beyond::a_call_on_a_closed_descriptor_is_suspected", a_call_on_a_closed_descriptor_is_suspected),
];

fn a_descriptor_in_flight_is_proven() -> Ran {
    for how in ["stream", "datagram", "seqpacket", "behind-data", "nested"] {
        let staged = stage(&["flight", how])?;
        // Only the end that would receive it, though the process has both.
        let expect = Ownership::InFlight { carriers: vec![held(&staged)], proven: true };
        assert_eq!(owner_of(staged.said.number("inode")), expect, "{how}");
    }
    Ok(())
}

fn a_descriptor_that_cannot_be_peeked_is_one_of() -> Ran {
    for how in ["second-message", "peek-offset", "unaccepted"] {
        let staged = stage(&["flight", how])?;
        let owner = owner_of(staged.said.number("inode"));
        let Ownership::InFlight { carriers, proven: false } = owner else { panic!("{how}: {owner:?}") };
        // Other programs on this machine may have descriptors in flight as well.
        assert!(carriers.contains(&held(&staged)), "{how}: {carriers:?}");
    }
    Ok(())
}

fn looking_takes_nothing_from_the_queue() -> Ran {
    let mut staged = stage(&["flight", "stream"])?;
    let inode = staged.said.number("inode");
    owner_of(inode);
    owner_of(inode);
    let received = staged.tell("receive");
    assert_eq!((received.number::<usize>("bytes"), received.number::<u64>("inodes")), (1, inode));
    Ok(())
}

fn looking_leaves_the_peek_offset_alone() -> Ran {
    let mut staged = stage(&["flight", "peek-offset"])?;
    owner_of(staged.said.number("inode"));
    assert_eq!(staged.tell("receive").number::<i32>("offset"), 0);
    Ok(())
}

fn looking_keeps_no_descriptor() -> Ran {
    let mut staged = stage(&["flight", "stream"])?;
    let inode: u64 = staged.said.number("inode");
    owner_of(inode);
    let link = format!("socket:[{inode}]");
    for entry in std::fs::read_dir("/proc/self/fd").expect("our own table").flatten() {
        // Other tests open and close descriptors meanwhile.
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        assert_ne!(target.to_string_lossy(), link);
    }
    // Received and closed by its carrier, it is gone: nothing else kept it open.
    assert_eq!(staged.tell("receive").number::<u64>("inodes"), inode);
    assert!(!matches!(owner_of(inode), Ownership::Held(_) | Ownership::InFlight { proven: true, .. }));
    Ok(())
}

fn a_file_registered_with_an_io_uring() -> Ran {
    let staged = stage(&["ring"])?;
    assert_eq!(owner_of(staged.said.number("inode")), Ownership::IoUring(vec![held(&staged)]));
    Ok(())
}

fn a_call_on_a_closed_descriptor_is_suspected() -> Ran {
    let staged = stage(&["accepting"])?;
    let wanted =
        Wanted { inode: staged.said.number("inode"), uid: Some(rustix::process::geteuid().as_raw()) };
    let seen = owners::find(&[wanted], &FindOptions::default());
    assert!(matches!(
        seen.found[&wanted.inode],
        Ownership::Hidden | Ownership::InFlight { proven: false, .. }
    ));
    let what = format!(
        "what thread {} of process {} waits for: its call is on descriptor {}, which",
        staged.said.text("tid"),
        staged.pid(),
        staged.said.text("fd")
    );
    assert!(seen.blind.iter().any(|blind| blind.what.starts_with(&what)), "{:?}", seen.blind);
    Ok(())
}

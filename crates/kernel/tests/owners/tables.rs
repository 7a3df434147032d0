//! Sockets in tables of open files: of processes, and of single threads.

use crate::stage::{Staged, stage};
use crate::{Ran, Test};
use inuse_kernel::owners::{self, FindOptions, Road, Wanted};
use inuse_kernel::process;
use inuse_rules::owner::NoOwner;
use inuse_rules::{Holding, Ownership};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = &[
    ("tables::every_descriptor_of_a_process_is_named", every_descriptor_of_a_process_is_named),
    ("tables::every_holder_of_one_socket_is_found", every_holder_of_one_socket_is_found),
    ("tables::a_thread_with_a_table_of_its_own", a_thread_with_a_table_of_its_own),
    ("tables::a_process_whose_main_thread_has_ended", a_process_whose_main_thread_has_ended),
    ("tables::several_sockets_in_one_walk", several_sockets_in_one_walk),
    ("tables::close_on_exec_is_read_only_when_asked", close_on_exec_is_read_only_when_asked),
    ("tables::a_search_without_time_says_so", a_search_without_time_says_so),
    ("tables::what_exists_no_more_has_nobody", what_exists_no_more_has_nobody),
];

/// Who owns a socket, when everything is asked for; both roads must say the same.
pub(crate) fn owner_of(inode: u64) -> Ownership {
    let uid = Some(rustix::process::geteuid().as_raw());
    let [seen, again] = [Road::Proc, Road::Iterator]
        .map(|road| owners::find(&[Wanted { inode, uid }], &FindOptions { road, ..FindOptions::default() }));
    assert_eq!(seen.found.len(), 1);
    assert_eq!(seen.found, again.found);
    seen.found.into_values().next().expect("one answer")
}

pub(crate) fn held(staged: &Staged) -> Holding {
    let fds = vec![staged.said.number("fd")];
    Holding { pid: staged.pid(), tid: None, fds, cloexec: None }
}

fn every_descriptor_of_a_process_is_named() -> Ran {
    let staged = stage(&["listen"])?;
    let fds = vec![staged.said.number("fd"), staged.said.number("again")];
    let expect = Holding { pid: staged.pid(), tid: None, fds, cloexec: Some(true) };
    assert_eq!(owner_of(staged.said.number("inode")), Ownership::Held(vec![expect]));
    Ok(())
}

fn every_holder_of_one_socket_is_found() -> Ran {
    let staged = stage(&["inherited"])?;
    let parent = Holding { cloexec: Some(false), ..held(&staged) };
    let child = Holding { pid: staged.said.number("child"), ..parent.clone() };
    let mut expect = vec![parent, child];
    expect.sort_by_key(|holding| holding.pid);
    assert_eq!(owner_of(staged.said.number("inode")), Ownership::Held(expect));
    Ok(())
}

fn a_thread_with_a_table_of_its_own() -> Ran {
    let staged = stage(&["thread"])?;
    let expect = Holding { tid: Some(staged.said.number("tid")), cloexec: Some(true), ..held(&staged) };
    assert_eq!(owner_of(staged.said.number("inode")), Ownership::Held(vec![expect.clone()]));

    let options = inuse_kernel::options::read(&expect, staged.said.number("inode"), None);
    assert!(options.as_ref().is_ok_and(|options| options.reuseaddr), "{options:?}");
    Ok(())
}

fn a_process_whose_main_thread_has_ended() -> Ran {
    let staged = stage(&["main-exited"])?;
    let start = Instant::now();
    while process::read(staged.pid()).expect("it lives on").state != b'Z' {
        assert!(start.elapsed() < Duration::from_secs(10), "the main thread did not end");
        std::thread::sleep(Duration::from_millis(1));
    }
    let owner = owner_of(staged.said.number("inode"));
    let Ownership::Held(holdings) = &owner else { panic!("{owner:?}") };
    // The two threads that are left share one table, which counts once.
    let [holding] = &holdings[..] else { panic!("{owner:?}") };
    assert_eq!((holding.pid, &holding.fds), (staged.pid(), &held(&staged).fds));
    assert!(holding.tid.is_some_and(|tid| tid != staged.pid()), "{owner:?}");
    Ok(())
}

fn several_sockets_in_one_walk() -> Ran {
    let (one, two) = (stage(&["listen"])?, stage(&["thread"])?);
    let inodes: Vec<u64> = [&one, &two].map(|staged| staged.said.number("inode")).to_vec();
    let wanted: Vec<Wanted> =
        [inodes[0], 0, inodes[1], inodes[0]].map(|inode| Wanted { inode, uid: None }).to_vec();
    let found = owners::find(&wanted, &FindOptions::default()).found;
    assert_eq!(found.len(), 2, "no answer for inode 0, one for each other: {found:?}");
    for (inode, staged) in inodes.iter().zip([&one, &two]) {
        assert_eq!(found[inode].holdings()[0].pid, staged.pid());
    }
    Ok(())
}

fn close_on_exec_is_read_only_when_asked() -> Ran {
    let (process, thread) = (stage(&["listen"])?, stage(&["thread"])?);
    // A thread's table, which /proc shows in the second step, the iterator shows in the first.
    let road = Road::Proc;
    let options = FindOptions { cloexec: false, beyond_processes: false, road, ..FindOptions::default() };
    let [one, two] = [&process, &thread].map(|staged| staged.said.number("inode"));
    let wanted = [one, two].map(|inode| Wanted { inode, uid: None });
    let found = owners::find(&wanted, &options).found;
    assert_eq!(found[&one].holdings()[0].cloexec, None);
    assert!(matches!(found[&two], Ownership::NotAsked | Ownership::Hidden), "{found:?}");
    Ok(())
}

fn a_search_without_time_says_so() -> Ran {
    let staged = stage(&["listen"])?;
    let inode = staged.said.number("inode");
    let options = FindOptions { deadline: Some(Instant::now()), ..FindOptions::default() };
    let seen = owners::find(&[Wanted { inode, uid: None }], &options);
    assert_eq!(seen.found[&inode], Ownership::NotAsked);
    let said: Vec<&str> = seen.blind.iter().map(|spot| spot.what.as_str()).collect();
    assert!(said.iter().any(|what| what.ends_with("not searched when the time was over")), "{said:?}");

    // Time enough changes nothing.
    let deadline = Some(Instant::now() + Duration::from_secs(600));
    let seen = owners::find(&[Wanted { inode, uid: None }], &FindOptions { deadline, ..options });
    assert_eq!((seen.found[&inode].holdings().len(), seen.blind), (1, vec![]));
    Ok(())
}

fn what_exists_no_more_has_nobody() -> Ran {
    let inode = {
        let staged = stage(&["listen"])?;
        staged.said.number("inode")
    };
    match owner_of(inode) {
        Ownership::Nobody(NoOwner::Kernel | NoOwner::OtherPidNamespace) => Ok(()),
        // Not every table can be read here, or some other program has descriptors in flight just now.
        Ownership::Hidden | Ownership::InFlight { proven: false, .. } => Ok(()),
        other => panic!("{other:?}"),
    }
}

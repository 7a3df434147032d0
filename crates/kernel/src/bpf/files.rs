//! The program that names every descriptor of the sockets asked for, of every task, and the record that it
//! writes.
//!
//! Pure, like `tcp`: places come from BTF, the program is instructions, a record is bytes. Follows
//! kernel/bpf/task_iter.c: the iterator shows each table of open files once for its process, and again for
//! each thread that does not share the table of the process's main thread.
//!
//! The program looks at a file's inode number first, which settles nearly every file in two loads. Numbers
//! of other file systems may be the same, so what matches must also lie in sockfs.
//!
//! Kernels from 6.9 on take a quicker program (`tables`), which writes the same record.

use super::asm::{Fetch, Mark, Program, Reg, Width};
use super::btf::{Btf, Kind};
use super::{member, write_record};
use crate::netlink::wire::{u32_at, u64_at};

/// Bytes in a record.
pub(super) const RECORD: usize = 32;
/// `SOCKFS_MAGIC` of include/uapi/linux/magic.h.
pub(super) const SOCKFS: i32 = 0x534f_434b;
/// So many inodes are compared one by one; more are halved first.
const ONE_BY_ONE: usize = 4;

/// Where this kernel keeps what the program reads.
pub(super) struct Layout {
    /// The function that an iterator over open files is attached to.
    pub(super) attach: u32,
    /// In the program's context, `struct bpf_iter__task_file`.
    meta: Fetch,
    task: Fetch,
    fd: Fetch,
    file: Fetch,
    /// In `struct bpf_iter_meta`: where the program's output goes.
    output: Fetch,
    /// In `struct task_struct`.
    process: Fetch,
    thread: Fetch,
    table: Fetch,
    /// In `struct file`, `struct inode` and `struct super_block`.
    inode: Fetch,
    number: Fetch,
    system: Fetch,
    magic: Fetch,
}

impl Layout {
    /// Finds it; where it is not there, says what is missing.
    pub(super) fn find(btf: &mut Btf<'_>) -> Result<Layout, &'static str> {
        let found = btf.find([
            (Kind::Struct, "bpf_iter__task_file"),
            (Kind::Struct, "bpf_iter_meta"),
            (Kind::Struct, "task_struct"),
            (Kind::Struct, "file"),
            (Kind::Struct, "inode"),
            (Kind::Struct, "super_block"),
            (Kind::Func, "bpf_iter_task_file"),
        ]);
        let [Some(context), Some(meta), Some(task), Some(file), Some(inode), Some(system), Some(attach)] =
            found
        else {
            return Err("an iterator over open files");
        };
        let [in_meta, in_task, in_fd, in_file] = btf.members(context, ["meta", "task", "fd", "file"]);
        let [output] = btf.members(meta, ["seq"]);
        let [process, thread, table] = btf.members(task, ["tgid", "pid", "files"]);
        let [in_inode] = btf.members(file, ["f_inode"]);
        let [number, in_system] = btf.members(inode, ["i_ino", "i_sb"]);
        let [magic] = btf.members(system, ["s_magic"]);
        Ok(Layout {
            attach,
            meta: member(in_meta, 64, "meta")?,
            task: member(in_task, 64, "task")?,
            fd: member(in_fd, 32, "fd")?,
            file: member(in_file, 64, "file")?,
            output: member(output, 64, "seq")?,
            process: member(process, 32, "tgid")?,
            thread: member(thread, 32, "pid")?,
            table: member(table, 64, "files")?,
            inode: member(in_inode, 64, "f_inode")?,
            number: member(number, 0, "i_ino")?,
            system: member(in_system, 64, "i_sb")?,
            magic: member(magic, 0, "s_magic")?,
        })
    }

    /// The program that writes a record for each descriptor of a socket with one of these inodes, which are
    /// sorted; of any socket, where there are none. Only the lower half of an inode is compared: sockfs
    /// has no more (`get_next_ino`).
    pub(super) fn program(&self, inodes: &[u32]) -> Vec<[u8; 8]> {
        let (context, task, file) = (Reg::R6, Reg::R7, Reg::R8);
        let mut program = Program::default();
        program.copy(context, Reg::R1);
        // After the last file the program runs once more, without one.
        program.fetch(file, context, self.file);
        program.end_if_zero(file);
        program.fetch(task, context, self.task);
        program.end_if_zero(task);
        program.fetch(Reg::R2, file, self.inode);
        program.fetch(Reg::R3, Reg::R2, self.number);
        if !inodes.is_empty() {
            let asked_for = program.mark();
            choose(&mut program, inodes, asked_for);
            program.here(asked_for);
        }
        program.fetch(Reg::R2, Reg::R2, self.system);
        program.fetch(Reg::R2, Reg::R2, self.magic);
        program.end_unless(Reg::R2, SOCKFS);
        let mut put = |from, fetch, at: i16, width| {
            if let Some(fetch) = fetch {
                program.fetch(Reg::R3, from, fetch);
            }
            program.store(Reg::Frame, at - RECORD as i16, Reg::R3, width);
        };
        put(Reg::R3, None, 0, Width::Double);
        put(task, Some(self.table), 8, Width::Double);
        put(task, Some(self.process), 16, Width::Word);
        put(task, Some(self.thread), 20, Width::Word);
        put(context, Some(self.fd), 24, Width::Double);
        program.fetch(Reg::R1, context, self.meta);
        program.fetch(Reg::R1, Reg::R1, self.output);
        write_record(&mut program, RECORD);
        program.finish()
    }
}

/// Goes to the mark for each of these numbers, and to the end for any other.
fn choose(program: &mut Program, inodes: &[u32], found: Mark) {
    let (low, high) = inodes.split_at(inodes.len() / 2);
    match low.last() {
        Some(&middle) if inodes.len() > ONE_BY_ONE => {
            let above = program.mark();
            program.go_if_low_is_above(Reg::R3, middle, above);
            choose(program, low, found);
            program.here(above);
            choose(program, high, found);
        }
        _ => {
            for &inode in inodes {
                program.go_if_low_is(Reg::R3, inode, found);
            }
            program.end();
        }
    }
}

/// A descriptor of a socket, as the iterator shows it. Ids are those of the first pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OpenSocket {
    /// The process (`tgid`).
    pub(crate) pid: u32,
    /// Which table of open files: the same number for tasks that share one. Means nothing else.
    pub(crate) table: u64,
    /// The task (`pid`), the same as the process for its main thread.
    pub(crate) tid: u32,
    /// The descriptor.
    pub(crate) fd: u32,
    /// The socket's inode.
    pub(crate) inode: u64,
}

/// Reads a record.
pub(super) fn read(record: &[u8]) -> Option<OpenSocket> {
    Some(OpenSocket {
        inode: u64_at(record, 0)?,
        table: u64_at(record, 8)?,
        pid: u32_at(record, 16)?,
        tid: u32_at(record, 20)?,
        fd: u32::try_from(u64_at(record, 24)?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&7u64.to_ne_bytes());
        record[8..16].copy_from_slice(&u64::MAX.to_ne_bytes());
        record[16..20].copy_from_slice(&100u32.to_ne_bytes());
        record[20..24].copy_from_slice(&101u32.to_ne_bytes());
        record[24..].copy_from_slice(&3u64.to_ne_bytes());
        let expect = OpenSocket { inode: 7, table: u64::MAX, pid: 100, tid: 101, fd: 3 };
        assert_eq!(read(&record), Some(expect));
        assert_eq!(read(&record[..31]), None);
        record[24..].fill(0xff);
        assert_eq!(read(&record), None, "no descriptor has such a number");
    }
}

//! The program that looks through every table of open files by itself: it runs once for each task and reads the
//! table as an array, where the kernel's own iterator over files (`files`) takes and drops a reference to each
//! file. That makes it several times as quick. It needs a loop, which the verifier accepts since Linux 6.9.
//!
//! It runs under RCU and without a lock, so a table may change or go while it is read. Every read of it goes
//! through `bpf_probe_read_kernel`, which cannot fault; and what was found is looked at again: the descriptor
//! must still be that file, and the table still the task's.
//! Follows include/linux/fdtable.h and kernel/bpf/task_iter.c.
//!
//! Loading it takes less than a millisecond only because it follows no pointer by a plain load: of each of those
//! the verifier looks up by name, in all types of the kernel, whether it may be trusted.
//!
//! Not here: the record and its reader, which both programs share (`files`).

use super::asm::{Fetch, Mark, Program, Reg, Width};
use super::btf::{Btf, Kind};
use super::files::{RECORD, SOCKFS};
use super::{Part, member, write_record};
use crate::sys::bpf as sys;
use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::io::Errno;

/// The helper `bpf_probe_read_kernel`.
const READ_KERNEL: i32 = 113;
/// Bits in the filter for each inode that is asked for: so few others pass.
const BITS_EACH: usize = 64;
/// Bytes in a filter, a power of two.
const FILTER: std::ops::RangeInclusive<usize> = 64..=256 * 1024;
/// Bytes before them: where the operations of a socket's file are, once the first socket was met.
const KNOWN: usize = 8;

/// On the stack, below the record: what a read brings, and what the loop must not lose.
const READ: i16 = -(RECORD as i16) - 8;
const OUTPUT: i16 = READ - 8;
const TASK: i16 = OUTPUT - 8;
const FILE: i16 = TASK - 8;
const OPERATIONS: i16 = FILE - 8;

/// Where this kernel keeps what the program reads.
pub(super) struct Layout {
    /// The function that an iterator over tasks is attached to.
    pub(super) attach: u32,
    /// In the program's context, `struct bpf_iter__task`.
    meta: Fetch,
    task: Fetch,
    /// In `struct bpf_iter_meta`: where the program's output goes.
    output: Fetch,
    /// In `struct task_struct`.
    process: Fetch,
    thread: Fetch,
    leader: Fetch,
    files: Fetch,
    /// In `struct files_struct` and `struct fdtable`.
    table: Fetch,
    most: Fetch,
    array: Fetch,
    /// In `struct file`, `struct inode` and `struct super_block`.
    operations: Fetch,
    inode: Fetch,
    number: Fetch,
    system: Fetch,
    magic: Fetch,
}

impl Layout {
    /// Finds it; where it is not there, says what is missing.
    pub(super) fn find(btf: &mut Btf<'_>) -> Result<Layout, &'static str> {
        let found = btf.find([
            (Kind::Struct, "bpf_iter__task"),
            (Kind::Struct, "bpf_iter_meta"),
            (Kind::Struct, "task_struct"),
            (Kind::Struct, "files_struct"),
            (Kind::Struct, "fdtable"),
            (Kind::Struct, "file"),
            (Kind::Struct, "inode"),
            (Kind::Struct, "super_block"),
            (Kind::Func, "bpf_iter_task"),
        ]);
        let [context, meta, task, files, table, file, inode, system, attach] =
            found.map(|id| id.ok_or("an iterator over tasks"));
        let [in_meta, in_task] = btf.members(context?, ["meta", "task"]);
        let [output] = btf.members(meta?, ["seq"]);
        let [process, thread, leader, in_files] =
            btf.members(task?, ["tgid", "pid", "group_leader", "files"]);
        let [in_table] = btf.members(files?, ["fdt"]);
        let [most, array] = btf.members(table?, ["max_fds", "fd"]);
        let [in_operations, in_inode] = btf.members(file?, ["f_op", "f_inode"]);
        let [number, in_system] = btf.members(inode?, ["i_ino", "i_sb"]);
        let [magic] = btf.members(system?, ["s_magic"]);
        Ok(Layout {
            attach: attach?,
            meta: member(in_meta, 64, "meta")?,
            task: member(in_task, 64, "task")?,
            output: member(output, 64, "seq")?,
            process: member(process, 32, "tgid")?,
            thread: member(thread, 32, "pid")?,
            leader: member(leader, 64, "group_leader")?,
            files: member(in_files, 64, "files")?,
            table: member(in_table, 64, "fdt")?,
            most: member(most, 32, "max_fds")?,
            array: member(array, 64, "fd")?,
            operations: member(in_operations, 64, "f_op")?,
            inode: member(in_inode, 64, "f_inode")?,
            number: member(number, 0, "i_ino")?,
            system: member(in_system, 64, "i_sb")?,
            magic: member(magic, 0, "s_magic")?,
        })
    }

    /// The program that writes a record for each descriptor of a socket that passes the filter. A record without
    /// an inode says that a table was not read to its end. Of the processes it takes this part.
    pub(super) fn program(&self, filter: &Filter, part: Part) -> Vec<[u8; 8]> {
        let mut program = Program::default();
        let (fd, array, most, inode) = (Reg::R6, Reg::R7, Reg::R8, Reg::R9);
        let (own, again, next, given_up) = (program.mark(), program.mark(), program.mark(), program.mark());
        let socket = program.mark();

        let (context, task, files) = (Reg::R6, Reg::R7, Reg::R8);
        program.copy(context, Reg::R1);
        // After the last task the program runs once more, without one; a kernel thread has no table.
        program.fetch(task, context, self.task);
        program.end_if_zero(task);
        program.fetch(Reg::R2, task, self.process);
        program.keep(Reg::R2, part.mask);
        program.end_unless(Reg::R2, part.rest);
        read(&mut program, files, task, self.files);
        program.end_if_zero(files);
        // A table that a thread shares with its process is the process's.
        program.fetch(Reg::R2, task, self.process);
        program.fetch(Reg::R3, task, self.thread);
        program.store(Reg::Frame, 16 - RECORD as i16, Reg::R2, Width::Word);
        program.store(Reg::Frame, 20 - RECORD as i16, Reg::R3, Width::Word);
        program.go_if_same(Reg::R2, Reg::R3, own);
        read(&mut program, Reg::R2, task, self.leader);
        read(&mut program, Reg::R2, Reg::R2, self.files);
        program.end_if_same(Reg::R2, files);
        program.here(own);
        program.store(Reg::Frame, 8 - RECORD as i16, files, Width::Double);
        program.store(Reg::Frame, TASK, task, Width::Double);
        program.fetch(Reg::R1, context, self.meta);
        program.fetch(Reg::R1, Reg::R1, self.output);
        program.store(Reg::Frame, OUTPUT, Reg::R1, Width::Double);
        read(&mut program, inode, files, self.table);
        read(&mut program, most, inode, self.most);
        read(&mut program, array, inode, self.array);
        // Where that worked it is 0, and else so large that the loop ends at once. The verifier tells loops
        // apart by what it knows, so a number that it knows nothing of is a good beginning.
        program.copy(fd, Reg::R0);

        program.here(again);
        program.or_give_up(given_up);
        program.end_unless_below(fd, most);
        slot(&mut program, inode, array, fd);
        program.go_if(inode, 0, next);
        program.store(Reg::Frame, FILE, inode, Width::Double);
        // No file but a socket's has these operations (`socket_file_ops`). A file's inode lies elsewhere in memory,
        // and to fetch it takes longer than everything else here.
        read(&mut program, Reg::R3, inode, self.operations);
        program.value_of(Reg::R1, filter.map.as_raw_fd());
        program.load(Reg::R2, Reg::R1, 0, Width::Double);
        program.go_if_same(Reg::R2, Reg::R3, socket);
        program.go_unless(Reg::R2, 0, next);
        program.store(Reg::Frame, OPERATIONS, Reg::R3, Width::Double);
        read(&mut program, inode, inode, self.inode);
        self.go_unless_in_sockfs(&mut program, inode, next);
        program.value_of(Reg::R1, filter.map.as_raw_fd());
        program.load(Reg::R2, Reg::Frame, OPERATIONS, Width::Double);
        program.store(Reg::R1, 0, Reg::R2, Width::Double);
        program.load(inode, Reg::Frame, FILE, Width::Double);

        program.here(socket);
        read(&mut program, inode, inode, self.inode);
        read(&mut program, Reg::R3, inode, self.number);
        // The bit of that number.
        program.value_of(Reg::R1, filter.map.as_raw_fd());
        program.add(Reg::R1, KNOWN as i32);
        program.copy(Reg::R2, Reg::R3);
        program.shift_right(Reg::R2, 3);
        program.keep(Reg::R2, filter.mask);
        program.add_register(Reg::R1, Reg::R2);
        program.load(Reg::R1, Reg::R1, 0, Width::Byte);
        program.copy(Reg::R2, Reg::R3);
        program.keep(Reg::R2, 7);
        program.shift_right_by(Reg::R1, Reg::R2);
        program.keep(Reg::R1, 1);
        program.go_if(Reg::R1, 0, next);

        program.store(Reg::Frame, -(RECORD as i16), Reg::R3, Width::Double);
        self.go_unless_in_sockfs(&mut program, inode, next);
        slot(&mut program, Reg::R3, array, fd);
        program.load(Reg::R2, Reg::Frame, FILE, Width::Double);
        program.go_unless_same(Reg::R3, Reg::R2, next);
        program.load(Reg::R1, Reg::Frame, TASK, Width::Double);
        read(&mut program, Reg::R1, Reg::R1, self.files);
        program.load(Reg::R2, Reg::Frame, 8 - RECORD as i16, Width::Double);
        program.go_unless_same(Reg::R1, Reg::R2, next);
        write(&mut program, fd);
        program.here(next);
        program.add(fd, 1);
        program.again(again);

        program.here(given_up);
        program.clear(Reg::Frame, -(RECORD as i16));
        write(&mut program, fd);
        program.finish()
    }

    /// Goes to the mark unless that inode, which is lost, is a socket's.
    fn go_unless_in_sockfs(&self, program: &mut Program, inode: Reg, to: Mark) {
        read(program, inode, inode, self.system);
        read(program, Reg::R3, inode, self.magic);
        program.go_unless(Reg::R3, SOCKFS, to);
    }
}

/// Which inodes are asked for: a bit for each number, in a map that the program reads. Some more have the same
/// bit. Only the lower half of an inode counts: sockfs has no more (`get_next_ino`).
pub(super) struct Filter {
    map: OwnedFd,
    /// What is kept of the number of a byte.
    mask: i32,
}

impl Filter {
    pub(super) fn new(inodes: impl ExactSizeIterator<Item = u64>) -> Result<Filter, Errno> {
        let bytes = inodes.len().saturating_mul(BITS_EACH / 8);
        let bytes = bytes.clamp(*FILTER.start(), *FILTER.end()).next_power_of_two();
        let mut value = vec![0u8; KNOWN + bytes];
        let (_, bits) = value.split_at_mut(KNOWN);
        for inode in inodes {
            let byte = (inode >> 3) as usize & (bytes - 1);
            bits[byte] |= 1 << (inode & 7);
        }
        Ok(Filter { map: sys::array_of_one(&value)?, mask: (bytes - 1) as i32 })
    }
}

/// `to =` the file in that place of the array, 0 where none is there.
fn slot(program: &mut Program, to: Reg, array: Reg, fd: Reg) {
    program.copy(Reg::R3, fd);
    program.shift_left(Reg::R3, 3);
    program.add_register(Reg::R3, array);
    read_from_r3(program, Width::Double);
    program.load(to, Reg::Frame, READ, Width::Double);
}

/// `to =` that member of the structure whose address is in `from`; 0 where there is no memory.
fn read(program: &mut Program, to: Reg, from: Reg, fetch: Fetch) {
    program.copy(Reg::R3, from);
    program.add(Reg::R3, fetch.offset.into());
    read_from_r3(program, fetch.width);
    program.load(to, Reg::Frame, READ, fetch.width);
    program.narrow(to, fetch);
}

fn read_from_r3(program: &mut Program, width: Width) {
    program.copy(Reg::R1, Reg::Frame);
    program.add(Reg::R1, READ.into());
    program.set(Reg::R2, (width.bits() / 8).cast_signed());
    program.call(READ_KERNEL);
}

/// Writes the record.
fn write(program: &mut Program, fd: Reg) {
    program.store(Reg::Frame, 24 - RECORD as i16, fd, Width::Double);
    program.load(Reg::R1, Reg::Frame, OUTPUT, Width::Double);
    write_record(program, RECORD);
}

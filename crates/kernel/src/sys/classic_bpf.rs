//! A classic BPF program as plain values, and as the kernel takes it: for a socket (`attach_filter`) and for
//! seccomp. What a program decides is written beside its use.

use rustix::io::Errno;

/// One instruction, `struct sock_filter` of include/uapi/linux/filter.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) jt: u8,
    pub(crate) jf: u8,
    pub(crate) k: u32,
}

/// The program as a call takes it by `struct sock_fprog`, which points into the vector: it must live longer.
pub(crate) struct Given(Vec<libc::sock_filter>);

impl Given {
    pub(crate) fn new(program: &[Instruction]) -> Given {
        let one = |one: &Instruction| libc::sock_filter { code: one.code, jt: one.jt, jf: one.jf, k: one.k };
        Given(program.iter().map(one).collect())
    }

    /// # Errors
    /// `EINVAL` for more instructions than its length can say.
    pub(crate) fn fprog(&mut self) -> Result<libc::sock_fprog, Errno> {
        let len = u16::try_from(self.0.len()).map_err(|_| Errno::INVAL)?;
        Ok(libc::sock_fprog { len, filter: self.0.as_mut_ptr() })
    }
}

//! Assembling a BPF program: the few instructions that an iterator needs, by name.
//!
//! The end returns 0: a program made here is a list of conditions, which lead there where they do not hold,
//! and of things to do where they do. Jumps lead to the end or to a [`Mark`], and only [`Program::again`] back.
//! Follows Documentation/bpf/standardization/instruction-set.rst.
//!
//! Not here: loading (`sys::bpf`), and any particular program (`tcp`, `files`).

use rustix::fd::RawFd;

/// A register. Calls return in `R0`, take their arguments in `R1` to `R5` and destroy those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reg {
    R0 = 0,
    R1 = 1,
    R2 = 2,
    R3 = 3,
    /// Kept across calls.
    R6 = 6,
    /// Kept across calls.
    R7 = 7,
    /// Kept across calls.
    R8 = 8,
    /// Kept across calls.
    R9 = 9,
    /// The end of the stack: 512 bytes lie below it. Cannot be written.
    Frame = 10,
}

/// How many bytes a load or store moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Byte,
    Half,
    Word,
    Double,
}

impl Width {
    const ALL: [Width; 4] = [Width::Byte, Width::Half, Width::Word, Width::Double];

    /// The width of that many bytes.
    pub(crate) fn of(bytes: usize) -> Option<Width> {
        Width::ALL.into_iter().find(|width| width.bits() as usize == bytes * 8)
    }

    pub(crate) const fn bits(self) -> u32 {
        match self {
            Width::Byte => 8,
            Width::Half => 16,
            Width::Word => 32,
            Width::Double => 64,
        }
    }

    /// `BPF_B` and its like.
    const fn code(self) -> u8 {
        match self {
            Width::Word => 0x00,
            Width::Half => 0x08,
            Width::Byte => 0x10,
            Width::Double => 0x18,
        }
    }
}

/// How to get some bits of a structure with one aligned load: what to load, how far to shift it to the
/// right, and how many bits to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fetch {
    pub(crate) offset: i16,
    pub(crate) width: Width,
    shift: u32,
    keep: u32,
}

impl Fetch {
    /// The load that covers these bits; `None` where none does, or none reaches that far.
    pub(crate) fn of(bit: u32, bits: u32) -> Option<Fetch> {
        let last = bit.checked_add(bits.checked_sub(1)?)?;
        let width = Width::ALL.into_iter().find(|width| bit / width.bits() == last / width.bits())?;
        // The mask is a number of 32 bits with a sign.
        if bits >= 32 && bits != width.bits() {
            return None;
        }
        let offset = i16::try_from(bit / width.bits() * (width.bits() / 8)).ok()?;
        let shift = match cfg!(target_endian = "big") {
            true => width.bits() - 1 - last % width.bits(),
            false => bit % width.bits(),
        };
        Some(Fetch { offset, width, shift, keep: bits })
    }
}

/// `struct bpf_insn`.
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    to: Reg,
    from: Reg,
    offset: i16,
    value: i32,
    /// Where a jump leads: its offset is not known yet.
    jumps: Option<Target>,
}

#[derive(Clone, Copy)]
enum Target {
    End,
    Mark(Mark),
}

/// A place in the program, which jumps may name before it is there.
#[derive(Clone, Copy)]
pub(crate) struct Mark(usize);

/// A program under construction.
#[derive(Default)]
pub(crate) struct Program {
    instructions: Vec<Instruction>,
    /// The instruction that each mark stands before; none yet: the end.
    marks: Vec<Option<usize>>,
}

impl Program {
    /// `to = from`.
    pub(crate) fn copy(&mut self, to: Reg, from: Reg) {
        self.push(0xbf, to, from, 0, 0);
    }

    /// `to = value`.
    pub(crate) fn set(&mut self, to: Reg, value: i32) {
        self.push(0xb7, to, Reg::R0, 0, value);
    }

    /// `to += value`.
    pub(crate) fn add(&mut self, to: Reg, value: i32) {
        self.push(0x07, to, Reg::R0, 0, value);
    }

    /// `to += from`.
    pub(crate) fn add_register(&mut self, to: Reg, from: Reg) {
        self.push(0x0f, to, from, 0, 0);
    }

    /// `to &= mask`.
    pub(crate) fn keep(&mut self, to: Reg, mask: i32) {
        self.push(0x57, to, Reg::R0, 0, mask);
    }

    /// `to >>= bits`.
    pub(crate) fn shift_right(&mut self, to: Reg, bits: i32) {
        self.push(0x77, to, Reg::R0, 0, bits);
    }

    /// `to >>= by`.
    pub(crate) fn shift_right_by(&mut self, to: Reg, by: Reg) {
        self.push(0x7f, to, by, 0, 0);
    }

    /// `to <<= bits`.
    pub(crate) fn shift_left(&mut self, to: Reg, bits: i32) {
        self.push(0x67, to, Reg::R0, 0, bits);
    }

    /// `to = *(width *)(from + offset)`, without sign.
    pub(crate) fn load(&mut self, to: Reg, from: Reg, offset: i16, width: Width) {
        self.push(0x61 | width.code(), to, from, offset, 0);
    }

    /// `*(width *)(to + offset) = from`.
    pub(crate) fn store(&mut self, to: Reg, offset: i16, from: Reg, width: Width) {
        self.push(0x63 | width.code(), to, from, offset, 0);
    }

    /// `*(u64 *)(to + offset) = 0`.
    pub(crate) fn clear(&mut self, to: Reg, offset: i16) {
        self.push(0x62 | Width::Double.code(), to, Reg::R0, offset, 0);
    }

    /// `to =` these bits of the structure at `from`.
    pub(crate) fn fetch(&mut self, to: Reg, from: Reg, fetch: Fetch) {
        self.load(to, from, fetch.offset, fetch.width);
        self.narrow(to, fetch);
    }

    /// Leaves in `to` those bits of what the load of `fetch` brought.
    pub(crate) fn narrow(&mut self, to: Reg, fetch: Fetch) {
        if fetch.shift > 0 {
            self.push(0x77, to, Reg::R0, 0, fetch.shift.cast_signed());
        }
        if fetch.shift + fetch.keep < fetch.width.bits() {
            self.push(0x57, to, Reg::R0, 0, (1 << fetch.keep) - 1);
        }
    }

    /// `to =` where the first value of that map stands: two instructions long.
    pub(crate) fn value_of(&mut self, to: Reg, map: RawFd) {
        // `BPF_PSEUDO_MAP_VALUE` stands in the place of a register.
        self.push(0x18, to, Reg::R2, 0, map);
        self.push(0, Reg::R0, Reg::R0, 0, 0);
    }

    /// Goes to the end where `value` is zero.
    pub(crate) fn end_if_zero(&mut self, value: Reg) {
        self.jump(0x15, value, 0, Target::End);
    }

    /// Goes to the end where `value` is another number.
    pub(crate) fn end_unless(&mut self, value: Reg, number: i32) {
        self.jump(0x55, value, number, Target::End);
    }

    /// Goes to the end.
    pub(crate) fn end(&mut self) {
        self.jump(0x05, Reg::R0, 0, Target::End);
    }

    /// A place to jump to, which [`Program::here`] puts somewhere.
    pub(crate) fn mark(&mut self) -> Mark {
        self.marks.push(None);
        Mark(self.marks.len() - 1)
    }

    /// Puts the mark before the next instruction.
    pub(crate) fn here(&mut self, mark: Mark) {
        if let Some(place) = self.marks.get_mut(mark.0) {
            *place = Some(self.instructions.len());
        }
    }

    /// Goes to the mark where the lower half of `value` is that number.
    pub(crate) fn go_if_low_is(&mut self, value: Reg, number: u32, to: Mark) {
        self.jump(0x16, value, number.cast_signed(), Target::Mark(to));
    }

    /// Goes to the mark where the lower half of `value` is a greater number.
    pub(crate) fn go_if_low_is_above(&mut self, value: Reg, number: u32, to: Mark) {
        self.jump(0x26, value, number.cast_signed(), Target::Mark(to));
    }

    /// Goes to the mark where `value` is that number.
    pub(crate) fn go_if(&mut self, value: Reg, number: i32, to: Mark) {
        self.jump(0x15, value, number, Target::Mark(to));
    }

    /// Goes to the mark where `value` is another number.
    pub(crate) fn go_unless(&mut self, value: Reg, number: i32, to: Mark) {
        self.jump(0x55, value, number, Target::Mark(to));
    }

    /// Goes to the mark where both are the same.
    pub(crate) fn go_if_same(&mut self, a: Reg, b: Reg, to: Mark) {
        self.compare(0x1d, a, b, Target::Mark(to));
    }

    /// Goes to the mark where they differ.
    pub(crate) fn go_unless_same(&mut self, a: Reg, b: Reg, to: Mark) {
        self.compare(0x5d, a, b, Target::Mark(to));
    }

    /// Goes to the end where both are the same.
    pub(crate) fn end_if_same(&mut self, a: Reg, b: Reg) {
        self.compare(0x1d, a, b, Target::End);
    }

    /// Goes to the end unless `a` is below `b`.
    pub(crate) fn end_unless_below(&mut self, a: Reg, b: Reg) {
        self.compare(0x3d, a, b, Target::End);
    }

    /// `may_goto` (Linux 6.9): goes on here for so long as the kernel lets a loop run, and then to the mark.
    /// Without one no loop is accepted whose end the verifier cannot see.
    pub(crate) fn or_give_up(&mut self, to: Mark) {
        self.jump(0xe5, Reg::R0, 0, Target::Mark(to));
    }

    /// Goes to the mark, which may stand further up.
    pub(crate) fn again(&mut self, to: Mark) {
        self.jump(0x05, Reg::R0, 0, Target::Mark(to));
    }

    /// `R0 = helper(R1, R2, …)`, by the helper's number in include/uapi/linux/bpf.h.
    pub(crate) fn call(&mut self, helper: i32) {
        self.push(0x85, Reg::R0, Reg::R0, 0, helper);
    }

    /// Adds the end, and gives the instructions as the kernel takes them.
    pub(crate) fn finish(mut self) -> Vec<[u8; 8]> {
        let end = self.instructions.len();
        self.set(Reg::R0, 0);
        self.push(0x95, Reg::R0, Reg::R0, 0, 0);
        let encode = |(at, instruction): (usize, Instruction)| {
            let offset = match instruction.jumps {
                Some(target) => {
                    let place = match target {
                        Target::End => end,
                        Target::Mark(mark) => self.marks.get(mark.0).copied().flatten().unwrap_or(end),
                    };
                    // One that leads too far is refused by the kernel.
                    i16::try_from(place.cast_signed() - at.cast_signed() - 1).unwrap_or(i16::MAX)
                }
                None => instruction.offset,
            };
            let (to, from) = (instruction.to as u8, instruction.from as u8);
            let registers = if cfg!(target_endian = "big") { to << 4 | from } else { from << 4 | to };
            let [o, p] = offset.to_ne_bytes();
            let [a, b, c, d] = instruction.value.to_ne_bytes();
            [instruction.code, registers, o, p, a, b, c, d]
        };
        self.instructions.into_iter().enumerate().map(encode).collect()
    }

    fn push(&mut self, code: u8, to: Reg, from: Reg, offset: i16, value: i32) {
        self.instructions.push(Instruction { code, to, from, offset, value, jumps: None });
    }

    fn compare(&mut self, code: u8, to: Reg, from: Reg, target: Target) {
        self.instructions.push(Instruction { code, to, from, offset: 0, value: 0, jumps: Some(target) });
    }

    fn jump(&mut self, code: u8, to: Reg, value: i32, target: Target) {
        let jumps = Some(target);
        self.instructions.push(Instruction { code, to, from: Reg::R0, offset: 0, value, jumps });
    }
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    #[test]
    fn one_load_for_some_bits() {
        let check = |bit, bits, expect: Option<(i16, Width, u32)>| {
            assert_eq!(Fetch::of(bit, bits).map(|f| (f.offset, f.width, f.shift)), expect, "{bit} {bits}");
        };
        check(0, 8, Some((0, Width::Byte, 0)));
        check(152, 4, Some((19, Width::Byte, 0)));
        check(156, 1, Some((19, Width::Byte, 4)));
        check(96, 16, Some((12, Width::Half, 0)));
        check(160, 32, Some((20, Width::Word, 0)));
        check(64, 64, Some((8, Width::Double, 0)));
        // Across a byte, across a half, and across everything.
        check(6, 4, Some((0, Width::Half, 6)));
        check(12, 8, Some((0, Width::Word, 12)));
        check(60, 8, None);
        // Nothing, too much, too far.
        check(0, 0, None);
        check(0, 65, None);
        check(0, 33, None);
        check(8 * 32768, 8, None);
        check(u32::MAX, 2, None);
    }

    #[test]
    fn jumps_to_marks() {
        let mut program = Program::default();
        let (found, right, nowhere) = (program.mark(), program.mark(), program.mark());
        program.go_if_low_is_above(Reg::R3, 7, right);
        program.go_if_low_is(Reg::R3, 0xffff_fffe, found);
        program.end();
        program.here(right);
        program.go_if_low_is(Reg::R3, 9, nowhere);
        program.here(found);
        program.set(Reg::R0, 1);
        assert_eq!(
            program.finish(),
            [
                [0x26, 0x03, 2, 0, 7, 0, 0, 0],
                [0x16, 0x03, 2, 0, 0xfe, 0xff, 0xff, 0xff],
                [0x05, 0x00, 2, 0, 0, 0, 0, 0],
                [0x16, 0x03, 1, 0, 9, 0, 0, 0],
                [0xb7, 0x00, 0, 0, 1, 0, 0, 0],
                [0xb7, 0x00, 0, 0, 0, 0, 0, 0],
                [0x95, 0x00, 0, 0, 0, 0, 0, 0],
            ]
        );
    }

    #[test]
    fn loops() {
        let mut program = Program::default();
        let (again, given_up) = (program.mark(), program.mark());
        program.set(Reg::R6, 0);
        program.here(again);
        program.or_give_up(given_up);
        program.end_unless_below(Reg::R6, Reg::R8);
        program.copy(Reg::R3, Reg::R6);
        program.shift_left(Reg::R3, 3);
        program.add_register(Reg::R3, Reg::R7);
        program.go_if_same(Reg::R3, Reg::R9, given_up);
        program.add(Reg::R6, 1);
        program.again(again);
        program.here(given_up);
        assert_eq!(
            program.finish(),
            [
                [0xb7, 0x06, 0, 0, 0, 0, 0, 0],
                [0xe5, 0x00, 7, 0, 0, 0, 0, 0],
                [0x3d, 0x86, 6, 0, 0, 0, 0, 0],
                [0xbf, 0x63, 0, 0, 0, 0, 0, 0],
                [0x67, 0x03, 0, 0, 3, 0, 0, 0],
                [0x0f, 0x73, 0, 0, 0, 0, 0, 0],
                [0x1d, 0x93, 2, 0, 0, 0, 0, 0],
                [0x07, 0x06, 0, 0, 1, 0, 0, 0],
                [0x05, 0x00, 0xf8, 0xff, 0, 0, 0, 0],
                [0xb7, 0x00, 0, 0, 0, 0, 0, 0],
                [0x95, 0x00, 0, 0, 0, 0, 0, 0],
            ]
        );
    }

    #[test]
    fn instructions() {
        let mut program = Program::default();
        program.copy(Reg::R6, Reg::R1);
        program.end_if_zero(Reg::R6);
        program.load(Reg::R2, Reg::R6, 0x1234, Width::Half);
        program.end_unless(Reg::R2, 8080);
        program.clear(Reg::Frame, -64);
        program.store(Reg::Frame, -8, Reg::R2, Width::Double);
        program.fetch(Reg::R2, Reg::R7, Fetch::of(156, 1).expect("a bit"));
        program.add(Reg::R2, -64);
        program.set(Reg::R3, 64);
        program.call(127);
        // As clang and llvm-objdump write them.
        assert_eq!(
            program.finish(),
            [
                [0xbf, 0x16, 0, 0, 0, 0, 0, 0],
                [0x15, 0x06, 10, 0, 0, 0, 0, 0],
                [0x69, 0x62, 0x34, 0x12, 0, 0, 0, 0],
                [0x55, 0x02, 8, 0, 0x90, 0x1f, 0, 0],
                [0x7a, 0x0a, 0xc0, 0xff, 0, 0, 0, 0],
                [0x7b, 0x2a, 0xf8, 0xff, 0, 0, 0, 0],
                [0x71, 0x72, 19, 0, 0, 0, 0, 0],
                [0x77, 0x02, 0, 0, 4, 0, 0, 0],
                [0x57, 0x02, 0, 0, 1, 0, 0, 0],
                [0x07, 0x02, 0, 0, 0xc0, 0xff, 0xff, 0xff],
                [0xb7, 0x03, 0, 0, 64, 0, 0, 0],
                [0x85, 0x00, 0, 0, 127, 0, 0, 0],
                [0xb7, 0x00, 0, 0, 0, 0, 0, 0],
                [0x95, 0x00, 0, 0, 0, 0, 0, 0],
            ]
        );
    }
}

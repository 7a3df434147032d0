//! BTF, the kernel's description of its own types, as bytes: finding types by name, and members of
//! structures by name, through anonymous structures and unions and down to bit-fields.
//!
//! A reader for a few questions and not a library: it walks the types once, in file order, keeps the
//! place of every [`STRIDE`]th, and looks at a string only where the kind of the type fits. Bytes that
//! are no BTF find nothing; they cannot make it panic, loop or allocate without bound.
//! Follows Documentation/bpf/btf.rst and include/uapi/linux/btf.h.
//!
//! Not here: the bytes of one type (`types`), where the bytes come from, and what is done with a member (`tcp`).

mod types;

use crate::netlink::wire::{u16_at, u32_at};
use types::{
    CONST, ENUM, ENUM64, FLOAT, Head, INT, MEMBER, PTR, RESTRICT, STRUCT, TYPE_TAG, TYPEDEF, UNION, VOLATILE,
    Walk,
};

/// `BTF_MAGIC`, in the byte order of the host.
const MAGIC: u16 = 0xeb9f;
/// The place of one type in so many is kept, so that any can be found by its number.
const STRIDE: u32 = 256;
/// Members looked at for one question, in all nested structures together. `struct task_struct` has 300.
const MOST_MEMBERS: usize = 4096;
/// How deep anonymous structures may nest, and how many qualifiers may stand before a type.
const DEPTH: u32 = 16;

/// The kinds of type that can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `BTF_KIND_STRUCT`.
    Struct,
    /// `BTF_KIND_FUNC`.
    Func,
}

/// Where a member stands in its structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Bits from the beginning of the structure; on a big-endian host a bit-field counts from the top.
    pub(crate) bit: u32,
    /// How many bits it has; 0 for a type without a size of its own (an array, a function).
    pub(crate) bits: u32,
}

/// Type information.
pub(crate) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where type 1, type 1 + `STRIDE` and so on begin, as far as was walked.
    landmarks: Vec<usize>,
}

impl<'a> Btf<'a> {
    /// Reads the header; says what is wrong with it.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Btf<'a>, &'static str> {
        match u16_at(bytes, 0) {
            Some(MAGIC) => {}
            Some(other) if other == MAGIC.swap_bytes() => return Err("the other byte order"),
            _ => return Err("no type information"),
        }
        let section = |at: usize| {
            let number = |at| usize::try_from(u32_at(bytes, at)?).ok();
            let start = number(4)?.checked_add(number(at)?)?;
            bytes.get(start..start.checked_add(number(at + 4)?)?)
        };
        match (section(8), section(16)) {
            (Some(types), Some(strings)) => Ok(Btf { types, strings, landmarks: vec![0] }),
            _ => Err("type information that is cut short"),
        }
    }

    /// The numbers of the first types of that kind and name, in one walk that ends with the last found.
    pub(crate) fn find<const N: usize>(&mut self, wanted: [(Kind, &str); N]) -> [Option<u32>; N] {
        let mut found = [None; N];
        let mut walk = Walk { types: self.types, next: 1, at: 0 };
        while found.iter().any(Option::is_none) {
            self.remember(&walk);
            let id = walk.next;
            let Some(head) = walk.next() else { break };
            let Some(kind) = head.kind() else { continue };
            for (place, (_, name)) in found.iter_mut().zip(wanted).filter(|(_, (k, _))| *k == kind) {
                if place.is_none() && self.is_named(head.name, name) {
                    *place = Some(id);
                }
            }
        }
        found
    }

    /// The members of that structure with these names, also where they are members of an anonymous
    /// structure or union in it.
    pub(crate) fn members<const N: usize>(&mut self, of: u32, names: [&str; N]) -> [Option<Member>; N] {
        let mut search = Search { names, found: [None; N], left: MOST_MEMBERS };
        self.search(of, 0, DEPTH, &mut search);
        search.found
    }

    fn search<const N: usize>(&mut self, of: u32, base: u32, depth: u32, search: &mut Search<'_, N>) {
        let Some(head) = self.head(of).filter(Head::has_members) else { return };
        for member in head.rest.chunks_exact(MEMBER) {
            if search.left == 0 || search.found.iter().all(Option::is_some) {
                return;
            }
            search.left -= 1;
            let (Some(name), Some(kind), Some(place)) =
                (u32_at(member, 0), u32_at(member, 4), u32_at(member, 8))
            else {
                return;
            };
            // With the flag set, the upper eight bits are the width of a bit-field.
            let (offset, width) = if head.flag { (place & 0xff_ffff, place >> 24) } else { (place, 0) };
            let Some(bit) = base.checked_add(offset) else { return };
            if self.is_named(name, "") {
                if depth > 0 {
                    self.search(kind, bit, depth - 1, search);
                }
                continue;
            }
            let wanted = search.names.iter().position(|wanted| self.is_named(name, wanted));
            if let Some(place) = wanted.and_then(|index| search.found.get_mut(index))
                && place.is_none()
            {
                let bits = if width > 0 { width } else { self.bits(kind) };
                *place = Some(Member { bit, bits });
            }
        }
    }

    /// How many bits a value of that type has, behind its typedefs and qualifiers. A pointer has as many
    /// as BPF gives it.
    fn bits(&mut self, mut id: u32) -> u32 {
        for _ in 0..DEPTH {
            match self.head(id) {
                Some(Head { number: INT | STRUCT | UNION | ENUM | ENUM64 | FLOAT, size, .. }) => {
                    return size.saturating_mul(8);
                }
                Some(Head { number: PTR, .. }) => return 64,
                Some(Head { number: TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG, size, .. }) => {
                    id = size;
                }
                _ => return 0,
            }
        }
        0
    }

    /// The type with that number.
    fn head(&mut self, id: u32) -> Option<Head<'a>> {
        let landmark = usize::try_from(id.checked_sub(1)? / STRIDE).ok()?;
        let nearest = landmark.min(self.landmarks.len() - 1);
        let next = u32::try_from(nearest).ok()?.checked_mul(STRIDE)?.checked_add(1)?;
        let mut walk = Walk { types: self.types, next, at: *self.landmarks.get(nearest)? };
        while walk.next < id {
            self.remember(&walk);
            walk.next()?;
        }
        walk.next()
    }

    fn remember(&mut self, walk: &Walk<'a>) {
        if walk.next % STRIDE == 1 && (walk.next / STRIDE) as usize == self.landmarks.len() {
            self.landmarks.push(walk.at);
        }
    }

    fn is_named(&self, at: u32, name: &str) -> bool {
        let text = usize::try_from(at).ok().and_then(|at| self.strings.get(at..));
        let rest = text.and_then(|text| text.strip_prefix(name.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// A question about members on its way through nested structures.
struct Search<'n, const N: usize> {
    names: [&'n str; N],
    found: [Option<Member>; N],
    /// Members that may still be looked at.
    left: usize,
}

#[cfg(test)]
mod tests;

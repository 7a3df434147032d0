//! BTF, the kernel's description of its own types, as bytes: finding types by name, and members of
//! structures by name, through anonymous structures and unions and down to bit-fields.
//!
//! A reader for a few questions and not a library: it walks the types once, in file order, keeps the
//! place of every [`STRIDE`]th, and looks at a string only where the kind of the type fits. Bytes that
//! are no BTF find nothing; they cannot make it panic, loop or allocate without bound.
//! Follows Documentation/bpf/btf.rst and include/uapi/linux/btf.h.
//!
//! Not here: where the bytes come from, and what is done with a member (`tcp`).

use crate::netlink::wire::{array_at, u16_at, u32_at};

/// `BTF_MAGIC`, in the byte order of the host.
const MAGIC: u16 = 0xeb9f;
/// Bytes in `struct btf_type`, in front of what its kind adds.
const HEAD: usize = 12;
/// Bytes in `struct btf_member`.
const MEMBER: usize = 12;
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

const INT: u8 = 1;
const PTR: u8 = 2;
const ARRAY: u8 = 3;
const STRUCT: u8 = 4;
const UNION: u8 = 5;
const ENUM: u8 = 6;
const FWD: u8 = 7;
const TYPEDEF: u8 = 8;
const VOLATILE: u8 = 9;
const CONST: u8 = 10;
const RESTRICT: u8 = 11;
const FUNC: u8 = 12;
const FUNC_PROTO: u8 = 13;
const VAR: u8 = 14;
const DATASEC: u8 = 15;
const FLOAT: u8 = 16;
const DECL_TAG: u8 = 17;
const TYPE_TAG: u8 = 18;
const ENUM64: u8 = 19;

/// `struct btf_type` and what follows it.
struct Head<'a> {
    /// `BTF_INFO_KIND`.
    number: u8,
    /// `BTF_INFO_KFLAG`.
    flag: bool,
    /// Where its name stands.
    name: u32,
    /// Bytes of a value, or the type it refers to.
    size: u32,
    /// Members, parameters and the like.
    rest: &'a [u8],
}

impl<'a> Head<'a> {
    fn read(bytes: &'a [u8]) -> Option<Head<'a>> {
        let [name, info, size] = array_at::<HEAD>(bytes, 0).map(words)?;
        let number = (info >> 24 & 0x1f) as u8;
        let count = (info & 0xffff) as usize;
        let more = match number {
            PTR | FWD | TYPEDEF | VOLATILE | CONST | RESTRICT | FUNC | FLOAT | TYPE_TAG => 0,
            INT | VAR | DECL_TAG => 4,
            ARRAY => 12,
            STRUCT | UNION => MEMBER * count,
            DATASEC | ENUM64 => 12 * count,
            ENUM | FUNC_PROTO => 8 * count,
            // A kind of a later kernel: how long it is cannot be known, so the walk ends.
            _ => return None,
        };
        Some(Head { number, flag: info >> 31 == 1, name, size, rest: bytes.get(HEAD..HEAD + more)? })
    }

    fn kind(&self) -> Option<Kind> {
        match self.number {
            STRUCT => Some(Kind::Struct),
            FUNC => Some(Kind::Func),
            _ => None,
        }
    }

    fn has_members(&self) -> bool {
        matches!(self.number, STRUCT | UNION)
    }
}

fn words(bytes: [u8; HEAD]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_ne_bytes)
}

/// A walk over the types in file order. Number 0 is `void` and stands nowhere.
struct Walk<'a> {
    types: &'a [u8],
    /// The number of the type that comes next …
    next: u32,
    /// … and where it begins.
    at: usize,
}

impl<'a> Walk<'a> {
    fn next(&mut self) -> Option<Head<'a>> {
        let head = Head::read(self.types.get(self.at..)?)?;
        self.at += HEAD + head.rest.len();
        self.next = self.next.checked_add(1)?;
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// BTF under construction: names are added as they come.
    #[derive(Default)]
    struct Made {
        types: Vec<u8>,
        strings: Vec<u8>,
    }

    impl Made {
        fn name(&mut self, name: &str) -> u32 {
            if self.strings.is_empty() {
                self.strings.push(0);
            }
            if name.is_empty() {
                return 0;
            }
            let at = self.strings.len() as u32;
            self.strings.extend_from_slice(name.as_bytes());
            self.strings.push(0);
            at
        }

        fn word(&mut self, word: u32) {
            self.types.extend_from_slice(&word.to_ne_bytes());
        }

        fn head(mut self, name: &str, kind: u8, flag: bool, count: u32, size: u32) -> Made {
            let name = self.name(name);
            self.word(name);
            self.word(u32::from(flag) << 31 | u32::from(kind) << 24 | count);
            self.word(size);
            self
        }

        /// An integer of so many bytes.
        fn int(self, name: &str, bytes: u32) -> Made {
            let mut made = self.head(name, INT, false, 0, bytes);
            made.word(bytes * 8);
            made
        }

        /// Members: name, type, bit, width.
        fn fields(self, kind: u8, name: &str, fields: &[(&str, u32, u32, u32)]) -> Made {
            let flag = fields.iter().any(|field| field.3 > 0);
            let mut made = self.head(name, kind, flag, fields.len() as u32, 64);
            for &(name, of, bit, width) in fields {
                let name = made.name(name);
                made.word(name);
                made.word(of);
                made.word(width << 24 | bit);
            }
            made
        }

        fn bytes(&self) -> Vec<u8> {
            let mut bytes = MAGIC.to_ne_bytes().to_vec();
            bytes.extend_from_slice(&[1, 0]);
            let sections = [24, 0, self.types.len(), self.types.len(), self.strings.len()];
            bytes.extend(sections.iter().flat_map(|&word| (word as u32).to_ne_bytes()));
            bytes.extend_from_slice(&self.types);
            bytes.extend_from_slice(&self.strings);
            bytes
        }
    }

    /// Small, with everything that the kernel's own has: a function and a structure of one name, an
    /// anonymous union in an anonymous structure, bit-fields, a typedef, a pointer, an array.
    fn sample() -> Made {
        Made::default()
            .int("char", 1)
            .head("u16", TYPEDEF, false, 0, 3)
            .int("short", 2)
            .head("sock", FUNC, false, 0, 0)
            .fields(UNION, "", &[("all", 1, 0, 0), ("part", 2, 0, 0)])
            .fields(STRUCT, "", &[("lead", 1, 0, 0), ("", 5, 16, 0)])
            .fields(
                STRUCT,
                "sock",
                &[
                    ("state", 1, 0, 0),
                    ("four", 1, 8, 4),
                    ("one", 1, 12, 1),
                    ("", 6, 32, 0),
                    ("next", 8, 64, 0),
                    ("list", 9, 128, 0),
                ],
            )
            .head("", PTR, false, 0, 7)
            .head("", ARRAY, false, 0, 0)
    }

    fn members(bytes: &[u8], names: &[&str]) -> Vec<Option<(u32, u32)>> {
        let Ok(mut btf) = Btf::new(bytes) else { return vec![] };
        let [Some(sock)] = btf.find([(Kind::Struct, "sock")]) else { return vec![] };
        names.iter().map(|name| btf.members(sock, [name]).map(|m| m.map(|m| (m.bit, m.bits)))[0]).collect()
    }

    #[test]
    fn types_by_kind_and_name() {
        let mut made = sample();
        made.types.extend_from_slice(&[0; 12]); // the array's own part
        let bytes = made.bytes();
        let check = |wanted, expect| {
            assert_eq!(Btf::new(&bytes).map(|mut btf| btf.find([wanted])), Ok([expect]), "{wanted:?}");
        };
        check((Kind::Struct, "sock"), Some(7));
        check((Kind::Func, "sock"), Some(4));
        check((Kind::Struct, "soc"), None);
        check((Kind::Struct, "socks"), None);
        check((Kind::Struct, "u16"), None);
        check((Kind::Struct, ""), Some(6));
    }

    #[test]
    fn members_by_name() {
        let mut made = sample();
        made.types.extend_from_slice(&[0; 12]);
        let bytes = made.bytes();
        let check = |name, expect| assert_eq!(members(&bytes, &[name]), [expect], "{name}");
        check("state", Some((0, 8)));
        check("four", Some((8, 4)));
        check("one", Some((12, 1)));
        check("lead", Some((32, 8)));
        check("part", Some((48, 16)));
        check("next", Some((64, 64)));
        check("list", Some((128, 0)));
        check("sock", None);
        check("", None);
    }

    #[test]
    fn a_type_far_behind_is_found_by_its_number() {
        let mut made = Made::default();
        for _ in 0..2000 {
            made = made.int("int", 4);
        }
        // In front of the type that it has inside, as the kernel's may be.
        made = made.fields(STRUCT, "sock", &[("", 4002, 32, 0)]);
        for _ in 0..2000 {
            made = made.int("int", 4);
        }
        made = made.fields(STRUCT, "", &[("deep", 300, 8, 0)]);
        assert_eq!(members(&made.bytes(), &["deep"]), [Some((40, 32))]);
    }

    #[test]
    fn faults() {
        let bytes = sample().bytes();
        let header = |at: usize, word: u32| {
            let mut bytes = bytes.clone();
            bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
            bytes
        };
        let check = |bytes: &[u8], expect: Result<(), &str>| {
            assert_eq!(Btf::new(bytes).map(drop), expect, "{:?}", bytes.get(..24));
        };
        check(&bytes, Ok(()));
        check(&[], Err("no type information"));
        check(&bytes[..23], Err("type information that is cut short"));
        check(&bytes[..bytes.len() - 1], Err("type information that is cut short"));
        check(&header(4, u32::MAX), Err("type information that is cut short"));
        check(&header(8, u32::MAX), Err("type information that is cut short"));
        check(&header(12, u32::MAX), Err("type information that is cut short"));
        check(&header(20, u32::MAX), Err("type information that is cut short"));
        let mut swapped = bytes.clone();
        swapped[..2].reverse();
        check(&swapped, Err("the other byte order"));
        check(b"\x7fELF", Err("no type information"));
    }

    #[test]
    fn faults_in_types() {
        let sock: &[(&str, u32, u32, u32)] = &[("state", 1, 0, 0), ("four", 2, 8, 4)];
        let good = || Made::default().int("char", 1);
        let check = |made: Made, expect: &[Option<(u32, u32)>]| {
            assert_eq!(members(&made.bytes(), &["state"]), expect);
        };
        check(good().fields(STRUCT, "sock", sock), &[Some((0, 8))]);
        // A kind that nobody knows ends the walk.
        check(good().head("", 31, false, 0, 0).fields(STRUCT, "sock", sock), &[]);
        // More members than bytes.
        check(good().head("sock", STRUCT, false, 0xffff, 0), &[]);
        // A member's type that is not there, `void`, or itself.
        check(Made::default().fields(STRUCT, "sock", &[("state", 99, 0, 0)]), &[Some((0, 0))]);
        check(Made::default().fields(STRUCT, "sock", &[("state", 0, 0, 0)]), &[Some((0, 0))]);
        check(
            Made::default().head("a", TYPEDEF, false, 0, 1).fields(STRUCT, "sock", &[("state", 1, 0, 0)]),
            &[Some((0, 0))],
        );
        // An anonymous structure inside itself, many times over.
        let mut knot = vec![("", 1, 8, 0); 5000];
        knot.push(("state", 1, 0, 0));
        check(Made::default().fields(STRUCT, "sock", &knot), &[None]);
        // Offsets that do not add up to a number.
        check(
            Made::default().fields(STRUCT, "sock", &[("", 2, u32::MAX, 0)]).fields(
                STRUCT,
                "",
                &[("state", 1, 1, 0)],
            ),
            &[None],
        );
        // A name behind the end.
        let mut made = good().fields(STRUCT, "sock", sock);
        made.strings.truncate(made.strings.len() - 1);
        check(made, &[Some((0, 8))]);
        let mut made = good().fields(STRUCT, "sock", sock);
        made.strings.clear();
        check(made, &[]);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            members(&bytes, &["state"]);
        }

        #[test]
        fn any_damage(at in 0..400usize, with in any::<u32>()) {
            let mut made = sample();
            made.types.extend_from_slice(&[0; 12]);
            let mut bytes = made.bytes();
            let at = at % (bytes.len() - 3);
            bytes[at..at + 4].copy_from_slice(&with.to_ne_bytes());
            members(&bytes, &["state", "four", "part", "next", "list"]);
        }

        #[test]
        fn any_cut(length in 0..600usize) {
            let bytes = sample().bytes();
            let length = length.min(bytes.len());
            members(&bytes[..length], &["state"]);
        }
    }
}

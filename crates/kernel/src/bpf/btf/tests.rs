//! The reader against BTF that is made here: whole, wrong, damaged and cut.

use super::types::{ARRAY, FUNC};
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

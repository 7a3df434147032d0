//! The types as bytes, one after the other: the head of each, what its kind adds, and the walk over them.
//!
//! Not here: names, numbers and members, of which the questions are asked (`btf`).

use super::Kind;
use crate::netlink::wire::array_at;

/// Bytes in `struct btf_type`, in front of what its kind adds.
const HEAD: usize = 12;
/// Bytes in `struct btf_member`.
pub(super) const MEMBER: usize = 12;

pub(super) const INT: u8 = 1;
pub(super) const PTR: u8 = 2;
pub(super) const ARRAY: u8 = 3;
pub(super) const STRUCT: u8 = 4;
pub(super) const UNION: u8 = 5;
pub(super) const ENUM: u8 = 6;
const FWD: u8 = 7;
pub(super) const TYPEDEF: u8 = 8;
pub(super) const VOLATILE: u8 = 9;
pub(super) const CONST: u8 = 10;
pub(super) const RESTRICT: u8 = 11;
pub(super) const FUNC: u8 = 12;
const FUNC_PROTO: u8 = 13;
const VAR: u8 = 14;
const DATASEC: u8 = 15;
pub(super) const FLOAT: u8 = 16;
const DECL_TAG: u8 = 17;
pub(super) const TYPE_TAG: u8 = 18;
pub(super) const ENUM64: u8 = 19;

/// `struct btf_type` and what follows it.
pub(super) struct Head<'a> {
    /// `BTF_INFO_KIND`.
    pub(super) number: u8,
    /// `BTF_INFO_KFLAG`.
    pub(super) flag: bool,
    /// Where its name stands.
    pub(super) name: u32,
    /// Bytes of a value, or the type it refers to.
    pub(super) size: u32,
    /// Members, parameters and the like.
    pub(super) rest: &'a [u8],
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

    pub(super) fn kind(&self) -> Option<Kind> {
        match self.number {
            STRUCT => Some(Kind::Struct),
            FUNC => Some(Kind::Func),
            _ => None,
        }
    }

    pub(super) fn has_members(&self) -> bool {
        matches!(self.number, STRUCT | UNION)
    }
}

fn words(bytes: [u8; HEAD]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_ne_bytes)
}

/// A walk over the types in file order. Number 0 is `void` and stands nowhere.
pub(super) struct Walk<'a> {
    pub(super) types: &'a [u8],
    /// The number of the type that comes next …
    pub(super) next: u32,
    /// … and where it begins.
    pub(super) at: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn next(&mut self) -> Option<Head<'a>> {
        let head = Head::read(self.types.get(self.at..)?)?;
        self.at += HEAD + head.rest.len();
        self.next = self.next.checked_add(1)?;
        Some(head)
    }
}

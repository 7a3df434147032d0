//! The type of an option's value and what its number counts: how a value is written, and its C type.
//!
//! Not here: the values themselves, as words and as bytes (`value`), and which option has which form (`table`).

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nothing with a name.
    None,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Bytes in each second.
    BytesPerSecond,
    /// Anything else, by this word.
    Of(&'static str),
}

impl Unit {
    /// The word behind the number, empty for none.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Bytes => "bytes",
            Unit::Seconds => "s",
            Unit::Milliseconds => "ms",
            Unit::Microseconds => "µs",
            Unit::BytesPerSecond => "bytes/s",
            Unit::Of(word) => word,
        }
    }
}

/// The type of an option's value: how it is written, and which bytes the kernel takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An `int` that is 0 or 1.
    Switch,
    /// An `int` within bounds.
    Number {
        /// The least that makes sense.
        least: i32,
        /// The most.
        most: i32,
        /// What it counts.
        unit: Unit,
    },
    /// An unsigned number of 64 bits, or of 32 where a kernel gives no more; all ones mean no limit.
    Unsigned(Unit),
    /// An `int` that is 32 bits and no number.
    Bits,
    /// An `int` with named values.
    Choice(&'static [(&'static str, i32)]),
    /// An `int` of bits with names.
    Flags(&'static [(&'static str, u32)]),
    /// `struct timeval`; zero is "wait for ever".
    Time,
    /// `struct linger`.
    Linger,
    /// Text of at most this many bytes; empty for none.
    Text(usize),
    /// Two ports in one `u32`, the upper one in the high half; 0 for none.
    PortRange,
    /// `struct ucred`.
    Credentials,
    /// Numbers of 32 bits.
    Numbers,
    /// `struct sockaddr`.
    Name,
    /// `struct tcp_info`.
    TcpInfo,
    /// How many instructions a filter has.
    Filter,
    /// Nothing that could be written or shown as a value.
    Opaque,
}

impl Form {
    /// How a value is written, for one's own and for a manual page.
    pub const fn written(self) -> &'static str {
        match self {
            Form::Switch => "on or off",
            Form::Number { unit: Unit::Bytes, .. } => "a size: 65536, 64KiB, 1MiB",
            Form::Number { unit: Unit::Seconds | Unit::Milliseconds | Unit::Microseconds, .. } => {
                "a duration: 30s, 1500ms, 5m"
            }
            Form::Number { .. } => "a number",
            Form::Unsigned(_) => "a number, or unlimited",
            Form::Bits => "a number: 42, 0x2a",
            Form::Choice(_) => "one of its words",
            Form::Flags(_) => "its words joined by commas, or off",
            Form::Time => "a duration: 1500ms, 5s; off for none",
            Form::Linger => "off, or a duration in whole seconds: 5s",
            Form::Text(_) => "a name; off for none",
            Form::PortRange => "two ports: 40000-50000; off for none",
            _ => "nothing that can be written",
        }
    }

    /// The words that stand for values, where there are any.
    pub fn words(self) -> Vec<&'static str> {
        match self {
            Form::Choice(words) => words.iter().map(|(word, _)| *word).collect(),
            Form::Flags(words) => words.iter().map(|(word, _)| *word).collect(),
            _ => Vec::new(),
        }
    }

    /// The C type.
    pub const fn type_name(self) -> &'static str {
        match self {
            Form::Unsigned(_) => "u64",
            Form::Time => "struct timeval",
            Form::Linger => "struct linger",
            Form::Text(_) => "char[]",
            Form::PortRange => "u32",
            Form::Credentials => "struct ucred",
            Form::Numbers => "u32[]",
            Form::Name => "struct sockaddr",
            Form::TcpInfo => "struct tcp_info",
            Form::Filter => "struct sock_filter[]",
            Form::Opaque => "a structure of its own",
            _ => "int",
        }
    }
}

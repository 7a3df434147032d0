//! The words of `inuse lab serve` and `inuse lab client`.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};
use inuse_lab::teach::Kind;

/// The kinds, with a line each.
pub(super) const KINDS: &str = "\
Kinds, and the port of each:
  reply    5010   prints each message and answers \"Receive your message --- server\"
  ack     12000   takes one message, answers \"I have received your message.\", and closes first
  upper    9999   sends everything back in upper case, and prints who asked
  stream   8000   greets, and sends line after line until the client leaves
  chat     5120   a room for many people, one line a message";

/// Some uses of a server.
pub(super) const SERVE_EXAMPLES: &str = "\
Examples:
  inuse lab serve upper
  inuse lab serve ack --reuseaddr off      closes first: the next start meets TIME_WAIT
  inuse lab serve chat --listen 0.0.0.0:5120";

/// What the exit status of a server says.
pub(super) const SERVE_EXIT: &str = "\
Exit status:
  0  SIGINT or SIGTERM ended it
  1  it could not listen; stderr says why
  2  the words were wrong; nothing was done";

/// Some uses of a client.
pub(super) const CLIENT_EXAMPLES: &str = "\
Examples:
  inuse lab client upper                   what you type comes back in upper case
  inuse lab client ack --message hello     one message, one answer
  inuse lab client chat 127.0.0.1:5120";

/// What the exit status of a client says.
pub(super) const CLIENT_EXIT: &str = "\
Exit status:
  0  the server closed, or nobody reads what it says
  1  nobody listens there, or the connection broke
  2  the words were wrong; nothing was done";

/// The words of `inuse lab serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// What to do with what clients say
    #[arg(value_name = "KIND", value_parser = kind())]
    pub kind: Kind,

    /// Where to listen; 127.0.0.1 and the kind's port unless it is said
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,

    /// SO_REUSEADDR, as a good server has it, or as beginners forget it
    #[arg(long, value_name = "on|off", value_enum, default_value = "on", hide_possible_values = true)]
    pub reuseaddr: Switch,

    /// Set SO_REUSEPORT: several such servers share the port
    #[arg(long)]
    pub reuseport: bool,

    /// When told to end, close the listener first, deliver what is to be delivered, and close each connection in order
    #[arg(long)]
    pub graceful: bool,
}

/// The words of `inuse lab client`.
#[derive(Debug, Args)]
pub struct ClientArgs {
    /// What kind of server it is
    #[arg(value_name = "KIND", value_parser = kind())]
    pub kind: Kind,

    /// Where it listens; 127.0.0.1 and the kind's port unless it is said
    #[arg(value_name = "ADDR")]
    pub address: Option<String>,

    /// Say this one line and then nothing more, instead of what is typed
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
}

/// An option that is set, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Set.
    On,
    /// Not set.
    Off,
}

fn kind() -> impl clap::builder::TypedValueParser<Value = Kind> {
    let names = Kind::ALL.map(|kind| PossibleValue::new(kind.name()).help(kind.about()));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Kind>())
}

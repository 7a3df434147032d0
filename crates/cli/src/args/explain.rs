//! The words of `inuse explain`.

use clap::Args;

/// The words of `inuse explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A cause (time-wait), an error (EADDRINUSE) or its number (98; 48 on macOS, 10048 on Windows)
    #[arg(value_name = "CODE")]
    pub topic: Option<String>,

    /// Print JSON (schema inuse.explain/1)
    #[arg(long)]
    pub json: bool,
}

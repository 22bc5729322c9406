//! Arguments that the commands on files share.

use crate::cluster::ConnectionArgs;
use crate::keys::{KeyArgs, KeyRing};
use clap::{Args, ValueEnum};
use kubiya_hook::edge::{Console, Failure};
use kubiya_policies::sops::store::Format;
use serde::Serialize;
use std::path::PathBuf;

/// How a file is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreFormat {
    /// YAML
    Yaml,
    /// JSON
    Json,
    /// KEY=value lines
    Dotenv,
    /// Sections of key = value
    Ini,
    /// Anything, as one value
    Binary,
}

impl From<StoreFormat> for Format {
    fn from(format: StoreFormat) -> Self {
        match format {
            StoreFormat::Yaml => Self::Yaml,
            StoreFormat::Json => Self::Json,
            StoreFormat::Dotenv => Self::Dotenv,
            StoreFormat::Ini => Self::Ini,
            StoreFormat::Binary => Self::Binary,
        }
    }
}

/// What commands on files share.
#[derive(Args, Clone, Debug)]
pub(crate) struct FileArgs {
    /// Rules to use, in place of the nearest .sops.yaml (else the variable SOPS_CONFIG)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How the files are stored, in place of what their names say
    #[arg(long, value_name = "FORMAT")]
    input_type: Option<StoreFormat>,
}

impl FileArgs {
    pub(crate) fn format(&self) -> Option<Format> {
        self.input_type.map(Format::from)
    }
}

/// Results as data.
#[derive(Args, Clone, Debug)]
pub(crate) struct OutputArgs {
    /// Print the result as data on stdout
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<DataFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DataFormat {
    Json,
    Yaml,
}

impl OutputArgs {
    /// Prints data where it was asked for; false where it was not.
    pub(crate) fn print(&self, console: &mut Console, data: &impl Serialize) -> Result<bool, Failure> {
        let text = match self.output {
            None => return Ok(false),
            Some(DataFormat::Json) => serde_json::to_string_pretty(data).map_err(|e| unwritable(&e))? + "\n",
            Some(DataFormat::Yaml) => serde_yaml::to_string(data).map_err(|e| unwritable(&e))?,
        };
        console.out.bytes(text.as_bytes()).map_err(|error| unwritable(&error))?;
        Ok(true)
    }
}

/// The keys that the flags name, or those at hand. Only a cluster takes time.
///
/// Nothing is changed yet, so a signal may end the process as it always does: handlers would stay installed
/// and swallow it later.
pub(crate) fn gathered(keys: &KeyArgs, connection: &ConnectionArgs) -> Result<KeyRing, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unverified("cannot start the runtime").because(&error))?
        .block_on(keys.gather(connection))
}

fn unwritable(error: &dyn std::error::Error) -> Failure {
    Failure::unverified("cannot write the result").because(error)
}

//! `tamis keys`: who may call the API.

use serde_json::json;
use tamis_intake::keys::{self, Error, Owner};

use crate::cli::Global;
use crate::context::Context;
use crate::exit_code::{ExitCode, Failure, Outcome};
use crate::output;

/// Make, list and revoke keys.
#[derive(Debug, clap::Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Keys of the API.
    Api {
        #[command(subcommand)]
        command: Api,
    },
}

#[derive(Debug, clap::Subcommand)]
enum Api {
    /// Make a key and show it, this once: only its digest is kept.
    #[command(after_help = "Example:\n  tamis keys api create --tenant acme --json")]
    Create(Whose),
    /// List the keys, without the keys themselves.
    #[command(after_help = "Example:\n  tamis keys api list")]
    List,
    /// Revoke a key; a running service refuses it within five seconds.
    #[command(after_help = "Example:\n  tamis keys api revoke 1f2e3d4c5b6a")]
    Revoke {
        /// The key's id, as `list` shows it.
        id: String,
    },
}

/// Whom a key belongs to.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// This tenant.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// This gateway.
    #[arg(long, value_name = "GATEWAY")]
    gateway: Option<String>,
    /// An operator.
    #[arg(long)]
    operator: bool,
}

impl Keys {
    pub(crate) fn run(self, global: &Global) -> Outcome {
        let Command::Api { command } = self.command;
        let context = Context::open(global)?;
        let path = context.settings.http().keys_file();
        match command {
            Api::Create(whose) => {
                let (id, key) = keys::create(path, whose.owner())?;
                if global.json {
                    return output::json(&json!({ "id": id, "key": key }));
                }
                output::line(&key)?;
                output::note(format!("This is key {id}. It is shown this once: keep it in a safe place."));
                Ok(())
            }
            Api::List => list(global, &keys::list(path)?),
            Api::Revoke { id } => {
                keys::revoke(path, &id)?;
                if global.json {
                    return output::json(&json!({ "revoked": id }));
                }
                output::line(format!("revoked {id}"))
            }
        }
    }
}

impl Whose {
    fn owner(self) -> Owner {
        match (self.tenant, self.gateway) {
            (Some(tenant), _) => Owner::Tenant(tenant),
            (None, Some(gateway)) => Owner::Gateway(gateway),
            (None, None) => Owner::Operator,
        }
    }
}

fn list(global: &Global, entries: &[keys::Entry]) -> Outcome {
    let parts = |owner: &Owner| match owner {
        Owner::Tenant(name) => ("tenant", name.clone()),
        Owner::Gateway(name) => ("gateway", name.clone()),
        Owner::Operator => ("operator", String::new()),
    };
    if global.json {
        let all: Vec<_> = entries
            .iter()
            .map(|entry| {
                let (kind, owner) = parts(&entry.owner);
                json!({ "id": entry.id, "kind": kind, "owner": owner, "created_ms": entry.created_ms })
            })
            .collect();
        return output::json(&json!(all));
    }
    for entry in entries {
        let (kind, owner) = parts(&entry.owner);
        output::line(format!("{}  {kind:<8}  {owner}", entry.id))?;
    }
    Ok(())
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::OpenToOthers { .. } => ExitCode::Unsafe,
            Error::Malformed(_) | Error::Full(_) | Error::BadOwner | Error::NoSuchKey => ExitCode::Refused,
            Error::Random(_) | Error::Io { .. } => ExitCode::Failed,
        };
        Self::new(code, error)
    }
}

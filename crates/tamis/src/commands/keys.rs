//! `tamis keys`: who may call the API, and the rotation of the identity key.

use std::time::Duration;

use serde_json::json;
use tamis_bus::Bus;
use tamis_intake::keys::{self, Error, Owner};
use tamis_pipeline::rotate::Rotated;

use crate::cli::Global;
use crate::context::{self, Context, Log};
use crate::exit_code::{ExitCode, Failure, Outcome};
use crate::output;
use crate::rotating::Rotation;

/// How long a writer to Kafka may take with a record that was on its way.
const SETTLE: Duration = Duration::from_secs(15);

/// Make, list and revoke keys of the API; rotate the identity key.
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
    Rotate(Rotate),
}

/// Rotate the identity key: every opt-out on record is written again under a key with one more step.
///
/// The addresses are not needed, services go on running, and opt-outs under the old and the new key count meanwhile. First
/// the key file gets a line more; every process must have the new file within --grace (those that share it take it within
/// five seconds by themselves), and one without it holds. Then the log is written again. If this ends early, run it again: it
/// goes on where it was.
///
/// Afterwards the old key opens nothing in the log. The lines that the file had stay in it, since they are the first steps from
/// an address; the old file itself is overwritten. Copies of it, and of the log from before, are yours to destroy, once
/// the new file has been copied to a safe place.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tamis keys rotate --grace 2m")]
struct Rotate {
    /// How long every process may take to get the new key file, as in 30s or 5m. Not waited for with the embedded log, which
    /// one process has.
    #[arg(long, default_value = "30s", value_parser = context::duration)]
    grace: Duration,
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
        let context = Context::open(global)?;
        let command = match self.command {
            Command::Api { command } => command,
            Command::Rotate(rotate) => return rotate.run(global, &context),
        };
        let path = context.settings.http().keys_file();
        match command {
            Api::Create(whose) => {
                // A gateway's secret is made of the identity key: what it signs must be checked.
                let (id, key) = match whose.owner() {
                    Owner::Gateway(name) => keys::create_gateway(path, &name, &context.subjects()?)?,
                    owner @ (Owner::Tenant(_) | Owner::Operator) => keys::create(path, owner)?,
                };
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

impl Rotate {
    fn run(self, global: &Global, context: &Context) -> Outcome {
        let rotated = match context.log()? {
            Log::Service(service) => {
                output::note("the running service rotates the key; this takes a while");
                service.rotate()?
            }
            Log::Kafka(bus) => self.rotate(context, &*bus, self.grace, SETTLE)?,
            // Nobody else can have the log, or write to it.
            Log::Embedded(bus) => self.rotate(context, &*bus, Duration::ZERO, Duration::ZERO)?,
        };
        let Rotated { scheme, copied, removed, blocked_again } = rotated;
        if global.json {
            let told = json!({
                "scheme": scheme, "copied": copied, "removed": removed, "blocked_again": blocked_again,
            });
            return output::json(&told);
        }
        output::line(format!("scheme {scheme}: {copied} records written again, {removed} removed"))?;
        if blocked_again > 0 {
            output::line(format!(
                "{blocked_again} were lifted at the same moment and are blocked again: lift them again"
            ))?;
        }
        output::note("copy the new key file to a safe place, then destroy the copies of the old one");
        Ok(())
    }

    fn rotate<B: Bus>(
        &self,
        context: &Context,
        bus: &B,
        grace: Duration,
        settle: Duration,
    ) -> Outcome<Rotated> {
        let recorder = bus.recorder()?;
        let identity = context.settings.identity();
        let rotation = Rotation {
            bus,
            recorder: &recorder,
            key_file: identity.key_file(),
            region: identity.default_region(),
            settle,
        };
        let begun = |scheme, anew| {
            let what = if anew { "the key file has its" } else { "going on with the rotation to" };
            output::note(format!("{what} step {scheme}; waiting {grace:?} for every process to have it"));
        };
        let wait = |_: &_| {
            std::thread::sleep(grace);
            Ok(())
        };
        Ok(rotation.run(begun, wait)?)
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

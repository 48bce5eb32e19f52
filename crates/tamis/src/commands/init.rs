//! `tamis init`: a settings file and a key to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;
use tamis_subject::Key;

use crate::cli::Global;
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};
use crate::output;

/// Write a commented tamis.toml and make the secret key file (mode 0600); never overwrite.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tamis init /etc/tamis && tamis --config /etc/tamis/tamis.toml validate")]
pub(crate) struct Init {
    /// Where to; made if it is not there.
    #[arg(default_value = ".")]
    dir: PathBuf,
}

impl Init {
    pub(crate) fn run(self, global: &Global) -> Outcome {
        let settings = self.dir.join("tamis.toml");
        let key = self.dir.join("tamis.key");
        for file in [&settings, &key] {
            if file.symlink_metadata().is_ok() {
                return Err(exists(file));
            }
        }
        std::fs::create_dir_all(&self.dir)
            .or_exit(ExitCode::Failed, format!("make directory {}", self.dir.display()))?;
        // The key first: a settings file without its key would only lead to the next error.
        Key::create_file(&key).or_exit(ExitCode::Failed, format!("make key {}", key.display()))?;
        write_new(&settings, tamis_settings::TEMPLATE)?;
        if global.json {
            return output::json(
                &json!({ "settings": settings.display().to_string(), "key": key.display().to_string() }),
            );
        }
        output::line(format!("wrote {} and {} (mode 0600)", settings.display(), key.display()))?;
        output::note(
            "Keep a copy of the key in a safe place: without it no opt-out on record can be recognised again.\n\
             Next: tamis validate, then tamis run",
        );
        Ok(())
    }
}

fn write_new(path: &Path, text: &str) -> Outcome {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(path)),
        Err(error) => return Err(error).or_exit(ExitCode::Failed, format!("write {}", path.display())),
    };
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .or_exit(ExitCode::Failed, format!("write {}", path.display()))
}

fn exists(path: &Path) -> Failure {
    Failure::say(
        ExitCode::Refused,
        format!("{} is already there and is never overwritten: choose another directory", path.display()),
    )
}

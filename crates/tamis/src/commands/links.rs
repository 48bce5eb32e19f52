//! `tamis links mint`: unsubscribe links for the addresses of a file, made offline: the key is all that is needed.

use std::io::{self, BufWriter, Write};

use serde_json::json;
use tamis_campaign::{Channel, Identity, Tenant, is_identifier};
use tamis_subject::token::Token;
use tamis_subject::{Invalid, Subject, Subjects};

use crate::cli::Global;
use crate::context::{self, Context};
use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};
use crate::lines::{Line, Lines};
use crate::{input, output};

/// No address is longer.
const LINE_BYTES_MAX: usize = 1_024;

/// Make unsubscribe links.
#[derive(Debug, clap::Args)]
pub(crate) struct Links {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Mint(Mint),
}

/// Make a link for each address of a file: its line's number, a tab, the link.
///
/// With --json, an object a line: `line`, `token` and `url`, or `line` and `code` for what is no address. Nothing is recorded, and
/// no service is asked; the identity key must be the log's.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  tamis links mint --tenant acme --channel email --list news < addresses.txt"
)]
struct Mint {
    /// The file, or - for stdin: an address a line. Never an argument: those are seen by everybody on the machine.
    #[arg(default_value = "-")]
    file: String,
    /// The tenant.
    #[arg(long)]
    tenant: String,
    /// The channel: email, or one of telephones.
    #[arg(long, value_parser = context::channel)]
    channel: Channel,
    /// The list; without it a link is of the tenant as a whole.
    #[arg(long, default_value = "")]
    list: String,
}

impl Links {
    pub(crate) fn run(self, global: &Global) -> Outcome {
        let Command::Mint(mint) = self.command;
        mint.run(global)
    }
}

impl Mint {
    fn run(&self, global: &Global) -> Outcome {
        let usage = |text: &str| Failure::say(ExitCode::Usage, text.to_owned());
        let tenant = Tenant::parse(&self.tenant).or_exit(ExitCode::Usage, "--tenant")?;
        if !self.list.is_empty() && !is_identifier(self.list.as_bytes(), 128) {
            return Err(usage("--list: must be 1 to 128 characters of A-Z a-z 0-9 . _ : -"));
        }
        if self.channel == Channel::Mail {
            return Err(usage("--channel: post has no links"));
        }
        let context = Context::open(global)?;
        let subjects = context.subjects()?;
        let first = subjects.first();
        let minter = subjects.minter(self.channel, tenant, &self.list, context::now_ms());
        let mut minter = minter.or_exit(ExitCode::Usage, "--list")?;
        let mut out = BufWriter::new(io::stdout().lock());
        let mut to_stdout =
            |text: String| writeln!(out, "{text}").map_err(|error| Failure::new(ExitCode::Failed, error));
        let base = context.settings.http().public_url().trim_end_matches('/');
        let (mut made, mut rejected) = (0u64, 0u64);
        for line in Lines::new(input::open(&self.file)?, LINE_BYTES_MAX) {
            let (number, line) = line.or_exit(ExitCode::Refused, "read the file")?;
            match self.subject(&first, &line) {
                Ok(Some((subject, identity))) => {
                    made += 1;
                    to_stdout(told(number, &minter.mint(subject, identity), base, global.json))?;
                }
                Ok(None) => {}
                Err(code) => {
                    rejected += 1;
                    if global.json {
                        to_stdout(json!({ "line": number, "code": code }).to_string())?;
                    } else {
                        output::note(format!("line {number}: {code}"));
                    }
                }
            }
        }
        out.flush().map_err(|error| Failure::new(ExitCode::Failed, error))?;
        if rejected == 0 {
            return Ok(());
        }
        let text = format!("{rejected} lines were rejected; the others, {made}, have links");
        Err(Failure::say(ExitCode::Refused, text))
    }

    /// Whom a line is about; `None` for an empty one.
    fn subject(&self, first: &Subjects, line: &Line) -> Result<Option<(Subject, Identity)>, &'static str> {
        let text = match line {
            Line::Text(text) if text.trim().is_empty() => return Ok(None),
            Line::Text(text) => text,
            Line::TooLong => return Err("LINE_TOO_LONG"),
            Line::NotText => return Err("NOT_UTF8"),
        };
        let (email, identity) = match self.channel {
            Channel::Email => (true, Identity::Email),
            Channel::Sms | Channel::Voice | Channel::Fax | Channel::Mail => (false, Identity::Phone),
        };
        if text.contains('@') != email {
            return Err("NOT_OF_THIS_CHANNEL");
        }
        match first.address(self.channel, text.as_bytes()) {
            Ok(subject) => Ok(Some((subject, identity))),
            Err(Invalid::Missing) => Err("MISSING_ADDRESS"),
            Err(Invalid::NotAnAddress) => Err("INVALID_ADDRESS"),
        }
    }
}

fn told(number: usize, token: &Token, base: &str, as_json: bool) -> String {
    let url = format!("{base}/u/{}", token.as_str());
    if as_json {
        return json!({ "line": number, "token": token.as_str(), "url": url }).to_string();
    }
    format!("{number}\t{url}")
}

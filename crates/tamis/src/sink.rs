//! Where a command writes what it takes out: stdout or a file, sealed with age if that is asked.
//!
//! A file is written beside and renamed when it is whole, so that one which ends early is not taken for all there is. It is its
//! owner's only. What is sealed is sealed as it comes: nothing in clear reaches a disk.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};
use std::path::{Path, PathBuf};

use age::stream::StreamWriter;
use tempfile::NamedTempFile;

use crate::exit_code::{ExitCode, Failure, OrExit as _, Outcome};

/// Bytes that are written together.
const BUFFER_BYTES: usize = 256 << 10;

/// Whom it is sealed for.
pub(crate) type Recipients = Vec<age::x25519::Recipient>;

/// Takes what is written, and has it in its place when it is finished.
pub(crate) enum Sink {
    /// As it is.
    Plain(BufWriter<Place>),
    /// Sealed.
    Sealed(Box<StreamWriter<BufWriter<Place>>>),
}

/// Where it goes.
pub(crate) enum Place {
    Stdout(Stdout),
    /// A file beside the one that is to be, until it is whole.
    Beside(NamedTempFile, PathBuf),
    /// Something that is there and is no file: a pipe, a device.
    There(std::fs::File),
}

impl Sink {
    /// Opens `file`, or stdout, for `recipients` if there are any.
    pub(crate) fn open(file: Option<&Path>, recipients: &Recipients) -> Outcome<Self> {
        let sealed = !recipients.is_empty();
        let place = match file {
            None if sealed && io::stdout().is_terminal() => {
                let text = "what is sealed is nothing for a terminal: name a file with -o";
                return Err(Failure::say(ExitCode::Usage, text));
            }
            None => Place::Stdout(io::stdout()),
            Some(file) => Place::open(file)?,
        };
        let to = BufWriter::with_capacity(BUFFER_BYTES, place);
        if !sealed {
            return Ok(Self::Plain(to));
        }
        let whom = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
        let sealing =
            age::Encryptor::with_recipients(whom).or_exit(ExitCode::Usage, "seal for recipients")?;
        let sealing = sealing.wrap_output(to).or_exit(ExitCode::Failed, "seal for recipients")?;
        Ok(Self::Sealed(Box::new(sealing)))
    }

    /// Whether a terminal shows what is written.
    pub(crate) fn is_shown(&self) -> bool {
        match self {
            Self::Plain(to) => matches!(to.get_ref(), Place::Stdout(stdout) if stdout.is_terminal()),
            Self::Sealed(_) => false,
        }
    }

    /// Writes what is left, and puts it in its place.
    pub(crate) fn finish(self) -> Outcome {
        let failed = |error: io::Error| Failure::new(ExitCode::Failed, error);
        let to = match self {
            Self::Plain(to) => to,
            Self::Sealed(to) => to.finish().map_err(failed)?,
        };
        let place = to.into_inner().map_err(|error| failed(error.into_error()))?;
        match place {
            Place::Stdout(mut stdout) => stdout.flush().map_err(failed),
            Place::There(mut file) => file.flush().map_err(failed),
            Place::Beside(beside, file) => {
                beside.as_file().sync_all().map_err(failed)?;
                let put = beside.persist(&file).map_err(|error| error.error);
                put.or_exit(ExitCode::Failed, format!("write {}", file.display())).map(drop)
            }
        }
    }
}

impl Place {
    fn open(file: &Path) -> Outcome<Self> {
        let context = || format!("write {}", file.display());
        if std::fs::metadata(file).is_ok_and(|there| !there.is_file()) {
            let opened = OpenOptions::new().write(true).open(file);
            return Ok(Self::There(opened.or_exit(ExitCode::Failed, context())?));
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let beside = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
        Ok(Self::Beside(beside.or_exit(ExitCode::Failed, context())?, file.to_owned()))
    }
}

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::Beside(file, _) => file.write(bytes),
            Self::There(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::Beside(file, _) => file.flush(),
            Self::There(file) => file.flush(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(to) => to.write(bytes),
            Self::Sealed(to) => to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.flush(),
            Self::Sealed(to) => to.flush(),
        }
    }
}

/// Reads recipients of age, as arguments and as a file has them: one on a line, besides empty ones and comments.
pub(crate) fn recipients(given: &[String], file: Option<&Path>) -> Outcome<Recipients> {
    let refused = |place: String| {
        // It may be a secret key that stands in the wrong place: it is not repeated.
        Failure::say(ExitCode::Usage, format!("{place}: expected a recipient of age, which begins with age1"))
    };
    let mut all = Vec::new();
    for (number, text) in given.iter().enumerate() {
        let read = text.parse().map_err(|_| refused(format!("--age-recipient, number {}", number + 1)))?;
        all.push(read);
    }
    if let Some(file) = file {
        let text = std::fs::read_to_string(file).or_exit(ExitCode::Usage, "read --age-recipients-file")?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                let place = || format!("--age-recipients-file, line {}", number + 1);
                all.push(line.parse().map_err(|_| refused(place()))?);
            }
        }
        if all.is_empty() {
            return Err(refused("--age-recipients-file".to_owned()));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use age::secrecy::ExposeSecret as _;

    /// Guarantees: what is taken for a recipient and is none, a secret key above all, is told by its place alone; a file of
    /// recipients that has none is refused and not taken for "in clear".
    /// Fails when: the library's words are passed on, or nothing to seal for means not to seal.
    #[test]
    fn what_is_no_recipient_is_not_repeated() {
        let secret = age::x25519::Identity::generate().to_string();
        let good = age::x25519::Identity::generate().to_public().to_string();
        let told = |given: &[String], file: &str| {
            let dir = tempfile::tempdir().expect("a folder");
            let path = dir.path().join("r");
            std::fs::write(&path, file).expect("a file");
            recipients(given, Some(&path)).map(|all| all.len()).map_err(|failure| failure.to_string())
        };
        assert_eq!(told(std::slice::from_ref(&good), &format!("# us\n\n{good}\n")), Ok(2));
        let refused = told(&[secret.expose_secret().to_owned()], "").expect_err("a secret");
        assert!(refused.contains("number 1") && !refused.contains("AGE-SECRET"), "{refused}");
        let refused = told(&[], &format!("{good}\n{}\n", secret.expose_secret())).expect_err("a secret");
        assert!(refused.contains("line 2") && !refused.contains("AGE-SECRET"), "{refused}");
        assert!(told(&[], "# nobody\n").is_err());
    }

    /// Guarantees: a file is there when it is whole and not before, its owner's only, whatever was there; and something that is no file
    /// is written to and not replaced.
    #[test]
    fn a_file_is_in_its_place_when_it_is_whole() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("out");
        std::fs::write(&path, "before").expect("a file");
        let read = || std::fs::read_to_string(&path).expect("it is there");
        let mut sink = Sink::open(Some(&path), &Vec::new()).expect("opened");
        sink.write_all(b"half").expect("written");
        sink.flush().expect("written");
        assert_eq!(read(), "before");
        drop(sink);
        assert_eq!(
            (read().as_str(), std::fs::read_dir(dir.path()).expect("a folder").count()),
            ("before", 1)
        );
        let mut sink = Sink::open(Some(&path), &Vec::new()).expect("opened");
        sink.write_all(b"all").expect("written");
        sink.finish().expect("finished");
        assert_eq!(read(), "all");
        assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        let null = Path::new("/dev/null");
        Sink::open(Some(null), &Vec::new()).expect("opened").finish().expect("finished");
        assert!(!std::fs::metadata(null).expect("it is there").is_file());
    }
}

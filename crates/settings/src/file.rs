//! The settings file's text, bounded.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

/// Largest settings file, bytes. The commented template has four thousand; a larger file is another file, and finding the
/// line of everything that is wrong in it would take long.
const FILE_MAX: u64 = 128 << 10;

/// Reads it.
pub(crate) fn read(path: &Path) -> Result<String> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "not a file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        let text = format!("more than {FILE_MAX} bytes, which no settings have");
        return Err(Error::new(ErrorKind::FileTooLarge, text));
    }
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "not UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::FILE_MAX;
    use crate::Settings;

    /// Guarantees: a settings file of the greatest length is read, in a bearable time even if every line of it is wrong, a
    /// longer one, a folder and what is no text are refused in words that hold nothing of it.
    /// Fails when: the file is read without a limit, or a folder is reported as the system says it.
    #[test]
    fn a_settings_file_has_a_greatest_length() {
        let dir = std::env::temp_dir().join(format!("tamis-settings-file-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("tamis.toml");
        let told = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            Settings::read(Some(&path)).map(drop).map_err(|problems| problems.to_string())
        };
        let most = usize::try_from(FILE_MAX).unwrap();
        assert_eq!(told(&vec![b'\n'; most]), Ok(()));
        let refused = told(&vec![b'\n'; most + 1]).unwrap_err();
        assert!(refused.contains("cannot be read: more than 131072 bytes"), "{refused}");
        assert!(told(b"sasl = \"hunter2\xff\"").unwrap_err().ends_with("cannot be read: not UTF-8"));
        let begun = Instant::now();
        let mut wrong = String::from("[bus]\n");
        for number in 0.. {
            let line = format!("k{number}=0\n");
            if wrong.len() + line.len() > most {
                break;
            }
            wrong.push_str(&line);
        }
        assert!(told(wrong.as_bytes()).is_err());
        let deep = format!("[bus]\nclient = {}{}", "[".repeat(most / 4), "]".repeat(most / 4));
        assert!(told(deep.as_bytes()).unwrap_err().contains("not TOML"));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        let folder = Settings::read(Some(&dir)).map(drop).unwrap_err().to_string();
        assert!(folder.ends_with("cannot be read: not a file"), "{folder}");
        assert!(Settings::read(Some(Path::new("/dev/zero"))).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

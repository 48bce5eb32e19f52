use std::fs;

use super::*;

/// A directory of this test's own, removed at its end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tamis-key-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join("key");
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const DIGITS: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

#[test]
fn a_key_file_is_made_once_for_its_owner_only_and_read_back() {
    let dir = Dir::new("made");
    let path = dir.0.join("tamis.key");
    let key = Key::create_file(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(Key::read(&path).unwrap().0, key.0);
    assert!(matches!(Key::create_file(&path), Err(KeyError::Exists(_))));
    assert_eq!(Key::read(&path).unwrap().0, key.0, "it is left as it was");
    assert_ne!(Key::generate().unwrap().0, Key::generate().unwrap().0);
}

#[test]
fn a_key_file_open_to_group_or_others_is_refused() {
    let dir = Dir::new("open");
    for mode in [0o640, 0o604, 0o610, 0o601, 0o620, 0o602, 0o644] {
        let error = Key::read(&dir.file(DIGITS, mode)).unwrap_err();
        assert!(matches!(error, KeyError::OpenToOthers { .. }), "{mode:o}: {error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    for mode in [0o600, 0o400] {
        assert!(Key::read(&dir.file(DIGITS, mode)).is_ok(), "{mode:o}");
    }
}

#[test]
fn a_missing_key_file_says_how_to_make_one() {
    let error = Key::read(Path::new("no-such-directory/tamis.key")).unwrap_err();
    assert!(matches!(error, KeyError::Missing(_)));
    assert!(error.to_string().contains("tamis init"), "{error}");
}

#[test]
fn whatever_is_not_a_key_is_refused_and_no_error_tells_it() {
    let dir = Dir::new("malformed");
    let short = &DIGITS[1..];
    for text in [
        String::new(),
        "# only a comment\n".to_owned(),
        short.to_owned(),
        format!("{DIGITS}0"),
        format!("{DIGITS}\n{DIGITS}\n"),
        format!("{DIGITS}\n{short}\n"),
        (0..17).map(|n| format!("{n:064x}\n")).collect(),
        format!("{short}g"),
        format!("{DIGITS}\n{}", "#".repeat(5000)),
        "é".repeat(32),
    ] {
        let error = Key::read(&dir.file(&text, 0o600)).unwrap_err();
        assert!(matches!(error, KeyError::Malformed(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains(&short[..16]), "{error}");
    }
    let key = Key::read(&dir.file(&format!("# mine\r\n\r\n  {DIGITS}\r\n"), 0o600)).unwrap();
    assert_eq!(key.0[0][..3], [0x00, 0x11, 0x22]);
    assert_eq!(format!("{key:?}"), "<redacted>");
}

/// Guarantees: a rotation adds a step behind those there are, leaves the file its owner's only, and nothing of the old file's
/// bytes where they lay.
/// Fails when: the old file is not overwritten; the file loses its first step.
#[test]
fn a_step_is_added_in_place_and_the_old_file_is_overwritten() {
    let dir = Dir::new("rotated");
    let path = dir.file(&format!("{DIGITS}\n"), 0o400);
    let one = Key::read(&path).unwrap();
    let old = dir.0.join("old");
    fs::hard_link(&path, &old).unwrap();
    // As a process that was killed before the rename leaves it.
    fs::write(dir.0.join("key.new"), "never used").unwrap();

    let file = KeyFile::lock(&path).unwrap();
    assert!(matches!(KeyFile::lock(&path), Err(KeyError::Busy(_))));
    let two = file.add_step().unwrap();
    assert_eq!((two.scheme(), &two.0[..1]), (2, &one.0[..]));
    assert_eq!(Key::read(&path).unwrap().0, two.0);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read(&old).unwrap(), vec![0; 65], "what was the file");
    assert!(!dir.0.join("key.new").exists());

    for _ in 0..14 {
        file.add_step().unwrap();
    }
    assert!(matches!(file.add_step(), Err(KeyError::Full(at)) if at == fs::canonicalize(&path).unwrap()));
    assert_eq!(Key::read(&path).unwrap().scheme(), 16);
    drop(file);
    assert!(KeyFile::lock(&path).is_ok());
}

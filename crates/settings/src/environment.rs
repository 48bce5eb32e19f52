//! The environment as text.

use std::ffi::OsString;

use crate::problems::Finding;

/// The variables that are text, and a finding for each of ours that is not; other programs' may hold what they like.
pub(crate) fn read(all: impl Iterator<Item = (OsString, OsString)>) -> (Vec<(String, String)>, Vec<Finding>) {
    let (mut texts, mut unreadable) = (Vec::new(), Vec::new());
    for (name, value) in all {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => texts.push((name, value)),
            Err(_) if crate::raw::is_setting(&name) => {
                let text = "not UTF-8".to_owned();
                unreadable.push(Finding { file: None, line: 0, key: name, text, refuses: true });
            }
            Err(_) => {}
        }
    }
    (texts, unreadable)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    use super::read;

    #[test]
    fn a_variable_that_is_not_text_is_refused_only_if_it_is_ours() {
        let odd = || OsString::from_vec(vec![0xff]);
        let all = [
            ("TAMIS_BUS__KIND".into(), odd()),
            ("LS_COLORS".into(), odd()),
            (odd(), "x".into()),
            ("TAMIS_ROUTER__WORKERS".into(), "3".into()),
        ];
        let (texts, unreadable) = read(all.into_iter());
        assert_eq!(texts, [("TAMIS_ROUTER__WORKERS".to_owned(), "3".to_owned())]);
        let told: Vec<String> = unreadable.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["environment: TAMIS_BUS__KIND: not UTF-8"]);
    }
}

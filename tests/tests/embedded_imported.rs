//! Opt-outs imported from files, by the command, on the embedded log: through a service, without one, and over a kill.

use tamis_tests::imported::{self, House, Killed, rows};

fn house() -> House {
    House::new(|dir| format!("kind = \"embedded\"\ndata_dir = \"{}\"", dir.join("data").display()), "")
}

#[test]
fn g1_whoever_is_imported_gets_nothing_until_the_import_is_undone() {
    imported::whoever_is_imported_gets_nothing_until_the_import_is_undone(&house());
}

#[test]
fn at_once_is_one_moment() {
    imported::at_once_is_one_moment(&house());
}

#[test]
fn an_import_and_its_undo_go_on_after_a_kill() {
    imported::an_import_and_its_undo_go_on_after_a_kill(&house(), Killed::Service);
}

/// Guarantees: without a service the command does the same by itself, and ends with the contract's codes.
#[test]
fn without_a_service_the_command_imports_by_itself() {
    let house = house();
    let file = house.file("stop.csv", &rows(3));
    let (code, told, words) = house.import(&file, &["--tenant", "acme", "--import-id", "stops"]);
    assert_eq!((code, told["accepted"].as_u64()), (Some(0), Some(3)), "{words}");
    let undo = || house.tamis(&["suppress", "import", "--undo", "stops"], "");
    assert_eq!(String::from_utf8_lossy(&undo().stdout).trim(), "lifted 3, kept 0");
    assert_eq!(undo().status.code(), Some(3), "once is enough");
    assert_eq!(house.import(&file, &["--tenant", "acme"]).1["new"], 3);
    let mixed = house.file("mixed.csv", &format!("{}nobody;sms;stop\r\n", rows(3)));
    let (code, told, _) = house.import(&mixed, &["--tenant", "acme"]);
    assert_eq!((code, told["already"].as_u64(), told["rejected"].as_u64()), (Some(3), Some(3), Some(1)));
    let (code, _, words) = house.import(&mixed, &["--tenant", "acme", "--visible", "at_once"]);
    assert_eq!(code, Some(3), "{words}");
    let headless = house.file("x.csv", "dupont;camille\r\na;b\r\n");
    let (code, _, words) = house.import(&headless, &["--tenant", "acme"]);
    assert!(
        code == Some(3) && words.contains("NO_ADDRESS_COLUMN: line 1") && !words.contains("dupont"),
        "{words}"
    );
    let (code, _, words) = house.import(&file, &["--tenant", "acme", "--visible", "soon"]);
    assert!(code == Some(2) && words.contains("as_it_goes"), "{words}");
}

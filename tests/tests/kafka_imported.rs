//! Opt-outs imported from files, by the command, on a real Apache Kafka.

use tamis_tests::imported::{self, House, Killed};
use tamis_tests::kafka;

fn house(prefix: &str) -> House {
    // Its topics are made with it.
    drop(kafka::bus(prefix));
    let bootstrap = kafka::broker().bootstrap();
    let lines = format!(
        "kind = \"kafka\"\nbootstrap_servers = \"{bootstrap}\"\nprefix = \"{prefix}\"\ngroup = \"{prefix}\""
    );
    let more = "[bus.client]\n\"session.timeout.ms\" = \"3000\"\n\"heartbeat.interval.ms\" = \"500\"\n";
    House::new(|_| lines, more)
}

#[test]
fn g1_whoever_is_imported_gets_nothing_until_the_import_is_undone() {
    imported::whoever_is_imported_gets_nothing_until_the_import_is_undone(&house("imported"));
}

#[test]
fn at_once_is_one_moment() {
    imported::at_once_is_one_moment(&house("imported-at-once"));
}

#[test]
fn an_import_and_its_undo_go_on_after_a_kill() {
    imported::an_import_and_its_undo_go_on_after_a_kill(&house("imported-killed"), Killed::Command);
}

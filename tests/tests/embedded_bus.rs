//! The whole line on the embedded bus.

use tamis_tests::{embedded, suite};

#[test]
fn g1_g3_g4_g6_exactly_the_right_people_arrive() {
    let bus = embedded::open();
    suite::exactly_the_right_people_arrive(&bus.bus, 11);
}

#[test]
fn g1_an_acked_opt_out_counts_for_the_very_next_job() {
    let bus = embedded::open();
    suite::an_acked_opt_out_counts_for_the_very_next_job(&bus.bus, 2_000);
}

#[test]
fn what_is_no_job_becomes_a_dead_letter_and_stops_nothing() {
    let bus = embedded::open();
    suite::what_is_no_job_becomes_a_dead_letter_and_stops_nothing(&bus.bus);
}

//! The whole line on a real Apache Kafka.

use tamis_tests::{kafka, suite};

#[test]
fn g1_g3_g4_g6_exactly_the_right_people_arrive() {
    suite::exactly_the_right_people_arrive(&kafka::bus("right-people"), 12);
}

#[test]
fn g1_an_acked_opt_out_counts_for_the_very_next_job_ten_thousand_times() {
    suite::an_acked_opt_out_counts_for_the_very_next_job(&kafka::bus("next-job"), 10_000);
}

#[test]
fn what_is_no_job_becomes_a_dead_letter_and_stops_nothing() {
    suite::what_is_no_job_becomes_a_dead_letter_and_stops_nothing(&kafka::bus("dead-letters"));
}

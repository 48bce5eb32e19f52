//! The command against a real Kafka.

use std::process::Command;

#[test]
fn the_demo_keeps_its_promises_on_kafka_too() {
    let bootstrap = kafka_harness::shared().bootstrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tamis"))
        .args(["demo", "--seconds", "5", "--recipients-per-second", "5000", "--json"])
        .args(["--bootstrap-servers", &bootstrap])
        .output()
        .expect("run the demo");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!(told["ok"], true, "{stderr}");
    assert!(told["in"].as_u64().expect("a number") > 5_000, "{stderr}");
}

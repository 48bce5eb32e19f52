//! The example clients in `docs/clients`, as their page says to run them, against tamis on a real Kafka.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tamis_tests::process::{Service, config};
use tamis_tests::python::{self, done, root};
use tamis_tests::{kafka, tamis_bin};

/// The client, and what makes classes of the messages.
const PACKAGES: &[&str] = &["confluent-kafka==2.16.1", "grpcio-tools==1.85.1"];
const PREFIX: &str = "example-clients";

/// Runs a client that reads addresses from stdin and must succeed; answers what it prints.
fn told(command: &mut Command, addresses: &str) -> String {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the client starts");
    child.stdin.take().expect("piped").write_all(addresses.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// Guarantees: an opt-out by curl, a job by Python and its delivery in Java go together: who opted out is left out.
/// Fails when: a call, a topic or a message changes and a client is not changed with it.
#[test]
fn curl_python_and_java_work_together() {
    let broker = kafka::broker().bootstrap();
    drop(kafka::bus(PREFIX));
    let dir = tempfile::tempdir().expect("a directory");
    let bus = format!(
        "kind = \"kafka\"\nbootstrap_servers = \"{broker}\"\nprefix = \"{PREFIX}\"\ngroup = \"{PREFIX}\"\ndata_dir = \"{}\"",
        dir.path().join("data").display()
    );
    let keys = format!("keys_file = \"{}\"\n", dir.path().join("keys.toml").display());
    let (file, admin, api) = config(dir.path(), "one", &bus, &keys);
    let text = std::fs::read_to_string(&file).expect("settings");
    std::fs::write(&file, text.replace("auth = \"off\"", "auth = \"on\"")).expect("settings");
    tamis_subject::Key::create_file(&dir.path().join("tamis.key")).expect("a key");
    let mut keys = Command::new(tamis_bin());
    let key = done(keys.arg("--config").arg(&file).args(["keys", "api", "create", "--tenant", "acme"]));
    let service = Service::start(&file, admin, api);
    service.wait_ready();
    let (api, clients) = (format!("http://{api}"), root().join("docs/clients"));

    let opt_out = || {
        let mut command = Command::new(clients.join("opt_out.sh"));
        command.env("TAMIS_API", &api).env("TAMIS_KEY", key.trim());
        command.args(["acme", "sms", "unsubscribed", "ticket-4711"]);
        told(&mut command, "+33 6 39 98 12 34\n")
    };
    let first = opt_out();
    assert!(first.contains("\"accepted\":1"), "{first}");
    assert_eq!(opt_out(), first, "the same call again has the same answer");

    let programs = python::with(PACKAGES);
    let classes = dir.path().join("classes");
    std::fs::create_dir(&classes).expect("a directory");
    let mut protoc = Command::new(programs.join("python"));
    protoc.args(["-m", "grpc_tools.protoc", "-I"]).arg(root().join("proto"));
    done(protoc.arg("--python_out").arg(&classes).arg("tamis/campaign/v1/campaign.proto"));
    let mut send = Command::new(programs.join("python"));
    send.arg(clients.join("send_job.py")).args([&broker, PREFIX, "acme", "spring-1", "Bonjour"]);
    send.env("PYTHONPATH", &classes).env("TAMIS_API", &api).env("TAMIS_KEY", key.trim());
    let sent = told(&mut send, "0639981234\n+33639981235\n");
    assert!(sent.contains("\"recipients\": 2") && sent.contains("\"suppressed_now\": 1"), "{sent}");

    let jars = kafka_harness::jars().expect("Kafka's jars");
    let mut gateway = Command::new("java");
    gateway.arg("-cp").arg(jars.join("*")).arg(clients.join("Gateway.java"));
    gateway.args([&broker, PREFIX, "sms", "gateway-a", "1"]).env("TAMIS_API", &api);
    let read = done(&mut gateway);
    assert!(read.contains("delivery spring-1 bytes "), "{read}");
}

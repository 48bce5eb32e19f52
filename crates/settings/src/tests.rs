//! What is refused, with which line and which guess; and that the template says the defaults.

use std::path::Path;
use std::time::Duration;

use super::*;

fn parse(text: &str) -> Result<Settings, Problems> {
    with_env(text, &[])
}

fn with_env(text: &str, environment: &[(&str, &str)]) -> Result<Settings, Problems> {
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Settings::parse(text, Path::new("/nowhere/tamis.toml"), environment)
}

fn refused(text: &str) -> String {
    parse(text).expect_err("it must be refused").to_string()
}

#[test]
fn the_template_says_the_defaults() {
    let (written, empty) = (parse(TEMPLATE).unwrap(), parse("").unwrap());
    assert_eq!(format!("{:?}", written.bus()), format!("{:?}", empty.bus()));
    assert_eq!(format!("{:?}", written.router()), format!("{:?}", empty.router()));
    assert_eq!(format!("{:?}", written.topics()), format!("{:?}", empty.topics()));
    assert_eq!(format!("{:?}", written.http()), format!("{:?}", empty.http()));
    assert_eq!(format!("{:?}", written.identity()), format!("{:?}", empty.identity()));
    assert_eq!(format!("{:?}", written.suppression()), format!("{:?}", empty.suppression()));
    assert_eq!(written.topics().retention(), Duration::from_secs(86_400));
    assert_eq!(written.identity().key_file(), Path::new("/nowhere/tamis.key"));
    for (section, keys) in crate::schema::SECTIONS {
        assert!(TEMPLATE.contains(&format!("[{section}]")));
        for (key, _) in *keys {
            assert!(TEMPLATE.contains(&format!("{key} =")) || *key == "client", "{section}.{key}");
        }
    }
}

#[test]
fn an_unknown_key_is_refused_with_line_and_guess() {
    let text = "[bus]\nkind = \"kafka\"\n\n[router]\nbatch_ms_maxx = 5\n[toppics]\n";
    let all = refused(text);
    assert!(
        all.contains("/nowhere/tamis.toml:5: router.batch_ms_maxx: unknown key; did you mean batch_ms_max?"),
        "{all}"
    );
    let both = refused("[bus]\nkinds = \"kafka\"\n[topics]\npartitions = \"eight\"\n");
    assert!(both.contains(":2: bus.kinds") && both.contains(":4: topics.partitions"), "all at once: {both}");
    assert!(all.contains("/nowhere/tamis.toml:6: toppics: unknown section; did you mean topics?"), "{all}");
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_with_line() {
    let text = "[topics]\npartitions = \"eight\"\nretention = \"soon\"\n[purge]\nenabled = 1\nreaders = { smss = [] }\n";
    let all = refused(text);
    for part in
        ["tamis.toml:2: topics.partitions", ":3: topics.retention", ":5: purge.enabled", ":6: purge.readers"]
    {
        assert!(all.contains(part), "{part} in {all}");
    }
    assert!(refused("[bus\n").contains("tamis.toml:1: not TOML"));
    assert!(refused("bus = 1\n").contains("write [bus]"));
    assert!(refused("[topics]\npartitions = 0\n").contains("expected 1 to 10000, not 0"));
    assert!(refused("[bus]\nkind = \"nats\"\n").contains("embedded"));
    assert!(refused("[identity]\ndefault_region = \"France\"\n").contains("two letters"));
    assert!(refused("[http]\napi = \"localhost\"\n").contains("127.0.0.1:8081"));
}

#[test]
fn a_retention_that_would_lose_jobs_is_refused() {
    for bad in ["0s", "59s", "3651d", "18446744073709551615ms"] {
        let text = refused(&format!("[topics]\nretention = \"{bad}\"\n"));
        assert_eq!(text, "/nowhere/tamis.toml:2: topics.retention: expected \"60s\" to \"3650d\"", "{bad}");
    }
    assert!(parse("[topics]\nretention = \"1m\"\n").is_ok());
    assert!(refused("[suppression]\nsnapshot_every = \"0s\"\n").contains("expected \"1s\""));
}

/// Guarantee: what is wrong is told without a secret, whatever is wrong with it.
#[test]
fn a_secret_is_in_no_finding() {
    for line in [
        "\"sasl.password\" = \"hunter2",
        "\"sasl.password\" = hunter2",
        "\"sasl.password\" = \"a\"\n\"sasl.password\" = \"hunter2\"",
        "\"sasl.password\" = \"hunter2\\q\"",
        "\"sasl.password\" = [\"hunter2\"]",
        "sasl.password = \"hunter2\"",
    ] {
        for section in ["bus.client", "bus"] {
            let told = refused(&format!("[{section}]\n{line}\n"));
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    let text = "[router]\nbatch_ms_max = 300\nfreshness_max_ms = 400\n";
    assert!(refused(text).contains("tamis.toml:3: router.freshness_max_ms: 400 ms leaves a batch of 300 ms"));
    let off = "[http]\nauth = \"off\"\napi = \"0.0.0.0:1\"\n";
    assert!(refused(off).contains("loopback"));
    assert!(parse("[http]\nauth = \"off\"\n").is_ok());
    let same = "[http]\napi = \"127.0.0.1:9000\"\nadmin = \"127.0.0.1:9000\"\n";
    assert!(refused(same).contains("tamis.toml:3: http.admin: 127.0.0.1:9000 is http.api's as well"));
    assert!(parse(&same.replace("9000", "0")).is_ok());
}

/// Guarantees: links begin with something that a path can be put after, and the service is told whether it is https; plain http is
/// noted where it leaves the machine. Fails when: a query, a space or a host's absence is taken, or the note is missing.
#[test]
fn what_links_begin_with_is_checked() {
    let of = |url: &str| parse(&format!("[http]\npublic_url = \"{url}\"\n"));
    let good = of("https://mail.example.org/news/").unwrap();
    assert_eq!(
        (good.http().public_url(), good.http().public_https()),
        ("https://mail.example.org/news", true)
    );
    let noted = |settings: &Settings| settings.notes().iter().any(|note| note.key == "http.public_url");
    assert!(!noted(&good) && !noted(&of("http://localhost:8080").unwrap()));
    let plain = of("http://mail.example.org").unwrap();
    assert!(noted(&plain) && !plain.http().public_https());
    for bad in ["mail.example.org", "https://mail.example.org/?u=", "ftp://mail.example.org", ""] {
        let told = refused(&format!("[http]\npublic_url = \"{bad}\"\n"));
        assert!(told.contains("tamis.toml:2: http.public_url: expected where recipients reach"), "{told}");
    }
}

#[test]
fn links_are_good_for_ever_or_for_ten_years_at_most() {
    assert_eq!(parse("").unwrap().http().link_days(), 0);
    assert_eq!(parse("[http]\nlink_days = 400\n").unwrap().http().link_days(), 400);
    assert!(refused("[http]\nlink_days = 3651\n").contains("expected 0 to 3650, not 3651"));
    for other in ["api", "admin"] {
        let same = format!("[http]\npublic = \"127.0.0.1:9000\"\n{other} = \"127.0.0.1:9000\"\n");
        let told = format!("tamis.toml:2: http.public: 127.0.0.1:9000 is http.{other}'s as well");
        assert!(refused(&same).contains(&told));
    }
}

#[test]
fn the_environment_goes_over_the_file() {
    let env = [
        ("TAMIS_BUS__KIND", "kafka"),
        ("TAMIS_ROUTER__WORKERS", "3"),
        ("TAMIS_BUS__CLIENT__SASL_PASSWORD", "s3cret"),
        ("TAMIS_LOG", "debug"),
    ];
    let settings = with_env("[bus]\nkind = \"embedded\"\n", &env).unwrap();
    assert_eq!((settings.bus().kind(), settings.router().workers()), (BusKind::Kafka, 3));
    assert_eq!(settings.bus().client()["sasl.password"], "s3cret");
    assert!(!format!("{settings:?}").contains("s3cret"), "secrets do not print");
    let wrong = with_env("", &[("TAMIS_ROUTER__WORKER", "3")]).unwrap_err().to_string();
    assert_eq!(
        wrong,
        "environment: TAMIS_ROUTER__WORKER: unknown variable; did you mean TAMIS_ROUTER__WORKERS?"
    );
    let wrong = with_env("", &[("TAMIS_ROUTER__WORKERS", "many")]).unwrap_err().to_string();
    assert!(wrong.starts_with("environment: router.workers: expected a whole number"), "{wrong}");
}

/// Fails when: the default does not follow the retention, or a wrong value is taken for it.
#[test]
fn content_may_be_as_old_as_the_retention_unless_it_is_written() {
    let age = |text: &str| parse(text).map(|settings| settings.router().content_max_age());
    assert_eq!(age("").unwrap(), Duration::from_secs(86_400));
    let retention = "[topics]\nretention = \"2h\"\n[router]\ncontent_max_age = ";
    assert_eq!(age(&format!("{retention}\"\"\n")).unwrap(), Duration::from_secs(7_200));
    assert_eq!(age(&format!("{retention}\"90s\"\n")).unwrap(), Duration::from_secs(90));
    let wrong = refused("[router]\ncontent_max_age = \"a day\"\n");
    assert!(wrong.contains("tamis.toml:2: router.content_max_age: expected a duration"), "{wrong}");
}

/// Guarantees: records that can't be read are passed over only where that is written, and whoever writes it is told what it
/// means.
#[test]
fn passing_over_records_is_written_and_told() {
    assert!(!parse("").unwrap().suppression().skip_unreadable());
    let settings = parse("[suppression]\nskip_unreadable = true\n").unwrap();
    assert!(settings.suppression().skip_unreadable());
    let notes: Vec<String> = settings.notes().iter().map(ToString::to_string).collect();
    let told = |note: &String| {
        note.starts_with("/nowhere/tamis.toml:2: suppression.skip_unreadable: suppression records")
    };
    assert!(notes.iter().any(told), "{notes:?}");
    let wrong = refused("[suppression]\nskip_unreadable = \"yes\"\n");
    assert!(wrong.contains("tamis.toml:2: suppression.skip_unreadable: expected true or false"), "{wrong}");
}

#[test]
fn without_a_policy_file_it_says_so() {
    let dir = std::env::temp_dir().join(format!("tamis-settings-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let none = std::iter::empty;
    let settings = Settings::parse("", &dir.join("tamis.toml"), none()).unwrap();
    assert!(settings.notes()[0].text.contains("every tenant and channel is allowed"));
    std::fs::write(dir.join("policy.toml"), "").unwrap();
    assert!(Settings::parse("", &dir.join("tamis.toml"), none()).unwrap().notes().is_empty());
    assert!(
        Settings::parse("[policy]\nfile = \"\"\n", &dir.join("tamis.toml"), none())
            .unwrap()
            .notes()
            .is_empty()
    );
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Guarantees: a door that should speak TLS never speaks plainly because a file was forgotten.
/// Fails when: one of the two without the other is taken as none.
#[test]
fn tls_takes_a_certificate_and_its_key() {
    assert!(parse("").unwrap().http().tls().is_none());
    let http = |lines: &str| format!("[http]\n{lines}\n");
    let both = parse(&http("tls_cert = \"a.pem\"\ntls_key = \"b.pem\"\nclient_ca = \"\"")).unwrap();
    let files = both.http().tls().unwrap();
    assert_eq!((&*files.cert, &*files.key), (Path::new("/nowhere/a.pem"), Path::new("/nowhere/b.pem")));
    assert_eq!(files.client_ca, None);
    let all = parse(&http("tls_cert = \"a\"\ntls_key = \"b\"\nclient_ca = \"c\"")).unwrap();
    assert_eq!(all.http().tls().unwrap().client_ca.as_deref(), Some(Path::new("/nowhere/c")));
    assert!(refused(&http("tls_cert = \"a\"")).contains("http.tls_key: missing"));
    assert!(refused(&http("tls_key = \"a\"")).contains("http.tls_cert: missing"));
    assert!(refused(&http("client_ca = \"a\"")).contains("http.tls_cert: missing"));
}

#[test]
fn a_key_has_a_rate_or_none() {
    assert_eq!(parse("").unwrap().http().rate_per_key(), 1_000);
    assert_eq!(parse("[http]\nrate_per_key = 0\n").unwrap().http().rate_per_key(), 0);
    assert!(refused("[http]\nrate_per_key = 1000001\n").contains("expected 0 to 1000000"));
}

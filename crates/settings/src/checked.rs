//! Settings as checked: fields that can be trusted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tamis_campaign::Channel;
use tamis_subject::Region;
use toml::Value;

use crate::problems::{Finding, Problems};
use crate::raw::Raw;
use crate::url;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// Default of `topics.retention`.
const RETENTION: Duration = Duration::from_secs(86_400);
/// Longer than anything here is kept, and far inside Kafka's signed milliseconds.
const DURATION_MOST: Duration = Duration::from_secs(3_650 * 86_400);

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty => $ret:ty, |$s:ident| $get:expr;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name { $($field: $type,)+ }

        impl $name {
            $($(#[$fdoc])*
            #[must_use]
            pub fn $field(&self) -> $ret {
                let $s = self;
                $get
            })+
        }
    };
}

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusKind {
    /// A store on this machine.
    Embedded,
    /// Apache Kafka.
    Kafka,
}

/// Whether the API asks for keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// A key for each call.
    On,
    /// Every caller is an operator; loopback only.
    Off,
}

/// librdkafka properties; may hold secrets, so they don't print.
#[derive(Clone, Default)]
struct Client(BTreeMap<String, String>);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} properties", self.0.len())
    }
}

/// The PEM files of a door that speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with those between it and its authority.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities of the callers' certificates; callers need none without it.
    pub client_ca: Option<PathBuf>,
}

section!(
    /// `[bus]`: the log.
    Bus {
        /// `bus.kind`: `"embedded"` or `"kafka"`.
        kind: BusKind => BusKind, |s| s.kind;
        /// `bus.data_dir`: where the embedded log is.
        data_dir: PathBuf => &Path, |s| &s.data_dir;
        /// `bus.bootstrap_servers`: `host:port`, comma-separated.
        bootstrap_servers: String => &str, |s| &s.bootstrap_servers;
        /// `bus.prefix`: first part of the topics' names.
        prefix: String => &str, |s| &s.prefix;
        /// `bus.group`: the consumer group of all routers.
        group: String => &str, |s| &s.group;
        /// `bus.instance`: unique in the group and stable; the host's name unless it is written.
        instance: String => &str, |s| &s.instance;
        /// `bus.client`: librdkafka properties as they are.
        client: Client => &BTreeMap<String, String>, |s| &s.client.0;
    }
);
section!(
    /// `[topics]`: what the topics should be.
    Topics {
        /// `topics.partitions`, 1 to 10,000.
        partitions: u32 => u32, |s| s.partitions;
        /// `topics.replication`; 0 = 3, or the number of brokers where there are fewer.
        replication: u16 => u16, |s| s.replication;
        /// `topics.max_message_bytes`: the largest record.
        max_message_bytes: usize => usize, |s| s.max_message_bytes;
        /// `topics.retention`: the longest outage tolerated.
        retention: Duration => Duration, |s| s.retention;
    }
);
section!(
    /// `[identity]`: how subjects are made.
    Identity {
        /// `identity.key_file`.
        key_file: PathBuf => &Path, |s| &s.key_file;
        /// `identity.default_region`, for national phone numbers.
        default_region: Region => Region, |s| s.default_region;
    }
);
section!(
    /// `[router]`: how the line works.
    Router {
        /// `router.workers`; one for each core when 0 is written.
        workers: u16 => u16, |s| s.workers;
        /// `router.batch_ms_max`.
        batch_ms_max: u64 => u64, |s| s.batch_ms_max;
        /// `router.batch_bytes_max`.
        batch_bytes_max: usize => usize, |s| s.batch_bytes_max;
        /// `router.freshness_max_ms` (G2).
        freshness_max_ms: u64 => u64, |s| s.freshness_max_ms;
        /// `router.dedupe_window` (G7): zero looks for no duplicates.
        dedupe_window: Duration => Duration, |s| s.dedupe_window;
        /// `router.content_max_age`: content that can be read for longer is an alarm; `topics.retention` when empty.
        content_max_age: Duration => Duration, |s| s.content_max_age;
    }
);
section!(
    /// `[suppression]`: the filter.
    Suppression {
        /// `suppression.snapshot_dir`.
        snapshot_dir: PathBuf => &Path, |s| &s.snapshot_dir;
        /// `suppression.snapshot_every`.
        snapshot_every: Duration => Duration, |s| s.snapshot_every;
        /// `suppression.skip_unreadable`: go past a record that can't be read, instead of holding there (G5).
        skip_unreadable: bool => bool, |s| s.skip_unreadable;
    }
);
section!(
    /// `[purge]`: deleting what was read.
    Purge {
        /// `purge.enabled`.
        enabled: bool => bool, |s| s.enabled;
        /// `purge.readers`: the groups that must have read a channel's deliveries.
        readers: BTreeMap<Channel, Vec<String>> => &BTreeMap<Channel, Vec<String>>, |s| &s.readers;
    }
);
section!(
    /// `[http]`: where it listens.
    Http {
        /// `http.public`: the unsubscribe pages of recipients.
        public: SocketAddr => SocketAddr, |s| s.public;
        /// `http.public_url`: what unsubscribe links begin with, without a slash at its end.
        public_url: String => &str, |s| &s.public_url;
        /// Whether `http.public_url` is https.
        public_https: bool => bool, |s| s.public_https;
        /// `http.link_days`: for how many days an unsubscribe link is good; 0 = for ever.
        link_days: u16 => u16, |s| s.link_days;
        /// `http.api`.
        api: SocketAddr => SocketAddr, |s| s.api;
        /// `http.admin`.
        admin: SocketAddr => SocketAddr, |s| s.admin;
        /// `http.keys_file`.
        keys_file: PathBuf => &Path, |s| &s.keys_file;
        /// `http.auth`.
        auth: Auth => Auth, |s| s.auth;
        /// `http.rate_per_key`: calls a second that one key may make; 0 is no limit.
        rate_per_key: u32 => u32, |s| s.rate_per_key;
        /// `http.tls_cert`, `http.tls_key`, `http.client_ca`: where they are, if the API speaks TLS.
        tls: Option<TlsFiles> => Option<&TlsFiles>, |s| s.tls.as_ref();
    }
);
section!(
    /// `[policy]`: tenants, gateways, rules.
    Policy {
        /// `policy.file`; `None` when it is empty.
        file: Option<PathBuf> => Option<&Path>, |s| s.file.as_deref();
    }
);
section!(
    /// Everything, checked.
    Settings {
        /// `[bus]`.
        bus: Bus => &Bus, |s| &s.bus;
        /// `[topics]`.
        topics: Topics => &Topics, |s| &s.topics;
        /// `[identity]`.
        identity: Identity => &Identity, |s| &s.identity;
        /// `[router]`.
        router: Router => &Router, |s| &s.router;
        /// `[suppression]`.
        suppression: Suppression => &Suppression, |s| &s.suppression;
        /// `[purge]`.
        purge: Purge => &Purge, |s| &s.purge;
        /// `[http]`.
        http: Http => &Http, |s| &s.http;
        /// `[policy]`.
        policy: Policy => &Policy, |s| &s.policy;
        /// The file that was read.
        file: PathBuf => &Path, |s| &s.file;
        /// What is worth knowing although nothing is refused for it.
        notes: Vec<Finding> => &[Finding], |s| &s.notes;
    }
);

impl Settings {
    /// Reads settings: `path`, else `$TAMIS_CONFIG`, else `./tamis.toml`; then the environment over them.
    ///
    /// # Errors
    /// [`Problems`]: everything that is wrong, with file, line and key.
    pub fn read(path: Option<&Path>) -> Result<Self, Problems> {
        let from_environment = std::env::var_os("TAMIS_CONFIG").map(PathBuf::from);
        let file =
            path.map(Path::to_owned).or(from_environment).unwrap_or_else(|| PathBuf::from("tamis.toml"));
        let text = crate::file::read(&file).map_err(|error| {
            let text = match error.kind() {
                std::io::ErrorKind::NotFound => "no such file; `tamis init` writes one".to_owned(),
                _ => format!("cannot be read: {error}"),
            };
            Problems(vec![Finding {
                file: Some(file.clone()),
                line: 0,
                key: String::new(),
                text,
                refuses: true,
            }])
        })?;
        let (environment, unreadable) = crate::environment::read(std::env::vars_os());
        match Self::parse(&text, &file, environment.into_iter()) {
            Ok(settings) if unreadable.is_empty() => Ok(settings),
            Ok(_) => Err(Problems(unreadable)),
            Err(Problems(refused)) => Err(Problems([refused, unreadable].concat())),
        }
    }

    /// Checks `text`, the content of `file`, with `environment` over it.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn parse(
        text: &str,
        file: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        let mut check = Check { raw: Raw::read(text, file, environment), file: file.to_owned() };
        let settings = check.settings();
        let (refused, notes): (Vec<_>, Vec<_>) = check.raw.findings.into_iter().partition(|f| f.refuses);
        if refused.is_empty() { Ok(Self { notes, ..settings }) } else { Err(Problems(refused)) }
    }
}

/// Takes values one by one; a wrong one is noted and its default goes on, so that all that is wrong is found.
struct Check {
    raw: Raw,
    file: PathBuf,
}

impl Check {
    fn settings(&mut self) -> Settings {
        let settings = Settings {
            bus: self.bus(),
            topics: Topics {
                partitions: self.number("topics", "partitions", 8, 1, 10_000),
                replication: self.number("topics", "replication", 0, 0, 15),
                // The smallest that holds a job with its headers; the largest that librdkafka takes.
                max_message_bytes: self.number(
                    "topics",
                    "max_message_bytes",
                    16_777_216,
                    65_536,
                    1_000_000_000,
                ),
                // At 0 Kafka would delete jobs before they are read.
                retention: self.duration("topics", "retention", RETENTION, MINUTE),
            },
            identity: Identity {
                key_file: self.path("identity", "key_file", "tamis.key"),
                default_region: self.region(),
            },
            router: Router {
                workers: match self.number("router", "workers", 0, 0, 64) {
                    0 => std::thread::available_parallelism()
                        .map_or(1, |n| u16::try_from(n.get()).unwrap_or(64).min(64)),
                    workers => workers,
                },
                batch_ms_max: self.number("router", "batch_ms_max", 10, 1, 10_000),
                batch_bytes_max: self.number("router", "batch_bytes_max", 8_388_608, 1_024, 1 << 30),
                freshness_max_ms: self.number("router", "freshness_max_ms", 5_000, 100, 600_000),
                dedupe_window: self.duration(
                    "router",
                    "dedupe_window",
                    Duration::from_secs(48 * 3_600),
                    // "0s" looks for no duplicates.
                    Duration::ZERO,
                ),
                content_max_age: self.content_max_age(),
            },
            suppression: Suppression {
                snapshot_dir: self.path("suppression", "snapshot_dir", "var/snapshots"),
                snapshot_every: self.duration(
                    "suppression",
                    "snapshot_every",
                    Duration::from_secs(900),
                    SECOND,
                ),
                skip_unreadable: self.skip_unreadable(),
            },
            purge: Purge { enabled: self.flag("purge", "enabled", true), readers: self.readers() },
            http: self.http(),
            policy: self.policy(),
            file: self.file.clone(),
            notes: Vec::new(),
        };
        let (batch, freshness) = (settings.router.batch_ms_max, settings.router.freshness_max_ms);
        if batch * 2 > freshness {
            let text = format!(
                "{freshness} ms leaves a batch of {batch} ms (router.batch_ms_max) no time: write at least twice as much"
            );
            self.raw.refuse("router", "freshness_max_ms", text);
        }
        settings
    }

    fn skip_unreadable(&mut self) -> bool {
        let skip = self.flag("suppression", "skip_unreadable", false);
        if skip {
            let text = "suppression records that can't be read are passed over: whoever opted out by one is written to";
            self.raw.remark("suppression", "skip_unreadable", text);
        }
        skip
    }

    fn content_max_age(&mut self) -> Duration {
        let retention = self.raw.value("topics", "retention").and_then(Value::as_str);
        let retention = retention.and_then(crate::duration::parse).unwrap_or(RETENTION);
        match self.text("router", "content_max_age", "").as_str() {
            "" => retention,
            _ => self.duration("router", "content_max_age", retention, SECOND),
        }
    }

    fn bus(&mut self) -> Bus {
        let kind = match self.text("bus", "kind", "embedded").as_str() {
            "kafka" => BusKind::Kafka,
            "embedded" => BusKind::Embedded,
            _ => {
                self.raw.refuse("bus", "kind", "expected \"embedded\" or \"kafka\"");
                BusKind::Embedded
            }
        };
        let client = self.raw.value("bus", "client").and_then(Value::as_table).cloned().unwrap_or_default();
        let client = client.into_iter().filter_map(|(k, v)| Some((k, v.as_str()?.to_owned()))).collect();
        let instance = match self.text("bus", "instance", "") {
            text if text.is_empty() => host_name(),
            text => text,
        };
        Bus {
            kind,
            data_dir: self.path("bus", "data_dir", "var/tamis"),
            bootstrap_servers: self.text("bus", "bootstrap_servers", "127.0.0.1:9092"),
            prefix: self.name("prefix", "tamis"),
            group: self.name("group", "tamis-router"),
            instance,
            client: Client(client),
        }
    }

    fn http(&mut self) -> Http {
        let auth = match self.text("http", "auth", "on").as_str() {
            "on" => Auth::On,
            "off" => Auth::Off,
            _ => {
                self.raw.refuse("http", "auth", "expected \"on\" or \"off\"");
                Auth::On
            }
        };
        let (public_url, public_https) = self.public_url();
        let http = Http {
            public: self.address("public", "127.0.0.1:8080"),
            public_url,
            public_https,
            // Ten years.
            link_days: self.number("http", "link_days", 0, 0, 3_650),
            api: self.address("api", "127.0.0.1:8081"),
            admin: self.address("admin", "127.0.0.1:9600"),
            keys_file: self.path("http", "keys_file", "var/api-keys.toml"),
            auth,
            // Calls are counted one by one; more than this is none of a limit.
            rate_per_key: self.number("http", "rate_per_key", 1_000, 0, 1_000_000),
            tls: self.tls(),
        };
        // Port 0 is a port of its own each time.
        if http.api == http.admin && http.api.port() != 0 {
            let text = format!("{} is http.api's as well: each needs its own", http.admin);
            self.raw.refuse("http", "admin", text);
        }
        for (name, other) in [("api", http.api), ("admin", http.admin)] {
            if http.public == other && other.port() != 0 {
                let text = format!("{other} is http.{name}'s as well: each needs its own");
                self.raw.refuse("http", "public", text);
            }
        }
        if auth == Auth::Off && !http.api.ip().is_loopback() {
            let text = format!(
                "\"off\" makes every caller an operator, so http.api must be a loopback address, not {}",
                http.api
            );
            self.raw.refuse("http", "auth", text);
        }
        http
    }

    fn tls(&mut self) -> Option<TlsFiles> {
        let file = |key| {
            let written =
                self.raw.value("http", key).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
            written.then(|| self.path("http", key, ""))
        };
        match (file("tls_cert"), file("tls_key"), file("client_ca")) {
            (Some(cert), Some(key), client_ca) => Some(TlsFiles { cert, key, client_ca }),
            (None, None, None) => None,
            (None, _, _) => {
                self.raw.refuse(
                    "http",
                    "tls_cert",
                    "missing: http.tls_key and http.client_ca need a certificate",
                );
                None
            }
            (Some(_), None, _) => {
                self.raw.refuse("http", "tls_key", "missing: http.tls_cert needs its key");
                None
            }
        }
    }

    /// `http.public_url`, and whether it is https.
    fn public_url(&mut self) -> (String, bool) {
        let written = self.text("http", "public_url", "http://127.0.0.1:8080");
        let Some(url) = url::Base::parse(&written) else {
            let text = "expected where recipients reach http.public, such as \"https://mail.example.org\": http or https, a host, \
                        no query and no fragment";
            self.raw.refuse("http", "public_url", text);
            return (written, false);
        };
        if !url.is_https && !url.is_loopback {
            let text = "unsubscribe links begin with http: whoever is on the way can read and change them, and RFC 8058 wants https";
            self.raw.remark("http", "public_url", text);
        }
        (written.trim_end_matches('/').to_owned(), url.is_https)
    }

    fn policy(&mut self) -> Policy {
        let written = self.text("policy", "file", "policy.toml");
        if written.is_empty() {
            return Policy { file: None };
        }
        let file = self.path("policy", "file", "policy.toml");
        if !file.exists() {
            let text = "no policy: every tenant and channel is allowed, one gateway stands for each channel, no calendar applies";
            self.raw.remark("policy", "file", text);
        }
        Policy { file: Some(file) }
    }

    fn flag(&self, section: &'static str, key: &'static str, default: bool) -> bool {
        self.raw.value(section, key).and_then(Value::as_bool).unwrap_or(default)
    }

    fn text(&self, section: &'static str, key: &'static str, default: &str) -> String {
        self.raw.value(section, key).and_then(Value::as_str).unwrap_or(default).to_owned()
    }

    /// Part of a topic's or group's name (Kafka: letters, digits, `.`, `_`, `-`, 249 in all).
    fn name(&mut self, key: &'static str, default: &str) -> String {
        let name = self.text("bus", key, default);
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if name.is_empty() || name.len() > 200 || !name.bytes().all(fine) {
            self.raw.refuse("bus", key, "expected 1 to 200 characters of [A-Za-z0-9._-]");
        }
        name
    }

    fn path(&self, section: &'static str, key: &'static str, default: &str) -> PathBuf {
        let folder = self.file.parent().unwrap_or(Path::new(""));
        folder.join(self.text(section, key, default))
    }

    fn number<T: TryFrom<i64>>(
        &mut self,
        section: &'static str,
        key: &'static str,
        default: i64,
        least: i64,
        most: i64,
    ) -> T {
        let written = self.raw.value(section, key).and_then(Value::as_integer).unwrap_or(default);
        if !(least..=most).contains(&written) {
            self.raw.refuse(section, key, format!("expected {least} to {most}, not {written}"));
        }
        let usable = written.clamp(least, most);
        T::try_from(usable).unwrap_or_else(|_| unreachable!("the bounds fit the type"))
    }

    /// A duration from `least` to [`DURATION_MOST`]; both bounds are whole seconds.
    fn duration(
        &mut self,
        section: &'static str,
        key: &'static str,
        default: Duration,
        least: Duration,
    ) -> Duration {
        let written = self.raw.value(section, key).and_then(Value::as_str).and_then(crate::duration::parse);
        let written = written.unwrap_or(default);
        if !(least..=DURATION_MOST).contains(&written) {
            let days = DURATION_MOST.as_secs() / 86_400;
            self.raw.refuse(section, key, format!("expected \"{}s\" to \"{days}d\"", least.as_secs()));
        }
        written.clamp(least, DURATION_MOST)
    }

    fn address(&mut self, key: &'static str, default: &str) -> SocketAddr {
        let written = self.text("http", key, default);
        written.parse().unwrap_or_else(|_| {
            self.raw.refuse("http", key, "expected an IP address and a port, such as \"127.0.0.1:8081\"");
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    fn region(&mut self) -> Region {
        let written = self.text("identity", "default_region", "FR");
        Region::parse(&written).unwrap_or_else(|_| {
            self.raw.refuse(
                "identity",
                "default_region",
                "expected an ISO 3166-1 code of two letters, such as \"FR\"",
            );
            Region::parse("FR").expect("France has phone numbers")
        })
    }

    fn readers(&mut self) -> BTreeMap<Channel, Vec<String>> {
        let written =
            self.raw.value("purge", "readers").and_then(Value::as_table).cloned().unwrap_or_default();
        let mut readers = BTreeMap::new();
        for (name, groups) in written {
            let Some(channel) = Channel::from_name(&name) else {
                let guess = crate::schema::guess(&name, Channel::ALL.iter().map(|c| c.as_str()));
                let guess = guess.map_or_else(String::new, |guess| format!("; did you mean {guess}?"));
                self.raw.refuse(
                    "purge",
                    "readers",
                    format!("there is no channel of one of these names{guess}"),
                );
                continue;
            };
            let groups = groups.as_array().into_iter().flatten().filter_map(Value::as_str);
            readers.insert(channel, groups.map(str::to_owned).collect());
        }
        readers
    }
}

/// The host's name, as the kernel has it.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "tamis".to_owned(), |name| name.trim().to_owned())
}

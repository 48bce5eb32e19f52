//! What `tamis init` writes: every key with its default.

/// A commented `tamis.toml` that says the defaults.
pub const TEMPLATE: &str = r#"# tamis: settings. Every key can be overridden as TAMIS_<SECTION>__<KEY>, such as TAMIS_BUS__KIND=kafka.
# Relative paths are relative to this file. `tamis validate` checks it.

[bus]
kind = "embedded"                      # "embedded": one process, one machine; or "kafka"
data_dir = "var/tamis"                 # embedded: where the log is
bootstrap_servers = "127.0.0.1:9092"   # kafka
prefix = "tamis"                       # topics are <prefix>.<noun>.v1
group = "tamis-router"                 # consumer group of all routers
instance = ""                          # unique in the group and stable; the host's name when empty

[bus.client]                           # librdkafka properties as they are, for TLS and SASL
# "security.protocol" = "sasl_ssl"
# "sasl.mechanism" = "SCRAM-SHA-512"
# "sasl.username" = "tamis"
# "sasl.password" = "…"                # or TAMIS_BUS__CLIENT__SASL_PASSWORD

[topics]
partitions = 8
replication = 0                        # 0 = 3, or the number of brokers where there are fewer
max_message_bytes = 16777216           # larger deliveries are split
retention = "24h"                      # the longest outage tolerated

[identity]
key_file = "tamis.key"                 # the secret that subjects are made with; keep a copy somewhere safe
default_region = "FR"                  # for national phone numbers

[router]
workers = 0                            # 0 = one for each core
batch_ms_max = 10
batch_bytes_max = 8388608
freshness_max_ms = 5000                # from the barrier to the commit; past it a batch is decided again
dedupe_window = "48h"                  # a job sent again within it under its id is a DUPLICATE; "0s" looks for none
content_max_age = ""                   # alarm when content is older than this; topics.retention when empty

[suppression]
snapshot_dir = "var/snapshots"         # this process's own: the filter, so that a start takes seconds; three are kept
snapshot_every = "15m"                 # and on drain
skip_unreadable = false                # true: go past records of the log that can't be read, instead of holding;
                                       # whom they are about is then written to

[purge]
enabled = true                         # delete jobs once they are routed, deliveries once every reader below has
                                       # committed past them; a channel without readers is left to topics.retention
readers = { sms = [], email = [], voice = [], fax = [], mail = [] }   # gateways' consumer groups

[http]
public = "127.0.0.1:8080"              # recipients: unsubscribe pages, /u/<token>; a proxy with TLS goes in front
public_url = "http://127.0.0.1:8080"   # what links begin with: where recipients reach http.public
link_days = 0                          # an unsubscribe link is good for so many days; 0 = for ever
api = "127.0.0.1:8081"                 # tenants and gateways
admin = "127.0.0.1:9600"               # /livez /readyz /metrics
keys_file = "var/api-keys.toml"        # `tamis keys api create`
auth = "on"                            # "off" only on loopback addresses
rate_per_key = 1000                    # calls a second that one key may make; 0 = no limit
tls_cert = ""                          # PEM files: with these two the API speaks TLS, and they are read again when
tls_key = ""                           # they change; empty = plain
client_ca = ""                         # PEM: only callers with a certificate of one of these authorities get in

[policy]
file = "policy.toml"                   # tenants and what each may do; without the file everything is allowed
"#;

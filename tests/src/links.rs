//! Unsubscribe links, and the door that they lead to.

use std::net::{SocketAddr, TcpStream};

use tamis_campaign::{Channel, Identity, Tenant};
use tamis_intake::ApiState;
use tamis_subject::Subjects;
use tamis_telemetry::Metrics;

use crate::{process, suite};

/// The path of the link of whoever has `address`, a phone number or an e-mail address by the channel.
#[must_use]
pub fn path(subjects: &Subjects, channel: Channel, address: &str, tenant: &str, list: &str) -> String {
    let tenant = Tenant::parse(tenant).expect("an identifier");
    let mut minter = subjects.minter(channel, tenant, list, 20_784).expect("the names fit");
    let first = subjects.first().address(channel, address.as_bytes()).expect("an address");
    let identity = if channel == Channel::Email { Identity::Email } else { Identity::Phone };
    format!("/u/{}", minter.mint(first, identity).as_str())
}

/// Opens the door for `state` until the process ends.
#[must_use]
pub fn open(state: ApiState) -> SocketAddr {
    let at = process::free_address();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = tamis_intake::listen(at).expect("the port is free");
            let router = tamis_intake::public(state);
            tamis_intake::serve(listener, router, std::future::pending(), Metrics::detached()).await
        })
    });
    suite::wait("the door is open", || TcpStream::connect(at).is_ok());
    at
}

//! `Debug` of the published messages that hold people or content: a panic, an assertion or a log line that prints one
//! must not show them.

use std::fmt;

use crate::proto::campaign::v1::{Delivery, InboundEvent, PostalAddress, Recipient, SendJob};

macro_rules! redacted {
    ($($name:ident { $($field:ident),* })+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))$(.field(stringify!($field), &self.$field))*.finish_non_exhaustive()
            }
        }
    )+};
}

// What is named is shown.
redacted! {
    SendJob { job_id, tenant, channel, purpose, recipients }
    Delivery { job_id, tenant, channel, purpose, recipients, stamp }
    Recipient {}
    InboundEvent { gateway, message_id, kind, channel, tenant, job_id }
    PostalAddress {}
}

#[cfg(test)]
mod tests {
    use crate::proto::campaign::v1::{Delivery, PostalAddress, Recipient, SendJob};

    /// Guarantees: a job or a delivery that is printed shows its id and how many it is for, and nobody and nothing of what it
    /// says.
    /// Fails when: build.rs lets prost derive `Debug`, or a field of a person is named above.
    #[test]
    fn a_message_that_is_printed_shows_nobody() {
        let postal = PostalAddress { name: "CANARY".into(), street: "CANARY".into(), ..Default::default() };
        let one = Recipient {
            address: "CANARY".into(),
            contact: "CANARY".into(),
            fields: b"CANARY".to_vec(),
            time_zone: "CANARY".into(),
            postal: Some(postal),
            unsubscribe_token: "CANARY".into(),
        };
        let content = b"CANARY".to_vec();
        let job =
            SendJob { job_id: "j-1".into(), content, recipients: vec![one.clone()], ..Default::default() };
        let delivery = Delivery {
            job_id: "j-1".into(),
            content: job.content.clone(),
            recipients: vec![one],
            ..Default::default()
        };
        for told in [format!("{job:?}"), format!("{delivery:#?}")] {
            assert!(told.contains("j-1") && told.contains("Recipient"), "{told}");
            // As text, and as the numbers of its bytes.
            assert!(!told.contains("CANARY") && !told.contains("67"), "{told}");
        }
    }
}

//! Traffic full of canaries: content, personalisation, addresses, contacts, damaged records.

use tamis_campaign::{Channel, InboundKind, Purpose};
use tamis_wire::Message as _;
use tamis_wire::proto::campaign::v1 as proto;

use crate::canary::Searcher;
use crate::people::Dice;

/// One canary for each place that a person's data, or a message, can be in.
pub struct Aviary {
    content: String,
    fields: String,
    mailbox: String,
    contact: String,
    postal: String,
    damaged: String,
    campaign: String,
    bad_address: String,
    reply: String,
    /// A French mobile number of the range that is kept for fiction, without its leading zero.
    phone: String,
    opted_out: String,
}

impl Aviary {
    /// From a seed, which is printed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        println!("seed {seed}");
        let mut dice = Dice::new(seed);
        let letters = b"abcdefghijkmnpqrstuvwxyz23456789";
        let canary = |dice: &mut Dice, kind: &str| {
            let random = (0..16).map(|_| char::from(letters[dice.roll(letters.len() as u64) as usize]));
            random.chain(kind.chars()).collect::<String>()
        };
        Self {
            content: canary(&mut dice, "content"),
            fields: canary(&mut dice, "fields"),
            mailbox: canary(&mut dice, "mailbox"),
            contact: canary(&mut dice, "contact"),
            postal: canary(&mut dice, "postal"),
            damaged: canary(&mut dice, "damaged"),
            campaign: canary(&mut dice, "campaign"),
            bad_address: canary(&mut dice, "address"),
            opted_out: canary(&mut dice, "optedout"),
            reply: canary(&mut dice, "reply"),
            phone: format!("63998{:04}", dice.roll(10_000)),
        }
    }

    /// The search for all of them.
    #[must_use]
    pub fn searcher(&self) -> Searcher {
        Searcher::new(&[
            ("content", self.content.clone()),
            ("personalisation", self.fields.clone()),
            ("e-mail address", self.mailbox.clone()),
            ("contact", self.contact.clone()),
            ("postal address", self.postal.clone()),
            ("damaged record", self.damaged.clone()),
            ("ill-formed campaign", self.campaign.clone()),
            ("malformed address", self.bad_address.clone()),
            ("address that opted out", self.opted_out.clone()),
            ("phone number", self.phone.clone()),
            ("reply", self.reply.clone()),
        ])
    }

    /// An address of each kind for people who opt out.
    #[must_use]
    pub fn opting_out(&self) -> [String; 2] {
        [format!("{}@canary.example", self.opted_out), format!("+33{}", self.phone)]
    }

    /// `count` jobs, a fifth for each channel, every one with every canary that its channel has a place for.
    #[must_use]
    pub fn jobs(&self, name: &str, count: usize) -> Vec<proto::SendJob> {
        let job = |number: usize| {
            let channel = Channel::ALL[number % Channel::ALL.len()];
            proto::SendJob {
                job_id: format!("{name}-{number}"),
                tenant: "acme".into(),
                channel: channel.number(),
                purpose: Purpose::Marketing.number(),
                content_type: "text/plain".into(),
                content: format!("Bonjour {} !", self.content).into_bytes(),
                recipients: self.recipients(channel, number),
                ..Default::default()
            }
        };
        (0..count).map(job).collect()
    }

    fn recipients(&self, channel: Channel, number: usize) -> Vec<proto::Recipient> {
        let person = |address: String| proto::Recipient {
            address,
            contact: self.contact.clone(),
            fields: format!("prenom={}", self.fields).into_bytes(),
            ..Default::default()
        };
        match channel {
            Channel::Sms | Channel::Voice | Channel::Fax => vec![
                person(format!("+33{}", self.phone)),
                person(format!("+3363998{:04}", number % 10_000)),
                person(format!("no number {}", self.bad_address)),
            ],
            Channel::Email => vec![
                person(format!("{}@canary.example", self.opted_out)),
                person(format!("{}.{number}@canary.example", self.mailbox)),
                person(format!("no mailbox {}", self.bad_address)),
            ],
            Channel::Mail => {
                let postal = proto::PostalAddress {
                    name: format!("Canari {}", self.postal),
                    street: format!("{number} rue de la Volière"),
                    postal_code: "69001".into(),
                    city: "Lyon".into(),
                    country: "FR".into(),
                    ..Default::default()
                };
                vec![proto::Recipient { postal: Some(postal), ..person(String::new()) }]
            }
        }
    }

    /// Records that are no jobs, and one that is refused; each becomes a dead letter but the last.
    #[must_use]
    pub fn damaged(&self) -> Vec<Vec<u8>> {
        let good = self.jobs("damaged", 1).remove(0);
        let whole = good.encode_to_vec();
        let nameless = proto::SendJob { job_id: format!("{} is no id", self.damaged), ..good.clone() };
        let refused = proto::SendJob {
            job_id: "refused-1".into(),
            campaign: format!("{} is no campaign", self.campaign),
            ..good
        };
        vec![
            [b"\xff\xff", self.damaged.as_bytes()].concat(),
            whole[..whole.len() - 5].to_vec(),
            nameless.encode_to_vec(),
            refused.encode_to_vec(),
        ]
    }

    /// What gateways hear back, with every canary that it has a place for, and records that are no such events.
    #[must_use]
    pub fn replies(&self) -> Vec<Vec<u8>> {
        let event = |kind: InboundKind, channel: Channel, address: String| proto::InboundEvent {
            gateway: "gateway".into(),
            message_id: "m-1".into(),
            kind: kind.number(),
            channel: channel.number(),
            address,
            to: "36200".into(),
            text: format!("STOP {}", self.reply),
            tenant: "acme".into(),
            contact: self.contact.clone(),
            ..Default::default()
        };
        let mailbox = format!("{}@canary.example", self.mailbox);
        let phone = || format!("+33{}", self.phone);
        let by_sms = event(InboundKind::Reply, Channel::Sms, phone());
        // Ids that are made of the address: what is kept of them must not be.
        let of_mailbox = proto::InboundEvent {
            message_id: format!("1.{mailbox}"),
            ..event(InboundKind::Complaint, Channel::Email, mailbox)
        };
        let of_phone = proto::InboundEvent { message_id: format!("sms-{}-1", phone()), ..by_sms.clone() };
        let postal = self.recipients(Channel::Mail, 1).remove(0).postal;
        let returned =
            proto::InboundEvent { postal, ..event(InboundKind::ReturnedMail, Channel::Mail, String::new()) };
        let nobody = event(InboundKind::Reply, Channel::Sms, format!("no number {}", self.bad_address));
        let whole = by_sms.encode_to_vec();
        let mut values: Vec<_> = [&by_sms, &of_mailbox, &of_phone, &returned, &nobody]
            .map(proto::InboundEvent::encode_to_vec)
            .into();
        values.push(whole[..whole.len() - 5].to_vec());
        values.push([b"\xff\xff", self.reply.as_bytes()].concat());
        values
    }

    /// `count` jobs without a canary, to have segments closed behind those that had.
    #[must_use]
    pub fn plain_jobs(&self, name: &str, count: usize) -> Vec<proto::SendJob> {
        let mut jobs = self.jobs(name, count);
        for (number, job) in (0..).zip(&mut jobs) {
            job.content = b"nothing".to_vec();
            let channel = Channel::ALL[usize::try_from(number).unwrap_or(0) % Channel::ALL.len()];
            job.recipients = vec![crate::people::recipient(channel, number)];
        }
        jobs
    }
}

//! What happens in the town: campaigns that look like real ones, and people who have had enough.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use tamis_campaign::{Channel, Purpose, Reason};
use tamis_wire::proto::campaign::v1::{Recipient, SendJob};

use super::books::{Bad, Due, Handle, Job, OptOut, Planned, Reach, print_of};
use super::people::{BUSINESS_EVERY, People, Person};
use super::seed::Dice;

/// One of a tenant's campaigns.
struct Campaign {
    tenant: &'static str,
    name: &'static str,
    channel: Channel,
    purpose: Purpose,
    list: &'static str,
    sender: &'static str,
    content_type: &'static str,
    content: &'static str,
    /// Recipients in a job, at least and at most.
    size: (u32, u32),
    /// How often it is chosen, against the others.
    weight: u32,
}

use Channel::{Email, Fax, Mail, Sms, Voice};
use Purpose::{Marketing, Service};

#[rustfmt::skip]
const CAMPAIGNS: &[Campaign] = &[
    Campaign { tenant: "maison-lumiere", name: "soldes-hiver", channel: Sms, purpose: Marketing, list: "", sender: "36200",
        content_type: "text/plain", content: "Soldes d'hiver : -30 % jusqu'à dimanche. STOP au 36200", size: (200, 1200), weight: 30 },
    Campaign { tenant: "maison-lumiere", name: "lettre-novembre", channel: Email, purpose: Marketing, list: "lettre", sender: "bonjour@maison-lumiere.example",
        content_type: "text/html", content: "<h1>La lettre de novembre</h1><p>Nos lampes, nos idées, nos offres.</p>", size: (300, 1500), weight: 28 },
    Campaign { tenant: "maison-lumiere", name: "commande-expediee", channel: Sms, purpose: Service, list: "", sender: "36200",
        content_type: "text/plain", content: "Votre commande est partie. Merci !", size: (1, 3), weight: 60 },
    Campaign { tenant: "velo-club", name: "sortie-dimanche", channel: Email, purpose: Marketing, list: "sorties", sender: "club@velo.example",
        content_type: "text/plain", content: "Dimanche : 60 km autour de la forêt, départ 9 h.", size: (100, 600), weight: 18 },
    Campaign { tenant: "velo-club", name: "nouveau-magasin", channel: Voice, purpose: Marketing, list: "", sender: "+33123456789",
        content_type: "audio/wav", content: "RIFF....WAVEfmt ", size: (20, 200), weight: 12 },
    Campaign { tenant: "banque-horizon", name: "alerte-fraude", channel: Voice, purpose: Service, list: "", sender: "+33198765432",
        content_type: "audio/wav", content: "RIFF....WAVEfmt ", size: (1, 2), weight: 20 },
    Campaign { tenant: "banque-horizon", name: "tarifs-pro", channel: Fax, purpose: Marketing, list: "pro", sender: "+33198765432",
        content_type: "application/pdf", content: "%PDF-1.7 tarifs", size: (20, 150), weight: 8 },
    Campaign { tenant: "banque-horizon", name: "carte-premier", channel: Mail, purpose: Marketing, list: "", sender: "Banque Horizon",
        content_type: "application/pdf", content: "%PDF-1.7 carte", size: (50, 400), weight: 10 },
    Campaign { tenant: "banque-horizon", name: "releve-annuel", channel: Mail, purpose: Service, list: "", sender: "Banque Horizon",
        content_type: "application/pdf", content: "%PDF-1.7 releve", size: (1, 20), weight: 8 },
    Campaign { tenant: "librairie-des-lilas", name: "rentree-litteraire", channel: Sms, purpose: Marketing, list: "lecteurs", sender: "36555",
        content_type: "text/plain", content: "Trois romans que vous aimerez. STOP au 36555", size: (80, 500), weight: 16 },
];

/// An opt-out as a person makes it.
pub(crate) struct Wish {
    /// What it is bound to.
    pub(crate) handle: Handle,
    /// What the books keep of it.
    pub(crate) opt_out: OptOut,
    /// Which spelling.
    pub(crate) spelling: u32,
}

/// The town, and chance.
pub(crate) struct World {
    dice: Dice,
    people: People,
    run: String,
    jobs: u64,
    /// People who were just written to, and about what: those who may answer.
    written_to: VecDeque<(usize, Person)>,
    /// People whose opt-out was just acked: the next job of that campaign has them on it, which is the test.
    pounce: VecDeque<(usize, Person)>,
}

impl World {
    /// A town of `people`; `run` is in the job ids, so that two runs on one log do not meet.
    pub(crate) fn new(seed: u64, people: People, run: String) -> Self {
        Self {
            dice: Dice::new(seed),
            people,
            run,
            jobs: 0,
            written_to: VecDeque::new(),
            pounce: VecDeque::new(),
        }
    }

    /// The people.
    pub(crate) fn people(&self) -> &People {
        &self.people
    }

    /// The next job, and what the books must know of it; `tick` and the clocks are the caller's.
    pub(crate) fn job(&mut self, now_ms: i64) -> (u64, SendJob, Job) {
        let which = self.campaign();
        let campaign = &CAMPAIGNS[which];
        self.jobs += 1;
        let size = campaign.size.0 + self.dice.below(campaign.size.1 - campaign.size.0 + 1);
        let due = match self.dice.below(1000) {
            0..6 => Due::Expired,
            6..14 => Due::Later,
            _ => Due::Now,
        };
        let mut recipients = Vec::with_capacity(size as usize);
        let mut planned: Vec<Planned> = Vec::with_capacity(size as usize);
        for place in 0..size {
            let person = self.somebody(which, planned.last());
            let (recipient, plan) = self.recipient(campaign, person, place);
            if self.dice.chance(3) && due == Due::Now && plan.bad.is_none() {
                self.written_to.push_back((which, person));
            }
            recipients.push(recipient);
            planned.push(plan);
        }
        let far = 86_400_000;
        let job = SendJob {
            job_id: format!("{}-{:07}", self.run, self.jobs),
            tenant: campaign.tenant.to_owned(),
            campaign: campaign.name.to_owned(),
            channel: campaign.channel.number(),
            purpose: campaign.purpose.number(),
            list: campaign.list.to_owned(),
            sender: campaign.sender.to_owned(),
            not_before_ms: if due == Due::Later { now_ms + far } else { 0 },
            not_after_ms: if due == Due::Expired { now_ms - 1000 } else { now_ms + 2 * far },
            content_type: campaign.content_type.to_owned(),
            content: campaign.content.as_bytes().to_vec(),
            recipients,
            ..SendJob::default()
        };
        let plan = Job {
            submitted: 0,
            since: Instant::now(),
            tenant: campaign.tenant,
            list: campaign.list,
            channel: campaign.channel,
            purpose: campaign.purpose,
            due,
            recipients: planned,
        };
        (self.jobs, job, plan)
    }

    /// Something that is no job at all, under an id of its own.
    pub(crate) fn spoiled(&mut self) -> (String, Vec<u8>) {
        self.jobs += 1;
        // Field 1 claims more bytes than there are.
        (format!("{}-{:07}", self.run, self.jobs), vec![0x0A, 0x7F, self.dice.below(256) as u8])
    }

    /// Somebody who was lately written to opts out; `None` when there is nobody yet.
    pub(crate) fn wish(&mut self) -> Option<Wish> {
        while self.written_to.len() > 4096 {
            self.written_to.pop_front();
        }
        let at = self.dice.below(u32::try_from(self.written_to.len()).ok()?.max(1)) as usize;
        let (which, person) = self.written_to.remove(at)?;
        self.pounce.push_back((which, person));
        Some(self.wish_of(&CAMPAIGNS[which], person))
    }

    /// Somebody who opted out long ago: those are in the filter before the first job.
    pub(crate) fn old_wish(&mut self) -> Wish {
        let campaign = &CAMPAIGNS[self.campaign()];
        let person = self.anybody(campaign.channel);
        self.wish_of(campaign, person)
    }

    fn wish_of(&mut self, campaign: &Campaign, person: Person) -> Wish {
        let tenant = Reach::Tenant(campaign.tenant);
        let only = Some(campaign.channel);
        let by_address = Handle::of(campaign.channel, person);
        let by_contact = Handle::Contact(campaign.tenant, person);
        let list =
            if campaign.list.is_empty() { tenant } else { Reach::List(campaign.tenant, campaign.list) };
        let usual = match campaign.channel {
            Sms => (by_address, tenant, only, Reason::StopReply),
            Email => (by_address, list, only, Reason::Unsubscribed),
            Voice => (by_address, tenant, only, Reason::ConsentWithdrawn),
            Fax => (by_address, list, only, Reason::Objected),
            Mail => (by_address, tenant, only, Reason::Objected),
        };
        let (handle, reach, channel, reason) = match self.dice.below(100) {
            0..70 => usual,
            70..78 => (by_contact, tenant, None, Reason::Objected),
            78..84 => (by_address, tenant, only, Reason::Complaint),
            84..92 => (by_address, tenant, only, Reason::HardBounce),
            92..96 => (by_address, Reach::Platform, None, Reason::Blocked),
            _ => (by_address, Reach::Platform, None, Reason::Erased),
        };
        let opt_out = OptOut { reach, channel, reason, acked: Arc::new(AtomicU64::new(0)) };
        Wish { handle, opt_out, spelling: self.dice.below(12) }
    }

    fn campaign(&mut self) -> usize {
        let total: u32 = CAMPAIGNS.iter().map(|campaign| campaign.weight).sum();
        let mut left = self.dice.below(total);
        CAMPAIGNS
            .iter()
            .position(|campaign| {
                let here = left < campaign.weight;
                left = left.saturating_sub(campaign.weight);
                here
            })
            .unwrap_or(0)
    }

    /// Whom the next place of a job is for: somebody who just opted out, the same as before, or anybody.
    fn somebody(&mut self, which: usize, before: Option<&Planned>) -> Person {
        if let Some(at) = self.pounce.iter().position(|(campaign, _)| *campaign == which)
            && let Some((_, person)) = self.pounce.remove(at)
        {
            return person;
        }
        match before {
            Some(before) if self.dice.chance(4) => before.person,
            _ => self.anybody(CAMPAIGNS[which].channel),
        }
    }

    fn anybody(&mut self, channel: Channel) -> Person {
        let person = self.dice.below(self.people.count());
        let business = person - person % BUSINESS_EVERY;
        if channel == Fax { business } else { person }
    }

    fn recipient(&mut self, campaign: &Campaign, person: Person, place: u32) -> (Recipient, Planned) {
        let bad = match self.dice.below(1000) {
            0..4 => Some(Bad::Invalid),
            4..6 => Some(Bad::Missing),
            _ => None,
        };
        let spelling = self.dice.below(12);
        let contact = self.dice.chance(600);
        let mut one = Recipient {
            contact: if contact { People::contact(person) } else { String::new() },
            fields: format!("place={place};prenom={}", People::first_name(person)).into_bytes(),
            time_zone: if self.dice.chance(50) { "Indian/Reunion".to_owned() } else { String::new() },
            ..Recipient::default()
        };
        match (campaign.channel, bad) {
            (Sms | Voice | Fax | Email, None) => {
                one.address = self.people.address(campaign.channel, person, spelling)
            }
            (Sms | Voice | Fax, Some(Bad::Invalid)) => one.address = "pas de numéro".to_owned(),
            (Email, Some(Bad::Invalid)) => one.address = "personne.example".to_owned(),
            (Mail, None) => one.postal = Some(self.people.postal(person, spelling)),
            (Mail, Some(Bad::Invalid)) => {
                let postal = self.people.postal(person, spelling);
                one.postal = Some(tamis_wire::proto::campaign::v1::PostalAddress {
                    postal_code: String::new(),
                    ..postal
                });
            }
            (Sms | Voice | Fax | Email | Mail, Some(Bad::Missing)) => {}
        }
        let print = print_of(&one);
        (one, Planned { person, bad, contact, print })
    }
}

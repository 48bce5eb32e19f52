//! A town of people who do not exist, each with a phone, an e-mail address, a postal address and a contact id.
//!
//! The same person is written in several ways, as in real lists: the filter has to know them by all of them.

use tamis_campaign::Channel;
use tamis_wire::proto::campaign::v1::PostalAddress;

/// A person's number.
pub(crate) type Person = u32;

/// Every so many a person is a business, with a fixed line: those are whom faxes go to.
pub(crate) const BUSINESS_EVERY: u32 = 20;

const FIRST: &[&str] = &[
    "Léa", "Hugo", "Chloé", "Adam", "Inès", "Jules", "Zoé", "Noé", "Maëlle", "Théo", "Anaïs", "Rémi",
    "Fatou", "Yanis",
];
const LAST: &[&str] = &[
    "Martin", "Lefèvre", "Nguyễn", "Dubois", "Garçon", "Benali", "Rousseau", "Müller", "Faure", "Diallo",
    "Le Goff",
];
const STREETS: &[&str] =
    &["rue des Lilas", "avenue de la Gare", "boulevard Voltaire", "place de l'Église", "chemin du Moulin"];
const TOWNS: &[(&str, &str)] = &[
    ("75011", "Paris"),
    ("69003", "Lyon"),
    ("13006", "Marseille"),
    ("35000", "Rennes"),
    ("67000", "Strasbourg"),
];
/// The same domain twice, as people write it and as DNS has it (RFC 3492).
const IDN: (&str, &str) = ("société-lumière.example", "xn--socit-lumire-6dbhb.example");

/// The town. Everything about a person follows from the seed and the person's number.
#[derive(Debug, Clone)]
pub(crate) struct People {
    seed: u64,
    count: u32,
}

impl People {
    /// `count` people.
    pub(crate) fn new(seed: u64, count: u32) -> Self {
        Self { seed, count }
    }

    /// How many.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The first name, for the greeting.
    pub(crate) fn first_name(person: Person) -> &'static str {
        FIRST[person as usize % FIRST.len()]
    }

    /// The controller's id of the person.
    pub(crate) fn contact(person: Person) -> String {
        format!("c-{person:07}")
    }

    /// The address for a channel that has one in a line of text, in one of its spellings.
    pub(crate) fn address(&self, channel: Channel, person: Person, spelling: u32) -> String {
        match channel {
            Channel::Sms | Channel::Voice | Channel::Fax => self.phone(person, spelling),
            Channel::Email => self.email(person, spelling),
            Channel::Mail => String::new(),
        }
    }

    /// A phone number. Six in seven are French.
    pub(crate) fn phone(&self, person: Person, spelling: u32) -> String {
        // Multiplying by a number prime to 10 permutes the eight digits: no two people share a number.
        let digits = (u64::from(person) * 48_271_357 + self.seed % 100_000_000) % 100_000_000;
        let n = format!("{digits:08}");
        let (country, national) = match (person % BUSINESS_EVERY, person % 7) {
            (0, _) => ("33", format!("1{n}")),
            (_, 3) => {
                let (country, head) = [("44", "74"), ("49", "151"), ("34", "6"), ("41", "7"), ("212", "6")]
                    [person as usize / 7 % 5];
                (country, format!("{head}{n}"))
            }
            (_, _) => ("33", format!("6{n}")),
        };
        if country != "33" {
            return match spelling % 3 {
                0 => format!("+{country}{national}"),
                1 => format!("00{country}{national}"),
                _ => format!("+{country} {} {}", &national[..3], &national[3..]),
            };
        }
        let (a, b, c, d, e) =
            (&national[..1], &national[1..3], &national[3..5], &national[5..7], &national[7..9]);
        match spelling % 6 {
            0 => format!("+33{national}"),
            1 => format!("0{a} {b} {c} {d} {e}"),
            2 => format!("0{national}"),
            3 => format!("0033{national}"),
            4 => format!("+33 (0){a} {b} {c} {d} {e}"),
            _ => format!("0{a}.{b}.{c}.{d}.{e}"),
        }
    }

    /// An e-mail address.
    pub(crate) fn email(&self, person: Person, spelling: u32) -> String {
        let first = FIRST[person as usize % FIRST.len()].to_lowercase();
        let local = format!("{first}.{person}");
        let (written, dns) = match person % 5 {
            0 => IDN,
            1 | 2 => ("courrier.example", "courrier.example"),
            _ => ("poste.example", "poste.example"),
        };
        match spelling % 4 {
            0 => format!("{local}@{dns}"),
            1 => format!("{local}@{written}"),
            2 => format!("{}@{}", local.to_uppercase(), dns.to_uppercase()),
            _ => format!(" {local}@{dns} "),
        }
    }

    /// A postal address.
    pub(crate) fn postal(&self, person: Person, spelling: u32) -> PostalAddress {
        let (code, town) = TOWNS[person as usize % TOWNS.len()];
        let name = format!("{} {} {person}", Self::first_name(person), LAST[person as usize % LAST.len()]);
        let street = format!("{} {}", 1 + person % 97, STREETS[person as usize % STREETS.len()]);
        let (name, street) = match spelling % 3 {
            0 => (name, street),
            1 => (name.to_uppercase(), street.to_uppercase()),
            _ => (name, street.replacen(' ', ", ", 1).replace("avenue", "av.").replace("boulevard", "bd")),
        };
        PostalAddress {
            name,
            street,
            extra: if spelling % 2 == 1 { "Bâtiment B".to_owned() } else { String::new() },
            postal_code: code.to_owned(),
            city: town.to_owned(),
            country: "FR".to_owned(),
        }
    }
}

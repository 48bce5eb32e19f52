//! Where in a row the person is: by the names of the columns, in French or English, or as the caller says.

use std::fmt::Write as _;

use tamis_campaign::Channel;

use crate::error::Bad;

/// Something of a person that a column may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A phone number or an e-mail address.
    Address,
    /// The controller's own id of the person.
    Contact,
    /// Of a postal address: the person.
    Name,
    /// Of a postal address.
    Street,
    /// Of a postal address.
    PostalCode,
    /// Of a postal address: two letters of ISO 3166.
    Country,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Address, Self::Contact, Self::Name, Self::Street, Self::PostalCode, Self::Country];

    /// The name in an argument.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Contact => "contact",
            Self::Name => "name",
            Self::Street => "street",
            Self::PostalCode => "postal_code",
            Self::Country => "country",
        }
    }
}

/// Columns that the caller has named: what is in one, and its name in the first row, or its number from 1.
pub type Named = [(What, String)];

/// Where what is wanted stands in a row.
#[derive(Debug)]
pub(crate) struct Columns {
    /// How many cells a row has.
    pub(crate) count: usize,
    at: [Option<usize>; What::ALL.len()],
}

const MOBILE: &[&str] = &[
    "mobile",
    "portable",
    "mobilephone",
    "mobilenumber",
    "telmobile",
    "telephonemobile",
    "telephoneportable",
    "telportable",
    "numeromobile",
    "numerodemobile",
    "numeroportable",
    "cell",
    "cellphone",
    "gsm",
    "sms",
];
const PHONE: &[&str] = &[
    "telephone",
    "phone",
    "tel",
    "phonenumber",
    "telephonenumber",
    "numerodetelephone",
    "numerotelephone",
    "ndetelephone",
    "msisdn",
    "numero",
    "number",
];
const FAX: &[&str] = &["fax", "faxnumber", "numerodefax", "ndefax", "telecopie", "telecopieur"];
const EMAIL: &[&str] = &[
    "email",
    "mail",
    "mel",
    "courriel",
    "emailaddress",
    "mailaddress",
    "adresseemail",
    "adressemail",
    "adressecourriel",
    "adresseelectronique",
];
const ANY: &[&str] = &["address", "adresse", "recipient", "destinataire"];

/// Names of columns as [`plain`] has them. Those of one slice are as good as each other; a slice before others goes first.
fn known(what: What, channel: Channel) -> &'static [&'static [&'static str]] {
    match (what, channel) {
        (What::Address, Channel::Sms) => &[MOBILE, PHONE, ANY],
        (What::Address, Channel::Voice) => &[PHONE, MOBILE, ANY],
        (What::Address, Channel::Fax) => &[FAX, ANY],
        (What::Address, Channel::Email) => &[EMAIL, ANY],
        (What::Address, Channel::Mail) => &[],
        (What::Contact, _) => &[&["contact", "contactid", "idcontact"]],
        (What::Name, _) => &[&["name", "nom", "fullname", "nomcomplet", "nometprenom"]],
        (What::Street, _) => &[&["street", "rue", "voie"], &["address", "adresse", "address1", "adresse1"]],
        (What::PostalCode, _) => &[&["postalcode", "codepostal", "cp", "zip", "zipcode", "postcode"]],
        (What::Country, _) => &[&["country", "pays"]],
    }
}

/// What a row must have for the channel.
fn needed(channel: Channel) -> &'static [What] {
    match channel {
        Channel::Sms | Channel::Email | Channel::Voice | Channel::Fax => &[What::Address],
        Channel::Mail => &[What::Name, What::Street, What::PostalCode, What::Country],
    }
}

impl Columns {
    /// Finds the columns in a first row that has their names: `line` is where it stands.
    pub(crate) fn of_header(
        header: &[impl AsRef<[u8]>],
        named: &Named,
        channel: Channel,
        line: u64,
    ) -> Result<Self, Bad> {
        let names: Vec<String> = header.iter().map(|cell| plain(&text(cell.as_ref()))).collect();
        let find = |what| match named.iter().find(|(of, _)| *of == what) {
            Some((_, name)) => by_name(&names, name)
                .or_else(|| by_number(name, names.len()))
                .map(Some)
                .ok_or_else(|| Bad::new(line, format!("the column that is named for {}", what.as_str()))),
            None => guess(&names, what, channel, line),
        };
        Self::of(names.len(), find, channel, line)
    }

    /// The columns of a list that has no first row of names: by their numbers, and the first one for the address.
    pub(crate) fn by_numbers(count: usize, named: &Named, channel: Channel, line: u64) -> Result<Self, Bad> {
        let find = |what| match named.iter().find(|(of, _)| *of == what) {
            Some((_, number)) => by_number(number, count)
                .map(Some)
                .ok_or_else(|| Bad::new(line, format!("a column of the number given for {}", what.as_str()))),
            None if what == What::Address && channel != Channel::Mail => Ok(Some(0)),
            None => Ok(None),
        };
        Self::of(count, find, channel, line)
    }

    fn of(
        count: usize,
        find: impl Fn(What) -> Result<Option<usize>, Bad>,
        channel: Channel,
        line: u64,
    ) -> Result<Self, Bad> {
        let mut at = [None; What::ALL.len()];
        for (at, what) in at.iter_mut().zip(What::ALL) {
            *at = find(what)?;
        }
        let columns = Self { count, at };
        match needed(channel).iter().find(|what| columns.of_what(**what).is_none()) {
            Some(missing) => Err(Bad::new(line, nameless(*missing, channel))),
            None => Ok(columns),
        }
    }

    /// The number of the column of `what`, if there is one.
    pub(crate) fn of_what(&self, what: What) -> Option<usize> {
        self.at[what as usize]
    }
}

/// The column whose name is one of those that are known.
fn guess(names: &[String], what: What, channel: Channel, line: u64) -> Result<Option<usize>, Bad> {
    for alike in known(what, channel) {
        let mut found = (0..names.len()).filter(|at| alike.contains(&names[*at].as_str()));
        if let Some(first) = found.next() {
            let Some(second) = found.next() else { return Ok(Some(first)) };
            let (first, second, what) = (first + 1, second + 1, what.as_str());
            let text = format!(
                "one column for {what}: {first} and {second} may both be it, name one with --column {what}=NAME"
            );
            return Err(Bad::new(line, text));
        }
    }
    Ok(None)
}

fn by_name(names: &[String], name: &str) -> Option<usize> {
    let name = plain(name);
    names.iter().position(|known| *known == name && !name.is_empty())
}

fn by_number(number: &str, count: usize) -> Option<usize> {
    number.parse::<usize>().ok()?.checked_sub(1).filter(|at| *at < count)
}

/// What to say where no column is known.
fn nameless(what: What, channel: Channel) -> String {
    let mut text = "a first row that names the column of the ".to_owned();
    let _ = write!(text, "{}", what.as_str());
    for (at, name) in known(what, channel).iter().flat_map(|alike| alike.iter().take(3)).enumerate() {
        let _ = write!(text, "{}{name}", if at == 0 { ": " } else { ", " });
    }
    let _ = write!(text, " or others; else --column {}=NAME, or --no-header and its number", what.as_str());
    text
}

/// Text in UTF-8, or in an encoding of one byte a letter: of those only the letters of western Europe matter here.
fn text(cell: &[u8]) -> String {
    std::str::from_utf8(cell)
        .map_or_else(|_| cell.iter().map(|byte| char::from(*byte)).collect(), ToOwned::to_owned)
}

/// A name in small letters without accents, and nothing but letters and digits.
fn plain(name: &str) -> String {
    let letters = name.chars().flat_map(char::to_lowercase).map(|letter| match letter {
        'à' | 'â' | 'ä' => 'a',
        'ç' => 'c',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'î' | 'ï' => 'i',
        'ô' | 'ö' => 'o',
        'ù' | 'û' | 'ü' => 'u',
        other => other,
    });
    letters.filter(char::is_ascii_alphanumeric).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &[&str], channel: Channel) -> Result<Option<usize>, Bad> {
        let what = if channel == Channel::Mail { What::Street } else { What::Address };
        Columns::of_header(header, &[], channel, 1).map(|columns| columns.of_what(what))
    }

    #[test]
    fn columns_are_known_by_french_and_english_names() {
        assert_eq!(of(&["Nom", "E-mail", "Téléphone"], Channel::Email), Ok(Some(1)));
        assert_eq!(of(&["Nom", "E-mail", "Téléphone"], Channel::Sms), Ok(Some(2)));
        assert_eq!(of(&["N° de téléphone"], Channel::Voice), Ok(Some(0)));
        assert_eq!(of(&["ADRESSE_MAIL"], Channel::Email), Ok(Some(0)));
        assert_eq!(of(&["id", " Mobile Number "], Channel::Sms), Ok(Some(1)));
        assert_eq!(of(&["Télécopie", "téléphone"], Channel::Fax), Ok(Some(0)));
        assert_eq!(of(&["nom", "adresse", "code postal", "ville", "pays"], Channel::Mail), Ok(Some(1)));
        let latin1 = Columns::of_header(&[b"t\xe9l\xe9phone"], &[], Channel::Sms, 1);
        assert_eq!(latin1.expect("it is known").of_what(What::Address), Some(0));
    }

    /// Guarantees: the postal address of a list of mobile numbers is not taken for the number, nor the landline for the mobile.
    #[test]
    fn the_better_name_goes_first() {
        assert_eq!(of(&["adresse", "mobile", "telephone"], Channel::Sms), Ok(Some(1)));
        assert_eq!(of(&["adresse", "mobile", "telephone"], Channel::Voice), Ok(Some(2)));
        assert_eq!(of(&["address", "email"], Channel::Email), Ok(Some(1)));
    }

    /// Guarantees: where it can't be told which column is meant, nothing is taken on a guess, and no name of a column, which in
    /// a list without names is somebody's number, is repeated.
    #[test]
    fn a_column_that_can_not_be_told_is_asked_for() {
        let refused = of(&["mobile", "portable"], Channel::Sms).expect_err("two");
        assert!(refused.to_string().contains("1 and 2"), "{refused}");
        let refused = of(&["+33639981234", "x"], Channel::Sms).expect_err("no names");
        assert!(
            refused.to_string().contains("--no-header") && !refused.to_string().contains("3998"),
            "{refused}"
        );
        let named = [(What::Address, "portable".to_owned())];
        let found = Columns::of_header(&["mobile", "portable"], &named, Channel::Sms, 1);
        assert_eq!(found.expect("it is named").of_what(What::Address), Some(1));
        let named = [(What::Address, "3".to_owned())];
        assert!(Columns::of_header(&["mobile", "portable"], &named, Channel::Sms, 1).is_err());
        let found = Columns::by_numbers(3, &named, Channel::Sms, 1);
        assert_eq!(found.expect("it is there").of_what(What::Address), Some(2));
        assert!(Columns::by_numbers(2, &named, Channel::Sms, 1).is_err());
    }
}

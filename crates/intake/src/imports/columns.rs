//! Names of columns and words in them, in the contract's writing and as exports in French and English have them.

use std::borrow::Cow;

use tamis_campaign::{Channel, RecordReason};
use unicode_normalization::UnicodeNormalization as _;

/// What a column, or a field of a JSON row, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// A phone number or an e-mail address.
    Address,
    /// An e-mail address, for rows of the e-mail channel.
    Email,
    /// A phone number, for rows of the telephone channels.
    Phone,
    /// The controller's own id.
    Contact,
    /// Of a postal address.
    Name,
    /// Of a postal address.
    Street,
    /// Of a postal address.
    Extra,
    /// Of a postal address.
    PostalCode,
    /// Of a postal address.
    City,
    /// Of a postal address.
    Country,
    /// Whose opt-out it is.
    Tenant,
    /// Of which channel.
    Channel,
    /// Why.
    Reason,
    /// Of which list.
    List,
    /// What proves it.
    Evidence,
    /// What is asked for: to add.
    State,
    /// A field of other calls that an import does not take: a row with anything in it is not what it seems.
    Elsewhere,
    /// What only a lift has.
    OfALift,
    /// A provider's own: what its layout looks at.
    Mark,
}

impl Column {
    /// How many there are.
    pub const COUNT: usize = Self::Mark as usize + 1;

    /// Whether it is a part of a postal address.
    #[must_use]
    pub const fn is_postal(self) -> bool {
        matches!(
            self,
            Self::Name | Self::Street | Self::Extra | Self::PostalCode | Self::City | Self::Country
        )
    }
}

/// Every name by which a column is known, folded as [`fold`] does. The contract's come first; the others are headers of exports.
const NAMES: [(Column, &[&str]); 18] = [
    (Column::Address, &["address", "addresse", "recipient", "destinataire"]),
    (
        Column::Email,
        &[
            "email",
            "emailaddress",
            "mail",
            "courriel",
            "mel",
            "adresseemail",
            "adressemail",
            "adressecourriel",
            "adresseelectronique",
            "adressemel",
        ],
    ),
    (
        Column::Phone,
        &[
            "phone",
            "phonenumber",
            "mobile",
            "mobilephone",
            "mobilenumber",
            "msisdn",
            "number",
            "sms",
            "tel",
            "telephone",
            "telephonenumber",
            "telephonemobile",
            "telephoneportable",
            "portable",
            "numero",
            "numerodetelephone",
            "numtel",
            "fax",
            "faxnumber",
        ],
    ),
    (Column::Contact, &["contact", "contactid", "idcontact", "identifiant"]),
    (Column::Name, &["name", "fullname", "nom", "nomcomplet"]),
    (Column::Street, &["street", "rue", "voie", "adressepostale", "adresse1"]),
    (Column::Extra, &["extra", "complement", "complementdadresse", "adresse2"]),
    (Column::PostalCode, &["postalcode", "postcode", "zip", "zipcode", "codepostal", "cp"]),
    (Column::City, &["city", "town", "ville", "commune"]),
    (Column::Country, &["country", "countrycode", "pays", "codepays"]),
    (Column::Tenant, &["tenant", "client"]),
    (Column::Channel, &["channel", "canal"]),
    (Column::Reason, &["reason", "raison", "motif", "suppressionreason"]),
    (Column::List, &["list", "liste"]),
    (Column::Evidence, &["evidence", "preuve"]),
    (Column::State, &["state", "etat", "action", "operation"]),
    (Column::Elsewhere, &["scope", "expiresatms", "effectiveatms"]),
    (Column::OfALift, &["reasontext", "lift", "lifted"]),
];

/// The column of a name; `None` for one that means nothing here.
#[must_use]
pub(super) fn column(name: &str) -> Option<Column> {
    let folded = fold(name);
    NAMES.iter().find(|(_, names)| names.contains(&&*folded)).map(|(column, _)| *column)
}

/// The column that a caller names, as in `--column address=…`: by the contract's own names only.
#[must_use]
pub(super) fn named(name: &str) -> Option<Column> {
    NAMES.iter().take(15).find(|(_, names)| names[0] == fold(name)).map(|(column, _)| *column)
}

/// A name without marks, case, spaces and punctuation: `Numéro de téléphone` is `numerodetelephone`.
#[must_use]
pub(super) fn fold(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return Cow::Borrowed(name);
    }
    name.nfkd().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What stands in a `reason` column. Beside the contract's names, what exports say.
#[must_use]
pub(super) fn reason(word: &str) -> Option<RecordReason> {
    if let Some(reason) = RecordReason::from_name(word) {
        return Some(reason);
    }
    Some(match &*fold(word) {
        // SES says BOUNCE for hard ones only; the others are told apart.
        "bounce" | "bounces" | "bounced" | "hardbounce" | "hardbounces" | "hardbounced" | "cleaned" | "invalid"
        | "npai" | "adresseinvalide" => RecordReason::HardBounce,
        "complaint" | "complaints" | "complained" | "spam" | "spamreport" | "spamreports" | "abuse" | "plainte"
        // Brevo's codes, as those of the next: developers.brevo.com, "get list of blocked or unsubscribed contacts".
        | "contactflaggedasspam" => RecordReason::Complaint,
        "unsubscribe" | "unsubscribes" | "unsubscribed" | "unsubscribedviama" | "unsubscribedviaemail"
        | "unsubscribedviaapi" | "optout" | "desabonne" | "desabonnement" | "desinscrit" | "desinscription" => {
            RecordReason::Unsubscribed
        }
        "stop" | "stopsms" | "stopreply" | "reponsestop" => RecordReason::StopReply,
        "objection" | "objected" | "opposition" => RecordReason::Objected,
        "consentwithdrawn" | "retraitduconsentement" | "retrait" => RecordReason::ConsentWithdrawn,
        "erased" | "erasure" | "effacement" | "efface" => RecordReason::Erased,
        "blocked" | "blocklisted" | "blacklisted" | "adminblocked" | "bloque" => RecordReason::Blocked,
        _ => return None,
    })
}

/// What stands in a `channel` column; `Some(None)` is every one.
#[must_use]
pub(super) fn channel(word: &str) -> Option<Option<Channel>> {
    if let Some(channel) = Channel::from_name(word) {
        return Some(Some(channel));
    }
    Some(Some(match &*fold(word) {
        "all" | "tous" => return Some(None),
        "sms" | "mms" | "texto" => Channel::Sms,
        "email" | "courriel" | "mel" => Channel::Email,
        "voice" | "voix" | "appel" | "call" => Channel::Voice,
        "fax" | "telecopie" => Channel::Fax,
        "mail" | "post" | "postal" | "courrier" => Channel::Mail,
        _ => return None,
    }))
}

/// What a `state` column asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// To add.
    Add,
    /// To lift.
    Lift,
}

/// What stands in a `state` column; `None` is neither.
#[must_use]
pub(super) fn asked(word: &str) -> Option<Asked> {
    Some(match &*fold(word) {
        "" | "add" | "inforce" | "suppress" | "put" | "ajout" | "ajouter" => Asked::Add,
        "lift" | "lifted" | "remove" | "removed" | "delete" | "deleted" | "unsuppress" | "allow"
        | "resubscribe" | "resubscribed" | "subscribed" | "lever" | "leve" | "retirer" | "retire"
        | "supprimer" | "reabonner" => Asked::Lift,
        _ => return None,
    })
}

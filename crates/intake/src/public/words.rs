//! What the page says, a file for each language. Names stand in the middle of a sentence, so that each has the words before and
//! after it.

mod de;
mod en;
mod es;
mod fr;
mod it;

use tamis_campaign::{Channel, Identity};

use super::language::Language;

/// The words before and after a name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around(pub(crate) &'static str, pub(crate) &'static str);

/// A heading and a sentence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
}

/// Something for each kind of message.
#[derive(Debug)]
pub(crate) struct OfChannel {
    sms: &'static str,
    email: &'static str,
    voice: &'static str,
    fax: &'static str,
    mail: &'static str,
}

impl OfChannel {
    pub(crate) const fn get(&self, channel: Channel) -> &'static str {
        match channel {
            Channel::Sms => self.sms,
            Channel::Email => self.email,
            Channel::Voice => self.voice,
            Channel::Fax => self.fax,
            Channel::Mail => self.mail,
        }
    }
}

/// Something for each kind of address.
#[derive(Debug)]
pub(crate) struct OfIdentity {
    phone: Around,
    email: Around,
    postal: Around,
    contact: Around,
}

impl OfIdentity {
    pub(crate) const fn get(&self, identity: Identity) -> Around {
        match identity {
            Identity::Phone => self.phone,
            Identity::Email => self.email,
            Identity::Postal => self.postal,
            Identity::Contact => self.contact,
        }
    }
}

/// All that the page says in one language.
#[derive(Debug)]
pub(crate) struct Words {
    /// Before anything is done: what is about to happen.
    pub(crate) ask: Told,
    /// What the choices are of.
    pub(crate) choices: &'static str,
    /// One list; its name in the middle.
    pub(crate) list: Around,
    /// The messages of one channel, such as `text messages (SMS)`.
    pub(crate) messages: OfChannel,
    /// All messages of one channel, such as `All e-mails`.
    pub(crate) all: OfChannel,
    /// The sender after those.
    pub(crate) from: &'static str,
    /// Everything from the sender to this address.
    pub(crate) everything: OfIdentity,
    /// What an opt-out does not reach.
    pub(crate) limits: &'static str,
    /// The button.
    pub(crate) stop: &'static str,
    /// After it: what was stopped follows.
    pub(crate) done: Told,
    /// What may still come.
    pub(crate) under_way: &'static str,
    /// Before the id of the record.
    pub(crate) reference: &'static str,
    /// The offer to undo.
    pub(crate) mistake: Told,
    /// Its button.
    pub(crate) undo: &'static str,
    /// After an undo: what may come again follows.
    pub(crate) undone: Told,
    /// Other opt-outs stay.
    pub(crate) others: &'static str,
    /// The way back to the choices.
    pub(crate) again: &'static str,
    /// A link that can't be honoured.
    pub(crate) not_found: Told,
    /// An undo that comes too late, or of something else.
    pub(crate) too_late: Told,
    /// A form that can't be read.
    pub(crate) not_understood: Told,
    /// Nothing can be recorded now.
    pub(crate) unavailable: Told,
}

impl Words {
    pub(crate) const fn of(language: Language) -> &'static Self {
        match language {
            Language::French => &fr::WORDS,
            Language::English => &en::WORDS,
            Language::German => &de::WORDS,
            Language::Spanish => &es::WORDS,
            Language::Italian => &it::WORDS,
        }
    }
}

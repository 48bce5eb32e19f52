//! English.

use super::{Around, OfChannel, OfIdentity, Told, Words};

pub(super) const WORDS: Words = Words {
    ask: Told {
        title: "Stop these messages",
        text: "Nothing has changed yet. Choose what should stop, then press the button.",
    },
    choices: "What should stop?",
    list: Around("Only the list “", "”"),
    messages: OfChannel {
        sms: "text messages (SMS)",
        email: "e-mails",
        voice: "phone calls",
        fax: "faxes",
        mail: "letters",
    },
    all: OfChannel {
        sms: "All text messages (SMS)",
        email: "All e-mails",
        voice: "All phone calls",
        fax: "All faxes",
        mail: "All letters",
    },
    from: "from",
    everything: OfIdentity {
        phone: Around("Everything from ", " to this number: text messages, phone calls and faxes"),
        email: Around("Everything from ", " to this e-mail address, of whatever kind"),
        postal: Around("Everything from ", " to this postal address, of whatever kind"),
        contact: Around("Everything from ", ": text messages, e-mails, phone calls, faxes and letters"),
    },
    limits: "This is about advertising, and about the address or number that you had this message at. What you \
             asked for or need, such as the confirmation of an order, still reaches you.",
    stop: "Unsubscribe",
    done: Told { title: "You are unsubscribed", text: "This has been recorded and counts from now on:" },
    under_way: "A message that was already on its way may still reach you.",
    reference: "Reference:",
    mistake: Told { title: "Was that a mistake?", text: "You can take it back for ten minutes." },
    undo: "Undo",
    undone: Told { title: "Taken back", text: "You may be written to again:" },
    others: "If you have opted out of other messages, that still holds.",
    again: "Back to the choices",
    not_found: Told {
        title: "This link does not work",
        text: "It may be incomplete: open it again from the message, or copy the whole of it. To a text message \
               you can also reply STOP.",
    },
    too_late: Told {
        title: "This can’t be taken back here any more",
        text: "More than ten minutes have passed, or something else has been recorded since. What was recorded \
               last still holds.",
    },
    not_understood: Told {
        title: "This could not be read",
        text: "Nothing was recorded. Go back to the choices and press the button there.",
    },
    unavailable: Told {
        title: "Please try again in a few minutes",
        text: "We can’t confirm your choice just now, so don’t take it as recorded. To repeat it does no harm.",
    },
};

//! German.

use super::{Around, OfChannel, OfIdentity, Told, Words};

pub(super) const WORDS: Words = Words {
    ask: Told {
        title: "Diese Nachrichten abbestellen",
        text: "Noch hat sich nichts geändert. Wählen Sie aus, was aufhören soll, und drücken Sie dann auf den Knopf.",
    },
    choices: "Was soll aufhören?",
    list: Around("Nur die Liste „", "“"),
    messages: OfChannel { sms: "SMS", email: "E-Mails", voice: "Anrufe", fax: "Faxe", mail: "Briefe" },
    all: OfChannel {
        sms: "Alle SMS",
        email: "Alle E-Mails",
        voice: "Alle Anrufe",
        fax: "Alle Faxe",
        mail: "Alle Briefe",
    },
    from: "von",
    everything: OfIdentity {
        phone: Around("Alles von ", " an diese Nummer: SMS, Anrufe und Faxe"),
        email: Around("Alles von ", " an diese E-Mail-Adresse, gleich welcher Art"),
        postal: Around("Alles von ", " an diese Postanschrift, gleich welcher Art"),
        contact: Around("Alles von ", ": SMS, E-Mails, Anrufe, Faxe und Briefe"),
    },
    limits: "Das betrifft Werbung, und die Adresse oder Nummer, unter der Sie diese Nachricht bekommen haben. Was Sie \
             angefordert haben oder brauchen, etwa eine Bestellbestätigung, erreicht Sie weiterhin.",
    stop: "Abbestellen",
    done: Told { title: "Sie sind abgemeldet", text: "Das ist gespeichert und gilt ab jetzt:" },
    under_way: "Eine Nachricht, die schon unterwegs war, kann Sie noch erreichen.",
    reference: "Aktenzeichen:",
    mistake: Told {
        title: "War das ein Versehen?",
        text: "Sie können es zehn Minuten lang rückgängig machen.",
    },
    undo: "Rückgängig machen",
    undone: Told { title: "Rückgängig gemacht", text: "Sie können wieder erhalten:" },
    others: "Wenn Sie andere Nachrichten abbestellt haben, gilt das weiterhin.",
    again: "Zurück zur Auswahl",
    not_found: Told {
        title: "Dieser Link funktioniert nicht",
        text: "Vielleicht ist er unvollständig: Öffnen Sie ihn noch einmal aus der Nachricht, oder kopieren Sie ihn ganz. \
               Auf eine SMS können Sie auch mit STOP antworten.",
    },
    too_late: Told {
        title: "Das lässt sich hier nicht mehr rückgängig machen",
        text: "Es sind mehr als zehn Minuten vergangen, oder inzwischen wurde etwas anderes gespeichert. Was zuletzt \
               gespeichert wurde, gilt.",
    },
    not_understood: Told {
        title: "Das war nicht lesbar",
        text: "Es wurde nichts gespeichert. Gehen Sie zurück zur Auswahl und drücken Sie dort auf den Knopf.",
    },
    unavailable: Told {
        title: "Bitte versuchen Sie es in einigen Minuten noch einmal",
        text: "Wir können Ihre Auswahl gerade nicht bestätigen: Betrachten Sie sie nicht als gespeichert. Sie zu \
               wiederholen schadet nicht.",
    },
};

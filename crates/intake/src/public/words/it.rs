//! Italian.

use super::{Around, OfChannel, OfIdentity, Told, Words};

pub(super) const WORDS: Words = Words {
    ask: Told {
        title: "Non ricevere più questi messaggi",
        text: "Non è ancora cambiato nulla. Scelga che cosa deve cessare, poi prema il pulsante.",
    },
    choices: "Che cosa deve cessare?",
    list: Around("Solo la lista «", "»"),
    messages: OfChannel { sms: "SMS", email: "e-mail", voice: "telefonate", fax: "fax", mail: "lettere" },
    all: OfChannel {
        sms: "Tutti gli SMS",
        email: "Tutte le e-mail",
        voice: "Tutte le telefonate",
        fax: "Tutti i fax",
        mail: "Tutte le lettere",
    },
    from: "da parte di",
    everything: OfIdentity {
        phone: Around("Tutto ciò che arriva da ", " a questo numero: SMS, telefonate e fax"),
        email: Around("Tutto ciò che arriva da ", " a questo indirizzo e-mail, in qualunque forma"),
        postal: Around("Tutto ciò che arriva da ", " a questo indirizzo postale, in qualunque forma"),
        contact: Around("Tutto ciò che arriva da ", ": SMS, e-mail, telefonate, fax e lettere"),
    },
    limits: "Si tratta della pubblicità, e dell’indirizzo o del numero a cui ha ricevuto questo messaggio. Ciò che ha \
             chiesto o di cui ha bisogno, come la conferma di un ordine, continuerà ad arrivarLe.",
    stop: "Annulla l’iscrizione",
    done: Told { title: "Iscrizione annullata", text: "È stato registrato e vale da subito:" },
    under_way: "Un messaggio già in viaggio può ancora arrivarLe.",
    reference: "Riferimento:",
    mistake: Told { title: "È stato un errore?", text: "Può ritirare la scelta entro dieci minuti." },
    undo: "Ritira la scelta",
    undone: Told { title: "La scelta è stata ritirata", text: "Potrà ricevere di nuovo:" },
    others: "Se ha rifiutato altri messaggi, quei rifiuti restano validi.",
    again: "Torna alle scelte",
    not_found: Told {
        title: "Questo link non funziona",
        text: "Forse è incompleto: lo apra di nuovo dal messaggio, oppure lo copi per intero. A un SMS può anche \
               rispondere STOP.",
    },
    too_late: Told {
        title: "Qui la scelta non si può più ritirare",
        text: "Sono passati più di dieci minuti, oppure nel frattempo è stato registrato altro. Vale ciò che è stato \
               registrato per ultimo.",
    },
    not_understood: Told {
        title: "Non è stato possibile leggere la richiesta",
        text: "Non è stato registrato nulla. Torni alle scelte e prema il pulsante.",
    },
    unavailable: Told {
        title: "Riprovi tra qualche minuto",
        text: "In questo momento non possiamo confermare la Sua scelta: non la consideri registrata. Ripeterla non crea \
               problemi.",
    },
};

//! French.

use super::{Around, OfChannel, OfIdentity, Told, Words};

pub(super) const WORDS: Words = Words {
    ask: Told {
        title: "Ne plus recevoir ces messages",
        text: "Rien n’a encore changé. Choisissez ce qui doit s’arrêter, puis appuyez sur le bouton.",
    },
    choices: "Que voulez-vous arrêter\u{a0}?",
    list: Around("Seulement la liste «\u{a0}", "\u{a0}»"),
    messages: OfChannel {
        sms: "SMS",
        email: "e-mails",
        voice: "appels téléphoniques",
        fax: "fax",
        mail: "courriers postaux",
    },
    all: OfChannel {
        sms: "Tous les SMS",
        email: "Tous les e-mails",
        voice: "Tous les appels téléphoniques",
        fax: "Tous les fax",
        mail: "Tous les courriers postaux",
    },
    from: "de la part de",
    everything: OfIdentity {
        phone: Around("Tout ce que ", " adresse à ce numéro\u{a0}: SMS, appels téléphoniques et fax"),
        email: Around("Tout ce que ", " envoie à cette adresse e-mail, quelle qu’en soit la forme"),
        postal: Around("Tout ce que ", " envoie à cette adresse postale, quelle qu’en soit la forme"),
        contact: Around(
            "Tout ce que ",
            " vous adresse\u{a0}: SMS, e-mails, appels téléphoniques, fax et courriers postaux",
        ),
    },
    limits: "Il s’agit de la publicité, et de l’adresse ou du numéro où vous avez reçu ce message. Ce que vous avez \
             demandé ou dont vous avez besoin, comme la confirmation d’une commande, vous parviendra toujours.",
    stop: "Se désabonner",
    done: Told { title: "Désabonnement enregistré", text: "Cela compte dès maintenant\u{a0}:" },
    under_way: "Un message déjà parti peut encore vous parvenir.",
    reference: "Référence\u{a0}:",
    mistake: Told { title: "Une erreur\u{a0}?", text: "Vous pouvez l’annuler pendant dix minutes." },
    undo: "Annuler le désabonnement",
    undone: Told { title: "Désabonnement annulé", text: "Vous pouvez de nouveau recevoir\u{a0}:" },
    others: "Si vous avez refusé d’autres messages, ces refus restent valables.",
    again: "Revenir aux choix",
    not_found: Told {
        title: "Ce lien ne fonctionne pas",
        text: "Il est peut-être incomplet\u{a0}: ouvrez-le de nouveau depuis le message, ou copiez-le en entier. À un SMS, \
               vous pouvez aussi répondre STOP.",
    },
    too_late: Told {
        title: "Cela ne peut plus être annulé ici",
        text: "Plus de dix minutes ont passé, ou autre chose a été enregistré depuis. Le dernier choix enregistré reste \
               valable.",
    },
    not_understood: Told {
        title: "Votre demande n’a pas pu être lue",
        text: "Rien n’a été enregistré. Revenez aux choix et appuyez sur le bouton.",
    },
    unavailable: Told {
        title: "Veuillez réessayer dans quelques minutes",
        text: "Nous ne pouvons pas confirmer votre choix pour l’instant\u{a0}: ne le considérez pas comme enregistré. \
               Le répéter ne pose aucun problème.",
    },
};

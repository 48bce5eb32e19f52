//! Spanish.

use super::{Around, OfChannel, OfIdentity, Told, Words};

pub(super) const WORDS: Words = Words {
    ask: Told {
        title: "Dejar de recibir estos mensajes",
        text: "Todavía no ha cambiado nada. Elija lo que debe cesar y pulse el botón.",
    },
    choices: "¿Qué debe cesar?",
    list: Around("Solo la lista «", "»"),
    messages: OfChannel {
        sms: "SMS",
        email: "correos electrónicos",
        voice: "llamadas telefónicas",
        fax: "faxes",
        mail: "cartas",
    },
    all: OfChannel {
        sms: "Todos los SMS",
        email: "Todos los correos electrónicos",
        voice: "Todas las llamadas telefónicas",
        fax: "Todos los faxes",
        mail: "Todas las cartas",
    },
    from: "de",
    everything: OfIdentity {
        phone: Around("Todo lo que ", " envíe a este número: SMS, llamadas telefónicas y faxes"),
        email: Around("Todo lo que ", " envíe a esta dirección de correo electrónico, sea cual sea su forma"),
        postal: Around("Todo lo que ", " envíe a esta dirección postal, sea cual sea su forma"),
        contact: Around(
            "Todo lo que ",
            " le envíe: SMS, correos electrónicos, llamadas telefónicas, faxes y cartas",
        ),
    },
    limits: "Se trata de la publicidad, y de la dirección o el número en que recibió este mensaje. Lo que usted ha \
             pedido o necesita, como la confirmación de un pedido, le seguirá llegando.",
    stop: "Darse de baja",
    done: Told { title: "Se ha dado de baja", text: "Ha quedado registrado y vale desde ahora:" },
    under_way: "Un mensaje que ya estaba en camino todavía puede llegarle.",
    reference: "Referencia:",
    mistake: Told { title: "¿Ha sido un error?", text: "Puede deshacerlo durante diez minutos." },
    undo: "Deshacer la baja",
    undone: Told { title: "La baja se ha deshecho", text: "Puede volver a recibir:" },
    others: "Si se ha dado de baja de otros mensajes, esa baja sigue valiendo.",
    again: "Volver a las opciones",
    not_found: Told {
        title: "Este enlace no funciona",
        text: "Puede que esté incompleto: ábralo de nuevo desde el mensaje o cópielo entero. A un SMS también puede \
               responder STOP.",
    },
    too_late: Told {
        title: "Aquí ya no se puede deshacer",
        text: "Han pasado más de diez minutos, o desde entonces se ha registrado otra cosa. Vale lo último que \
               se registró.",
    },
    not_understood: Told {
        title: "No se ha podido leer",
        text: "No se ha registrado nada. Vuelva a las opciones y pulse el botón.",
    },
    unavailable: Told {
        title: "Inténtelo de nuevo dentro de unos minutos",
        text: "Ahora mismo no podemos confirmar su elección: no la dé por registrada. Repetirla no causa ningún problema.",
    },
};

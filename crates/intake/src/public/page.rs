//! The page: one document, whatever it says, without script, cookie or anything from elsewhere.

use std::fmt::Write as _;
use std::sync::LazyLock;

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};
use tamis_policy::Policy;

use super::language::Language;
use super::link::{Choice, Link};
use super::words::{Told, Words};

/// What holds the page together; a tenant's accent goes over it.
const STYLE: &str = include_str!("../../templates/public.css");
/// Seconds after which it is worth trying again what could not be recorded.
const RETRY_AFTER_S: &str = "5";

/// Why there is nothing to show or to record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// No token, none of ours, or one that has ended.
    NotFound,
    /// An undo that is not good, or not any more.
    TooLate,
    /// Something that can't be read, with its status.
    NotUnderstood(StatusCode),
    /// Nothing can be confirmed now.
    Unavailable,
}

impl Problem {
    const fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::TooLate => StatusCode::GONE,
            Self::NotUnderstood(status) => status,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn told(self, words: &Words) -> Told {
        match self {
            Self::NotFound => words.not_found,
            Self::TooLate => words.too_late,
            Self::NotUnderstood(_) => words.not_understood,
            Self::Unavailable => words.unavailable,
        }
    }
}

/// What a person is shown when all went well.
pub(crate) enum Shown {
    /// What can be stopped.
    Ask,
    /// What was stopped, and an undo, sealed, where there is one.
    Done(Choice, Option<String>),
    /// What was taken back.
    Undone(Choice),
}

/// The sender as people know it.
struct Sender {
    name: String,
    /// A style that sets its colour.
    accent: Option<String>,
}

impl Sender {
    /// As `policy` has it; by its id where it has no name.
    fn of(link: &Link, policy: &Policy) -> Self {
        let rules = policy.tenant(link.tenant());
        let name = rules.and_then(|rules| rules.display_name()).unwrap_or_else(|| link.tenant()).to_owned();
        let accent =
            rules.and_then(|rules| rules.accent()).map(|colour| format!(":root{{--accent:{colour}}}"));
        Self { name, accent }
    }
}

/// What a choice stops, in words: `All e-mails from Acme`.
#[derive(Template)]
#[template(path = "what.html")]
struct What<'a> {
    words: &'a Words,
    link: &'a Link,
    sender: &'a Sender,
    choice: Choice,
}

/// The document.
#[derive(Template)]
#[template(path = "public.html")]
struct Document<'a> {
    language: Language,
    words: &'a Words,
    style: &'a str,
    told: Told,
    /// `None` where nothing of a link is told.
    of: Option<(&'a Link, &'a Sender)>,
    body: Body<'a>,
}

enum Body<'a> {
    Ask(Vec<(&'static str, What<'a>)>),
    Done { what: What<'a>, reference: String, undo: Option<&'a str> },
    Undone(What<'a>),
    Problem { again: bool },
}

/// The page in answer to something about `link`.
pub(crate) fn shown(language: Language, link: &Link, policy: &Policy, shown: &Shown) -> Response {
    let words = Words::of(language);
    let sender = Sender::of(link, policy);
    let what = |choice| What { words, link, sender: &sender, choice };
    let (told, body) = match shown {
        Shown::Ask => {
            let choices = link.choices().iter().map(|&choice| (choice.as_str(), what(choice)));
            (words.ask, Body::Ask(choices.collect()))
        }
        Shown::Done(choice, undo) => {
            let (reference, undo) = (link.reference(), undo.as_deref());
            (words.done, Body::Done { what: what(*choice), reference, undo })
        }
        Shown::Undone(choice) => (words.undone, Body::Undone(what(*choice))),
    };
    let document = Document { language, words, style: STYLE, told, of: Some((link, &sender)), body };
    answer(StatusCode::OK, language, &document, sender.accent.as_deref())
}

/// The page that says what is wrong; of each kind and language it is always the same.
pub(crate) fn problem(language: Language, problem: Problem) -> Response {
    let words = Words::of(language);
    let again = matches!(problem, Problem::TooLate | Problem::NotUnderstood(_) | Problem::Unavailable);
    let (told, body) = (problem.told(words), Body::Problem { again });
    let document = Document { language, words, style: STYLE, told, of: None, body };
    let mut response = answer(problem.status(), language, &document, None);
    if problem == Problem::Unavailable {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
    }
    response
}

fn answer(status: StatusCode, language: Language, document: &Document<'_>, accent: Option<&str>) -> Response {
    let text = document.render().expect("nothing that is shown can fail to be written");
    let headers = [
        (header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag())),
        (header::CONTENT_SECURITY_POLICY, content_security(accent)),
    ];
    (status, headers, Html(text)).into_response()
}

/// Lets the page's own styles in, by their hashes, and its form; nothing else.
fn content_security(accent: Option<&str>) -> HeaderValue {
    static OWN: LazyLock<String> = LazyLock::new(|| hash_of(STYLE));
    let mut styles = OWN.clone();
    if let Some(accent) = accent {
        let _ = write!(styles, " {}", hash_of(accent));
    }
    let text = format!(
        "default-src 'none'; style-src {styles}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::try_from(text).expect("hashes in base64 are printable")
}

/// As CSP names a style.
fn hash_of(style: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(style)))
}

//! A page for each problem, on the API's door, and all of them as `docs/problems.md`. They ask for no key and hold nothing
//! of a call.

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};

use crate::answer::Refusal;
use crate::problems::{Code, ROWS};

/// `GET /problems/{code}`.
pub(crate) async fn one(Path(name): Path<String>) -> Result<Response, Refusal> {
    let code = Code::from_name(&name).ok_or_else(Refusal::nothing_here)?;
    let (name, status, title) = (code.as_str(), code.status().as_u16(), code.title());
    Ok(page(&format!("{name}: {title}"), &format!("<p>Status {status}.</p>\n<p>{}</p>", html(code.remedy()))))
}

/// `GET /problems`.
pub(crate) async fn all() -> Response {
    let line = |code: &Code| {
        let (name, page) = (code.as_str(), code.page());
        format!("<li><a href=\"{page}\">{name}</a> ({}): {}</li>", code.status().as_u16(), code.title())
    };
    let lines: Vec<String> = Code::ALL.iter().map(line).collect();
    let rows: Vec<String> =
        ROWS.iter().map(|(name, text)| format!("<dt>{name}</dt><dd>{}</dd>", html(text))).collect();
    let list = format!(
        "<ul>\n{}\n</ul>\n<h2>Codes of rows</h2>\n<dl>\n{}\n</dl>",
        lines.join("\n"),
        rows.join("\n")
    );
    page("Problems", &list)
}

fn page(title: &str, body: &str) -> Response {
    let text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<h1>{title}</h1>\n{body}\n</html>\n"
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, text).into_response()
}

/// The table's texts hold nothing to escape but the marks of code.
fn html(text: &str) -> String {
    let piece = |(at, piece): (usize, &str)| match at % 2 {
        0 => piece.to_owned(),
        _ => format!("<code>{piece}</code>"),
    };
    text.split('`').enumerate().map(piece).collect()
}

/// `docs/problems.md`.
#[cfg(test)]
fn markdown() -> String {
    let mut text = String::from(
        "# Problems\n\n\
         A call that is refused is answered with `application/problem+json` (RFC 9457):\n\
         `{\"type\",\"title\",\"status\",\"code\",\"message\",\"details\"}`. `type` is the page of the code on the same door, `message` says what it was this\n\
         time, and nothing in it repeats a value that came in. Codes keep their meaning.\n\n\
         | code | status | what it means | what to do |\n|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let (name, status) = (code.as_str(), code.status().as_u16());
        text.push_str(&format!("| `{name}` | {status} | {} | {} |\n", code.title(), code.remedy()));
    }
    text.push_str("\n## Codes of rows\n\n| code | what it means |\n|---|---|\n");
    for (name, meaning) in ROWS {
        text.push_str(&format!("| `{name}` | {meaning} |\n"));
    }
    text.push_str("\nMade of `crates/intake/src/problems.rs` by `cargo test -p tamis-intake write_docs -- --ignored`.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::{Code, ROWS, html, markdown};

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/problems.md");

    /// Guarantees: the page in `docs` says what the code says.
    /// Fails when: a code is added or reworded and the page is not written again.
    #[test]
    fn the_page_of_problems_is_current() {
        let written = std::fs::read_to_string(PATH).unwrap_or_default();
        assert!(written == markdown(), "run `cargo test -p tamis-intake write_docs -- --ignored`");
    }

    #[test]
    #[ignore = "writes docs/problems.md"]
    fn write_docs_of_problems() {
        std::fs::write(PATH, markdown()).unwrap();
    }

    /// Guarantees: no code stands for two things, and the texts need no escaping in a page or a table.
    #[test]
    fn codes_are_told_apart_and_texts_are_plain() {
        for (at, code) in Code::ALL.iter().enumerate() {
            assert_eq!(Code::from_name(code.as_str()), Some(*code));
            assert_eq!(Code::ALL.iter().position(|other| other.as_str() == code.as_str()), Some(at));
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
        let texts = Code::ALL.iter().flat_map(|code| [code.title(), code.remedy()]);
        for text in texts.chain(ROWS.iter().map(|(_, text)| *text)) {
            assert!(!text.contains(['<', '>', '&', '|', '\n']), "{text}");
            assert_eq!(text.matches('`').count() % 2, 0, "{text}");
        }
        assert_eq!(html("see `x` there"), "see <code>x</code> there");
    }
}

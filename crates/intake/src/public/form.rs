//! What a POST brings: the page's own form, RFC 8058's one pair, or nothing.
//!
//! Only `scope` and `undo` are looked for. A body that can't be read as a form is none: the token in the address has said who it
//! is and what for, and an opt-out must not be lost to the way that a mail client writes.

use axum::body::{Body, Bytes};
use axum::extract::{Form as UrlEncoded, FromRequest as _, Multipart, Request};

use crate::answer::Refusal;
use crate::body;

/// The largest body, bytes: the page's own has 200, and a multipart one of a mail client 500.
pub(crate) const BODY_BYTES_MAX: usize = 16 << 10;

/// The two fields that count, as they came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// What to stop; absent from one-click.
    pub(crate) scope: Option<String>,
    /// What to take back, sealed.
    pub(crate) undo: Option<String>,
}

impl Form {
    /// Reads the body of `request`, whose route has a limit of [`BODY_BYTES_MAX`].
    ///
    /// # Errors
    /// A body that is too large or too slow.
    pub(crate) async fn read(request: Request) -> Result<Self, Refusal> {
        let (mut head, body) = request.into_parts();
        let body = body::read_any(Request::from_parts(head.clone(), body), BODY_BYTES_MAX).await?;
        // The body is here and is small: no limit is to stop what reads it as a form.
        head.extensions.clear();
        Ok(Self::of(Self::fields(&head, body).await))
    }

    /// The fields in their order; up to where they can be read.
    async fn fields(head: &axum::http::request::Parts, body: Bytes) -> Vec<(String, String)> {
        let request = || Request::from_parts(head.clone(), Body::from(body.clone()));
        if let Ok(UrlEncoded(fields)) = UrlEncoded::from_request(request(), &()).await {
            return fields;
        }
        let mut fields = Vec::new();
        let Ok(mut parts) = Multipart::from_request(request(), &()).await else { return fields };
        while let Ok(Some(part)) = parts.next_field().await {
            let name = part.name().unwrap_or_default().to_owned();
            let Ok(text) = part.text().await else { break };
            fields.push((name, text));
        }
        fields
    }

    /// The first of each name counts.
    fn of(fields: Vec<(String, String)>) -> Self {
        let mut form = Self::default();
        for (name, text) in fields {
            let field = match name.as_str() {
                "scope" => &mut form.scope,
                "undo" => &mut form.undo,
                _ => continue,
            };
            field.get_or_insert(text);
        }
        form
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;

    use super::Form;

    async fn read(content_type: &str, body: &str) -> Form {
        let request =
            Request::post("/").header("content-type", content_type).body(Body::from(body.to_owned()));
        Form::read(request.unwrap()).await.unwrap()
    }

    fn form(scope: Option<&str>, undo: Option<&str>) -> Form {
        Form { scope: scope.map(str::to_owned), undo: undo.map(str::to_owned) }
    }

    #[tokio::test]
    async fn both_encodings_are_read_and_other_fields_ignored() {
        let urlencoded = "application/x-www-form-urlencoded";
        assert_eq!(read(urlencoded, "List-Unsubscribe=One-Click").await, form(None, None));
        assert_eq!(read(urlencoded, "a=b&scope=all&scope=list&%ff=%ff").await, form(Some("all"), None));
        let charset = "application/x-www-form-urlencoded; charset=UTF-8";
        assert_eq!(read(charset, "undo=AbC-_").await, form(None, Some("AbC-_")));
        let part = |name: &str, text: &str| {
            format!("--b7\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        let body = format!("{}{}--b7--\r\n", part("List-Unsubscribe", "One-Click"), part("scope", "channel"));
        assert_eq!(read("multipart/form-data; boundary=b7", &body).await, form(Some("channel"), None));
    }

    /// Guarantees: whatever a client sends instead of a form, it asks for what its link is for.
    #[tokio::test]
    async fn what_is_no_form_is_an_empty_one() {
        for (content_type, body) in [
            ("application/x-www-form-urlencoded", ""),
            ("application/x-www-form-urlencoded", "%%%&&&==="),
            ("multipart/form-data; boundary=b7", "--b8\r\nnothing"),
            ("multipart/form-data", "List-Unsubscribe=One-Click"),
            ("text/plain", "scope=all"),
            ("application/json", "{\"scope\":\"all\"}"),
            ("", "List-Unsubscribe=One-Click"),
        ] {
            assert_eq!(read(content_type, body).await, form(None, None), "{content_type}");
        }
    }
}

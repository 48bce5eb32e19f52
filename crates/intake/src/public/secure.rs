//! Headers of every answer of the public door.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

/// What browsers are told: to guess, keep, frame, share, index and load nothing. A page says its own content policy, which lets
/// its style in.
const ALWAYS: [(HeaderName, &str); 9] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // The address has the token: no other site is to learn it.
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("permissions-policy"),
        "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), display-capture=(), encrypted-media=(), \
         fullscreen=(), geolocation=(), gyroscope=(), identity-credentials-get=(), magnetometer=(), microphone=(), midi=(), \
         payment=(), publickey-credentials-get=(), screen-wake-lock=(), sync-xhr=(), usb=()",
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
    (header::VARY, "Accept-Language"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    ),
];
/// A year; not the sub-domains of whoever's name this is.
const STAY_WITH_HTTPS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// `response` with them.
pub(crate) async fn secure(mut response: Response, https: bool) -> Response {
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, STAY_WITH_HTTPS);
    }
    response
}

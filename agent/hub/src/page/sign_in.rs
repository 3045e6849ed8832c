//! Signing in and out: a challenge, a login that an owner's key has signed, a code, a cookie.
//!
//! Nobody gains more by it than reading: no request with a cookie changes anything here but the end of that sign-in. Forms are taken
//! from this page alone: the browser says where they come from, the cookie is not sent along from elsewhere, and whoever signs out
//! shows what only this page could tell.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use e3_core::document::Login;
use maud::{Markup, html};
use serde_json::json;

use super::door::{Door, HOUR, MINUTE, Visitor};
use super::html::Frame;
use crate::api::{Hub, JSON, Refusal};

/// Bytes of a form.
const FORM: u64 = 1024;
/// Letters of a code or a cookie.
const CODE: usize = 43;
/// Cookies of our name that are looked at.
const COOKIES: usize = 4;
/// A browser takes the first only over TLS and only from this very host.
const NAMES: [&str; 2] = ["__Host-e3", "e3"];

/// The network that a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From(pub(crate) IpAddr);

/// Who asks; told by the connection.
type Network = Option<Extension<From>>;

fn may(hub: &Hub, network: &Network) -> Result<(), Refusal> {
    let network = network.as_ref().map(|Extension(From(network))| *network);
    if hub.page.pace.take(network, (hub.clock)()) {
        Ok(())
    } else {
        Err(Refusal::TooManySignIns)
    }
}

/// Gives a challenge out.
pub(super) async fn challenge(
    State(hub): State<Arc<Hub>>,
    network: Network,
) -> Result<Response, Refusal> {
    may(&hub, &network)?;
    let challenge = hub.page.door.challenge((hub.clock)());
    let body = json!({"challenge": challenge}).to_string();
    Ok((super::PRIVATE, [JSON], body).into_response())
}

/// Takes a signed challenge, and gives a code for it.
pub(super) async fn login(
    State(hub): State<Arc<Hub>>,
    network: Network,
    request: Request,
) -> Result<Response, Refusal> {
    may(&hub, &network)?;
    let host = host(request.headers());
    let bytes = hub.take(request, FORM * 4).await?.bytes;
    let roots = hub.chain.refresh(&hub.store).await?;
    let envelope = Login::parse(&bytes).map_err(Refusal::Login)?;
    let login =
        Login::open(&envelope, roots.first_digest(), roots.newest()).map_err(Refusal::Login)?;
    // Another hub could pass our challenge on, as its own: then its own name was signed.
    let (scheme, named) = login.hub.split_once("://").unwrap_or_default();
    if !host.is_some_and(|host| host.eq_ignore_ascii_case(named)) {
        return Err(Refusal::OtherHub);
    }
    let secure = scheme == "https";
    let door = &hub.page.door;
    let code = door.code(&login.challenge, login.key, secure, (hub.clock)());
    let code = code.ok_or(Refusal::Challenge)?;
    tracing::info!(key = %login.key, "somebody signs in");
    let body = json!({"code": *code, "seconds": MINUTE}).to_string();
    Ok((super::PRIVATE, [JSON], body).into_response())
}

fn host(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(HOST)?.to_str().ok()?.to_owned())
}

/// Whether a form comes from a page of this hub, as far as the browser says.
fn is_ours(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return false;
    }
    let origin =
        text(ORIGIN.as_str()).map(|origin| origin.split_once("://").map_or("", |(_, host)| host));
    origin.is_none_or(|origin| {
        text(HOST.as_str()).is_some_and(|host| host.eq_ignore_ascii_case(origin))
    })
}

/// One field of a form: letters that no encoding changes, or nothing.
fn field<'a>(form: &'a [u8], name: &str) -> Option<&'a str> {
    let form = std::str::from_utf8(form).ok()?;
    let mut fields = form.split('&').filter_map(|field| field.split_once('='));
    let (_, value) = fields.find(|(found, _)| *found == name)?;
    // Whoever pastes may have taken a space or a line end along.
    let blank = ["+", "%20", "%0D", "%0A", "%09"];
    let mut value = value;
    while let Some(rest) = blank.iter().find_map(|blank| value.strip_prefix(blank)) {
        value = rest;
    }
    let end = value.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    let value = &value[..end.unwrap_or(value.len())];
    (value.len() == CODE).then_some(value)
}

/// The cookies of ours that a request carries.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(COOKIE).into_iter();
    let all = all.filter_map(|line| line.to_str().ok());
    let pairs = all.flat_map(|line| line.split(';'));
    let pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    let ours = pairs.filter(|(name, value)| NAMES.contains(name) && value.len() == CODE);
    ours.map(|(_, value)| value).take(COOKIES)
}

/// Who sends this request, if its key is still one of the fleet: a root that came in through another hub counts, too.
pub(super) async fn visitor(hub: &Hub, headers: &HeaderMap) -> Result<Option<Visitor>, Refusal> {
    let now = (hub.clock)();
    let Some(found) = cookies(headers).find_map(|cookie| hub.page.door.visitor(cookie, now)) else {
        return Ok(None);
    };
    let roots = hub.chain.refresh(&hub.store).await?;
    Ok(Login::may(&found.key, roots.newest()).then_some(found))
}

/// The page with the form for a code.
pub(super) async fn show(
    State(hub): State<Arc<Hub>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    answer(&hub, &headers, StatusCode::OK, None).await
}

/// Takes a code.
pub(super) async fn enter(
    State(hub): State<Arc<Hub>>,
    network: Network,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    let refuse = |status, text| answer(&hub, &headers, status, Some(text));
    if may(&hub, &network).is_err() {
        let text = "Too many have tried to sign in from your network. Wait a minute.";
        return refuse(StatusCode::TOO_MANY_REQUESTS, text).await;
    }
    if !is_ours(&headers) {
        let text = "That form was not sent from this page. Paste the code here.";
        return refuse(StatusCode::FORBIDDEN, text).await;
    }
    let form = hub.take(request, FORM).await?.bytes;
    let door: &Door = &hub.page.door;
    let cookie = field(&form, "code").and_then(|code| door.enter(code, (hub.clock)()));
    let Some(cookie) = cookie else {
        let text = "That code is not good, or not any more: it works once, and for a minute. Run e3 login again.";
        return refuse(StatusCode::FORBIDDEN, text).await;
    };
    let (name, secure) = if cookie.secure {
        (NAMES[0], "; Secure")
    } else {
        (NAMES[1], "")
    };
    let cookie = format!(
        "{name}={}; Path=/; Max-Age={HOUR}; HttpOnly; SameSite=Strict{secure}",
        *cookie.value
    );
    Ok(to_fleet(&[cookie]))
}

/// Ends a sign-in.
pub(super) async fn leave(
    State(hub): State<Arc<Hub>>,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    let form = hub.take(request, FORM).await?.bytes;
    let Some(visitor) = visitor(&hub, &headers).await? else {
        return Ok(to_fleet(&[]));
    };
    // The word is no secret to its visitor, and to nobody else.
    if !is_ours(&headers) || field(&form, "form") != Some(&visitor.form) {
        return Err(Refusal::OtherSite);
    }
    cookies(&headers).for_each(|cookie| hub.page.door.leave(cookie));
    let gone = |name| format!("{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    Ok(to_fleet(&[
        format!("{}; Secure", gone(NAMES[0])),
        gone(NAMES[1]),
    ]))
}

/// Back to the first page, with these cookies.
fn to_fleet(cookies: &[String]) -> Response {
    let mut response = (StatusCode::SEE_OTHER, super::PRIVATE, [(LOCATION, "./")]).into_response();
    for cookie in cookies {
        if let Ok(value) = HeaderValue::from_str(cookie) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
    response
}

async fn answer(
    hub: &Hub,
    headers: &HeaderMap,
    status: StatusCode,
    error: Option<&str>,
) -> Result<Response, Refusal> {
    let visitor = visitor(hub, headers).await?;
    let roots = hub.chain.current();
    let frame = Frame {
        fleet: roots.newest().fleet.as_str(),
        title: "Sign in",
        at: "sign-in",
        visitor: visitor.as_ref(),
    };
    Ok((status, super::respond(&frame.page(&view(error)))).into_response())
}

fn view(error: Option<&str>) -> Markup {
    html! {
        div .prose {
            h1 { "Sign in" }
            p .lede { "For the fleet's owners, and whoever signs for it. Run this where your key is, and open the link that it prints:" }
            pre { "e3 login" }
            @if let Some(error) = error { p .tag .red #wrong role="alert" { (error) } }
            form .find method="post" action="sign-in" autocomplete="off" {
                input #code name="code" required aria-label="Code" placeholder="or paste its code here" spellcheck="false" autocapitalize="none";
                button { "Sign in" }
            }
            p .note {
                "Your key signs a random number of this hub, and nothing else; it never leaves its file. You then see more for an hour. "
                "You cannot change anything here, signed in or not: what changes a fleet is signed where your key is."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_code_is_read_and_nothing_else() {
        let code = "A".repeat(42) + "_";
        let read = |form: &str| field(form.as_bytes(), "code").map(str::to_owned);
        assert_eq!(read(&format!("x=1&code={code}")).as_ref(), Some(&code));
        assert_eq!(
            read(&format!("code=+%0A{code}%0D%0A")).as_ref(),
            Some(&code)
        );
        for bad in [
            "",
            "code=",
            "code",
            "code=<b>",
            &format!("code={code}A"),
            &format!("code=%3C{code}"),
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn forms_of_other_sites_are_not_ours() {
        let ours = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (
                    axum::http::HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            });
            is_ours(&pairs.collect::<HeaderMap>())
        };
        let host = ("host", "hub.example:8420");
        assert!(
            ours(&[host]),
            "an old browser, or none; the code alone decides"
        );
        assert!(ours(&[
            host,
            ("origin", "http://hub.example:8420"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(!ours(&[host, ("origin", "http://evil.example")]));
        assert!(!ours(&[host, ("origin", "null")]));
        assert!(!ours(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!ours(&[host, ("sec-fetch-site", "same-site")]));
    }
}

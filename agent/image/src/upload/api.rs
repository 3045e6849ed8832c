//! How DigitalOcean's API is asked: with the token, as often as makes sense, and never for more than fits in memory.
//!
//! What only asks is asked again when the answer is lost; what makes something is not, because nobody knows whether it was
//! made: whoever calls looks first. A 429 says that nothing was done, so that is waited for in either case.

use std::time::Duration;

use e3_client::clock;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::account::Account;
use super::answer::{Way, said};
use super::error::Fault;
use super::{Progress, Tell};

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes of an answer; a page of 200 images has 200 KiB.
const ANSWER: usize = 4 << 20;
/// How often something is asked.
const ATTEMPTS: u32 = 4;
/// How long to wait after the first failure; then twice as long each time.
const PAUSE: Duration = Duration::from_millis(500);
/// Longer than this nobody waits for a 429 to pass.
const PATIENCE: u64 = 120;
/// Where the end of a minute's or an hour's requests stands if there is no Retry-After.
const RESET: &str = "ratelimit-reset";

/// What an error looks like.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    message: String,
}

/// The API, for one account.
pub(super) struct Api<'a> {
    client: Client,
    base: Url,
    tell: Tell<'a>,
}

impl<'a> Api<'a> {
    pub(super) fn open(
        base: &str,
        account: &Account,
        wait: Duration,
        tell: Tell<'a>,
    ) -> Result<Self, Fault> {
        let base = address(base)?;
        let host = host(&base);
        let mut token = HeaderValue::from_str(&format!("Bearer {}", account.token.trim()))
            .map_err(|_| Fault::Token)?;
        token.set_sensitive(true);
        let client = Client::builder()
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, token)]))
            .connect_timeout(CONNECT.min(wait))
            .timeout(wait)
            // Nobody else gets the token.
            .redirect(Policy::none())
            .user_agent(concat!("e3/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| unreachable(host, &error))?;
        Ok(Self { client, base, tell })
    }

    /// Asks for something.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        action: &'static str,
        url: Url,
    ) -> Result<T, Fault> {
        self.call(action, Method::GET, url, None).await
    }

    /// Has something made.
    pub(super) async fn make<T: DeserializeOwned>(
        &self,
        action: &'static str,
        url: Url,
        body: &Value,
    ) -> Result<T, Fault> {
        self.call(action, Method::POST, url, Some(body)).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        action: &'static str,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<T, Fault> {
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            let fault = match self.once(action, method.clone(), url.clone(), body).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            let wait = match &fault {
                Fault::Refused {
                    status: 429, wait, ..
                } => {
                    let wait = wait.unwrap_or(pause.as_secs().max(1));
                    (wait <= PATIENCE).then(|| Duration::from_secs(wait))
                }
                fault if fault.is_unclear() && body.is_none() => Some(pause),
                _ => None,
            };
            let Some(wait) = wait.filter(|_| attempt < ATTEMPTS) else {
                return Err(fault);
            };
            (self.tell)(Progress::Waiting {
                seconds: wait.as_secs(),
                why: &fault.to_string(),
            });
            tokio::time::sleep(wait).await;
            pause *= 2;
            attempt += 1;
        }
    }

    async fn once<T: DeserializeOwned>(
        &self,
        action: &'static str,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<T, Fault> {
        let host = host(&self.base);
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await;
        let answer = answer.map_err(|error| unreachable(host.clone(), &error))?;
        let (status, wait) = (answer.status().as_u16(), wait(answer.headers()));
        let bytes = bounded(answer, &host).await?;
        if (200..300).contains(&status) {
            return serde_json::from_slice(&bytes).map_err(|_| Fault::NotTheApi { host });
        }
        let problem = serde_json::from_slice::<Problem>(&bytes);
        // A page for people is not the API's.
        if status < 500 && problem.is_err() {
            return Err(Fault::NotTheApi { host });
        }
        let said = said(&problem.unwrap_or_default().message);
        Err(match status {
            500.. => Fault::Failed {
                action,
                status,
                said,
            },
            400.. => Fault::Refused {
                action,
                status,
                said,
                wait,
            },
            // No redirect is followed.
            _ => Fault::NotTheApi { host },
        })
    }

    /// The address of what stands under this path.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/{path}",
            self.base.path().trim_end_matches('/')
        ));
        url
    }
}

/// Where the API is: over TLS, or on this computer.
fn address(text: &str) -> Result<Url, Fault> {
    let wrong = || Fault::ApiAddress {
        text: e3_core::text::clean(text, 200),
    };
    let url: Url = text.parse().map_err(|_| wrong())?;
    let here = ["127.0.0.1", "localhost", "[::1]"];
    let is_here = url.host_str().is_some_and(|host| here.contains(&host));
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_here);
    if is_safe && url.username().is_empty() && url.password().is_none() {
        Ok(url)
    } else {
        Err(wrong())
    }
}

fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn unreachable(host: String, error: &reqwest::Error) -> Fault {
    let why = Way::of(error, error.is_timeout());
    Fault::Unreachable { host, why }
}

/// How many seconds the answer asks to wait.
fn wait(headers: &HeaderMap) -> Option<u64> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    number(RETRY_AFTER.as_str()).or_else(|| {
        // In Unix time.
        let now = u64::try_from(clock::now().unix()).ok()?;
        number(RESET)?.checked_sub(now)
    })
}

async fn bounded(mut answer: Response, host: &str) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    while let Some(more) = answer
        .chunk()
        .await
        .map_err(|error| unreachable(host.to_owned(), &error))?
    {
        if bytes.len() + more.len() > ANSWER {
            let host = host.to_owned();
            return Err(Fault::NotTheApi { host });
        }
        bytes.extend_from_slice(&more);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_or_not_off_this_computer() {
        for good in [
            "https://api.digitalocean.com",
            "http://127.0.0.1:4010",
            "http://localhost:1/x",
        ] {
            address(good).unwrap();
        }
        for bad in [
            "http://api.digitalocean.com",
            "http://127.0.0.1.example",
            "https://a:b@api.digitalocean.com",
            "ftp://127.0.0.1",
            "api.digitalocean.com",
        ] {
            assert!(
                matches!(address(bad), Err(Fault::ApiAddress { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_wait_is_read_from_either_header() {
        let headers = |name: &'static str, value: &str| {
            HeaderMap::from_iter([(
                reqwest::header::HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )])
        };
        assert_eq!(wait(&headers("retry-after", "17")), Some(17));
        let soon = clock::now().unix() + 100;
        let found = wait(&headers(RESET, &soon.to_string())).unwrap();
        assert!((90..=100).contains(&found), "{found}");
        for bad in ["-1", "soon", "99999999999999999999999"] {
            assert_eq!(wait(&headers("retry-after", bad)), None, "{bad}");
        }
        assert_eq!(wait(&headers(RESET, "1")), None);
    }
}

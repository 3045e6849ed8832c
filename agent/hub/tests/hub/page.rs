//! The page: what strangers see of it and what owners do, how somebody signs in, and what is tried against it.

use e3_core::document::{Login, Mesh, Outcome};
use e3_core::key::PublicKey;
use e3_core::mesh::NotJoined;
use e3_core::session::{Failure, Reason};
use e3_hub::{Page, Settings};
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response};

use crate::common::*;

/// A browser, as far as it matters here: no redirect is followed, so that each answer can be looked at.
struct Browser<'a> {
    fleet: &'a Fleet,
    http: reqwest::Client,
}

impl<'a> Browser<'a> {
    fn new(fleet: &'a Fleet) -> Self {
        let http = reqwest::Client::builder().redirect(Policy::none());
        let http = http.build().unwrap();
        Self { fleet, http }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}/{path}", self.fleet.url()))
    }

    fn post(&self, path: &str, form: &str) -> RequestBuilder {
        let origin = self.fleet.url();
        let url = format!("{origin}/{path}");
        let request = self.http.post(url).body(form.to_owned());
        request
            .header("origin", origin)
            .header("sec-fetch-site", "same-origin")
    }

    /// The page, as whoever has this cookie sees it.
    async fn page(&self, path: &str, cookie: Option<&str>) -> String {
        let mut request = self.get(path);
        if let Some(cookie) = cookie {
            request = request.header(COOKIE, cookie);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        response.text().await.unwrap()
    }

    /// The cookie for a code.
    async fn enter(&self, code: &str) -> Response {
        let form = format!("code={code}");
        self.post("sign-in", &form).send().await.unwrap()
    }
}

fn cookie(response: &Response) -> String {
    assert_eq!(response.status(), 303);
    assert_eq!(response.headers()[LOCATION], "./");
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.contains("; HttpOnly; SameSite=Strict")
            && cookie.contains("; Path=/; Max-Age=3600;"),
        "{cookie}"
    );
    cookie.split(';').next().unwrap().to_owned()
}

/// What this key would sign for this hub, bent.
async fn login(
    fleet: &Fleet,
    n: u8,
    signer: u8,
    bend: impl Fn(&mut Login),
) -> Result<String, String> {
    let hub = fleet.client();
    let mut login = Login {
        fleet: name("fleet"),
        root: digest(&root_bytes()),
        hub: hub.origin().unwrap(),
        challenge: hub.login_challenge().await.unwrap(),
        key: key(n).public(),
    };
    bend(&mut login);
    match hub.login(sign(&login, &[signer])).await {
        Ok((code, 60)) => Ok(code.to_string()),
        Err(e3_client::hub::HubError::Refused { kind, .. }) => Err(kind),
        other => panic!("{other:?}"),
    }
}

/// The cookie of owner 3.
async fn owner(browser: &Browser<'_>) -> String {
    let code = login(browser.fleet, 3, 3, |_| ()).await.unwrap();
    cookie(&browser.enter(&code).await)
}

/// A fleet with one machine of which hostile things are told, and one failed session.
async fn told(fleet: &Fleet) {
    let hub = fleet.client();
    let (enrolment, invite) = enrolment(20, 11, now().plus(100));
    hub.enrol(&enrolment, &invite).await.unwrap();
    let mut hostile = presence(11, 1);
    hostile.name = name("posing-as-another");
    "<img src=x>".clone_into(&mut hostile.agent);
    hostile.image = Some("\"><b>".to_owned());
    hostile.addresses = vec!["192.0.2.77:7332".to_owned()];
    let reason = NotJoined::Unable {
        detail: "<script src=//evil>&\"'\u{202e}".to_owned(),
    };
    hostile.meshes = [("nebula".to_owned(), Mesh::NotJoined { reason })].into();
    let hostile = sign(&hostile, &[11]);
    hub.put_presence(&key(11).public(), hostile).await.unwrap();
    let session = session_bytes();
    let envelope = hub.put_session(session.clone()).await.unwrap();
    let head = sign(&head(2, vec![session_ref(&session)]), &[2]);
    hub.put_head(head, Some(&fleet.etag().await)).await.unwrap();
    let mut failed = receipt(1);
    let reason = Reason::PythonMissing {
        detail: "<svg onload=alert(1)>".to_owned(),
    };
    failed.outcome = Outcome::Failed {
        failure: Failure { party: 2, reason },
    };
    failed.rtt_us = [(0, 1_234), (2, 250_000)].into();
    let failed = sign(&failed, &[12]);
    let manifest = digest(&session);
    let put = hub.put_receipt(&envelope, &manifest, 1, failed);
    put.await.unwrap();
}

#[tokio::test]
async fn owners_see_what_machines_say_and_it_stays_text() {
    let fleet = Fleet::start().await;
    told(&fleet).await;
    let browser = Browser::new(&fleet);
    let cookie = owner(&browser).await;
    let page = browser.page("", Some(&cookie)).await;
    for hostile in [
        "<script src=//",
        "<img src=x",
        "<b>",
        "<svg onload",
        "\u{202e}",
        "posing",
    ] {
        assert!(!page.contains(hostile), "{hostile}: {page}");
    }
    for told in [
        "&lt;script src=//evil&gt;&amp;&quot;'\u{fffd}",
        "&lt;img src=x&gt;",
        "&quot;&gt;&lt;b&gt;",
        "&lt;svg onload=alert(1)&gt;",
        ">p11<small>",
        "session #1",
        "because of <strong>p13</strong>",
        "failed, receipt signed",
        ">1.2<",
        "Longest: p12 – p13, 250 ms.",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(page.contains(&key(11).public().words()), "{page}");
    // Nothing from elsewhere, and nothing that a policy without exceptions forbids.
    let page = page.replace("http://www.w3.org/2000/svg", "");
    for bad in [
        "http:",
        "https:",
        " style=",
        " onclick",
        "javascript:",
        "<style",
    ] {
        assert!(!page.contains(bad), "{bad}: {page}");
    }
}

#[tokio::test]
async fn strangers_see_a_summary() {
    let fleet = Fleet::start().await;
    told(&fleet).await;
    let browser = Browser::new(&fleet);
    let page = browser.page("", None).await;
    for hidden in [
        "evil",
        "192.0.2.77",
        "img src=x",
        "onload",
        "because of",
        "e3 fleet accept",
    ] {
        assert!(!page.contains(hidden), "{hidden}: {page}");
    }
    for shown in [
        ">p11<small>",
        "not in the mesh",
        "session #1",
        "failed",
        "Sign in",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    // A cookie that somebody made up changes nothing.
    let made_up = format!("e3={}", "A".repeat(43));
    assert_eq!(
        browser.page("", Some(&made_up)).await.replace("now", ""),
        page.replace("now", "")
    );
    let add = browser.page("add", None).await;
    for kind in [
        "Raspberry Pi",
        "droplet",
        "Windows (WSL)",
        "Container",
        "e3 fleet invite alice",
    ] {
        assert!(add.contains(kind), "{kind}");
    }
}

#[tokio::test]
async fn pages_come_with_a_policy_without_exceptions_and_their_own_files() {
    let fleet = Fleet::start().await;
    let browser = Browser::new(&fleet);
    let mut files = 0;
    for path in ["", "add", "sign-in"] {
        let response = browser.get(path).send().await.unwrap();
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'"),
            "{policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.headers()["referrer-policy"], "same-origin");
        let page = response.text().await.unwrap();
        for (at, _) in page.match_indices("\"page/") {
            let file = page[at + 1..].split('"').next().unwrap();
            let response = browser.get(file).send().await.unwrap();
            assert_eq!(response.status(), 200, "{file}");
            assert!(
                response.headers()["cache-control"]
                    .to_str()
                    .unwrap()
                    .contains("immutable")
            );
            files += 1;
        }
    }
    assert_eq!(files, 12);
    assert_eq!(
        browser.get("page/style.css").send().await.unwrap().status(),
        404
    );
    assert_eq!(
        browser
            .get("page/..%2fhead.json")
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    // What a session names is never a page or a script, whatever its first bytes are.
    let answer = browser.get("head.json").send().await.unwrap();
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn an_owner_signs_in_and_out() {
    let fleet = Fleet::start().await;
    let browser = Browser::new(&fleet);
    let code = login(&fleet, 3, 3, |_| ()).await.unwrap();
    let response = browser.enter(&format!("+{code}%0A")).await;
    let cookie = cookie(&response);
    assert!(cookie.starts_with("e3="), "plain HTTP: {cookie}");
    assert_eq!(
        browser.enter(&code).await.status(),
        403,
        "a code works once"
    );
    let page = browser.page("", Some(&format!("other=1; {cookie}"))).await;
    assert!(
        page.contains(&format!("Signed in as <code title=\"{}\"", key(3).public())),
        "{page}"
    );
    let (_, form) = page.split_once("name=\"form\" value=\"").unwrap();
    let form = form.split('"').next().unwrap();
    let leave = |form: &str| {
        browser
            .post("sign-out", &format!("form={form}"))
            .header(COOKIE, &cookie)
    };
    // Another site cannot know the word, and its forms say where they come from.
    assert_eq!(leave(&"A".repeat(43)).send().await.unwrap().status(), 403);
    let foreign = { browser.http.post(format!("{}/sign-out", fleet.url())) }
        .body(format!("form={form}"))
        .header(COOKIE, &cookie)
        .header("origin", "http://evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    assert!(
        browser
            .page("", Some(&cookie))
            .await
            .contains("Signed in as")
    );
    let response = leave(form).send().await.unwrap();
    assert_eq!(response.status(), 303);
    let gone: Vec<_> = response.headers().get_all(SET_COOKIE).iter().collect();
    assert!(
        gone.iter()
            .all(|cookie| cookie.to_str().unwrap().contains("Max-Age=0"))
            && gone.len() == 2
    );
    assert!(
        !browser
            .page("", Some(&cookie))
            .await
            .contains("Signed in as")
    );
}

#[tokio::test]
async fn nobody_else_signs_in() {
    let fleet = Fleet::start().await;
    let refused = |kind: &str| Err(kind.to_owned());
    // A machine, who releases agents, a stranger, and one that has another one's name.
    for n in [11, 5, 99] {
        assert_eq!(login(&fleet, n, n, |_| ()).await, refused("login-refused"));
    }
    assert_eq!(login(&fleet, 3, 99, |_| ()).await, refused("login-refused"));
    // Another fleet, also one of the same name; a hub that passes this one's challenge on.
    let other = |login: &mut Login| login.fleet = name("other");
    assert_eq!(login(&fleet, 3, 3, other).await, refused("login-refused"));
    let other = |login: &mut Login| login.root = e3_core::digest::Digest::of(b"another root");
    assert_eq!(login(&fleet, 3, 3, other).await, refused("login-refused"));
    for host in ["http://evil.example:8420", "http://", ""] {
        let relayed = |login: &mut Login| login.hub = host.to_owned();
        assert_eq!(login(&fleet, 3, 3, relayed).await, refused("other-hub"));
    }
    // A made-up challenge, another hub's, and one that was used.
    let other = Fleet::over(&fleet.folder, |_| {}).await;
    let others = other.client().login_challenge().await.unwrap();
    for challenge in ["x".repeat(96), others] {
        let with = |login: &mut Login| login.challenge.clone_from(&challenge);
        assert_eq!(login(&fleet, 3, 3, with).await, refused("challenge-old"));
    }
    let once = fleet.client().login_challenge().await.unwrap();
    let with = |login: &mut Login| login.challenge.clone_from(&once);
    assert!(login(&fleet, 3, 3, with).await.is_ok());
    assert_eq!(login(&fleet, 3, 3, with).await, refused("challenge-old"));
    // Another document of a good key.
    let wrong = fleet.client().login(head_bytes(9)).await;
    assert!(
        matches!(
            wrong,
            Err(e3_client::hub::HubError::Refused { status: 403, .. })
        ),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn a_key_that_lost_its_role_is_signed_out() {
    let fleet = Fleet::start().await;
    let browser = Browser::new(&fleet);
    let cookie = owner(&browser).await;
    let mut next = root(2);
    next.session.keys = vec![key(4).public(), key(6).public()];
    let owners: &[PublicKey] = &next.session.keys;
    assert!(!owners.contains(&key(3).public()));
    fleet.client().put_root(2, sign(&next, &[1])).await.unwrap();
    assert!(
        !browser
            .page("", Some(&cookie))
            .await
            .contains("Signed in as")
    );
}

#[tokio::test]
async fn who_tries_too_often_waits() {
    let fleet = Fleet::start().await;
    let browser = Browser::new(&fleet);
    let mut tries = 0;
    while browser.enter(&"A".repeat(43)).await.status() == 403 {
        tries += 1;
        assert!(tries < 1000, "guessing is never stopped");
    }
    assert!(tries >= 10, "people mistype more than {tries} times");
    let challenge = fleet
        .send(
            fleet
                .http
                .post(format!("{}/v1/login/challenge", fleet.url())),
        )
        .await;
    assert_eq!(challenge, no(429, "too-many-sign-ins"));
    // Reading goes on.
    browser.page("", None).await;
}

#[tokio::test]
async fn a_form_that_is_no_form_is_refused() {
    let fleet = Fleet::start().await;
    let browser = Browser::new(&fleet);
    for form in ["", "code", "code=%ff%fe", "a=b&code=short"] {
        assert_eq!(
            browser.post("sign-in", form).send().await.unwrap().status(),
            403,
            "{form}"
        );
    }
    let large = "x".repeat(5000);
    assert_eq!(
        browser
            .post("sign-in", &large)
            .send()
            .await
            .unwrap()
            .status(),
        413
    );
    let elsewhere = browser
        .post("sign-in", "code=x")
        .header("sec-fetch-site", "cross-site");
    assert_eq!(elsewhere.send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn the_page_is_for_whom_its_hub_says() {
    let with = async |page| Fleet::with(|settings: &mut Settings| settings.page = page).await;
    let fleet = with(Page::Owners).await;
    told(&fleet).await;
    let browser = Browser::new(&fleet);
    let response = browser.get("").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()[LOCATION]),
        (303, &"sign-in".parse().unwrap())
    );
    let cookie = owner(&browser).await;
    assert!(
        browser
            .page("", Some(&cookie))
            .await
            .contains(">p11<small>")
    );
    let fleet = with(Page::Off).await;
    let browser = Browser::new(&fleet);
    for path in ["", "add", "sign-in", "sign-out"] {
        assert_eq!(
            browser.get(path).send().await.unwrap().status(),
            404,
            "{path}"
        );
    }
    assert_eq!(browser.get("head.json").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn parties_are_found_and_paged_through() {
    let fleet = Fleet::start().await;
    let hub = fleet.client();
    for n in 30..70 {
        let (enrolment, invite) = enrolment(n + 100, n, now().plus(100));
        hub.enrol(&enrolment, &invite).await.unwrap();
    }
    let browser = Browser::new(&fleet);
    let rows = |page: &str| page.matches("<th scope=\"row\"").count();
    let page = browser.page("", None).await;
    assert_eq!(rows(&page), 16);
    assert!(
        page.contains("1–16 of 40") && page.contains("href=\"?from=16#parties\""),
        "{page}"
    );
    let page = browser.page("?from=32", None).await;
    assert_eq!(rows(&page), 8);
    assert!(
        page.contains("33–40 of 40") && !page.contains("Next<"),
        "{page}"
    );
    assert_eq!(rows(&browser.page("?find=p42", None).await), 1);
    assert_eq!(
        rows(
            &browser
                .page(&format!("?find={}", key(43).public()), None)
                .await
        ),
        1
    );
    assert_eq!(rows(&browser.page("?state=never-seen", None).await), 16);
    for odd in [
        "?from=99999999",
        "?from=-1",
        "?from=x",
        "?state=%22%3E",
        "?find=%00&find=x",
    ] {
        browser.page(odd, None).await;
    }
    let page = browser.page("?find=%22%3E%3Cscript%3E&from=0", None).await;
    assert!(
        !page.contains("<script>") && page.contains("value=\"&quot;&gt;&lt;script&gt;\""),
        "{page}"
    );
}

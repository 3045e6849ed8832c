//! The fleet's page: what its first sight weighs, and how long a hub takes to make it of 1,000 parties, over a real socket.
//!
//! `ci/bench page [--parties N] [--json]`. `cold` is the first request after the hub's start; `fresh` is the first one that has what
//! each party said since, which was all in the store before anybody asked (median of five); `warm` is one of the same second.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

mod example;

use std::io::BufRead as _;
use std::path::Path;
use std::time::{Duration, Instant};

use example::Example;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Between two looks. One reading of the store serves everybody for a second, and longer where it took long.
const LOOK: Duration = Duration::from_millis(50);
/// Looks at most: ten seconds.
const LOOKS: usize = 200;
const ROUNDS: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    e3_client::tls::install();
    if let [mode, folder] = &args[..]
        && mode == "serve"
    {
        return serve(Path::new(folder)).await;
    }
    let parties = match args.iter().position(|arg| arg == "--parties") {
        Some(place) => args.get(place + 1).ok_or("a number is missing")?.parse()?,
        None => 1000,
    };
    let folder = tempfile::tempdir()?;
    let mut example = Example::large(folder.path(), parties);
    let http = reqwest::Client::new();
    let hub = example.serve().await;
    let url = format!("http://{}/", hub.address);
    let get = async |url: &str| -> Result<(Duration, String), Failure> {
        let begun = Instant::now();
        let page = http.get(url).send().await?.error_for_status()?;
        let page = page.text().await?;
        Ok((begun.elapsed(), page))
    };
    let (cold, html) = get(&url).await?;
    let (warm, _) = get(&url).await?;
    let mut fresh = Vec::new();
    for _ in 0..ROUNDS {
        let before = example.news();
        example.all_say_more();
        let news = example.news();
        let mut looks = 0;
        let took = loop {
            let (took, page) = get(&url).await?;
            if page.contains(&news) {
                break took;
            }
            looks += 1;
            if looks == LOOKS {
                return Err("the page does not get the news".into());
            }
            tokio::time::sleep(LOOK).await;
        };
        // Who comes last in the list has spoken, too.
        let (_, last) = get(&format!("{url}?from={}", parties - 1)).await?;
        if !last.contains(&news) || last.contains(&before) {
            return Err("the page has only a part of the news".into());
        }
        fresh.push(took);
    }
    fresh.sort();
    let fresh = fresh[ROUNDS / 2];
    // Everything that a browser loads for its first sight of it.
    let mut bytes = html.len();
    for (_, rest) in html.match_indices("page/").map(|(at, _)| html.split_at(at)) {
        let name = rest.split('"').next().unwrap_or_default();
        if !html[..html.len() - rest.len()].contains(name) {
            bytes += get(&format!("{url}{name}")).await?.1.len();
        }
    }
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    if args.iter().any(|arg| arg == "--json") {
        println!(
            "{{\"page_parties\": {parties}, \"page_bytes\": {bytes}, \"page_html_bytes\": {}, \"page_cold_ms\": {:.1}, \"page_fresh_ms\": {:.1}, \"page_warm_ms\": {:.1}}}",
            html.len(),
            ms(cold),
            ms(fresh),
            ms(warm)
        );
    } else {
        println!("first sight: {bytes} bytes, {} of them HTML", html.len());
        println!(
            "{parties} parties: {:.1} ms cold, {:.1} ms when all have said something new, {:.1} ms in the same second",
            ms(cold),
            ms(fresh),
            ms(warm)
        );
    }
    Ok(())
}

/// A hub with a small fleet for a browser to look at, until standard input ends; each line there is something that happens.
async fn serve(folder: &Path) -> Result<(), Failure> {
    let mut example = Example::small(folder);
    let hub = example.serve().await;
    example.start(&hub).await?;
    println!("{{\"hub\": \"http://{}/\"}}", hub.address);
    let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    while let Some(line) = lines.recv().await {
        match line.as_str() {
            "finish" => example.finish().await?,
            other => return Err(format!("nothing is called {other}").into()),
        }
    }
    Ok(())
}

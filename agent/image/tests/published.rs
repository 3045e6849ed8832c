//! Lists and images from a real server on this machine, honest and not.

#![allow(clippy::disallowed_methods)]

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use e3_core::digest::Blob;
use e3_core::key::SecretKey;
use e3_core::time::Time;
use e3_image::published::{
    Address, Fetched, Images, Order, Progress, Published, PublishedError, PublishedImage, fetch,
    list, read, seen::Seen,
};
use e3_image::{ImageError, Stop};
use tempfile::TempDir;

const FILE: &str = "e3-raspberrypi-aarch64.img.zst";

/// What a path answers with.
#[derive(Clone, Default)]
struct Page {
    body: Vec<u8>,
    /// It goes on where it is asked to.
    ranges: bool,
    /// The connection ends after so many bytes of an answer.
    cut: Option<usize>,
    /// Or nothing more comes, and it stays.
    stalls: Option<usize>,
    /// Answered with a failure instead, so many times.
    fails: u32,
    redirect: Option<String>,
    /// It says no length, and does not end.
    endless: bool,
}

/// A web server.
struct Site {
    address: SocketAddr,
    pages: Arc<Mutex<HashMap<String, Page>>>,
    /// The paths that were asked for, with the range.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let site = Self {
            address: listener.local_addr().unwrap(),
            pages: Arc::default(),
            asked: Arc::default(),
        };
        let (pages, asked) = (Arc::clone(&site.pages), Arc::clone(&site.asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (pages, asked) = (Arc::clone(&pages), Arc::clone(&asked));
                // Whoever hangs up early has had enough.
                std::thread::spawn(move || answer(stream.unwrap(), &pages, &asked));
            }
        });
        site
    }

    fn put(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn answer(
    mut stream: TcpStream,
    pages: &Mutex<HashMap<String, Page>>,
    asked: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let range = head.lines().find_map(|line| line.strip_prefix("range: "));
    asked
        .lock()
        .unwrap()
        .push([&path, range.unwrap_or_default()].join(" "));
    let (page, fails) = {
        let mut pages = pages.lock().unwrap();
        let Some(page) = pages.get_mut(&path) else {
            let none = b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n";
            return stream.write_all(none).ok();
        };
        let fails = page.fails > 0;
        page.fails = page.fails.saturating_sub(1);
        (page.clone(), fails)
    };
    if fails {
        let failed = b"HTTP/1.1 503 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        return stream.write_all(failed).ok();
    }
    if let Some(to) = page.redirect {
        let text = format!(
            "HTTP/1.1 302 X\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        return stream.write_all(text.as_bytes()).ok();
    }
    if page.endless {
        stream
            .write_all(b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n")
            .ok()?;
        loop {
            stream.write_all(&[b'x'; 4096]).ok()?;
        }
    }
    let whole = page.body.len();
    let from = range.filter(|_| page.ranges).map(|range| {
        let from = range.trim_start_matches("bytes=").trim_end_matches('-');
        from.parse::<usize>().unwrap()
    });
    let (status, more) = match from {
        Some(from) if from >= whole => (416, String::new()),
        Some(from) => (
            206,
            format!("content-range: bytes {from}-{}/{whole}\r\n", whole - 1),
        ),
        None => (200, String::new()),
    };
    let body = page.body.get(from.unwrap_or(0)..).unwrap_or_default();
    let text = format!(
        "HTTP/1.1 {status} X\r\n{more}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(text.as_bytes()).ok()?;
    let end = page.cut.or(page.stalls).unwrap_or(body.len());
    stream.write_all(&body[..end.min(body.len())]).ok()?;
    if page.stalls.is_some() {
        // Until the other end has had enough.
        let _ = stream.read(&mut [0]);
    }
    Some(())
}

/// A publisher, its site, and somebody's folder.
struct World {
    folder: TempDir,
    site: Site,
    key: SecretKey,
    image: Vec<u8>,
}

fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

fn time(seconds: i64) -> Time {
    Time::from_unix(1_795_000_000 + seconds)
}

fn failed<T: std::fmt::Debug>(result: Result<T, ImageError>) -> PublishedError {
    match result.unwrap_err() {
        ImageError::Published(error) => error,
        other => panic!("{other}"),
    }
}

impl World {
    fn new() -> Self {
        let image: Vec<u8> = (0..200_000_u32)
            .flat_map(|n| (n ^ (n >> 7)).to_le_bytes())
            .collect();
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            site: Site::new(),
            key: key(7),
            image,
        };
        world.publish(1, &world.entry());
        world.serve(&world.image, |_| {});
        world
    }

    fn entry(&self) -> PublishedImage {
        PublishedImage {
            file: FILE.to_owned(),
            image: "raspberrypi".to_owned(),
            arch: Some("aarch64".to_owned()),
            content: Blob::of(&self.image),
            url: FILE.to_owned(),
            made: time(0),
        }
    }

    fn sign(number: u64, images: Vec<PublishedImage>, key: &SecretKey) -> Vec<u8> {
        list::sign(images, Some(number - 1), Time::MIN, key)
            .unwrap()
            .1
            .to_bytes()
    }

    fn publish(&self, number: u64, image: &PublishedImage) {
        let body = Self::sign(number, vec![image.clone()], &self.key);
        let page = Page {
            body,
            ..Page::default()
        };
        self.site.put("/images.json", page);
    }

    fn serve(&self, body: &[u8], change: impl FnOnce(&mut Page)) {
        let mut page = Page {
            body: body.to_owned(),
            ranges: true,
            ..Page::default()
        };
        change(&mut page);
        self.site.put(&format!("/{FILE}"), page);
    }

    fn read_from(&self, from: &str) -> Result<Published, ImageError> {
        let seen = Seen(self.folder.path().join("config/e3/images-seen.json"));
        let from = Address::parse(from).unwrap();
        read(&from, &self.key.public(), &seen, &Stop::default())
    }

    fn read(&self) -> Result<Published, ImageError> {
        self.read_from(&self.site.url("/images.json"))
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn fetch_of(&self, list: &Published) -> Result<Fetched, ImageError> {
        let order = Order {
            list,
            image: list.find("raspberrypi", None).unwrap(),
            folder: &self.out(),
        };
        fetch(&order, &Stop::default(), &mut |_| {})
    }

    fn fetch(&self) -> Result<Fetched, ImageError> {
        self.fetch_of(&self.read().unwrap())
    }

    /// What lies in the folder.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.out()).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// What an earlier command has left.
    fn leave(&self, bytes: &[u8]) {
        let short = Blob::of(&self.image).digest.short();
        fs::create_dir_all(self.out()).unwrap();
        fs::write(self.out().join(format!(".{FILE}.{short}.part")), bytes).unwrap();
    }

    fn is_there(&self, fetched: &Fetched) {
        assert_eq!(fs::read(&fetched.path).unwrap(), self.image);
        assert_eq!(self.files(), [FILE], "nothing else is left");
    }

    /// Nothing has the image's name, and nothing is kept.
    fn nothing_is_kept(&self) {
        assert_eq!(self.files(), Vec::<String>::new());
    }
}

#[test]
fn an_image_is_fetched_once_and_known_again() {
    let world = World::new();
    let fetched = world.fetch().unwrap();
    assert_eq!((fetched.had, fetched.was_there), (0, false));
    world.is_there(&fetched);
    world.site.asked();
    assert!(world.fetch().unwrap().was_there);
    assert_eq!(world.site.asked(), ["/images.json "], "the list alone");
    // Another file of that name is somebody's own.
    fs::write(&fetched.path, b"mine").unwrap();
    assert!(matches!(world.fetch(), Err(ImageError::Exists { .. })));
    assert_eq!(fs::read(&fetched.path).unwrap(), b"mine");
}

#[test]
fn what_was_interrupted_goes_on_where_it_stopped() {
    let world = World::new();
    world.leave(&world.image[..300_000]);
    world.site.asked();
    let fetched = world.fetch().unwrap();
    assert_eq!(fetched.had, 300_000);
    let path = format!("/{FILE} bytes=300000-");
    assert_eq!(world.site.asked(), ["/images.json ", &path]);
    world.is_there(&fetched);
}

#[test]
fn ctrl_c_keeps_what_has_come() {
    let world = World::new();
    let list = world.read().unwrap();
    let (folder, stop) = (world.out(), Stop::default());
    let order = Order {
        list: &list,
        image: &list.list.images[0],
        folder: &folder,
    };
    // The rest never comes.
    world.serve(&world.image, |page| page.stalls = Some(400_000));
    let begin = fetch(&order, &stop, &mut |progress| {
        if progress == Progress::Fetching(400_000) {
            stop.set();
        }
    });
    assert!(
        matches!(begin, Err(ImageError::Stopped { .. })),
        "{begin:?}"
    );
    assert_eq!(world.files().len(), 1);
    world.serve(&world.image, |_| {});
    let fetched = world.fetch().unwrap();
    assert_eq!(fetched.had, 400_000);
    world.is_there(&fetched);
}

#[test]
fn a_link_that_lies_there_is_not_followed() {
    let world = World::new();
    let short = Blob::of(&world.image).digest.short();
    let mine = world.folder.path().join("mine");
    fs::write(&mine, b"mine").unwrap();
    fs::create_dir(world.out()).unwrap();
    let part = world.out().join(format!(".{FILE}.{short}.part"));
    std::os::unix::fs::symlink(&mine, part).unwrap();
    assert!(world.fetch().is_err());
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
}

#[test]
fn a_connection_that_breaks_again_and_again_is_gone_on_with() {
    let world = World::new();
    world.serve(&world.image, |page| {
        (page.cut, page.fails) = (Some(250_000), 1);
    });
    let fetched = world.fetch().unwrap();
    world.is_there(&fetched);
    assert_eq!(world.site.asked().len(), 6, "list, failure, four pieces");
}

#[test]
fn a_server_that_cannot_go_on_begins_anew() {
    let world = World::new();
    world.serve(&world.image, |page| page.ranges = false);
    world.leave(&world.image[..300_000]);
    let fetched = world.fetch().unwrap();
    assert_eq!(fetched.had, 0);
    world.is_there(&fetched);
}

#[test]
fn what_lies_there_and_is_no_part_of_it_does_no_harm() {
    let world = World::new();
    for rubbish in [
        vec![b'x'; 300_000],
        vec![b'x'; world.image.len()],
        vec![b'x'; 1_000_000],
    ] {
        world.leave(&rubbish);
        let fetched = world.fetch().unwrap();
        world.is_there(&fetched);
        fs::remove_file(fetched.path).unwrap();
    }
    // Nor does another command that is at it.
    world.leave(b"");
    let short = Blob::of(&world.image).digest.short();
    let part = world.out().join(format!(".{FILE}.{short}.part"));
    let held = fs::File::open(part).unwrap();
    held.try_lock().unwrap();
    assert!(matches!(failed(world.fetch()), PublishedError::Busy { .. }));
}

#[test]
fn a_list_of_another_signer_or_a_changed_one_is_refused() {
    let world = World::new();
    let good = World::sign(2, vec![world.entry()], &world.key);
    let text = String::from_utf8(good.clone()).unwrap();
    let shown = world.key.public().to_string();
    let others = World::sign(2, vec![world.entry()], &key(8));
    let posing = String::from_utf8(others.clone())
        .unwrap()
        .replace(&key(8).public().to_string(), &shown);
    let changed = text.replacen("\"payload\":\"", "\"payload\":\"e30", 1);
    for (body, what) in [
        (others, "another key"),
        (posing.into_bytes(), "another key that says it is this one"),
        (changed.into_bytes(), "a changed payload"),
        (good[..good.len() / 2].to_owned(), "half of it"),
        (b"<html>".to_vec(), "a page"),
    ] {
        let page = Page {
            body,
            ..Page::default()
        };
        world.site.put("/images.json", page);
        let error = failed(world.read());
        assert!(
            matches!(error, PublishedError::List { .. }),
            "{what}: {error}"
        );
        assert!(error.remedy().is_some());
    }
}

#[test]
fn a_list_without_end_is_not_read_to_its_end() {
    let world = World::new();
    let page = Page {
        endless: true,
        ..Page::default()
    };
    world.site.put("/images.json", page);
    let error = failed(world.read());
    assert!(matches!(error, PublishedError::List { .. }), "{error}");
}

#[test]
fn an_old_list_is_refused_after_a_newer_one_from_wherever_it_comes() {
    let world = World::new();
    world.publish(5, &world.entry());
    assert_eq!(world.read().unwrap().list.number, 5);
    assert_eq!(world.read().unwrap().list.number, 5, "the same one again");
    world.publish(4, &world.entry());
    let error = failed(world.read());
    assert!(
        matches!(
            error,
            PublishedError::Old {
                number: 4,
                seen: 5,
                ..
            }
        ),
        "{error}"
    );
    let file = world.folder.path().join("images.json");
    fs::write(&file, World::sign(4, vec![world.entry()], &world.key)).unwrap();
    let error = failed(world.read_from(file.to_str().unwrap()));
    assert!(matches!(error, PublishedError::Old { .. }), "{error}");
    // Two lists of one number.
    let mut other = world.entry();
    other.image = "raspberrypi5".to_owned();
    world.publish(5, &other);
    let error = failed(world.read());
    assert!(matches!(error, PublishedError::Twin { .. }), "{error}");
    world.publish(6, &other);
    assert_eq!(world.read().unwrap().list.number, 6);
}

#[test]
fn of_many_commands_at_once_the_newest_list_is_remembered() {
    let world = World::new();
    let newest = 40;
    let file = |n: u64| world.folder.path().join(format!("{n}.json"));
    for n in 1..=newest {
        fs::write(file(n), World::sign(n, Vec::new(), &world.key)).unwrap();
    }
    std::thread::scope(|scope| {
        for n in 1..=newest {
            let (world, file) = (&world, file(n));
            scope.spawn(move || {
                // Whether it was old by then is chance.
                let _ = world.read_from(file.to_str().unwrap());
            });
        }
    });
    let error = failed(world.read_from(file(newest - 1).to_str().unwrap()));
    assert!(
        matches!(error, PublishedError::Old { seen, .. } if seen == newest),
        "{error}"
    );
}

#[test]
fn a_damaged_memory_is_no_first_time() {
    let world = World::new();
    world.read().unwrap();
    let seen = world.folder.path().join("config/e3/images-seen.json");
    fs::write(&seen, b"{").unwrap();
    let error = failed(world.read());
    assert!(matches!(error, PublishedError::Forgotten { .. }), "{error}");
    assert_eq!(fs::read(&seen).unwrap(), b"{");
}

#[test]
fn another_file_never_gets_the_name() {
    let world = World::new();
    let mut altered = world.image.clone();
    altered[123_456] ^= 1;
    world.serve(&altered, |_| {});
    let error = failed(world.fetch());
    assert!(matches!(error, PublishedError::Digest { .. }), "{error}");
    world.nothing_is_kept();
    // Not even when it was begun well.
    world.leave(&world.image[..200_000]);
    altered[500_000] ^= 1;
    world.serve(&altered, |_| {});
    let error = failed(world.fetch());
    assert!(matches!(error, PublishedError::Digest { .. }), "{error}");
    world.nothing_is_kept();
}

#[test]
fn more_or_fewer_bytes_than_the_list_says_are_refused() {
    let world = World::new();
    for body in [
        [&world.image[..], b"x"].concat(),
        world.image[..1000].to_owned(),
    ] {
        world.serve(&body, |_| {});
        world.site.asked();
        let error = failed(world.fetch());
        assert!(matches!(error, PublishedError::Length { .. }), "{error}");
        assert_eq!(world.site.asked().len(), 2, "not tried again");
        world.nothing_is_kept();
    }
    // It does not say how long it is.
    world.serve(b"", |page| page.endless = true);
    let error = failed(world.fetch());
    assert!(matches!(error, PublishedError::Length { .. }), "{error}");
    world.nothing_is_kept();
    // What lies there is longer than what the server has now.
    world.serve(&world.image[..1000], |_| {});
    world.leave(&world.image[..2000]);
    let error = failed(world.fetch());
    assert!(matches!(error, PublishedError::Length { .. }), "{error}");
}

#[test]
fn a_name_with_a_folder_in_it_is_refused_with_its_list() {
    let world = World::new();
    let list = Images {
        number: 9,
        signed: time(0),
        images: vec![PublishedImage {
            file: "../../.bashrc".to_owned(),
            ..world.entry()
        }],
    };
    // No honest publisher can sign it.
    let error = list::sign(list.images.clone(), None, time(0), &world.key).unwrap_err();
    assert!(matches!(error, PublishedError::Draft(_)), "{error}");
    let envelope = unchecked(&list, &world.key);
    let page = Page {
        body: envelope,
        ..Page::default()
    };
    world.site.put("/images.json", page);
    let error = failed(world.read());
    assert!(matches!(error, PublishedError::List { .. }), "{error}");
    assert!(
        e3_core::text::chain(&error).contains("images.file"),
        "{}",
        e3_core::text::chain(&error)
    );
}

/// As somebody with other software would sign it.
fn unchecked(list: &Images, key: &SecretKey) -> Vec<u8> {
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(transparent)]
    struct Anything(serde_json::Value);
    impl e3_core::document::Document for Anything {
        const KIND: &'static str = "images";
        fn check(&self) -> Result<(), e3_core::document::DocumentError> {
            Ok(())
        }
    }
    let document = Anything(serde_json::to_value(list).unwrap());
    let envelope = e3_core::envelope::Envelope::sign(&document, &[key]).unwrap();
    envelope.to_bytes()
}

#[test]
fn redirects_are_followed_but_not_without_end() {
    let world = World::new();
    let redirect = |to: String| Page {
        redirect: Some(to),
        ..Page::default()
    };
    let site = &world.site;
    let images = site.pages.lock().unwrap()["/images.json"].clone();
    site.put("/2026/images.json", images);
    site.put(
        "/latest/images.json",
        redirect("/2026/images.json".to_owned()),
    );
    site.put(
        &format!("/latest/{FILE}"),
        redirect(site.url(&format!("/{FILE}"))),
    );
    let list = world.read_from(&site.url("/latest/images.json")).unwrap();
    world.leave(&world.image[..1000]);
    site.asked();
    let fetched = world.fetch_of(&list).unwrap();
    // Beside the address that was named; and where it leads, it goes on where it stopped.
    assert_eq!(
        site.asked(),
        [
            format!("/latest/{FILE} bytes=1000-"),
            format!("/{FILE} bytes=1000-")
        ]
    );
    world.is_there(&fetched);
    site.put(
        "/round/images.json",
        redirect("/round/images.json".to_owned()),
    );
    let error = failed(world.read_from(&site.url("/round/images.json")));
    assert!(error.is_unreachable(), "{error}");
    assert!(error.to_string().contains("on and on"), "{error}");
    assert_eq!(site.asked().len(), 6);
    site.put(
        "/file/images.json",
        redirect("file:///etc/hostname".to_owned()),
    );
    assert!(failed(world.read_from(&site.url("/file/images.json"))).is_unreachable());
}

#[test]
fn a_list_that_is_a_file_has_its_images_beside_it() {
    let world = World::new();
    let shelf = world.folder.path().join("shelf");
    fs::create_dir(&shelf).unwrap();
    fs::write(shelf.join(FILE), &world.image).unwrap();
    let folders = [shelf.clone()];
    let images = list::draft(&folders, None, time(9), &Stop::default(), &mut |_, _, _| {}).unwrap();
    assert_eq!(images[0].content, Blob::of(&world.image));
    assert_eq!(
        (images[0].image.as_str(), images[0].arch.as_deref()),
        ("raspberrypi", Some("aarch64"))
    );
    let (list, envelope) = list::sign(images, None, time(9), &world.key).unwrap();
    assert_eq!(list.number, 1_795_000_009, "the time");
    fs::write(shelf.join("images.json"), envelope.to_bytes()).unwrap();
    let file = shelf.join("images.json");
    let list = world.read_from(file.to_str().unwrap()).unwrap();
    world.is_there(&world.fetch_of(&list).unwrap());
    fs::remove_dir_all(world.out()).unwrap();
    fs::write(shelf.join(FILE), &world.image[..9]).unwrap();
    let error = failed(world.fetch_of(&list));
    assert!(matches!(error, PublishedError::Length { .. }), "{error}");
    world.nothing_is_kept();
}

#[test]
fn an_image_is_found_by_its_file_or_by_what_it_is_for() {
    let world = World::new();
    let mut newer = world.entry();
    (newer.file, newer.made) = ("e3-raspberrypi-2.img.zst".to_owned(), time(1));
    let mut other = world.entry();
    (other.file, other.image, other.arch) = ("a.iso".to_owned(), "iso".to_owned(), None);
    let mut arm = other.clone();
    (arm.file, arm.arch) = ("b.iso".to_owned(), Some("aarch64".to_owned()));
    let published = Published {
        from: Address::File(Path::new("images.json").to_owned()),
        list: Images {
            number: 1,
            signed: time(0),
            images: vec![world.entry(), newer, other, arm],
        },
    };
    let find = |name: &str, arch: Option<&str>| {
        published
            .find(name, arch)
            .map(|image| image.file.as_str())
            .map_err(|error| error.kind())
    };
    assert_eq!(find("raspberrypi", None), Ok("e3-raspberrypi-2.img.zst"));
    assert_eq!(find(FILE, None), Ok(FILE));
    assert_eq!(find("iso", None), Err("several-images"));
    assert_eq!(find("iso", Some("aarch64")), Ok("b.iso"));
    assert_eq!(find("wsl", None), Err("no-such-image"));
}

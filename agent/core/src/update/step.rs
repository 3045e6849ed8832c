//! The transitions: a total function, so an event that comes too late or too early is harmless.

use super::{Action, Bad, Candidate, Event, Image, News, Stage, State, Trouble};
use crate::digest::Digest;
use crate::text::{DETAIL, clean};

/// Starts that a binary has to prove itself.
pub const STARTS: u8 = 3;

/// One step. The returned state must be on the disk before the actions are carried out.
pub fn step(mut state: State, event: Event) -> (State, Vec<Action>) {
    let actions = match event {
        Event::Released { image, installed } => released(&mut state, image, &installed),
        Event::Withdrawn => {
            drop_waiting(&mut state);
            Vec::new()
        }
        Event::Checked(file) => {
            if let Some(candidate) = candidate(&mut state, file, Stage::Wanted) {
                candidate.stage = Stage::Ready;
                state.trouble = None;
            }
            Vec::new()
        }
        Event::Unfit { file, detail } => {
            if let Some(candidate) = candidate(&mut state, file, Stage::Wanted) {
                let version = candidate.image.version.clone();
                let detail = clean(&detail, DETAIL);
                take_back(&mut state, Trouble::Unfit { version, detail });
            }
            Vec::new()
        }
        Event::Idle { now } => {
            let Some(waiting) = state.candidate.as_mut().filter(|c| c.stage == Stage::Ready) else {
                return (state, Vec::new());
            };
            // Rule 10: after its expiry a release is not installed any more.
            if waiting.image.expires <= now {
                state.candidate = None;
                return (state, Vec::new());
            }
            waiting.stage = Stage::Trying;
            let (file, version) = (waiting.image.file.digest, waiting.image.version.clone());
            tell(&mut state, "tried", file, &format!("release {version}"));
            vec![Action::Restart]
        }
        Event::Start { installed } => start(&mut state, &installed),
        Event::Spoilt { file, detail } => {
            spoilt(&mut state, file, &detail);
            Vec::new()
        }
        Event::Healthy(file) => {
            if candidate(&mut state, file, Stage::Trying).is_some() {
                commit(&mut state);
            }
            Vec::new()
        }
        Event::Unproven(file) => {
            let Some(candidate) = candidate(&mut state, file, Stage::Trying) else {
                return (state, Vec::new());
            };
            candidate.stage = Stage::Ready;
            let version = candidate.image.version.clone();
            state.trouble = Some(Trouble::Unproven { version });
            vec![Action::Restart]
        }
        Event::Stopped(file) => {
            if let Some(candidate) = candidate(&mut state, file, Stage::Trying) {
                candidate.starts = candidate.starts.saturating_sub(1);
            }
            Vec::new()
        }
        Event::Told(count) => {
            state.news.drain(..count.min(state.news.len()));
            Vec::new()
        }
    };
    (state, actions)
}

/// A release that the trust rules have accepted.
fn released(state: &mut State, image: Image, installed: &str) -> Vec<Action> {
    let file = image.file.digest;
    if let Some(bad) = state.bad.get(&file) {
        // The same release again is no news; its own trouble says more.
        let known = bad.trouble.clone().filter(|_| bad.version == image.version);
        let version = image.version;
        state.trouble = Some(known.unwrap_or(Trouble::KnownBad { version }));
        drop_waiting(state);
        return Vec::new();
    }
    if !image.is_later_than(installed) {
        // Rule 5: with a newer release what an older one has brought is not to be tried any more, also if the newer one
        // wants nothing of this machine.
        let is_overtaken = |c: &Candidate| c.image.age() < image.age();
        if state.candidate.as_ref().is_none_or(is_overtaken) {
            drop_waiting(state);
            state.trouble = None;
        }
        return Vec::new();
    }
    if let Some(committed) = &mut state.committed {
        if committed.age() >= image.age() {
            if committed.age() == image.age() {
                state.trouble = None;
            }
            return Vec::new();
        }
        if committed.file == image.file {
            *committed = image.clone();
            state.candidate = None;
            state.trouble = None;
            return vec![Action::Adopt(image)];
        }
    }
    match &mut state.candidate {
        Some(known) if known.image.age() > image.age() => Vec::new(),
        // Known, or the same file under a newer release.
        Some(known) if known.image.file == image.file => {
            let is_new = known.image.age() < image.age();
            known.image = image.clone();
            match known.stage {
                Stage::Wanted => vec![Action::Fetch(image)],
                _ if is_new => vec![Action::Adopt(image)],
                _ => Vec::new(),
            }
        }
        other => {
            *other = Some(Candidate {
                image: image.clone(),
                stage: Stage::Wanted,
                starts: 0,
            });
            state.trouble = None;
            vec![Action::Fetch(image)]
        }
    }
}

/// Stage 0 chooses. A trial is counted here, and so on the disk before it starts.
fn start(state: &mut State, installed: &str) -> Vec<Action> {
    for place in [&mut state.committed, &mut state.previous] {
        if let Some(old) = place.take_if(|image| !image.is_later_than(installed)) {
            let detail = format!("the installed agent is {installed}");
            state
                .news
                .push(news("superseded", old.file.digest, &detail));
        }
    }
    if state.committed.is_none() {
        state.committed = state.previous.take();
    }
    let passed = |c: &mut Candidate| !c.image.is_later_than(installed);
    state.candidate.take_if(passed);
    if let Some(candidate) = state
        .candidate
        .as_mut()
        .filter(|c| c.stage == Stage::Trying)
    {
        if candidate.starts < STARTS {
            candidate.starts += 1;
            return vec![Action::Execute(candidate.image.clone())];
        }
        let (version, starts) = (candidate.image.version.clone(), candidate.starts);
        take_back(state, Trouble::Failed { version, starts });
    }
    match &state.committed {
        Some(image) => vec![Action::Execute(image.clone())],
        None => vec![Action::GoOn],
    }
}

/// The candidate is bad, for ever.
fn take_back(state: &mut State, trouble: Trouble) {
    let Some(Candidate { image, .. }) = state.candidate.take() else {
        return;
    };
    tell(
        state,
        "rolled-back",
        image.file.digest,
        &trouble.to_string(),
    );
    let bad = Bad {
        version: image.version,
        trouble: Some(trouble.clone()),
    };
    state.bad.insert(image.file.digest, bad);
    // A newer release may have brought it once more.
    state.previous.take_if(|old| old.file == image.file);
    state.trouble = Some(trouble);
}

fn commit(state: &mut State) {
    let Some(Candidate { image, .. }) = state.candidate.take() else {
        return;
    };
    let detail = format!("release {}", image.version);
    tell(state, "committed", image.file.digest, &detail);
    if state.committed.is_some() {
        state.previous = state.committed.take();
    }
    state.committed = Some(image);
    state.trouble = None;
}

/// Whatever it was good for, it has to be fetched again; a committed one proves itself again, too.
fn spoilt(state: &mut State, file: Digest, detail: &str) {
    let is_it = |image: &Image| image.file.digest == file;
    let mut version = None;
    if let Some(candidate) = state.candidate.as_mut().filter(|c| is_it(&c.image)) {
        candidate.stage = Stage::Wanted;
        version = Some(candidate.image.version.clone());
    }
    if let Some(gone) = state.previous.take_if(|image| is_it(image)) {
        version = Some(gone.version);
    }
    if let Some(gone) = state.committed.take_if(|image| is_it(image)) {
        version = Some(gone.version);
        state.committed = state.previous.take();
    }
    if let Some(version) = version {
        let detail = clean(detail, DETAIL);
        tell(state, "spoilt", file, &detail);
        state.trouble = Some(Trouble::Spoilt { version, detail });
    }
}

/// The candidate, if it is this file at this stage.
fn candidate(state: &mut State, file: Digest, stage: Stage) -> Option<&mut Candidate> {
    let is_it = |c: &&mut Candidate| c.image.file.digest == file && c.stage == stage;
    state.candidate.as_mut().filter(is_it)
}

/// Forgets a candidate that is not under trial yet. What is goes on: it was good enough to be tried.
fn drop_waiting(state: &mut State) {
    state.candidate.take_if(|c| c.stage != Stage::Trying);
}

fn news(verdict: &str, file: Digest, detail: &str) -> News {
    News {
        verdict: verdict.to_owned(),
        file,
        detail: detail.to_owned(),
    }
}

fn tell(state: &mut State, verdict: &str, file: Digest, detail: &str) {
    state.news.push(news(verdict, file, detail));
}

//! Push: who is subscribed, and what each of them still has to get.
//!
//! An event is encoded once and shared by all subscribers; each of them costs a small queue of
//! pointers. Nobody can slow the others down: whoever does not read is dropped, connects again, and
//! gets the current head.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Bytes;
use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use futures_util::task::AtomicWaker;
use hyper::body::{Body, Frame, SizeHint};

/// Events that a subscriber may be behind before it is dropped.
const QUEUE: usize = 64;

/// What a subscriber may ask for, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Topics(u8);

impl Topics {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const HEAD: Self = Self(1);
    pub(crate) const RECEIPT: Self = Self(2);
    pub(crate) const PRESENCE: Self = Self(4);
    /// Keep-alive comments go to everybody.
    const ALL: Self = Self(7);

    const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Reads `head,receipt,presence`, any of them in any order.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let one = |word: &str| match word {
            "head" => Some(Self::HEAD),
            "receipt" => Some(Self::RECEIPT),
            "presence" => Some(Self::PRESENCE),
            _ => None,
        };
        text.split(',').try_fold(Self::NONE, |topics, word| {
            Some(Self(topics.0 | one(word)?.0))
        })
    }
}

/// One event as it goes over the wire.
fn frame(event: &str, data: &[u8]) -> Bytes {
    [b"event: ", event.as_bytes(), b"\ndata: ", data, b"\n\n"]
        .concat()
        .into()
}

/// All subscribers of this process.
#[derive(Default)]
pub(crate) struct Subscribers(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    closed: bool,
    /// The current head's event, for those who come.
    head: Option<Bytes>,
    next: u64,
    all: HashMap<u64, Arc<Subscriber>>,
}

struct Subscriber {
    topics: Topics,
    queue: Mutex<Queue>,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Bytes>,
    ended: bool,
}

/// A lock that cannot be left broken: nothing that is done under it can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subscriber {
    /// Adds an event, or ends the stream; false if it has ended.
    fn offer(&self, event: Option<&Bytes>) -> bool {
        let mut queue = lock(&self.queue);
        match event {
            Some(event) if queue.waiting.len() < QUEUE => queue.waiting.push_back(event.clone()),
            _ => queue.ended = true,
        }
        let goes_on = !queue.ended;
        drop(queue);
        self.waker.wake();
        goes_on
    }
}

impl Subscribers {
    /// Adds a subscriber. Whoever wants heads gets the current one at once, and no older one later.
    pub(crate) fn subscribe(self: &Arc<Self>, topics: Topics) -> Stream {
        let mut inner = lock(&self.0);
        let first = inner.head.clone().filter(|_| topics.meet(Topics::HEAD));
        let queue = Queue {
            waiting: first.into_iter().collect(),
            ended: inner.closed,
        };
        let me = Arc::new(Subscriber {
            topics,
            queue: Mutex::new(queue),
            waker: AtomicWaker::new(),
        });
        let id = inner.next;
        inner.next += 1;
        inner.all.insert(id, Arc::clone(&me));
        drop(inner);
        Stream {
            id,
            me,
            all: Arc::clone(self),
        }
    }

    /// A new head. `data` is its envelope on one line. Returns how many were told.
    pub(crate) fn head(&self, data: &[u8]) -> usize {
        let event = frame("head", data);
        let mut inner = lock(&self.0);
        inner.head = Some(event.clone());
        inner.tell(Topics::HEAD, &event, |_| true)
    }

    /// The receipt of a party has come in.
    pub(crate) fn receipt(&self, manifest: &Digest, party: usize) -> usize {
        let data = format!("{{\"manifest\":\"{manifest}\",\"party\":{party}}}");
        lock(&self.0).tell(Topics::RECEIPT, &frame("receipt", data.as_bytes()), |_| {
            true
        })
    }

    /// A party's new presence: its envelope on one line.
    pub(crate) fn presence(&self, data: &[u8]) -> usize {
        lock(&self.0).tell(Topics::PRESENCE, &frame("presence", data), |_| true)
    }

    /// Somebody asks a party something. It goes to all who follow heads, as agents do: an older hub would refuse a topic that it
    /// does not know.
    pub(crate) fn asked(&self, party: &PublicKey) -> usize {
        let data = format!("{{\"party\":\"{party}\"}}");
        lock(&self.0).tell(Topics::HEAD, &frame("request", data.as_bytes()), |_| true)
    }

    /// A comment to one in `of`, so that all get one within `of` calls and never all at once.
    pub(crate) fn keep_alive(&self, turn: u64, of: u64) {
        let comment = Bytes::from_static(b": \n\n");
        lock(&self.0).tell(Topics::ALL, &comment, |id| id % of == turn % of);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        lock(&self.0).all.len()
    }

    /// Ends all streams, and each new one at once.
    pub(crate) fn close(&self) {
        let mut inner = lock(&self.0);
        inner.closed = true;
        for subscriber in inner.all.values() {
            subscriber.offer(None);
        }
    }
}

impl Inner {
    fn tell(&mut self, topics: Topics, event: &Bytes, who: impl Fn(u64) -> bool) -> usize {
        let mut told = 0;
        self.all.retain(|id, subscriber| {
            if !subscriber.topics.meet(topics) || !who(*id) {
                return true;
            }
            let goes_on = subscriber.offer(Some(event));
            told += usize::from(goes_on);
            goes_on
        });
        told
    }
}

/// The body of one subscriber's answer.
pub(crate) struct Stream {
    id: u64,
    me: Arc<Subscriber>,
    all: Arc<Subscribers>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        lock(&self.all.0).all.remove(&self.id);
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // The waker first: an event between the look and the registration must not be missed.
        self.me.waker.register(cx.waker());
        let mut queue = lock(&self.me.queue);
        match queue.waiting.pop_front() {
            Some(event) => {
                if queue.waiting.is_empty() {
                    // An idle subscriber holds no memory for its queue.
                    queue.waiting = VecDeque::new();
                }
                Poll::Ready(Some(Ok(Frame::data(event))))
            }
            None if queue.ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn next(stream: &mut Stream) -> Option<String> {
        let frame = poll_fn(|cx| Pin::new(&mut *stream).poll_frame(cx)).await?;
        let data = frame.unwrap().into_data().ok()?;
        Some(String::from_utf8(data.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn whoever_comes_gets_the_current_head_and_then_what_it_asked_for() {
        let all = Arc::new(Subscribers::default());
        all.head(b"1");
        let mut heads = all.subscribe(Topics::read("head").unwrap());
        let mut others = all.subscribe(Topics::read("receipt,presence").unwrap());
        all.head(b"2");
        assert_eq!(all.presence(b"p"), 1);
        assert_eq!(next(&mut heads).await.unwrap(), "event: head\ndata: 1\n\n");
        assert_eq!(next(&mut heads).await.unwrap(), "event: head\ndata: 2\n\n");
        assert_eq!(
            next(&mut others).await.unwrap(),
            "event: presence\ndata: p\n\n"
        );
        all.close();
        assert_eq!(next(&mut heads).await, None);
        assert_eq!(next(&mut all.subscribe(Topics::RECEIPT)).await, None);
    }

    #[tokio::test]
    async fn a_subscriber_that_does_not_read_is_dropped_and_the_others_go_on() {
        let all = Arc::new(Subscribers::default());
        let mut slow = all.subscribe(Topics::HEAD);
        let mut quick = all.subscribe(Topics::HEAD);
        for n in 0..=QUEUE {
            all.head(n.to_string().as_bytes());
            assert!(next(&mut quick).await.is_some());
        }
        assert_eq!(all.count(), 1);
        for _ in 0..QUEUE {
            assert!(next(&mut slow).await.is_some());
        }
        assert_eq!(next(&mut slow).await, None);
        drop(quick);
        assert_eq!(all.count(), 0);
    }

    #[test]
    fn unknown_topics_are_refused() {
        assert_eq!(Topics::read("head,receipt,presence"), Some(Topics::ALL));
        assert_eq!(Topics::read("head,secrets"), None);
        assert_eq!(Topics::read(""), None);
    }

    #[tokio::test]
    async fn comments_reach_everybody_once_a_round() {
        let all = Arc::new(Subscribers::default());
        let mut streams: Vec<_> = (0..5).map(|_| all.subscribe(Topics::HEAD)).collect();
        for turn in 0..3 {
            all.keep_alive(turn, 3);
        }
        for stream in &mut streams {
            assert_eq!(next(stream).await.unwrap(), ": \n\n");
            assert!(lock(&stream.me.queue).waiting.is_empty());
        }
    }
}

use super::*;
use crate::observed::Reply;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Sends lists of consumers in pages of one, each after a while.
struct Pages {
    total: usize,
    each: Duration,
    padding: usize,
    asked: AtomicUsize,
}

impl Pages {
    fn new(total: usize, each: Duration) -> Self {
        Self { total, each, padding: 0, asked: AtomicUsize::new(0) }
    }

    async fn read(&self, time: Duration, bytes: usize) -> Result<Vec<PushConsumer>, ConsumersUnread> {
        push_consumers(Api::new(self), "foo", Deadline::after(time), &Budget::new(bytes)).await
    }
}

impl Requests for Pages {
    async fn request(&self, subject: &str, _: Vec<u8>, timeout: Duration) -> Result<Reply, RequestError> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        if self.each > timeout {
            tokio::time::sleep(timeout).await;
            return Err(RequestError::Timeout(subject.to_owned()));
        }
        tokio::time::sleep(self.each).await;
        let config = json!({ "name": number.to_string(), "deliver_subject": "a.b" });
        let page = json!({ "total": self.total, "consumers": [{ "config": config }], "x": "x".repeat(self.padding) });
        Ok(Reply { headers: Vec::new(), payload: page.to_string().into_bytes() })
    }

    async fn request_many(
        &self,
        _: &str,
        _: Vec<u8>,
        _: Duration,
        _: impl FnMut(&[Reply]) -> bool + Send,
    ) -> Result<Vec<Reply>, RequestError> {
        unreachable!("one reply is asked for")
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_list_of_consumers_ends_with_the_time() {
    let all = Pages::new(20, REQUEST_TIMEOUT / 5).read(MINUTE, MOST_BYTES).await.unwrap();
    assert_eq!((all.len(), &*all[3].name, &*all[3].deliver_subject), (20, "3", "a.b"));
    let begun = tokio::time::Instant::now();
    let endless = Pages::new(usize::MAX, REQUEST_TIMEOUT - Duration::from_millis(1));
    let read = endless.read(MINUTE, MOST_BYTES).await;
    assert!(matches!(read, Err(ConsumersUnread::Unfinished(CallError::Request(RequestError::Timeout(_))))), "{read:?}");
    assert!(begun.elapsed() <= MINUTE + Duration::from_millis(10), "{:?}", begun.elapsed());
    let finding = read.unwrap_err().finding("APP-west", "foo");
    assert_eq!((finding.code, &*finding.place), ("consumers-unread", "account APP-west, stream foo"));
    assert!(finding.message.starts_with("its consumers could not all be looked at"), "{finding:?}");
}

/// Each page is within its bounds, but the pages never end.
#[tokio::test(start_paused = true)]
async fn a_list_of_consumers_has_a_bound_in_bytes() {
    let endless = Pages { padding: 1000, ..Pages::new(usize::MAX, Duration::ZERO) };
    let read = endless.read(MINUTE, 50_000).await;
    assert!(matches!(read, Err(ConsumersUnread::Unfinished(CallError::Request(RequestError::TooMuch(_))))), "{read:?}");
    let asked = endless.asked.into_inner();
    assert!(asked <= 50, "{asked}");
}

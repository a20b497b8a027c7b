use super::*;
use crate::observed::Reply;
use crate::observed::{Server, fake::account};
use std::sync::Mutex;

/// Two servers with connections in pages, which record the requests.
struct Pages {
    connections: [Vec<Value>; 2],
    asked: Mutex<Vec<Value>>,
}

impl Requests for Pages {
    async fn request(&self, subject: &str, _: Vec<u8>, _: Duration) -> Result<Reply, RequestError> {
        Err(RequestError::NoResponders(subject.to_owned()))
    }

    async fn request_many(
        &self,
        subject: &str,
        payload: Vec<u8>,
        _: Duration,
        mut enough: impl FnMut(&[Reply]) -> bool + Send,
    ) -> Result<Vec<Reply>, RequestError> {
        assert_eq!(subject, SUBJECT);
        let body: Value = serde_json::from_slice(&payload).unwrap();
        let (offset, limit) = (body["offset"].as_u64().unwrap() as usize, body["limit"].as_u64().unwrap() as usize);
        self.asked.lock().unwrap().push(body);
        let replies = self.connections.iter().zip(["west-1", "east-1"]).map(|(all, server)| {
            let page: Vec<&Value> = all.iter().skip(offset).take(limit).collect();
            let stamp = json!({ "name": server, "id": Server::new(server, "", "").id });
            let document = json!({ "server": stamp, "data": { "connections": page } });
            Reply { headers: Vec::new(), payload: document.to_string().into_bytes() }
        });
        let replies: Vec<Reply> = replies.collect();
        enough(&replies);
        Ok(replies)
    }
}

async fn find(
    pages: &impl Requests,
    servers: usize,
    subjects: &[&str],
) -> Result<Vec<SubscribedSubject>, RequestError> {
    let all = ["west-1", "east-1", "east-2"].map(|name| Server::new(name, &name[..4], "2.15.1"));
    let deployment = Deployment { servers: all.into_iter().take(servers).collect(), expected: servers };
    let subjects: Vec<SubjectFilter> = subjects.iter().map(|s| SubjectFilter::parse(s).unwrap()).collect();
    subscriptions(pages, &deployment, &account(), &subjects, Duration::from_secs(1)).await
}

fn client(cid: usize, name: &str, subjects: &[&str]) -> Value {
    json!({ "cid": cid, "kind": "Client", "name": name, "subscriptions_list": subjects })
}

#[tokio::test]
async fn only_overlapping_subjects_each_once_with_whose_it_is() {
    let leaf = json!({ "cid": 9, "kind": "Leafnode", "name": "edge", "subscriptions_list": ["foo.a"] });
    let west = vec![client(1, "orders", &["foo.a", "_INBOX.x.*"]), client(2, "", &["foo.a", ">"]), leaf];
    let pages = Pages { connections: [west, vec![client(7, "far", &["bar.b"])]], asked: Mutex::default() };
    let found = find(&pages, 2, &["foo.>"]).await.unwrap();
    let found: Vec<(&str, &str)> = found.iter().map(|s| (s.subject.as_str(), s.who.as_str())).collect();
    let three = "client 2 on west-1, client orders on west-1 and 1 more";
    assert_eq!(found, [(">", "client 2 on west-1"), ("foo.a", three)]);
    assert_eq!(pages.asked.lock().unwrap()[0]["filter_subject"], "foo.>");
}

#[tokio::test]
async fn many_connections_come_in_pages_and_many_subjects_in_one_question() {
    let west: Vec<Value> = (0..PAGE + 1).map(|i| client(i, "", &[&format!("s{i}.a")])).collect();
    let pages = Pages { connections: [west, Vec::new()], asked: Mutex::default() };
    let subjects: Vec<String> = (0..=PAGE).map(|i| format!("s{i}.>")).collect();
    let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
    assert_eq!(find(&pages, 2, &subjects).await.unwrap().len(), PAGE + 1);
    let asked = pages.asked.lock().unwrap();
    assert!(asked.len() == 2 && asked[0].get("filter_subject").is_none() && asked[1]["offset"] == PAGE, "{asked:?}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_leaves_it_unknown() {
    let pages = Pages { connections: [Vec::new(), Vec::new()], asked: Mutex::default() };
    assert_eq!(find(&pages, 3, &["foo.>"]).await, Err(RequestError::Timeout(SUBJECT.to_owned())));
}

/// `west-1` answers as usual, and another client answers in its name.
struct Twice(Pages);

impl Requests for Twice {
    async fn request(&self, subject: &str, _: Vec<u8>, _: Duration) -> Result<Reply, RequestError> {
        Err(RequestError::NoResponders(subject.to_owned()))
    }

    async fn request_many(
        &self,
        subject: &str,
        payload: Vec<u8>,
        timeout: Duration,
        mut enough: impl FnMut(&[Reply]) -> bool + Send,
    ) -> Result<Vec<Reply>, RequestError> {
        let mut replies = self.0.request_many(subject, payload, timeout, |_| false).await?;
        let stamp = json!({ "name": "west-1", "id": Server::new("west-1", "", "").id });
        let document = json!({ "server": stamp, "data": { "connections": [client(9, "ghost", &["foo.a"])] } });
        replies.insert(0, Reply { headers: Vec::new(), payload: document.to_string().into_bytes() });
        enough(&replies);
        Ok(replies)
    }
}

#[tokio::test]
async fn two_answers_in_one_servers_name_are_an_error() {
    let twice =
        Twice(Pages { connections: [vec![client(1, "orders", &["foo.a"])], Vec::new()], asked: Mutex::default() });
    let error = RequestError::TwoAnswers { subject: SUBJECT.to_owned(), server: "west-1".to_owned() };
    assert_eq!(find(&twice, 2, &["foo.>"]).await, Err(error));
}

/// Answers each request with a full page.
struct Endless(Mutex<usize>);

impl Requests for Endless {
    async fn request(&self, subject: &str, _: Vec<u8>, _: Duration) -> Result<Reply, RequestError> {
        Err(RequestError::NoResponders(subject.to_owned()))
    }

    async fn request_many(
        &self,
        _: &str,
        _: Vec<u8>,
        _: Duration,
        _: impl FnMut(&[Reply]) -> bool + Send,
    ) -> Result<Vec<Reply>, RequestError> {
        *self.0.lock().unwrap() += 1;
        let document = json!({ "data": { "connections": vec![json!({}); PAGE] } });
        Ok(vec![Reply { headers: Vec::new(), payload: document.to_string().into_bytes() }])
    }
}

#[tokio::test]
async fn pages_without_end_are_given_up() {
    let endless = Endless(Mutex::new(0));
    let deployment = Deployment { servers: vec![Server::new("west-1", "west", "2.15.1")], expected: 1 };
    let subjects = [SubjectFilter::parse("foo.>").unwrap()];
    let found = subscriptions(&endless, &deployment, &account(), &subjects, Duration::from_secs(60)).await;
    assert_eq!(found, Err(RequestError::TooMuch(SUBJECT.to_owned())));
    assert_eq!(endless.0.into_inner().unwrap(), MOST_PAGES);
}

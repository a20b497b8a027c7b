//! The requests for one item: which of them are repeated, and how a lost reply is handled.

use super::item::{Done, Item, ItemError};
use super::options::RunOptions;
use crate::observed::jetstream::{
    Api, CallError, ObservedConsumer, ObservedStream, Owner, began_at, code, first_sequence,
};
use crate::observed::{RequestError, Requests};
use crate::plan::Action;
use crate::plan::consumers::{ConsumerChange, consumer_differences};
use crate::plan::streams::{StreamChange, config_matches};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct ItemAttempt<'r, R> {
    api: Api<'r, R>,
    options: RunOptions,
    until: Instant,
    grace_until: Instant,
    pause: Duration,
    requests: u32,
    retrying: &'r (dyn Fn(&CallError) + Sync),
}

/// The result of a request. Distinguishes a lost reply from a refusal.
enum Response {
    Reply(Value),
    Refused(CallError),
    /// No reply: the server may have carried out the request.
    Lost,
}

impl<'r, R: Requests> ItemAttempt<'r, R> {
    pub fn new(
        api: Api<'r, R>,
        options: RunOptions,
        until: Instant,
        retrying: &'r (dyn Fn(&CallError) + Sync),
    ) -> Self {
        let grace_until = (Instant::now() + options.grace).min(until);
        Self { api, options, until, grace_until, pause: Duration::from_millis(50), requests: 0, retrying }
    }

    pub fn requests(&self) -> u32 {
        self.requests
    }

    pub async fn run(&mut self, item: Item<'_>) -> Result<Done, ItemError> {
        match item {
            Item::Stream(change) => match change.action {
                Action::Create => self.create_stream(change).await,
                Action::Update => self.update_stream(change).await,
                Action::Delete => self.delete_stream(change).await,
            },
            Item::Consumer(change) => self.consumer(change).await,
        }
    }

    async fn create_stream(&mut self, change: &StreamChange) -> Result<Done, ItemError> {
        let done = self.create(change).await?;
        if change.loses_first_sequence() {
            self.forget_first_sequence(change).await?;
        }
        Ok(done)
    }

    /// Removes `first_seq` from the config. When they start, servers before 2.11 empty a stream with a `first_seq`
    /// whose first message still exists.
    async fn forget_first_sequence(&mut self, change: &StreamChange) -> Result<(), ItemError> {
        let mut config = wanted(change)?.clone();
        config.shift_remove("first_seq");
        let (operation, body) = (format!("STREAM.UPDATE.{}", change.name), Value::Object(config));
        loop {
            match self.ask(&operation, &body).await? {
                Response::Reply(_) => return Ok(()),
                Response::Refused(error) => return Err(error.into()),
                Response::Lost => {}
            }
        }
    }

    async fn create(&mut self, change: &StreamChange) -> Result<Done, ItemError> {
        let after = wanted(change)?;
        let operation = format!("STREAM.CREATE.{}", change.name);
        let body = Value::Object(after.clone());
        loop {
            match self.ask(&operation, &body).await? {
                Response::Reply(reply) => {
                    // Servers set `did_create` only if they created the stream. Otherwise an equal stream already
                    // existed.
                    let created = reply["did_create"].as_bool() == Some(true);
                    return Ok(if created { Done::Created } else { Done::AlreadySo });
                }
                Response::Refused(error) if error.err_code() == Some(code::STREAM_NAME_IN_USE) => {
                    return match self.stream(&change.name).await? {
                        Some(found) if is_made(after, &found.config) => Ok(Done::AlreadySo),
                        Some(_) => Err(ItemError::Changed("it exists now, with another config".to_owned())),
                        None => Err(error.into()),
                    };
                }
                Response::Refused(error) => return Err(error.into()),
                Response::Lost => match self.stream(&change.name).await? {
                    Some(found) if is_made(after, &found.config) => return Ok(Done::AlreadySo),
                    Some(_) => return Err(ItemError::Changed("it exists now, with another config".to_owned())),
                    None => {}
                },
            }
        }
    }

    async fn update_stream(&mut self, change: &StreamChange) -> Result<Done, ItemError> {
        let after = wanted(change)?;
        let operation = format!("STREAM.UPDATE.{}", change.name);
        let body = Value::Object(after.clone());
        loop {
            // Servers have no compare-and-set for configs, so read the config right before the update.
            let found = self.stream(&change.name).await?;
            let Some(found) = found else {
                return Err(ItemError::Changed("it is gone".to_owned()));
            };
            if unserver(&found.config) == unserver(after) {
                return Ok(Done::AlreadySo);
            }
            if change.before.as_ref().is_some_and(|before| unserver(before) != unserver(&found.config)) {
                return Err(ItemError::Changed("its config is not what was planned on".to_owned()));
            }
            match self.ask(&operation, &body).await? {
                Response::Reply(_) => return Ok(Done::Updated),
                Response::Refused(error) => return Err(error.into()),
                Response::Lost => {}
            }
        }
    }

    async fn delete_stream(&mut self, change: &StreamChange) -> Result<Done, ItemError> {
        let operation = format!("STREAM.DELETE.{}", change.name);
        let mut asked = false;
        loop {
            let Some(found) = self.stream(&change.name).await? else {
                return Ok(if asked { Done::Deleted } else { Done::AlreadySo });
            };
            if found.owner.is_none() || found.owner != change.before.as_ref().and_then(Owner::of) {
                return Err(ItemError::Changed("it is not the stream that was planned on".to_owned()));
            }
            asked = true;
            match self.ask(&operation, &Value::Null).await? {
                Response::Reply(_) => return Ok(Done::Deleted),
                Response::Refused(error) if error.err_code() == Some(code::STREAM_NOT_FOUND) => {
                    return Ok(Done::Deleted);
                }
                Response::Refused(error) => return Err(error.into()),
                Response::Lost => {}
            }
        }
    }

    async fn consumer(&mut self, change: &ConsumerChange) -> Result<Done, ItemError> {
        let operation = format!("CONSUMER.CREATE.{}.{}", change.stream, change.name);
        let mut config = change.after.clone();
        for key in ["durable_name", "name"] {
            config.insert(key.to_owned(), Value::from(change.name.as_str()));
        }
        let create = change.action == Action::Create;
        let action = if create { "create" } else { "update" };
        let body = json!({ "stream_name": change.stream, "config": config, "action": action });
        let is_so = |found: &ObservedConsumer| consumer_differences(&config, &found.config).is_empty();
        loop {
            if !create {
                match self.find_consumer(change).await? {
                    None => return Err(ItemError::Changed("it is gone".to_owned())),
                    Some(found) if unserver(&found.config) == unserver(&config) => return Ok(Done::AlreadySo),
                    Some(found) if change.before.as_ref().map(unserver) != Some(unserver(&found.config)) => {
                        return Err(ItemError::Changed("its config is not what was planned on".to_owned()));
                    }
                    Some(_) => {}
                }
            }
            match self.ask(&operation, &body).await? {
                Response::Reply(_) => return Ok(if create { Done::Created } else { Done::Updated }),
                Response::Refused(error) if error.err_code() == Some(code::CONSUMER_EXISTS) => {
                    return match self.find_consumer(change).await? {
                        Some(found) if is_so(&found) => Ok(Done::AlreadySo),
                        _ => Err(ItemError::Changed("it exists now, with another config".to_owned())),
                    };
                }
                Response::Refused(error) => return Err(error.into()),
                Response::Lost if create => match self.find_consumer(change).await? {
                    Some(found) if is_so(&found) => return Ok(Done::AlreadySo),
                    Some(_) => return Err(ItemError::Changed("it exists now, with another config".to_owned())),
                    None => {}
                },
                Response::Lost => {}
            }
        }
    }

    /// Reads the stream. Returns `None` if there is no such stream.
    async fn stream(&mut self, name: &str) -> Result<Option<ObservedStream>, ItemError> {
        let operation = format!("STREAM.INFO.{name}");
        let info = self.look(&operation, code::STREAM_NOT_FOUND).await?;
        info.map(|info| ObservedStream::from_info(info).ok_or_else(|| malformed(operation))).transpose()
    }

    async fn find_consumer(&mut self, change: &ConsumerChange) -> Result<Option<ObservedConsumer>, ItemError> {
        let operation = format!("CONSUMER.INFO.{}.{}", change.stream, change.name);
        let info = self.look(&operation, code::CONSUMER_NOT_FOUND).await?;
        info.map(|info| ObservedConsumer::from_info(info).ok_or_else(|| malformed(operation))).transpose()
    }

    async fn look(&mut self, operation: &str, absent: u64) -> Result<Option<Value>, ItemError> {
        loop {
            match self.ask(operation, &Value::Null).await? {
                Response::Reply(reply) => return Ok(Some(reply)),
                Response::Refused(error) if error.err_code() == Some(absent) => return Ok(None),
                Response::Refused(error) => return Err(error.into()),
                Response::Lost => {}
            }
        }
    }

    /// Sends the request, and repeats it while the servers report a temporary error. A request without responders was
    /// not carried out. A request without a reply may have been.
    async fn ask(&mut self, operation: &str, body: &Value) -> Result<Response, CallError> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            self.requests += 1;
            let timeout = self.options.request_timeout.min(left.max(Duration::from_millis(1)));
            let error = match self.api.call(operation, body, timeout).await {
                Ok(reply) => return Ok(Response::Reply(reply)),
                Err(error) => error,
            };
            let again = error.is_transient() || (graced(&error, operation) && Instant::now() < self.grace_until);
            if !again {
                return Ok(Response::Refused(error));
            }
            if Instant::now() + self.pause >= self.until {
                return Err(error);
            }
            (self.retrying)(&error);
            if matches!(error, CallError::Request(RequestError::Timeout(_))) {
                return Ok(Response::Lost);
            }
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(Duration::from_secs(1));
        }
    }
}

/// Returns `true` for temporary refusals: the servers have just started, or the stream was made a moment ago.
fn graced(error: &CallError, operation: &str) -> bool {
    match error.err_code() {
        // Seen on 2.15.1, right after the start of servers under load.
        Some(code::NO_PEERS | code::STREAM_CREATE) => true,
        // A new meta leader may not yet know a stream that was made under its predecessor (seen on 2.10.26, right after
        // a region was killed).
        Some(code::STREAM_NOT_FOUND) => ["CONSUMER.CREATE.", "STREAM.UPDATE."].iter().any(|o| operation.starts_with(o)),
        _ => false,
    }
}

/// Returns the error for a reply without a config, which does not prove that the object is missing.
fn malformed(subject: String) -> ItemError {
    CallError::Malformed { subject, reason: "it has no config".to_owned() }.into()
}

/// Checks whether a stream is the one that the change was to create. It may have already lost a temporary `first_seq`.
fn is_made(after: &Map<String, Value>, found: &Map<String, Value>) -> bool {
    let mut found = found.clone();
    let begins = first_sequence(after) <= first_sequence(&found);
    if began_at(after).is_some() {
        found.shift_remove("first_seq");
    }
    begins && config_matches(after, &found)
}

fn wanted(change: &StreamChange) -> Result<&Map<String, Value>, ItemError> {
    change.after.as_ref().ok_or_else(|| ItemError::NotBegun("the plan has no config for it".to_owned()))
}

/// Returns a config without the fields that servers add, which differ between lists and infos.
fn unserver(config: &Map<String, Value>) -> Map<String, Value> {
    let mut config = config.clone();
    if let Some(Value::Object(metadata)) = config.get_mut("metadata") {
        metadata.retain(|key, _| !key.starts_with("_nats."));
        if metadata.is_empty() {
            config.shift_remove("metadata");
        }
    }
    config
}

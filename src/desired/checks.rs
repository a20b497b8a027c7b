//! Checks of an account of the definition and of its streams.

use super::error::DesiredError;
use super::stream::DesiredStream;
use crate::model::subject_trie::SubjectTrie;
use crate::model::virtual_stream::{Account, Consistency, Kind, Layout};
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

pub(super) fn check_built(account: &Account) -> Result<(), DesiredError> {
    let not_built = |place: String, what: String| Err(DesiredError::NotBuilt { place, what });
    for stream in &account.virtual_streams {
        let place = || format!("account {}, virtual stream {}", account.name, stream.name);
        if stream.kind != Kind::Stream && account.layout == Layout::Shared {
            return not_built(place(), "a bucket in the layout `shared`".to_owned());
        }
        let level = format!("consistency: {}", stream.consistency.as_str());
        match stream.consistency {
            Consistency::Eventual => {}
            Consistency::Mirrored { .. } if account.layout == Layout::Shared => {
                return not_built(place(), format!("{level} in the layout `shared`"));
            }
            Consistency::Mirrored { .. } => {}
            Consistency::Ordered | Consistency::Immediate => return not_built(place(), level),
        }
    }
    Ok(())
}

/// Checks that no two streams have the same name. A real stream with a virtual name would answer for the virtual
/// stream, and two streams with one name would be one stream.
pub(super) fn check_names(account: &Account, streams: &[DesiredStream<'_>]) -> Result<(), DesiredError> {
    let describe = |stream: &DesiredStream<'_>| {
        format!("the {} stream of {} in {}", stream.role.as_str(), stream.virtual_stream, stream.region)
    };
    let same = |name: &str, first: String, second: String| {
        Err(DesiredError::SameName { account: account.name.clone(), name: name.to_owned(), first, second })
    };
    let mut names = HashSet::with_capacity(account.virtual_streams.len());
    for stream in &account.virtual_streams {
        if !names.insert(stream.name.as_str()) {
            return same(stream.name.as_str(), "a virtual stream".to_owned(), "another virtual stream".to_owned());
        }
    }
    let mut real: HashMap<&str, &DesiredStream<'_>> = HashMap::with_capacity(streams.len());
    for stream in streams {
        if names.contains(stream.name.as_str()) {
            return same(&stream.name, "a virtual stream".to_owned(), describe(stream));
        }
        if let Some(first) = real.insert(&stream.name, stream) {
            return same(&stream.name, describe(first), describe(stream));
        }
    }
    Ok(())
}

/// Checks that no two streams capture overlapping subjects, which servers refuse (error 10065). Distinct virtual
/// subjects can still overlap here.
pub(super) fn check_write_subjects(account: &Account, streams: &[DesiredStream<'_>]) -> Result<(), DesiredError> {
    let captured: Vec<(String, &DesiredStream<'_>)> =
        streams.iter().flat_map(|stream| stream.subjects().into_iter().map(move |s| (s, stream))).collect();
    let mut trie = SubjectTrie::default();
    for (subject, stream) in &captured {
        let mut first: Option<&DesiredStream<'_>> = None;
        trie.overlapping(subject, &mut |other: &&DesiredStream<'_>| {
            first = Some(other);
            ControlFlow::Break(())
        });
        if let Some(first) = first {
            return Err(DesiredError::WriteSubjects {
                account: account.name.clone(),
                first: first.name.clone(),
                second: stream.name.clone(),
                subject: subject.clone(),
            });
        }
        trie.insert(subject, *stream);
    }
    Ok(())
}

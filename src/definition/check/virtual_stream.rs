//! Checks of one virtual stream: each setting, and conflicts between settings.

use super::checker::Checker;
use crate::definition::fields::{self, ConsumerTable, Fields, WriteTable};
use crate::definition::place::Place;
use crate::definition::problem::Problem;
use crate::definition::raw;
use crate::definition::read::{At, Named};
use crate::model::names::{API_TOKENS, ConsumerName, StreamName};
use crate::model::subject::SubjectFilter;
use crate::model::topology::Topology;
use crate::model::virtual_stream::{
    Consistency, ConsumerDefinition, Kind, MapRequest, NameTemplates, PUBLISHING, VirtualStream,
};
use serde_json::{Map, Value};

/// A virtual stream with the locations that later checks refer to.
pub(super) struct Placed {
    pub stream: VirtualStream,
    /// The location of its name.
    pub place: Place,
    /// The locations of its subjects.
    pub subjects: Vec<Place>,
}

impl Checker<'_> {
    pub(super) fn virtual_stream(
        &mut self,
        name: At<String>,
        stream: raw::VirtualStream,
        topology: Option<&Topology>,
    ) -> Option<Placed> {
        let raw::VirtualStream {
            place,
            subjects,
            kind,
            consistency,
            home,
            write,
            read,
            names,
            consumers,
            map_requests,
            bucket,
        } = stream;
        let stream_name = self.stream_name(&name);
        let kind = match kind.map(|kind| kind.value) {
            None | Some(raw::Kind::Stream) => Kind::Stream,
            Some(raw::Kind::Kv) => Kind::Kv,
            Some(raw::Kind::ObjectStore) => Kind::ObjectStore,
        };
        let subjects = self.subjects(&name, place, kind, subjects);
        let consistency = self.consistency(consistency, home, topology);
        let read_place = read.as_ref().map_or(place, |read| read.place);
        let mirrored = matches!(consistency, Some(Consistency::Mirrored { .. }));
        if mirrored {
            self.fits_mirrored(write.as_ref(), names.as_ref(), map_requests.as_deref().unwrap_or_default());
        }
        let window_place = write.as_ref().map_or(place, |write| write.place);
        let write = match write {
            Some(At { place, value }) => {
                let config = fields::config(&value, false, self.problems);
                self.write_fields(&config, place);
                config
            }
            None => Map::new(),
        };
        let read = read.map_or_else(Map::new, |read| fields::config(&read.value, false, self.problems));
        let map_requests = self.map_requests(map_requests.unwrap_or_default(), &read, read_place);
        let names = self.names(names);
        let filters = subjects.as_ref().map_or(&[][..], |(filters, _)| filters);
        let consumers: Vec<_> = consumers
            .map_or_else(Named::default, |consumers| consumers.value)
            .0
            .into_iter()
            .map(|(name, fields)| self.consumer(name, &fields, filters, topology))
            .collect();
        if let Some(bucket) = bucket.as_ref().filter(|_| kind == Kind::Stream) {
            let help = "set `kind: kv` or `kind: object_store`, or use `write` and `read`";
            self.report("conflict", bucket.place, "`bucket` is for the kinds `kv` and `object_store`", help);
        }
        let bucket = bucket.map_or_else(Map::new, |bucket| fields::config(&bucket.value, false, self.problems));
        if mirrored {
            let age = read.get("max_age").or_else(|| bucket.get("ttl")).and_then(Value::as_i64).unwrap_or(0);
            let window = write.get("duplicate_window").and_then(Value::as_i64);
            if age > 0 && window.is_some_and(|window| window > age) {
                let help = "write a `duplicate_window` of at most that";
                let message = "`duplicate_window` is longer than the home stream keeps messages";
                self.report("conflict", window_place, message, help);
            }
        }
        let (subjects, places) = subjects?;
        Some(Placed {
            place: name.place,
            subjects: places,
            stream: VirtualStream {
                name: stream_name?,
                subjects,
                kind,
                consistency: consistency?,
                write,
                read,
                names: names?,
                consumers: consumers.into_iter().collect::<Option<_>>()?,
                map_requests,
                bucket,
            },
        })
    }

    fn stream_name(&mut self, name: &At<String>) -> Option<StreamName> {
        if API_TOKENS.contains(&name.value.as_str()) {
            let message =
                format!("a virtual stream cannot be called `{}`: it is a token of JetStream's API", name.value);
            let help = "choose another name; with this one, requests about other streams would be rewritten";
            self.report("reserved-name", name.place, message, help);
            return None;
        }
        match StreamName::parse(&name.value) {
            Ok(name) => Some(name),
            Err(error) => {
                let help = "choose a name without dots, wildcards and spaces";
                self.report("bad-name", name.place, error.to_string(), help);
                None
            }
        }
    }

    fn subjects(
        &mut self,
        name: &At<String>,
        place: Place,
        kind: Kind,
        subjects: Option<At<Vec<At<String>>>>,
    ) -> Option<(Vec<SubjectFilter>, Vec<Place>)> {
        let prefix = match kind {
            Kind::Stream => {
                let example = format!("write `subjects: [{}.>]`", name.value);
                let Some(subjects) = subjects else { return self.missing(place, "subjects", &example) };
                if subjects.value.is_empty() {
                    self.report("bad-subject", subjects.place, "there are no subjects", example);
                    return None;
                }
                let filters: Vec<_> = subjects.value.iter().map(|subject| self.captured_subject(subject)).collect();
                let places = subjects.value.iter().map(|subject| subject.place).collect();
                return Some((filters.into_iter().collect::<Option<_>>()?, places));
            }
            Kind::Kv => "$KV",
            Kind::ObjectStore => "$O",
        };
        if let Some(subjects) = subjects {
            let help = "remove `subjects`";
            self.report("conflict", subjects.place, "the subjects of a bucket follow from its kind", help);
        }
        let bucket = &name.value;
        if !bucket.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            let message = format!("bucket name `{bucket}`: clients take letters, digits, `-` and `_` only");
            self.report("bad-name", name.place, message, "rename the bucket");
            return None;
        }
        // The subjects that client libraries give such streams.
        let subjects = match kind {
            Kind::ObjectStore => vec![format!("{prefix}.{bucket}.C.>"), format!("{prefix}.{bucket}.M.>")],
            Kind::Kv | Kind::Stream => vec![format!("{prefix}.{bucket}.>")],
        };
        let filters: Vec<_> = subjects.iter().filter_map(|subject| SubjectFilter::parse(subject).ok()).collect();
        let places = vec![name.place; filters.len()];
        Some((filters, places))
    }

    fn consistency(
        &mut self,
        consistency: Option<At<raw::Consistency>>,
        home: Option<At<String>>,
        topology: Option<&Topology>,
    ) -> Option<Consistency> {
        let level = consistency.as_ref().map_or(raw::Consistency::Eventual, |level| level.value);
        if let Some(home) = home.as_ref().filter(|_| level != raw::Consistency::Mirrored) {
            let help = "add `consistency: mirrored`, or remove `home`";
            self.report("conflict", home.place, "`home` goes with `consistency: mirrored`", help);
        }
        let Some(At { place, .. }) = consistency else { return Some(Consistency::Eventual) };
        let stretched = match level {
            raw::Consistency::Eventual => return Some(Consistency::Eventual),
            raw::Consistency::Mirrored => {
                let Some(home) = home else {
                    let help = "add `home: REGION`";
                    self.report("missing-key", place, "a mirrored stream needs a home region", help);
                    return None;
                };
                return self.region_name(&home, topology).map(|home| Consistency::Mirrored { home });
            }
            raw::Consistency::Ordered => Consistency::Ordered,
            raw::Consistency::Immediate => Consistency::Immediate,
        };
        if topology.is_some_and(|topology| topology.stretch.is_none()) {
            let help = "add `stretch: { cluster: NAME }`, a cluster whose servers are spread over the regions";
            self.report("missing-key", place, "this consistency needs a stretch cluster", help);
        }
        Some(stretched)
    }

    /// Reports settings that a `mirrored` stream cannot have. It has no write streams, and a change to a mirror reaches
    /// only one region.
    fn fits_mirrored(
        &mut self,
        write: Option<&At<Fields<WriteTable>>>,
        names: Option<&raw::Names>,
        requests: &[At<raw::MapRequest>],
    ) {
        for (key, _) in write.iter().flat_map(|write| &write.value.entries.0) {
            if !PUBLISHING.contains(&key.value.as_str()) {
                let listed: Vec<String> = PUBLISHING.iter().map(|field| format!("`{field}`")).collect();
                let message = format!(
                    "a mirrored stream has one home stream and no write streams: `{}` does not go under `write`",
                    key.value
                );
                let help = format!("set it under `read`; of `write` it takes {}", listed.join(", "));
                self.report("conflict", key.place, message, help);
            }
        }
        if let Some(names) = names {
            let message =
                "`names` is not for `consistency: mirrored`: client libraries need the names that its streams have";
            self.report("conflict", names.place, message, "remove `names`");
        }
        for request in requests {
            if matches!(request.value, raw::MapRequest::Purge | raw::MapRequest::MsgDelete) {
                let message = "this request would change the mirror of one region, and not the home stream";
                let help = "remove it; to delete messages everywhere, ask the home stream under `$VSH.API`";
                self.report("conflict", request.place, message, help);
            }
        }
    }

    /// Reports combinations of valid values that servers refuse (nats-server 2.15 `server/stream.go`,
    /// `checkStreamCfg`).
    fn write_fields(&mut self, write: &Map<String, Value>, place: Place) {
        let number = |name: &str| write.get(name).and_then(Value::as_i64);
        if let (Some(age), Some(window)) = (number("max_age"), number("duplicate_window"))
            && age > 0
            && window > age
        {
            let help = "write a `duplicate_window` of at most `max_age`";
            self.report("conflict", place, "`duplicate_window` is longer than `max_age`", help);
        }
    }

    pub(super) fn map_requests(
        &mut self,
        requests: Vec<At<raw::MapRequest>>,
        read: &Map<String, Value>,
        read_place: Place,
    ) -> Vec<MapRequest> {
        let mut mapped = Vec::new();
        for request in requests {
            let (name, denied) = match request.value {
                raw::MapRequest::Purge => (MapRequest::Purge, "deny_purge"),
                raw::MapRequest::MsgDelete => (MapRequest::MsgDelete, "deny_delete"),
                raw::MapRequest::Snapshot => (MapRequest::Snapshot, ""),
            };
            if read.get(denied) == Some(&Value::Bool(true)) {
                let message = format!("the read stream's `{denied}` refuses this request");
                self.problems.push(
                    Problem::new("conflict", request.place, message)
                        .also(read_place, format!("`{denied}` is set here"))
                        .help("remove one of them"),
                );
            }
            if mapped.contains(&name) {
                self.report("duplicate-value", request.place, "the request is listed twice", "remove one of them");
                continue;
            }
            mapped.push(name);
        }
        mapped
    }

    fn names(&mut self, names: Option<raw::Names>) -> Option<NameTemplates> {
        let mut templates = NameTemplates::default();
        let Some(raw::Names { place, write, read }) = names else { return Some(templates) };
        for (given, template) in [(write, &mut templates.write), (read, &mut templates.read)] {
            if let Some(given) = given {
                self.template(&given, &["{stream}", "{region}"])?;
                *template = given.value;
            }
        }
        if templates.write == templates.read {
            let help = "make the two templates differ";
            self.report("conflict", place, "write and read streams would have the same names", help);
            return None;
        }
        Some(templates)
    }

    fn consumer(
        &mut self,
        name: At<String>,
        fields: &At<Fields<ConsumerTable>>,
        subjects: &[SubjectFilter],
        topology: Option<&Topology>,
    ) -> Option<ConsumerDefinition> {
        let consumer = match ConsumerName::parse(&name.value) {
            Ok(consumer) => Some(consumer),
            Err(error) => {
                let help = "choose a name without dots, wildcards and spaces";
                self.report("bad-name", name.place, error.to_string(), help);
                None
            }
        };
        let mut regions = Vec::new();
        if let Some(listed) = fields::regions(&fields.value, self.problems) {
            if listed.value.is_empty() {
                let help = "name a region, or remove `regions` for all";
                self.report("wrong-value", listed.place, "the consumer is in no region", help);
            }
            for region in &listed.value {
                let Some(found) = self.region_name(region, topology) else { continue };
                if regions.contains(&found) {
                    let message = format!("region `{found}` is listed twice");
                    self.report("duplicate-value", region.place, message, "remove one of them");
                } else {
                    regions.push(found);
                }
            }
        }
        let one_region = regions.len() == 1 || topology.is_some_and(|topology| topology.regions.len() == 1);
        let config = fields::config(&fields.value, one_region, self.problems);
        self.consumer_filters(fields, &config, subjects);
        Some(ConsumerDefinition { name: consumer?, regions, config })
    }

    /// Checks a consumer's filters. A filter outside the stream's subjects would never get a message.
    fn consumer_filters(
        &mut self,
        fields: &At<Fields<ConsumerTable>>,
        config: &Map<String, Value>,
        subjects: &[SubjectFilter],
    ) {
        let place = |name: &str| {
            let entry = fields.value.entries.0.iter().find(|(key, _)| key.value == name);
            entry.map_or(fields.place, |(_, node)| node.place)
        };
        let one = config.get("filter_subject").and_then(Value::as_str);
        let many = config.get("filter_subjects").and_then(Value::as_array);
        if one.is_some() && many.is_some() {
            let message = "a consumer has `filter_subject` or `filter_subjects`, not both";
            self.report("conflict", place("filter_subjects"), message, "keep one of them");
        }
        let many = many.into_iter().flatten().filter_map(Value::as_str).map(|filter| ("filter_subjects", filter));
        for (key, text) in one.map(|filter| ("filter_subject", filter)).into_iter().chain(many) {
            let at = At { place: place(key), value: text.to_owned() };
            let Some(filter) = self.subject(&at) else { continue };
            if !subjects.is_empty() && !subjects.iter().any(|subject| subject.overlaps(&filter)) {
                let all: Vec<String> = subjects.iter().map(|subject| format!("`{subject}`")).collect();
                let message = format!("filter `{filter}` meets none of the stream's subjects: no message would match");
                let help = format!("the virtual stream has {}; filters use the virtual subjects", all.join(", "));
                self.report("bad-filter", at.place, message, help);
            }
        }
    }
}

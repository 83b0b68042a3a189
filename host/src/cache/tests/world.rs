//! A whole cache in a few lines: the rules in the order of an exchange, a list for a store, and a function for an origin.

use std::time::SystemTime;

use crate::cache::fresh::Times;
use crate::cache::invalidate;
use crate::cache::key::Key;
use crate::cache::lookup::{Found, look, wishes};
use crate::cache::reply::reply;
use crate::cache::status::Forward;
use crate::cache::storable::storable;
use crate::cache::validate::{self, Seen};
use crate::cache::{Knobs, Stored, partial};
use crate::message::ranges::Piece;
use crate::message::{Fields, Method, Name, RequestHead, ResponseHead, Status, Value};

/// What an origin says: a head and a content. `None`: it hangs up.
pub(super) type Answer = Option<(ResponseHead, Vec<u8>)>;

/// A cache and what it has stored.
pub(super) struct World {
    pub(super) knobs: Knobs,
    pub(super) entries: Vec<(Key, Stored, Vec<u8>)>,
}

/// What a client gets.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) head: ResponseHead,
    pub(super) body: Vec<u8>,
    /// What the origin was asked before the client got this.
    pub(super) asked: Vec<RequestHead>,
    /// And after.
    pub(super) behind: Vec<RequestHead>,
}

/// An exchange under way.
struct Exchange<'a> {
    world: &'a mut World,
    key: Key,
    request: &'a RequestHead,
    now: SystemTime,
    origin: &'a mut dyn FnMut(&RequestHead) -> Answer,
    asked: Vec<RequestHead>,
}

impl World {
    pub(super) fn of(knobs: Knobs) -> Self {
        Self { knobs, entries: Vec::new() }
    }

    pub(super) fn exchange(
        &mut self,
        request: &RequestHead,
        now: SystemTime,
        origin: &mut dyn FnMut(&RequestHead) -> Answer,
    ) -> Got {
        let key = Key::of(request, &self.knobs.key, &[]);
        let candidates = self.candidates(&key);
        let stored: Vec<&Stored> = candidates.iter().map(|at| &self.entries[*at].1).collect();
        let found = look(&stored, request, now, &self.knobs);
        let mut exchange = Exchange { world: self, key, request, now, origin, asked: Vec::new() };
        let (head, body) = match found {
            Found::Unavailable => (ResponseHead::of(Status::GATEWAY_TIMEOUT), Vec::new()),
            Found::Use { at, .. } => exchange.answer(candidates[at]),
            Found::Validate { at, .. } => exchange.validate(candidates[at]),
            Found::Complete { at } => exchange.complete(candidates[at]),
            Found::Nothing(Forward::VaryMiss) => exchange.vary(&candidates),
            Found::Nothing(_) => exchange.forward(),
        };
        let mut behind = Vec::new();
        if let Found::Use { at, revalidate: true, .. } = found {
            exchange.validate(candidates[at]);
            behind = std::mem::take(&mut exchange.asked);
        }
        let asked = std::mem::take(&mut exchange.asked);
        Got { head, body, asked, behind }
    }

    fn candidates(&self, key: &Key) -> Vec<usize> {
        let entries = self.entries.iter().enumerate();
        entries.filter(|(_, (known, _, _))| known == key).map(|(at, _)| at).collect()
    }
}

impl Exchange<'_> {
    fn answer(&mut self, at: usize) -> (ResponseHead, Vec<u8>) {
        let (_, stored, content) = &self.world.entries[at];
        let reply = reply(stored, self.request, self.now, 7).expect("it was looked up");
        // The content of a part stands at its place, with nothing before it.
        let mut body = Vec::new();
        for piece in reply.pieces {
            match piece {
                Piece::Text(text) => body.extend_from_slice(&text),
                Piece::Range(range) => {
                    let (first, last) = (usize::try_from(range.first).unwrap(), usize::try_from(range.last).unwrap());
                    body.extend_from_slice(&content[first..=last]);
                }
            }
        }
        (reply.head, body)
    }

    fn forward(&mut self) -> (ResponseHead, Vec<u8>) {
        self.ask(self.request.clone(), &[])
    }

    fn validate(&mut self, at: usize) -> (ResponseHead, Vec<u8>) {
        let mut request = self.request.clone();
        validate::ask(&mut request.fields, &self.world.entries[at].1);
        self.ask(request, &[at])
    }

    fn vary(&mut self, candidates: &[usize]) -> (ResponseHead, Vec<u8>) {
        let mut request = self.request.clone();
        let variants: Vec<&Stored> = candidates.iter().map(|at| &self.world.entries[*at].1).collect();
        let asks = validate::ask_variants(&mut request.fields, &variants);
        let key = if asks { candidates } else { &[] };
        self.ask(request, key)
    }

    fn complete(&mut self, at: usize) -> (ResponseHead, Vec<u8>) {
        let rest = partial::rest(&self.world.entries[at].1);
        let wants_whole = !self.request.fields.contains("range");
        let Some(rest) = rest.filter(|_| wants_whole) else { return self.forward() };
        let mut request = self.request.clone();
        request.fields.set(Name::from_static("range"), rest.range);
        request.fields.set(Name::from_static("if-range"), rest.validator);
        let (head, body) = self.ask(request, &[at]);
        match head.status {
            Status::PARTIAL_CONTENT => {
                let whole =
                    self.world.candidates(&self.key).into_iter().find(|at| self.world.entries[*at].1.held.is_whole());
                match whole {
                    Some(at) => self.answer(at),
                    None => self.forward(),
                }
            }
            _ => (head, body),
        }
    }

    fn ask(&mut self, request: RequestHead, candidates: &[usize]) -> (ResponseHead, Vec<u8>) {
        self.asked.push(request.clone());
        let answer = (self.origin)(&request);
        let wishes = wishes(self.request, &self.world.knobs);
        let stale = candidates.first().copied().filter(|at| {
            let stored = &self.world.entries[*at].1;
            candidates.len() == 1 && stored.policy.may_stand_in(&wishes, self.now, &self.world.knobs)
        });
        let failed = answer.as_ref().is_none_or(|(head, _)| validate::is_failure(head.status));
        if let Some(at) = stale.filter(|_| failed) {
            return self.answer(at);
        }
        let Some((head, body)) = answer else { return (ResponseHead::of(Status::BAD_GATEWAY), Vec::new()) };
        let times = Times { asked: self.now, answered: self.now };
        let is_ours = ["if-none-match", "if-modified-since"].iter().any(|name| {
            let (asked, own) = (request.fields.get(*name), self.request.fields.get(*name));
            asked.is_some() && (asked != own || !candidates.is_empty())
        });
        if head.status == Status::NOT_MODIFIED && is_ours && !candidates.is_empty() {
            return self.freshen(&request, &head, times, candidates);
        }
        self.invalidate(&head);
        self.see_head(&head, times);
        if let Ok(stored) = storable(self.request, &head, times, &self.world.knobs) {
            self.store(stored, &body);
        }
        (head, body)
    }

    fn freshen(
        &mut self,
        request: &RequestHead,
        head: &ResponseHead,
        times: Times,
        candidates: &[usize],
    ) -> (ResponseHead, Vec<u8>) {
        let stored: Vec<&Stored> = candidates.iter().map(|at| &self.world.entries[*at].1).collect();
        let meant = match stored.as_slice() {
            [one] if validate::is_meant(one, head) => vec![0],
            many => validate::meant(many, head),
        };
        let Some(first) = meant.first() else { return self.forward() };
        let mut refused = None;
        for at in &meant {
            let entry = &mut self.world.entries[candidates[*at]];
            let fresh = validate::freshen(&entry.1, request, head, times, &self.world.knobs);
            entry.1 = fresh.stored;
            refused = fresh.refusal.map(|_| candidates[*at]).or(refused);
        }
        let (key, stored, content) = self.world.entries[candidates[*first]].clone();
        let answer = self.answer(candidates[*first]);
        if refused.is_none() && !stored.selection.matches(&self.request.fields) {
            self.world.entries.extend(stored.also_for(&self.request.fields).map(|stored| (key, stored, content)));
        }
        if let Some(at) = refused {
            self.world.entries.remove(at);
        }
        answer
    }

    fn invalidate(&mut self, head: &ResponseHead) {
        let targets = invalidate::targets(self.request, head.status, &head.fields, &self.world.knobs.key);
        for (key, stored, _) in &mut self.world.entries {
            let is_hit = targets.urls.iter().any(|url| **url == *key.url());
            if is_hit || stored.tags.iter().any(|tag| targets.tags.contains(tag)) {
                stored.invalidate();
            }
        }
    }

    fn see_head(&mut self, head: &ResponseHead, times: Times) {
        if self.request.method != Method::HEAD {
            return;
        }
        for at in self.world.candidates(&self.key) {
            let stored = &mut self.world.entries[at].1;
            if !stored.selection.matches(&self.request.fields) {
                continue;
            }
            match validate::see(stored, self.request, head, times, &self.world.knobs) {
                Some(Seen::Update(fresh)) => *stored = fresh.stored,
                Some(Seen::Outdated) => stored.invalidate(),
                None => {}
            }
        }
    }

    /// In the place of what the request would have got before; a part together with what is there.
    fn store(&mut self, mut stored: Stored, body: &[u8]) {
        if stored.finish(body.len() as u64).is_err() {
            return;
        }
        let first = stored.held.ranges().first().map_or(0, |range| usize::try_from(range.first).unwrap());
        let mut content = vec![0; first];
        content.extend_from_slice(body);
        let request = &self.request.fields;
        let key = self.key.clone();
        let replaced = |(known, old, _): &(Key, Stored, Vec<u8>)| *known == key && old.selection.matches(request);
        if let Some((_, old, bytes)) = self.world.entries.iter().find(|entry| replaced(entry))
            && let Some(both) = partial::combine(old, &stored, &self.world.knobs)
        {
            let mut all = bytes.clone();
            all.resize(all.len().max(content.len()), 0);
            all[first..first + body.len()].copy_from_slice(body);
            (stored, content) = (both, all);
        }
        self.world.entries.retain(|entry| !replaced(entry));
        self.world.entries.push((self.key.clone(), stored, content));
    }
}

/// A field of what a client got, as text.
pub(super) fn text(fields: &Fields, name: &str) -> Option<String> {
    fields.joined(name).map(|value| String::from_utf8_lossy(&value).into_owned())
}

/// A head for an origin to answer with.
pub(super) fn head(status: u16, lines: &[(String, String)]) -> ResponseHead {
    let mut head = ResponseHead::of(Status::from_u16(status).unwrap());
    for (name, value) in lines {
        head.fields.append(Name::from_bytes(name.as_bytes()).unwrap(), Value::from_bytes(value.as_bytes()).unwrap());
    }
    head
}

//! A seeded simulation: whatever is done in whatever order, a shelf says what a naive model says, or less where room is short.

use std::collections::BTreeMap;

use super::*;

/// By key and variant.
type Model = BTreeMap<(String, String), Modelled>;

struct Modelled {
    content: Vec<u8>,
    tags: Vec<&'static str>,
    kind: &'static str,
    head: String,
    stored: SystemTime,
    is_stale: bool,
}

const KEYS: [&str; 7] = ["/", "/a", "/a/b", "/a/c", "/ab", "/b x=1", "/b"];
const VARIANTS: [&str; 3] = ["", "gzip", "br"];
const TAGS: [&str; 3] = ["red", "green", "blue"];
const KINDS: [&str; 3] = ["", "round", "square"];
const ENDS: [&str; 3] = ["b", "=1", "/"];

fn target(chance: &mut fastrand::Rng) -> Target {
    let key = *chance.choice(&KEYS).unwrap();
    match chance.u8(..20) {
        0 => Target::All,
        1..6 => Target::Prefix(key.into()),
        6..12 => Target::Tag((*chance.choice(&TAGS).unwrap()).into()),
        12..16 => Target::Stem(key.into()),
        _ => Target::Key(key.into()),
    }
}

/// One or two targets, and perhaps not all of what they mean.
fn meant(chance: &mut fastrand::Rng) -> Meant {
    let targets = (0..chance.usize(1..=2)).map(|_| target(chance)).collect();
    let (end, kind, until) = (*chance.choice(&ENDS).unwrap(), *chance.choice(&KINDS).unwrap(), at(chance.u64(..3)));
    let only = Only {
        key: chance.bool().then(|| Arc::new(move |key: &[u8]| key.ends_with(end.as_bytes())) as _),
        kind: chance.bool().then(|| Arc::new(move |found: &str| found == kind) as _),
        until: chance.bool().then_some(until),
    };
    Meant { targets, only }
}

fn purge(model: &mut Model, meant: &Meant, purge: Purge) {
    let is_of = |target: &Target, key: &str, tags: &[&str]| match target {
        Target::Key(meant) => key.as_bytes() == meant,
        Target::Stem(stem) => key.split(' ').next().unwrap().as_bytes() == stem || key.as_bytes() == stem,
        Target::Prefix(prefix) => key.as_bytes().starts_with(prefix),
        Target::Tag(tag) => tags.contains(&&**tag),
        Target::All => true,
    };
    let only = &meant.only;
    let is_meant = |(key, _): &(String, String), object: &Modelled| {
        meant.targets.iter().any(|target| is_of(target, key, &object.tags))
            && only.key.as_ref().is_none_or(|test| test(key.as_bytes()))
            && only.kind.as_ref().is_none_or(|test| test(object.kind))
            && only.until.is_none_or(|until| object.stored <= until)
    };
    match purge {
        Purge::Hard => model.retain(|name, object| !is_meant(name, object)),
        Purge::Soft => {
            let meant = model.iter_mut().filter(|(name, object)| is_meant(name, object));
            meant.for_each(|(_, object)| object.is_stale = true);
        }
    }
}

async fn compare(shelf: &Shelf, model: &Model, is_all: bool, what: &str) {
    for key in KEYS {
        let mut count = 0;
        for object in shelf.find(key.as_bytes(), at(1)).await {
            let label = object.label();
            let variant = String::from_utf8(label.variant.to_vec()).unwrap();
            let held = model.get(&(key.to_owned(), variant));
            let held = held.unwrap_or_else(|| panic!("{what}: {key} should be gone"));
            assert_eq!(collect(object.body()).await.unwrap(), held.content, "{what}: {key}");
            assert_eq!((&*label.head, object.is_stale()), (held.head.as_bytes(), held.is_stale), "{what}: {key}");
            assert_eq!((&*label.kind, label.stored), (held.kind, held.stored), "{what}: {key}");
            assert_eq!(label.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), held.tags, "{what}: {key}");
            count += 1;
        }
        let expected = model.keys().filter(|(held, _)| held == key).count();
        assert!(if is_all { count == expected } else { count <= expected }, "{what}: {key} {count} of {expected}");
    }
}

/// Other sizes, and smaller ones where not everything has to stay in memory.
fn resized(chance: &mut fastrand::Rng, sizes: &Sizes, is_all: bool) -> Sizes {
    let mut sizes = sizes.clone();
    let times: &[u64] = match (is_all, &sizes.disk) {
        (true, None) => &[2, 4, 8],
        (false, None) => &[1, 2, 4],
        (_, Some(_)) => &[0, 1, 2, 4],
    };
    sizes.memory.iter_mut().for_each(|memory| memory.capacity = memory.capacity / 2 * chance.choice(times).unwrap());
    sizes.disk.iter_mut().for_each(|disk| disk.sync = chance.bool());
    sizes
}

fn simulate(seed: u64, sizes: &Sizes, place: &Place, is_all: bool) {
    let _ = fs::remove_dir_all(&place.0);
    let (mut chance, mut model, mut shelf) = (fastrand::Rng::with_seed(seed), Model::new(), open(sizes));
    let runtime = runtime();
    for round in 0..200 {
        let what = format!("seed {seed}, round {round}");
        let key = *chance.choice(&KEYS).unwrap();
        match chance.u8(..20) {
            0..10 => {
                let variant = *chance.choice(&VARIANTS).unwrap();
                let tags: Vec<&str> = TAGS.into_iter().filter(|_| chance.bool()).collect();
                let content = vec![chance.u8(..); chance.usize(..20_000)];
                let pieces: Vec<&[u8]> = content.chunks(1 + chance.usize(..9000)).collect();
                let (kind, stored) = (*chance.choice(&KINDS).unwrap(), at(chance.u64(..3)));
                let mut label = label(key, variant, &tags).of_kind(kind);
                label.stored = stored;
                store(&shelf, label, &pieces);
                let modelled =
                    Modelled { content, tags, kind, head: format!("head of {key}"), stored, is_stale: false };
                model.insert((key.into(), variant.into()), modelled);
            }
            10..13 => {
                for object in runtime.block_on(shelf.find(key.as_bytes(), at(1))) {
                    let old = object.label();
                    let head = format!("head of round {round}");
                    let later = Label::of(&old.key, &old.variant, head.as_bytes(), at(round), at(9999));
                    shelf.relabel(&object, later.of_kind("square").tagged(["red".into()]));
                    let variant = String::from_utf8(old.variant.to_vec()).unwrap();
                    let held = model.get_mut(&(key.into(), variant)).unwrap();
                    (held.tags, held.kind, held.head) = (vec!["red"], "square", head);
                    (held.stored, held.is_stale) = (at(round), false);
                }
            }
            13..17 => {
                let meant = meant(&mut chance);
                let manner = if chance.bool() { Purge::Soft } else { Purge::Hard };
                runtime.block_on(shelf.forget(meant.clone(), manner).written());
                purge(&mut model, &meant, manner);
            }
            17 if sizes.disk.is_some() => {
                settle(&shelf);
                close(shelf);
                shelf = open(sizes);
                // Some things happen while the directory is still being read.
                if chance.bool() {
                    let (meant, manner) = (meant(&mut chance), if chance.bool() { Purge::Soft } else { Purge::Hard });
                    shelf.forget(meant.clone(), manner);
                    purge(&mut model, &meant, manner);
                }
                eventually(|| shelf.is_complete());
            }
            // What is carried over meanwhile is asked for, changed and forgotten in the next rounds.
            18 | 19 => shelf.resize(&resized(&mut chance, sizes, is_all)),
            _ => {}
        }
        settle(&shelf);
        runtime.block_on(compare(&shelf, &model, is_all, &what));
    }
    close(shelf);
}

#[test]
fn shelves_are_what_a_model_says() {
    let place = Place::make();
    let both = Sizes { memory: in_memory(64 << 10, 8 << 10).memory, ..on_disk(&place, 64 << 20, 1 << 20) };
    for seed in 0..12 {
        simulate(seed, &in_memory(64 << 20, 1 << 20), &place, true);
        simulate(seed, &on_disk(&place, 64 << 20, 1 << 20), &place, true);
        simulate(seed, &both, &place, true);
    }
}

#[test]
fn shelves_that_are_too_small_say_less_and_nothing_wrong() {
    let place = Place::make();
    let both = Sizes { memory: in_memory(48 << 10, 8 << 10).memory, ..on_disk(&place, 128 << 10, 30 << 10) };
    for seed in 0..12 {
        simulate(seed, &in_memory(96 << 10, 1 << 20), &place, false);
        simulate(seed, &on_disk(&place, 128 << 10, 30 << 10), &place, false);
        simulate(seed, &both, &place, false);
    }
}

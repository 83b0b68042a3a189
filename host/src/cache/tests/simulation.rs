//! Thousands of exchanges from seeds, each beside a model that was written from the RFC's text and knows nothing of the
//! rules' types: numbers of seconds, classes of values, versions of a page.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::world::{World, text};
use crate::cache::fresh::{Decision, Policy, Times};
use crate::cache::testing::{at, date, request, response, secs};
use crate::cache::{Directives, Knobs, RequestDirectives};

/// A response and a request as a reader of RFC 9111 would note them down: seconds, relative to one instant.
#[derive(Debug)]
struct Case {
    asked: i64,
    answered: i64,
    now: i64,
    date: Option<i64>,
    age: Option<i64>,
    max_age: Option<i64>,
    s_maxage: Option<i64>,
    /// `Some(None)` is a broken one.
    expires: Option<Option<i64>>,
    modified: Option<i64>,
    swr: Option<i64>,
    sie: Option<i64>,
    flags: Flags,
    wish: Wish,
}

#[derive(Debug)]
struct Flags {
    no_cache: bool,
    must_revalidate: bool,
    proxy_revalidate: bool,
}

#[derive(Debug)]
struct Wish {
    no_cache: bool,
    only_if_cached: bool,
    max_age: Option<i64>,
    min_fresh: Option<i64>,
    max_stale: Option<i64>,
}

impl Case {
    fn random(rng: &mut Rng) -> Self {
        fn perhaps(rng: &mut Rng, range: std::ops::Range<i64>) -> Option<i64> {
            rng.bool().then(|| rng.i64(range))
        }
        let asked = 1000;
        let answered = asked + rng.i64(0..5);
        Self {
            asked,
            answered,
            now: answered + rng.i64(0..200),
            date: perhaps(rng, 900..1050),
            age: perhaps(rng, 0..60),
            max_age: perhaps(rng, 0..100),
            s_maxage: if rng.u8(0..4) == 0 { Some(rng.i64(0..100)) } else { None },
            expires: if rng.bool() { Some(perhaps(rng, 900..1150)) } else { None },
            modified: perhaps(rng, 0..1000),
            swr: perhaps(rng, 0..60),
            sie: perhaps(rng, 0..60),
            flags: Flags {
                no_cache: rng.u8(0..8) == 0,
                must_revalidate: rng.u8(0..6) == 0,
                proxy_revalidate: rng.u8(0..8) == 0,
            },
            wish: Wish {
                no_cache: rng.u8(0..8) == 0,
                only_if_cached: rng.u8(0..6) == 0,
                max_age: if rng.u8(0..3) == 0 { Some(rng.i64(0..150)) } else { None },
                min_fresh: if rng.u8(0..4) == 0 { Some(rng.i64(0..50)) } else { None },
                max_stale: if rng.u8(0..3) == 0 { Some(rng.i64(0..100)) } else { None },
            },
        }
    }

    fn fields(&self) -> Vec<(&'static str, &'static str)> {
        let mut control = String::new();
        let mut say = |name: &str, value: Option<i64>| {
            if let Some(value) = value {
                control.push_str(&format!("{name}={value}, "));
            }
        };
        say("max-age", self.max_age);
        say("s-maxage", self.s_maxage);
        say("stale-while-revalidate", self.swr);
        say("stale-if-error", self.sie);
        for (is_set, name) in [
            (self.flags.no_cache, "no-cache, "),
            (self.flags.must_revalidate, "must-revalidate, "),
            (self.flags.proxy_revalidate, "proxy-revalidate, "),
        ] {
            control.push_str(if is_set { name } else { "" });
        }
        let mut fields = vec![("cache-control", &*control.leak())];
        fields.extend(self.date.map(|offset| ("date", date(offset))));
        fields.extend(self.age.map(|age| ("age", &*age.to_string().leak())));
        fields.extend(self.modified.map(|offset| ("last-modified", date(offset))));
        fields.extend(self.expires.map(|offset| ("expires", offset.map_or("soon", date))));
        fields
    }

    fn wishes(&self) -> RequestDirectives {
        let seconds = |value: Option<i64>| value.map(|value| secs(value.unsigned_abs()));
        RequestDirectives {
            no_cache: self.wish.no_cache,
            only_if_cached: self.wish.only_if_cached,
            max_age: seconds(self.wish.max_age),
            min_fresh: seconds(self.wish.min_fresh),
            max_stale: seconds(self.wish.max_stale),
            ..RequestDirectives::default()
        }
    }

    /// Section 4.2.3, with the RFC's names.
    fn current_age(&self) -> i64 {
        let date_value = self.date.unwrap_or(self.answered);
        let apparent_age = 0.max(self.answered - date_value);
        let response_delay = self.answered - self.asked;
        let corrected_age_value = self.age.unwrap_or(0) + response_delay;
        let corrected_initial_age = apparent_age.max(corrected_age_value);
        let resident_time = self.now - self.answered;
        corrected_initial_age + resident_time
    }

    /// Section 4.2.1: the first match of its list; then 4.2.2.
    fn freshness_lifetime(&self) -> i64 {
        let date_value = self.date.unwrap_or(self.answered);
        if let Some(s_maxage) = self.s_maxage {
            return s_maxage;
        }
        if let Some(max_age) = self.max_age {
            return max_age;
        }
        match self.expires {
            Some(Some(expires)) => return 0.max(expires - date_value),
            Some(None) => return 0,
            None => {}
        }
        // A tenth; the model's times are too short for the cap.
        self.modified.map_or(0, |modified| 0.max(date_value - modified) / 10)
    }

    /// May it be used now, and how? Sections 4, 4.2.4, 5.2.1; RFC 5861, section 3.
    fn decision(&self) -> Decision {
        let (age, lifetime) = (self.current_age(), self.freshness_lifetime());
        let fresh = lifetime > age && !self.flags.no_cache;
        let staleness = age - lifetime;
        let refused = if self.wish.only_if_cached {
            Decision::Unavailable
        } else if fresh {
            Decision::ValidateForRequest
        } else {
            Decision::Validate
        };
        let too_old = self.wish.max_age.is_some_and(|most| most == 0 || age > most);
        let too_soon_stale = self.wish.min_fresh.is_some_and(|least| lifetime - age < least);
        if self.flags.no_cache || self.wish.no_cache || too_old || too_soon_stale {
            return refused;
        }
        if fresh {
            return Decision::Fresh;
        }
        if self.flags.must_revalidate || self.flags.proxy_revalidate {
            return refused;
        }
        let client_allows = self.s_maxage.is_none() && self.wish.max_stale.is_some_and(|most| staleness <= most);
        let origin_allows = self.swr.is_some_and(|most| staleness < most);
        match (client_allows, origin_allows) {
            (true, _) => Decision::Stale,
            (false, true) => Decision::Revalidate,
            (false, false) => refused,
        }
    }

    /// Section 4.2.4; RFC 5861, section 4; no operator's word.
    fn stands_in(&self) -> bool {
        let (age, lifetime) = (self.current_age(), self.freshness_lifetime());
        let forbidden = self.flags.must_revalidate || self.flags.proxy_revalidate;
        !self.flags.no_cache
            && !self.wish.no_cache
            && (lifetime > age || !forbidden && self.sie.is_some_and(|most| age - lifetime < most))
    }
}

#[test]
fn freshness_is_what_a_reader_of_the_rfc_works_out() {
    let knobs = Knobs { stale_if_error: secs(0), ..Knobs::default() };
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..20_000 {
        let case = Case::random(&mut Rng::with_seed(seed));
        let head = response(200, &case.fields());
        let directives = Directives::of(&head.fields, &knobs.targets, knobs.surrogate);
        let time = |seconds: i64| at(seconds.unsigned_abs());
        let times = Times { asked: time(case.asked), answered: time(case.answered) };
        let policy = Policy::of(&head, &directives, times, &knobs);
        let now = time(case.now);
        let age = i64::try_from(policy.age(now).as_secs()).unwrap();
        assert_eq!(age, case.current_age(), "seed {seed}: {case:?}");
        assert_eq!(policy.ttl(now), case.freshness_lifetime() - case.current_age(), "seed {seed}: {case:?}");
        let decision = policy.decide(&case.wishes(), now);
        assert_eq!(decision, case.decision(), "seed {seed}: {case:?}");
        assert_eq!(policy.may_stand_in(&case.wishes(), now, &knobs), case.stands_in(), "seed {seed}: {case:?}");
        *seen.entry(format!("{decision:?}")).or_default() += 1;
    }
    assert_eq!(seen.len(), 6, "each decision was met: {seen:?}");
    assert!(seen.values().all(|times| *times > 200), "{seen:?}");
}

/// A page that changes now and then, an origin that fails now and then, clients with wishes: whoever gets the page gets a
/// version that was current as recently as the response and the client allow.
#[test]
fn nobody_gets_a_version_older_than_allowed() {
    let knobs = Knobs { stale_if_error: secs(0), ..Knobs::default() };
    let mut from_store = 0;
    for seed in 0..150 {
        let mut rng = Rng::with_seed(seed);
        let mut world = World::of(knobs.clone());
        // When each version began.
        let mut versions = vec![0_u64];
        let mut now = 0;
        for _ in 0..120 {
            now += rng.u64(0..8);
            if rng.u8(0..5) == 0 {
                versions.push(now);
            }
            let (life, swr, sie) = (rng.u64(0..20), rng.u64(0..10), rng.u64(0..15));
            let (has_tag, fails) = (rng.bool(), rng.u8(0..10) == 0);
            let control = format!(
                "max-age={life}, stale-while-revalidate={swr}, stale-if-error={sie}, x-life={}",
                life + swr.max(sie)
            );
            let lines = vec![("cache-control", &*control.leak())];
            let max_stale = if rng.u8(0..6) == 0 { rng.u64(0..10) } else { 0 };
            let wish = if max_stale == 0 { "x".to_owned() } else { format!("max-stale={max_stale}") };
            let asked = request("GET", "/page", &[("cache-control", &*wish.leak())]);
            let got = world.exchange(&asked, at(now), &mut |asked| {
                if fails {
                    return None;
                }
                let tag: &'static str = format!("\"{}\"", versions.len()).leak();
                let mut lines = lines.clone();
                lines.extend(has_tag.then_some(("etag", tag)));
                lines.push(("date", date(i64::try_from(now).unwrap())));
                if asked.fields.get("if-none-match").is_some_and(|known| known == tag) {
                    lines.retain(|(name, _)| *name != "etag");
                    lines.push(("etag", tag));
                    return Some((response(304, &lines), Vec::new()));
                }
                Some((response(200, &lines), versions.len().to_string().into_bytes()))
            });
            if got.head.status == 502 {
                assert!(fails, "seed {seed}");
                continue;
            }
            let version: usize = String::from_utf8(got.body).unwrap().parse().unwrap();
            let superseded = versions.get(version).copied().unwrap_or(u64::MAX);
            let control = text(&got.head.fields, "cache-control").unwrap();
            let life: u64 = control.rsplit('=').next().unwrap().parse().unwrap();
            let fresh: u64 = control.split(['=', ',']).nth(1).unwrap().parse().unwrap();
            let allowed = life.max(fresh + max_stale + 1);
            assert!(
                superseded.saturating_add(allowed) >= now,
                "seed {seed}: at {now} version {version}, over at {superseded}, {control}"
            );
            if got.asked.is_empty() {
                from_store += 1;
            } else if !fails {
                assert_eq!(version, versions.len(), "seed {seed}: who was asked about is what is sent");
            }
        }
    }
    assert!(from_store > 3000, "{from_store}");
}

/// What a client may write to say the same; the model knows the number of the line only.
const SPELLINGS: [(&str, [[&str; 3]; 3]); 4] = [
    ("foo", [["1,2", "1, 2", " 1 ,2"], ["2, 1", "2,1", "2 , 1"], ["", "", ""]]),
    ("bar", [["a b", "a b", " a b "], ["a  b", "a  b", "a  b"], ["A b", "A b", "A b"]]),
    (
        "accept-language",
        [
            ["en, de", "de,EN", "de;q=1.0, en"],
            ["en;q=0.5, de", "de, en;q=0.50", "De,en ; q=0.5"],
            ["fr", "FR", "fr;q=1"],
        ],
    ),
    (
        "accept-encoding",
        [
            ["gzip, br", "br,gzip", "br, x-gzip"],
            ["gzip", "x-gzip", "GZIP;q=1.000"],
            ["br;q=0", "BR;q=0.0", "br;q=0.000"],
        ],
    ),
];

#[test]
fn variants_are_chosen_by_what_fields_mean() {
    let (mut hits, mut misses) = (0, 0);
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let mut world = World::of(Knobs { languages: false, ..Knobs::default() });
        let named: Vec<usize> = (0..SPELLINGS.len()).filter(|_| rng.bool()).collect();
        let vary: &'static str = named.iter().map(|at| SPELLINGS[*at].0).collect::<Vec<_>>().join(" , ").leak();
        let mut known: Vec<Vec<Option<usize>>> = Vec::new();
        for _ in 0..80 {
            let classes: Vec<Option<usize>> =
                SPELLINGS.iter().map(|_| (rng.u8(0..5) > 0).then(|| rng.usize(0..3))).collect();
            let mut lines = Vec::new();
            for ((name, spellings), class) in SPELLINGS.iter().zip(&classes) {
                lines.extend(class.map(|class| (*name, spellings[class][rng.usize(0..3)].trim())));
            }
            rng.shuffle(&mut lines);
            let counted: Vec<Option<usize>> = named.iter().map(|at| classes[*at]).collect();
            let truth = format!("{counted:?}");
            let got = world.exchange(&request("GET", "/a", &lines), at(1), &mut |_| {
                let lines = [("cache-control", "max-age=1000"), ("vary", vary)];
                Some((response(200, &lines), truth.clone().into_bytes()))
            });
            assert_eq!(String::from_utf8(got.body).unwrap(), truth, "seed {seed}: {vary}: {lines:?}");
            assert_eq!(got.asked.is_empty(), known.contains(&counted), "seed {seed}: {vary}: {lines:?}");
            if got.asked.is_empty() {
                hits += 1;
            } else {
                misses += 1;
                known.push(counted);
            }
        }
    }
    assert!(hits > 5000 && misses > 1000, "{hits} {misses}");
}

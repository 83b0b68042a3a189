//! Tests of who may be chosen: a table to read, every pair of members, and pools drawn at random.
//!
//! The model they are compared with follows httpd's own steps and lists, and is written to be seen to be right.

use fastrand::Rng;

use super::{Candidate, Condition, Rules, Standing, stand, takes_session};
use crate::clock::{Duration, Instant, now};
use crate::config::{Role, State};

const MILLIS: fn(u64) -> Duration = Duration::from_millis;

/// What can be the matter with a member, in the words of the table.
const TROUBLES: &[&str] = &[
    "fit",
    "error",
    "was-error",
    "ejected",
    "failed",
    "unproven",
    "failed-error",
    "disabled",
    "stopped",
    "draining",
    "draining-error",
    "draining-failed",
    "ignoring",
    "ignoring-error",
    "ignoring-ejected",
    "ignoring-failed",
];

#[test]
fn roles_states_sets_and_sessions() {
    // `active`, `spare` or `standby`, `/` and a set other than 0, `:` and what is the matter. Then, for each member,
    // whether it is a candidate, and whether it takes a session of its own.
    #[rustfmt::skip]
    let rows = [
        // Nothing is the matter.
        ("",                                                       "",       ""      ),
        ("active",                                                 "+",      "+"     ),
        ("active active active",                                   "+++",    "+++"   ),
        ("active spare standby",                                   "+--",    "+++"   ),
        ("active standby spare active/1",                          "+---",   "++++"  ),
        // One spare joins for each active member that is not usable, and in order.
        ("active active:error spare spare",                        "+-+-",   "+-++"  ),
        ("spare spare active active:failed",                       "+-+-",   "+++-"  ),
        ("active:error active:failed active spare spare",          "--+++",  "--+++" ),
        ("active:error active spare:error spare standby",          "-+-+-",  "-+-++" ),
        ("active:error spare:error spare:failed active",           "---+",   "---+"  ),
        ("active:disabled active spare",                           "-++",    "-++"   ),
        ("active:stopped active spare",                            "-++",    "-++"   ),
        ("active:ejected active spare",                            "-++",    "-++"   ),
        ("active:unproven active spare",                           "-++",    "-++"   ),
        ("active:was-error active spare",                          "++-",    "+++"   ),
        ("active:ignoring-error active spare",                     "++-",    "+++"   ),
        ("active:ignoring-ejected active spare",                   "++-",    "+++"   ),
        ("active:ignoring-failed active spare",                    "-++",    "-++"   ),
        // A draining member leaves a gap when it is an active one, and keeps its sessions while it is fit.
        ("active:draining active spare",                           "-++",    "+++"   ),
        ("active:draining-error active spare",                     "-++",    "-++"   ),
        ("active:draining-failed active spare",                    "-++",    "-++"   ),
        ("active spare:draining standby:draining",                 "+--",    "+++"   ),
        ("active:draining active:draining",                        "--",     "++"    ),
        // Standbys serve when nothing else does, all of them.
        ("active:error standby standby",                           "-++",    "-++"   ),
        ("active:error standby:failed standby",                    "--+",    "--+"   ),
        ("active:error spare standby",                             "-+-",    "-++"   ),
        ("active:error spare:error standby",                       "--+",    "--+"   ),
        ("active:draining standby",                                "-+",     "++"    ),
        ("standby standby",                                        "++",     "++"    ),
        // Spares take somebody's place: with nobody to replace, they do not serve.
        ("spare",                                                  "-",      "+"     ),
        ("spare standby",                                          "-+",     "++"    ),
        ("spare active/1",                                         "-+",     "++"    ),
        ("spare:draining spare standby",                           "--+",    "+++"   ),
        // The next set serves when this one has nobody, standbys included, whatever the order of writing.
        ("active/1 active",                                        "-+",     "++"    ),
        ("active:error active/1",                                  "-+",     "-+"    ),
        ("active:error standby active/1",                          "-+-",    "-++"   ),
        ("active:error spare active/1",                            "-+-",    "-++"   ),
        ("active:draining active/7 active/3",                      "--+",    "+++"   ),
        ("active:error active/3:error spare/3 standby/3 active/9", "--+--",  "--+++" ),
        ("active:error active/99 spare/99",                        "-+-",    "-++"   ),
        ("active active/1:error spare/1 standby/1",                "+---",   "+-++"  ),
        // A gap in one set lets no spare of another join.
        ("active:error active spare/1",                            "-+-",    "-++"   ),
        // Nobody.
        ("active:error spare:error standby:failed active/1:stopped", "----", "----"  ),
    ];
    let now = now();
    let rules = Rules { slow_start: Duration::ZERO, forced_recovery: false, panic_threshold: 0 };
    for (members, candidates, sessions) in rows {
        let pool: Vec<_> = members.split_whitespace().map(|member| written(member, now)).collect();
        let standing = stand(&pool, &rules, now);
        assert_eq!(marks(pool.len(), &positions(&standing)), candidates, "{members}: candidates");
        let takes: Vec<_> = (0..pool.len()).filter(|&position| takes_session(&pool[position], now)).collect();
        assert_eq!(marks(pool.len(), &takes), sessions, "{members}: own sessions");
    }
}

#[test]
fn recovery() {
    // Members, whether they recover when that is on. It never is a matter of members that may not serve anyway.
    for (members, recovers) in [
        ("", false),
        ("active", false),
        ("active:error", true),
        ("active:ejected", true),
        ("active:error active:error standby/1:error", true),
        ("active:error active", false),
        ("active:error standby", false),
        ("active:error active/1", false),
        // These would have httpd wait.
        ("active:error active:disabled", true),
        ("active:error active:failed", true),
        ("active:error active:stopped standby:draining", true),
        ("active:failed", false),
        ("active:unproven", false),
        ("active:failed-error", false),
        ("active:draining-error active:disabled active:ignoring-failed", false),
    ] {
        let now = now();
        let mut pool: Vec<_> = members.split_whitespace().map(|member| written(member, now)).collect();
        for forced_recovery in [true, false] {
            let rules = Rules { slow_start: Duration::ZERO, forced_recovery, panic_threshold: 0 };
            assert_eq!(stand(&pool, &rules, now).recovers, recovers && forced_recovery, "{members}");
        }
        let rules = Rules { slow_start: Duration::ZERO, forced_recovery: true, panic_threshold: 0 };
        pool.iter_mut().for_each(|member| (member.error_until, member.ejected_until) = (None, None));
        assert!(!stand(&pool, &rules, now).recovers, "{members}: once is enough");
    }
}

#[test]
fn panic_threshold() {
    for (members, threshold, expected) in [
        ("active active active:failed active:error", 50, None),
        ("active active active:failed active:error", 51, Some("++++")),
        ("active active active:failed active:error", 0, None),
        ("active:failed active:ejected", 1, Some("++")),
        ("active:failed active:error spare standby active/1:failed", 50, Some("++---")),
        // Who is disabled is neither fit nor unfit, and stays where it is; so does who has not been looked at yet.
        ("active active:disabled active:stopped active:draining active:failed", 50, None),
        ("active:failed active:disabled active:draining spare", 51, Some("+--+")),
        ("active:unproven active:unproven", 100, None),
        ("active:unproven active:failed", 50, Some("-+")),
        ("active:disabled", 100, None),
        ("", 100, None),
    ] {
        let now = now();
        let pool: Vec<_> = members.split_whitespace().map(|member| written(member, now)).collect();
        let rules = Rules { slow_start: Duration::ZERO, forced_recovery: true, panic_threshold: threshold };
        let standing = stand(&pool, &rules, now);
        assert_eq!(standing.is_panicking, expected.is_some(), "{members}, {threshold} %");
        if let Some(expected) = expected {
            assert_eq!(marks(pool.len(), &positions(&standing)), expected, "{members}, {threshold} %");
        }
    }
}

#[test]
fn every_pair_of_members() {
    let now = now();
    let one: Vec<String> = ["active", "spare", "standby"]
        .iter()
        .flat_map(|role| TROUBLES.iter().map(move |trouble| format!("{role}:{trouble}")))
        .collect();
    for first in &one {
        for second in &one {
            for (of_first, of_second) in [(0, 0), (0, 1), (5, 2)] {
                let pool = [
                    Condition { set: of_first, ..written(first, now) },
                    Condition { set: of_second, ..written(second, now) },
                ];
                agrees(&pool, now);
            }
        }
    }
}

#[test]
fn pools_at_random() {
    let now = now();
    let mut random = Rng::with_seed(2);
    for _ in 0..10_000 {
        let pool: Vec<_> = (0..random.usize(..=8)).map(|_| drawn(&mut random, now)).collect();
        agrees(&pool, now);
    }
}

/// Until then nothing changes, and then something does.
#[test]
fn standings_hold_until_they_say() {
    let begin = now() + Duration::from_secs(100);
    let mut random = Rng::with_seed(3);
    let (mut ends, mut steps) = (0, 0);
    for _ in 0..10_000 {
        let pool: Vec<_> = (0..random.usize(..=8)).map(|_| drawn(&mut random, begin)).collect();
        let rules = Rules {
            slow_start: MILLIS([0, 50, 1_000, 30_000][random.usize(..4)]),
            forced_recovery: random.bool(),
            panic_threshold: [0, 40, 100][random.usize(..3)],
        };
        let standing = stand(&pool, &rules, begin);
        let Some(until) = standing.until else {
            assert_eq!(stand(&pool, &rules, begin + Duration::from_secs(100_000)), standing, "{pool:?}");
            continue;
        };
        assert!(until > begin);
        let last = until - Duration::from_nanos(1);
        for instant in [last, begin + (last - begin).mul_f64(random.f64())] {
            assert_eq!(stand(&pool, &rules, instant), standing, "{pool:?} under {rules:?}");
        }
        let then = stand(&pool, &rules, until);
        let has_returned = pool.iter().any(|member| member.is_fit(until) && !member.is_fit(begin));
        assert!(has_returned || weights(&then) > weights(&standing), "{pool:?} under {rules:?}");
        ends += u32::from(has_returned);
        steps += u32::from(!has_returned);
    }
    assert!(ends > 1000 && steps > 300, "{ends} returned, {steps} grew");
}

/// An error that ends by itself, a slow start after it, an ejection that lasts longer than the error.
#[test]
fn the_way_back() {
    let begin = now();
    let at = |millis| begin + MILLIS(millis);
    let rules = Rules { slow_start: MILLIS(1_000), forced_recovery: false, panic_threshold: 0 };
    let fit = written("active", begin);
    let pool = [
        Condition { weight: 4, ..fit.clone() },
        Condition { error_until: Some(at(500)), ejected_until: Some(at(600)), ..fit },
    ];
    for (time, expected, until) in [
        (0, &[4000][..], Some(600)),
        (599, &[4000], Some(600)),
        (600, &[4000, 100], Some(700)),
        (700, &[4000, 190], Some(800)),
        (1_599, &[4000, 910], Some(1_600)),
        (1_600, &[4000, 1000], None),
    ] {
        let standing = stand(&pool, &rules, at(time));
        assert_eq!(weights(&standing), expected, "at {time} ms");
        assert_eq!(standing.until, until.map(at), "at {time} ms");
    }
}

/// Compares with the model, under several rules.
fn agrees(pool: &[Condition], now: Instant) {
    for panic_threshold in [0, 1, 50, 100] {
        for forced_recovery in [false, true] {
            let rules = Rules { slow_start: Duration::ZERO, forced_recovery, panic_threshold };
            let standing = stand(pool, &rules, now);
            let expected = model(pool, &rules, now);
            let found = (positions(&standing), standing.recovers, standing.is_panicking);
            assert_eq!(found, expected, "{pool:?} under {rules:?}");
            for &Candidate { position, weight } in &standing.candidates {
                assert_eq!(weight, pool[position].weight * 1000);
            }
        }
    }
}

/// httpd's `proxy_balancer_get_best_worker`, with our recovery and panic around it.
fn model(pool: &[Condition], rules: &Rules, now: Instant) -> (Vec<usize>, bool, bool) {
    let ahead = |instant: Option<Instant>| instant.is_some_and(|instant| instant > now);
    let serves = |member: &Condition| [State::Ok, State::IgnoreErrors].contains(&member.state);
    let is_out = |member: &Condition| {
        member.state != State::IgnoreErrors && (ahead(member.error_until) || ahead(member.ejected_until))
    };
    let fit = |member: &Condition| !member.has_failed_check && !member.is_unproven && !is_out(member);

    let known: Vec<_> = pool.iter().filter(|member| serves(member) && !member.is_unproven).collect();
    let fit_ones = known.iter().filter(|member| fit(member)).count();
    let percent = if known.is_empty() { 100.0 } else { 100.0 * fit_ones as f64 / known.len() as f64 };
    let panics = percent < f64::from(rules.panic_threshold);
    let usable = |member: &Condition| serves(member) && !member.is_unproven && (fit(member) || panics);

    let mut chosen = Vec::new();
    for set in 0..=99 {
        let (mut spares, mut standbys, mut unusable) = (Vec::new(), Vec::new(), 0);
        for (position, member) in pool.iter().enumerate().filter(|(_, member)| member.set == set) {
            if member.state == State::Draining {
                if member.role == Role::Active {
                    unusable += 1;
                }
                continue;
            }
            match (member.role, usable(member)) {
                (Role::Spare, true) => spares.push(position),
                (Role::Standby, true) => standbys.push(position),
                (Role::Active, true) => chosen.push(position),
                (Role::Active, false) => unusable += 1,
                (Role::Spare | Role::Standby, false) => {}
            }
        }
        chosen.extend(spares.iter().take(unusable));
        if chosen.is_empty() {
            chosen = standbys;
        }
        if !chosen.is_empty() {
            break;
        }
    }
    chosen.sort_unstable();
    let only_out = |member: &Condition| {
        member.state == State::Ok && is_out(member) && !member.has_failed_check && !member.is_unproven
    };
    let recovers = rules.forced_recovery && !panics && chosen.is_empty() && pool.iter().any(only_out);
    (chosen, recovers, panics)
}

/// A member in the words of the table.
fn written(member: &str, now: Instant) -> Condition {
    let (place, trouble) = member.split_once(':').unwrap_or((member, "fit"));
    let (role, set) = place.split_once('/').unwrap_or((place, "0"));
    assert!(TROUBLES.contains(&trouble), "{trouble}");
    let role = match role {
        "active" => Role::Active,
        "spare" => Role::Spare,
        "standby" => Role::Standby,
        other => panic!("{other} is no role"),
    };
    let words: Vec<_> = trouble.split('-').collect();
    let state = match words[0] {
        "disabled" => State::Disabled,
        "stopped" => State::Stopped,
        "draining" => State::Draining,
        "ignoring" => State::IgnoreErrors,
        _ => State::Ok,
    };
    let has = |word| words.contains(&word);
    let error_until = if has("was") { now } else { now + MILLIS(1) };
    Condition {
        role,
        set: set.parse().expect("a set"),
        state,
        weight: 1,
        error_until: has("error").then_some(error_until),
        has_failed_check: has("failed"),
        is_unproven: has("unproven"),
        ejected_until: has("ejected").then_some(now + MILLIS(1)),
        back_since: None,
    }
}

/// Any member, more often fit than not, with ends and beginnings around an instant.
fn drawn(random: &mut Rng, around: Instant) -> Condition {
    let mut instant = |chance: f64| {
        let instant = around - Duration::from_secs(40) + MILLIS(random.u64(..80_000));
        (random.f64() < chance).then_some(instant)
    };
    let (error_until, ejected_until, back_since) = (instant(0.5), instant(0.3), instant(0.3));
    Condition {
        role: [Role::Active, Role::Active, Role::Spare, Role::Standby][random.usize(..4)],
        set: [0, 0, 1, 99][random.usize(..4)],
        state: [State::Ok, State::Ok, State::Ok, State::Disabled, State::Stopped, State::Draining, State::IgnoreErrors]
            [random.usize(..7)],
        weight: random.u32(1..=1000),
        error_until,
        has_failed_check: random.f64() < 0.2,
        is_unproven: random.f64() < 0.1,
        ejected_until,
        back_since: back_since.filter(|&since| since <= around),
    }
}

fn positions(standing: &Standing) -> Vec<usize> {
    standing.candidates.iter().map(|candidate| candidate.position).collect()
}

fn weights(standing: &Standing) -> Vec<u32> {
    standing.candidates.iter().map(|candidate| candidate.weight).collect()
}

fn marks(members: usize, marked: &[usize]) -> String {
    (0..members).map(|position| if marked.contains(&position) { '+' } else { '-' }).collect()
}

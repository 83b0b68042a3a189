//! Tests of what members and pools share: over threads, over generations, and while somebody waits.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{path::Path, thread};

use super::*;
use crate::message::{Method, RequestHead, Scheme, host};

const LONG: Duration = Duration::from_secs(20);

fn plan(pool: &str) -> config::Pool {
    let text = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\n[pool.app]\n{pool}\n[site.all]\nhost = \"a.example\"\n\
         [[site.all.route]]\npool = \"app\"\n"
    );
    config::parse(&text, "weir.toml", Path::new("")).unwrap().pools.remove(0)
}

fn pool(text: &str, registry: &Registry) -> Arc<Pool> {
    Pool::of(&plan(text), registry)
}

fn facts() -> Facts {
    let authority = host::parse(b"a.example").unwrap();
    Facts::of(1, None, RequestHead::of(Method::GET, Scheme::Http, authority, "/".parse().unwrap()))
}

fn members(pool: &Pool) -> Vec<Arc<Member>> {
    pool.standing.load().roster.members.iter().map(|enlisted| enlisted.member.clone()).collect()
}

fn found(address: &str, priority: u16) -> Found {
    Found { address: address.parse().unwrap(), target: "t".into(), priority, weight: 1 }
}

const TWO: &str = "member = [\"http://127.0.0.1:1\", \"http://127.0.0.1:2\"]";

/// Three threads want one place: never is a second one taken, not even for a moment.
#[test]
fn places_are_exact_over_threads() {
    let pool = pool(TWO, &Registry::default());
    let member = &members(&pool)[0];
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..100_000 {
                    if member.enter(1) {
                        member.leave();
                    }
                }
                is_over.store(true, Ordering::Relaxed);
            });
        }
        while !is_over.load(Ordering::Relaxed) {
            assert!(member.in_flight() <= 1);
        }
    });
    assert_eq!(member.in_flight(), 0);
}

/// Two threads that each find another member bad: one of two is out, never both.
#[test]
fn the_share_of_ejected_members_holds_over_threads() {
    for _ in 0..2000 {
        let pool = pool(TWO, &Registry::default());
        let (members, start, now) = (members(&pool), Barrier::new(2), clock::now());
        thread::scope(|scope| {
            for member in &members {
                scope.spawn(|| {
                    start.wait();
                    pool.eject(member, now, "test");
                });
            }
        });
        assert_eq!(members.iter().filter(|member| member.is_ejected(now)).count(), 1);
    }
}

/// A check that fails while an error lasts keeps the member out when the error is over.
#[test]
fn checks_count_while_a_member_is_in_error() {
    let pool = pool(TWO, &Registry::default());
    let (member, now) = (&members(&pool)[0], clock::now());
    member.fail_for(Duration::from_secs(60), now);
    (0..3).for_each(|_| member.checked(false, 2, 3, now));
    let later = now + Duration::from_secs(61);
    assert!(member.condition(&pool.plan.members[0], later).has_failed_check);
    (0..2).for_each(|_| member.checked(true, 2, 3, later));
    assert!(!member.condition(&pool.plan.members[0], later).has_failed_check);
}

/// An ejection that was forgotten does not shorten the next one.
#[test]
fn forced_recovery_forgets_the_whole_ejection() {
    let pool = pool(TWO, &Registry::default());
    let (member, rules, now) = (&members(&pool)[0], &pool.plan.outlier, clock::now());
    member.eject(rules, now, "test");
    member.recover(now);
    assert!(!member.is_ejected(now));
    let again = now + rules.base_ejection - Duration::from_millis(1);
    member.eject(rules, again, "test");
    assert!(member.is_ejected(again + rules.base_ejection));
}

#[test]
fn all_in_error_are_forgiven_at_once() {
    let pool = pool(TWO, &Registry::default());
    let (facts, now) = (facts(), clock::now());
    members(&pool).iter().for_each(|member| member.fail_for(Duration::from_secs(60), now));
    assert!(pool.lease(&Ask { facts: &facts, tried: &[], now }).is_ok());
    assert!(members(&pool).iter().all(|member| !member.is_in_error(now)));
}

#[test]
fn what_members_carry_outlives_a_generation() {
    let registry = Registry::default();
    let before = pool(TWO, &registry);
    let (facts, now) = (facts(), clock::now());
    let lease = before.lease(&Ask { facts: &facts, tried: &[], now }).ok().unwrap();
    let after = pool(&format!("{TWO}\nmax-requests = 1\nretry = \"1s\""), &registry);
    assert!(members(&before).iter().zip(members(&after)).all(|(before, after)| Arc::ptr_eq(before, &after)));
    let other = after.lease(&Ask { facts: &facts, tried: &[], now }).ok().unwrap();
    assert!(!Arc::ptr_eq(lease.member(), other.member()));
    assert_eq!(after.lease(&Ask { facts: &facts, tried: &[], now }).err(), Some(Refusal::Full));
    drop(lease);
    assert!(after.lease(&Ask { facts: &facts, tried: &[], now }).is_ok());
}

/// A generation begins with what names were found to be, as long as they are the same names.
#[test]
fn what_a_name_was_is_not_what_another_is() {
    let registry = Registry::default();
    let of = |url: &str| format!("member = [{{ name = \"app\", url = \"{url}\" }}]");
    let first = pool(&of("srv://_a._tcp.b.example"), &registry);
    assert!(members(&first).is_empty());
    first.found(0, &[found("127.0.0.1:1", 9), found("127.0.0.1:2", 3)], clock::now());
    let standing = first.standing.load();
    let sets: Vec<_> =
        standing.roster.members.iter().map(|enlisted| (&*enlisted.plan.name, enlisted.plan.set)).collect();
    assert_eq!(sets, [("app#127.0.0.1:1", 1), ("app#127.0.0.1:2", 0)]);
    assert_eq!(members(&pool(&of("srv://_a._tcp.b.example"), &registry)).len(), 2);
    assert!(members(&pool(&of("srv://_c._tcp.b.example"), &registry)).is_empty());
}

/// The end of an error is told to nobody: who waits has to hear of it all the same.
#[tokio::test]
async fn who_waits_gets_a_member_whose_error_is_over() {
    let text = format!("{TWO}\nmax-requests = 1\nqueue = {{ length = 9, timeout = \"60s\" }}");
    let pool = pool(&text, &Registry::default());
    let facts = facts();
    let ask = Ask { facts: &facts, tried: &[], now: clock::now() };
    members(&pool)[0].fail_for(Duration::from_millis(30), clock::now());
    let _busy = pool.lease(&ask).ok().unwrap();
    let tend = async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            pool.tend(clock::now());
        }
    };
    let waiting = tokio::time::timeout(Duration::from_secs(5), pool.wait(&ask, LONG));
    let leased = tokio::select! { leased = waiting => leased, () = tend => unreachable!() };
    assert_eq!(leased.expect("nobody called it").ok().unwrap().member().name, members(&pool)[0].name);
}

/// Its own sessions come back to a draining member when its error is over.
#[test]
fn a_draining_member_takes_its_sessions_again_after_an_error() {
    let text = "member = [{ url = \"http://127.0.0.1:1\", state = \"draining\" }, \"http://127.0.0.1:2\"]";
    let pool = pool(text, &Registry::default());
    let (facts, now) = (facts(), clock::now());
    let takes = |now| pool.standing(&Ask { facts: &facts, tried: &[], now }).takes_session(0);
    members(&pool)[0].fail_for(Duration::from_secs(60), now);
    assert!(!takes(now));
    assert!(takes(now + Duration::from_secs(61)));
}

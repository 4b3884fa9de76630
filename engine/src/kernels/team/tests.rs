//! Every part once, whoever does it, whatever happens in it.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::kernels::Isa;

fn team(threads: usize) -> Team {
    Team::start(threads, Cpu::new(Isa::Portable).expect("portable")).expect("threads")
}

fn check_parts(team: &Team, parts: usize) {
    let counts: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
    team.run(parts, &|part| {
        counts[part].fetch_add(1, Ordering::Relaxed);
    });
    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{} threads, {parts} parts", team.threads());
}

/// More threads than processors too, and jobs so short that workers come late to most of them.
#[test]
fn every_part_is_done_once() {
    for threads in [1, 2, 3, 16] {
        let team = team(threads);
        assert_eq!(team.threads(), threads);
        for round in 0..2000 {
            check_parts(&team, round % 7);
        }
        check_parts(&team, 1000);
    }
}

#[test]
fn sleepers_are_woken() {
    let team = team(3);
    for _ in 0..20 {
        while !team.workers.iter().all(|worker| worker.asleep.load(Ordering::SeqCst)) {
            std::thread::yield_now();
        }
        // All three have to come: each part waits for the others.
        let arrived = AtomicUsize::new(0);
        team.run(3, &|_| {
            arrived.fetch_add(1, Ordering::SeqCst);
            while arrived.load(Ordering::SeqCst) < 3 {
                std::thread::yield_now();
            }
        });
    }
}

#[test]
fn callers_take_turns() {
    let team = team(2);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|_| check_parts(&team, 5)));
        }
    });
}

#[test]
fn a_part_may_ask_the_team() {
    let team = team(2);
    let done = AtomicUsize::new(0);
    team.run(4, &|_| {
        team.run(3, &|_| {
            done.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert_eq!(done.load(Ordering::Relaxed), 12);
}

#[test]
fn a_panic_is_raised_after_the_other_parts() {
    for threads in [2, 3] {
        let team = team(threads);
        for bad in 0..6 {
            let done = AtomicUsize::new(0);
            let raised = catch_unwind(AssertUnwindSafe(|| {
                team.run(6, &|part| {
                    assert_ne!(part, bad, "a planted panic");
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }));
            assert!(raised.is_err());
            assert_eq!(done.load(Ordering::Relaxed), 5);
            check_parts(&team, 6);
        }
    }
}

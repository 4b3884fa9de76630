use super::*;
use crate::decoder::PAGE_TOKENS;

fn schedule(pages: usize, batch_tokens_max: usize) -> Schedule {
    Schedule::new("model".to_owned(), pages, Limits { batch_tokens_max, sequences_max: 4 })
}

fn answer(tokens: std::ops::Range<u32>) -> Plan {
    let mut plan = Plan::default();
    plan.segment(vec![], 0, tokens.collect());
    plan.want_last(1);
    plan.grows = true;
    plan
}

/// Parts of the next step as (request, start, count), and the step done.
fn step(schedule: &mut Schedule) -> Vec<(u64, usize, usize)> {
    let Some(step) = schedule.next_step() else { return Vec::new() };
    schedule.finish(&step);
    schedule.pool().check();
    step.parts.iter().map(|part| (part.job.0, part.start, part.count)).collect()
}

#[test]
fn answers_come_before_prompts_and_prompts_fill_the_rest() {
    let mut schedule = schedule(20, 8);
    let first = schedule.submit(answer(0..8), None);
    assert_eq!(step(&mut schedule), [(0, 0, 8)]);
    schedule.grow(first, 50);
    schedule.submit(answer(100..120), None);
    schedule.submit(answer(200..220), None);
    assert_eq!(step(&mut schedule), [(0, 8, 1), (1, 0, 7)]);
    schedule.grow(first, 51);
    assert_eq!(step(&mut schedule), [(0, 9, 1), (1, 7, 7)]);
    assert_eq!(step(&mut schedule), [(1, 14, 6), (2, 0, 2)], "an answer that has not grown takes no row");
}

#[test]
fn nobody_overtakes_one_that_waits_for_pages() {
    let mut schedule = schedule(4, 1000);
    let first = schedule.submit(answer(0..96), None);
    assert_eq!(step(&mut schedule), [(0, 0, 96)]);
    let second = schedule.submit(answer(100..164), None);
    let third = schedule.submit(answer(200..210), None);
    assert_eq!(step(&mut schedule), []);
    assert!(schedule.is_waiting(second) && schedule.is_waiting(third));
    schedule.remove(first);
    assert_eq!(step(&mut schedule), [(1, 0, 64), (2, 0, 10)]);
}

#[test]
fn no_more_run_than_may() {
    let mut schedule = Schedule::new("model".to_owned(), 100, Limits { batch_tokens_max: 1000, sequences_max: 2 });
    for start in 0..3 {
        schedule.submit(answer(start * 100..start * 100 + 10), None);
    }
    assert_eq!(step(&mut schedule), [(0, 0, 10), (1, 0, 10)]);
    assert!(schedule.is_waiting(JobId(2)) && !schedule.is_waiting(JobId(1)));
}

#[test]
fn the_youngest_gives_its_pages_to_the_oldest() {
    let mut schedule = schedule(3, 1000);
    let old = schedule.submit(answer(0..PAGE_TOKENS as u32), None);
    let young = schedule.submit(answer(100..150), None);
    assert_eq!(step(&mut schedule), [(0, 0, 32), (1, 0, 50)]);
    schedule.grow(old, 7);
    schedule.grow(young, 8);
    assert_eq!(step(&mut schedule), [(0, 32, 1)], "the young one's two pages are one too many now");
    assert_eq!((schedule.preemptions(), schedule.is_waiting(young)), (1, false));
    schedule.remove(old);
    assert_eq!(step(&mut schedule), [(1, 32, 19)], "its full page was still there");
}

#[test]
fn a_page_whose_beginning_alone_is_of_use_is_copied() {
    let mut schedule = schedule(8, 1000);
    let first = schedule.submit(answer(0..64), None);
    step(&mut schedule);
    schedule.remove(first);
    let second = schedule.submit(answer(0..64), None);
    let next = schedule.next_step().expect("a step");
    assert_eq!(next.parts.iter().map(|part| (part.start, part.count)).collect::<Vec<_>>(), [(63, 1)]);
    let [copy] = next.copies.as_slice() else { panic!("{:?}", next.copies) };
    let own = schedule.segments(&next.parts[0])[0];
    assert_eq!((copy.tokens, own.pages[1], own.tokens), (31, copy.to, 63));
    assert_ne!(copy.from, copy.to);
    assert_eq!(schedule.cached_tokens(second), 63);
}

#[test]
fn a_request_that_outgrows_the_first_window_begins_anew() {
    let mut schedule = schedule(8, 1000);
    let id = schedule.submit(Plan { stretches_after: Some(40), ..answer(0..39) }, None);
    assert_eq!(step(&mut schedule), [(0, 0, 39)]);
    schedule.grow(id, 7);
    assert_eq!(step(&mut schedule), [(0, 39, 1)], "40 tokens are in the first window");
    schedule.grow(id, 8);
    let next = schedule.next_step().expect("a step");
    assert_eq!(next.parts.iter().map(|part| (part.start, part.count)).collect::<Vec<_>>(), [(0, 41)], "nothing cached is of use");
    assert!(schedule.is_stretched(&next.parts[0]) && schedule.preemptions() == 1);
    schedule.finish(&next);
    schedule.grow(id, 9);
    assert_eq!(step(&mut schedule), [(0, 41, 1)]);
    // Another one of its first tokens finds what was cached, each kind its own.
    schedule.remove(id);
    let short = schedule.submit(Plan { stretches_after: Some(40), ..answer(0..36) }, None);
    assert_eq!(step(&mut schedule), [(1, 32, 4)]);
    schedule.remove(short);
    let mut long = Plan { stretches_after: Some(40), ..answer(0..50) };
    long.stretch();
    schedule.submit(long, None);
    assert_eq!(step(&mut schedule), [(2, 32, 18)]);
}

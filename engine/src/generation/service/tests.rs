use super::*;
use crate::GenerationEvent;
use crate::generation::core::tests::{oracle, plain, said, submission};
use crate::generation::schedule::Limits;
use crate::generation::toy::Toy;

fn service(pages: usize) -> (Service<Toy>, Arc<Counters>) {
    let counters = Arc::<Counters>::default();
    let schedule = Schedule::new("toy".to_owned(), pages, Limits { batch_tokens_max: 32, sequences_max: 4 });
    (Service::start(Toy::new(pages), schedule, counters.clone()).expect("a thread"), counters)
}

#[test]
fn answers_come_from_the_thread() {
    let (service, counters) = service(40);
    let asks = [plain(0..50, 20), plain(30..100, 20), plain(0..80, 9)];
    let heard: Vec<_> = asks
        .iter()
        .map(|ask| {
            let (submission, heard) = submission(ask);
            service.submit(submission).expect("accepted");
            heard
        })
        .collect();
    for (ask, heard) in asks.iter().zip(heard) {
        while !heard.is_closed() {
            std::thread::yield_now();
        }
        assert_eq!(said(heard).0, oracle(ask));
    }
    let passes = service.with(|toy| toy.passes.len()).expect("between two passes");
    assert_eq!(counters.read().steps, passes as u64);
}

#[test]
fn closing_fails_what_is_running() {
    let (service, _) = service(400);
    let heard: Vec<_> = (0..8)
        .map(|_| {
            let (submission, heard) = submission(&plain(0..100, 9000));
            service.submit(submission).expect("accepted");
            heard
        })
        .collect();
    drop(service);
    for mut heard in heard {
        let last = std::iter::from_fn(|| heard.try_recv().ok()).last();
        let ended = matches!(&last, Some(GenerationEvent::End(_)));
        assert!(ended || matches!(&last, Some(GenerationEvent::Failed(error)) if error.to_string().contains("closed")), "{last:?}");
    }
}

#[test]
fn a_change_that_panics_is_an_error_and_no_more() {
    let (service, _) = service(4);
    let failed = service.with(|_: &mut Toy| panic!("a planted panic"));
    assert!(matches!(failed, Err(EngineError::Library { operation: "changing the model", .. })), "{failed:?}");
    assert_eq!(service.with(|toy| toy.passes.len()).expect("it goes on"), 0);
}

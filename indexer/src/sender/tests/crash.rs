//! A crash at every moment: the process ends while a request to the node is under way, before or
//! after the node carried it out. Whatever the moment, the restarted sender makes the same of it.

use super::*;

/// What the caller does after the restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// Looks at the chain, and asks again if the effect is not there.
    AsksAgain,
    /// Is gone for good.
    Gone,
}

/// As [`stored_in`]; on a busy machine what the dead process held may be held for a moment yet.
fn kept_in(folder: &Path) -> SenderConfig {
    SenderConfig { lock_timeout_ms: 10_000, ..stored_in(folder) }
}

/// Crashes at the `number`-th request; `false` when there are not that many.
async fn crash_at(number: usize, fault: Fault, automine: bool, caller: Caller) -> bool {
    let chain = Chain::start(key().address()).await;
    let folder = tempfile::tempdir().unwrap();
    chain.state().automine = automine;
    chain.state().fault_at = Some((number, fault.clone()));
    let case = format!("request {number}, {fault:?}, automine {automine}, {caller:?}");

    let first_life = async {
        let sender = sender(&chain, kept_in(folder.path())).await;
        sender.do_it(1).await.unwrap();
        finish(&chain, &sender).await;
    };
    let death = async {
        while !chain.state().hanging {
            if !automine {
                chain.state().mine(1);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let crashed = tokio::select! {
        () = first_life => false,
        () = death => true,
    };
    let signed = std::fs::read_dir(folder.path())
        .unwrap()
        .any(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap().contains("\"signed\""));
    chain.state().fault_at = None;
    chain.state().automine = true;

    let sender = super::sender(&chain, kept_in(folder.path())).await;
    if caller == Caller::AsksAgain {
        // As the reconcilers do: another transaction may come first.
        match sender.do_it(1).await {
            Ok(_) | Err(IndexerError::Reverted { .. }) => {}
            Err(error) => panic!("{case}: {error}"),
        }
        sender.do_it(2).await.unwrap();
    }
    finish(&chain, &sender).await;
    let effects = chain.state().effects();
    let expected = match caller {
        Caller::AsksAgain => vec![calldata(1), calldata(2)],
        Caller::Gone if signed || !effects.is_empty() => vec![calldata(1)],
        Caller::Gone => Vec::new(),
    };
    assert_eq!(effects, expected, "{case}");
    let nonces = chain.state().nonces();
    assert_eq!(nonces, (0..nonces.len() as u64).collect::<Vec<_>>(), "{case}");
    assert_eq!(nonces.len(), expected.len(), "{case}: a nonce was wasted, or used twice");
    crashed
}

#[tokio::test]
async fn crashes_at_every_request_leave_one_transaction() {
    let mut moments = 0;
    for caller in [Caller::AsksAgain, Caller::Gone] {
        for automine in [true, false] {
            for fault in [Fault::HangBefore, Fault::HangAfter] {
                let mut number = 1;
                while number < 60 && crash_at(number, fault.clone(), automine, caller).await {
                    number += 1;
                    moments += 1;
                }
                assert!(number > 12, "only {number} requests: the test does not see them");
            }
        }
    }
    assert!(moments > 100, "{moments}");
}

/// The same for a transaction that has to be replaced before it is taken.
#[tokio::test]
async fn crashes_while_replacing_leave_one_transaction() {
    for number in 10..60 {
        for fault in [Fault::HangBefore, Fault::HangAfter] {
            let chain = Chain::start(key().address()).await;
            let folder = tempfile::tempdir().unwrap();
            (chain.state().automine, chain.state().starve) = (false, true);
            let config = SenderConfig { replace_after_blocks: 1, ..kept_in(folder.path()) };
            chain.state().fault_at = Some((number, fault));
            let first_life = async { sender(&chain, config.clone()).await.do_it(1).await };
            let death = async {
                while !chain.state().hanging {
                    chain.state().mine(1);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                done = first_life => panic!("starved, yet {done:?}"),
                () = death => {}
            }
            chain.state().starve = false;
            let sender = super::sender(&chain, config).await;
            chain.state().automine = true;
            chain.state().mine(1);
            match sender.do_it(1).await {
                Ok(_) | Err(IndexerError::Reverted { .. }) => {}
                Err(error) => panic!("request {number}: {error}"),
            }
            finish(&chain, &sender).await;
            assert_eq!(chain.state().story(), (vec![calldata(1)], vec![0]), "request {number}");
        }
    }
}

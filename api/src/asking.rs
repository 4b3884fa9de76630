//! Asking, whatever the transport: what a caller pays for an answer, and answers under way.
//!
//! A caller that goes away ends an answer under way, and pays nothing; unless somebody pays for it and its first words were told:
//! then it is finished, charged, and there for a retry. Also when the service stops: it waits for those.

use std::sync::Arc;

use ingest::IngestError;
use rag::{Answer, Answerer, AskRequest, GenerationSettings, Progress, RagError};
use schemas::ids::AnswerId;
use schemas::receipt::Filter;
use schemas::tables::{CuratorRow, DatanetRow, Wei};
use schemas::{B256, U256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::auth::Caller;
use crate::credit::{Refusal, Reservation};
use crate::service::Service;

/// What is asked, by whomever.
#[derive(Debug, Clone)]
pub struct Question {
    pub datanet: DatanetRow,
    /// The newest where absent.
    pub version: Option<u64>,
    /// What the caller said before it, oldest first.
    pub earlier: Vec<String>,
    pub text: String,
    /// The members that may answer; all where absent.
    pub filter: Option<Filter>,
    /// With the caller's key the identity of the request: sent again it gives the stored answer.
    pub request_id: String,
    pub answerer: Answerer,
    pub generation: GenerationSettings,
}

/// Why nothing is answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// An answer under way. Dropping it ends what nobody owes anything for.
#[derive(Debug)]
pub struct Asking {
    pub id: AnswerId,
    pieces: mpsc::UnboundedReceiver<Progress>,
    answer: JoinHandle<Result<Answer, RagError>>,
    ended: Option<Box<Result<Answer, RagError>>>,
    is_paid: bool,
    is_told: bool,
}

#[derive(Debug)]
pub enum Heard {
    Progress(Progress),
    /// The last.
    Ended(Box<Result<Answer, RagError>>),
}

impl Service {
    /// The Datanet of a name or an id, read again when there is another one or a curator is changed.
    ///
    /// # Errors
    /// [`IngestError::NotFound`], which names those that there are.
    pub async fn datanet(&self, name_or_id: &str) -> Result<DatanetRow, IngestError> {
        let mark = [self.store.version::<DatanetRow>()?, self.store.version::<CuratorRow>()?];
        self.datanets.get(mark, name_or_id.to_owned(), async || self.ingest.datanet(name_or_id).await).await
    }

    /// Holds what the answer costs the caller's payer, and begins it.
    ///
    /// # Errors
    /// [`AskError::Refused`] where the payer has no credit for it.
    pub async fn ask(self: &Arc<Self>, caller: &Caller, question: Question) -> Result<Asking, AskError> {
        let Question { datanet, version, earlier, text, filter, request_id, answerer, generation } = question;
        let id = schemas::hashing::answer_id(&caller.key_id, &request_id);
        let (fee_wei, held) = self.price(caller, id).await?;
        let request = AskRequest {
            datanet,
            version,
            earlier,
            question: text,
            filter,
            salt: B256::from(rand::random::<[u8; 32]>()),
            request_id,
            key_id: caller.key_id.clone(),
            payer: caller.payer,
            fee_wei,
            answerer,
            generation,
        };
        let service = self.clone();
        let is_paid = held.is_some();
        let answering = |teller: mpsc::UnboundedSender<Progress>| async move {
            // held until the receipt says that it is owed, also where the caller goes away while that is written
            service.rag.ask_holding(request, Box::new(held), &mut |progress| drop(teller.send(progress))).await
        };
        Ok(Asking::start(&self.answers, id, is_paid, answering))
    }

    /// The fee, held while the answer is made. Keys without a payer ask for free, and so does who asks for an answer again that
    /// there is already.
    async fn price(&self, caller: &Caller, answer: AnswerId) -> Result<(Wei, Option<Reservation>), AskError> {
        let Some(payer) = caller.payer else { return Ok((Wei(0), None)) };
        if !self.knows_the_chain().await {
            return Err(Refusal::Starting { payer }.into());
        }
        let price = Wei(self.price_wei);
        match self.credit.reserve(&self.rag, payer, answer, U256::from(self.price_wei)).await? {
            Ok(held) => Ok((price, Some(held))),
            Err(_) if self.rag.receipt(answer).await.is_ok() => Ok((price, None)),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

impl Asking {
    /// What is told meanwhile waits here: at most the tokens of one answer.
    fn start<F>(answers: &TaskTracker, id: AnswerId, is_paid: bool, answering: impl FnOnce(mpsc::UnboundedSender<Progress>) -> F) -> Self
    where
        F: Future<Output = Result<Answer, RagError>> + Send + 'static,
    {
        let (teller, pieces) = mpsc::unbounded_channel();
        let answer = answers.spawn(answering(teller));
        Self { id, pieces, answer, ended: None, is_paid, is_told: false }
    }

    /// What comes next; after [`Heard::Ended`] there is nothing more to ask for.
    pub async fn next(&mut self) -> Heard {
        loop {
            if let Some(answer) = self.ended.take() {
                // words told before the end come before it
                return match self.pieces.try_recv() {
                    Ok(progress) => {
                        self.ended = Some(answer);
                        Heard::Progress(progress)
                    }
                    Err(_) => Heard::Ended(answer),
                };
            }
            tokio::select! {
                biased;
                Some(progress) = self.pieces.recv() => return Heard::Progress(progress),
                answer = &mut self.answer => {
                    self.ended = Some(Box::new(answer.unwrap_or_else(|error| Err(RagError::Worker(error.to_string())))));
                }
            }
        }
    }

    /// Words of the answer go to the caller.
    pub fn told(&mut self) {
        self.is_told = true;
    }
}

impl Drop for Asking {
    /// Who could read an answer and hang up before its end would read for nothing.
    fn drop(&mut self) {
        if !(self.is_paid && self.is_told) {
            self.answer.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    /// Whether an answer is finished whose caller hangs up and whose service stops then.
    async fn finishes(is_paid: bool, is_told: bool) -> bool {
        let (answers, finished) = (TaskTracker::new(), Arc::new(AtomicBool::new(false)));
        let (go_on, going) = oneshot::channel::<()>();
        let done = finished.clone();
        let answering = |teller: mpsc::UnboundedSender<Progress>| async move {
            drop(teller.send(Progress::Piece { text: "word".into(), tokens: Vec::new() }));
            going.await.map_err(|error| RagError::Worker(error.to_string()))?;
            done.store(true, Ordering::SeqCst);
            Err(RagError::Worker("the answer itself does not matter here".into()))
        };
        let mut asking = Asking::start(&answers, B256::ZERO.into(), is_paid, answering);
        assert!(matches!(asking.next().await, Heard::Progress(Progress::Piece { .. })));
        if is_told {
            asking.told();
        }
        drop(asking);
        answers.close();
        tokio::task::yield_now().await;
        let _told_or_gone = go_on.send(());
        answers.wait().await;
        finished.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn what_is_paid_and_told_is_finished_before_the_service_ends() {
        assert!(finishes(true, true).await);
        for (is_paid, is_told) in [(true, false), (false, true), (false, false)] {
            assert!(!finishes(is_paid, is_told).await, "nobody owes anything for it");
        }
    }
}

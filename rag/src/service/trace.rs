//! Tracing texts in what is published.

use std::sync::Arc;

use schemas::ids::{DatanetId, DocumentId};

use super::Rag;
use crate::trace::{Query, SPANS_LEAST, SPANS_MAX, Trace, TraceRequest, trace};
use crate::{RagError, Result, blocking};

impl Rag {
    /// The verbatim spans of a text in versions of Datanets, each by itself, the newest where none is named. What a version is traced
    /// by is built when it is first traced in, which can take longer than a caller waits: it is there for a later call.
    ///
    /// `along` is kept as long as something is being built.
    ///
    /// # Errors
    /// [`RagError::Parameter`] for the text and the numbers; [`RagError::NothingPublished`], [`RagError::NotFound`] for a version,
    /// [`RagError::Busy`], [`RagError::CorruptVersion`], or what failed underneath.
    pub async fn trace(
        &self,
        request: TraceRequest,
        of: &[(DatanetId, Option<u64>)],
        along: impl Send + Sync + 'static,
    ) -> Result<Vec<Trace>> {
        let along = Arc::new((self.traces.admit()?, along));
        let max_bytes = self.config.trace_max_bytes;
        let TraceRequest { text, at_least, density_ppm } = request;
        let query = Arc::new(blocking(move || Query::read(&text, at_least, density_ppm, max_bytes)).await?);
        let spans_max = (SPANS_MAX / of.len().max(1)).max(SPANS_LEAST);
        let mut found = Vec::with_capacity(of.len());
        for (datanet, version) in of {
            let row = self.version_row(*datanet, *version).await?;
            let opened = self.traces.opened(&row, along.clone()).await?;
            let _computing = self.traces.computing().await?;
            let traced = trace(&opened, &query, spans_max).await;
            if matches!(traced, Err(RagError::Worker(_))) {
                self.traces.forget(&row);
            }
            found.push(traced?);
        }
        self.name_files(&mut found).await?;
        Ok(found)
    }

    /// The newest published version of a Datanet, where there is one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn newest_version(&self, datanet: DatanetId) -> Result<Option<u64>> {
        match self.version_row(datanet, None).await {
            Ok(row) => Ok(Some(row.version)),
            Err(RagError::NothingPublished(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn name_files(&self, traces: &mut [Trace]) -> Result<()> {
        let told = || traces.iter().flat_map(|trace| &trace.spans).flat_map(|span| &span.documents);
        let mut documents: Vec<DocumentId> = told().map(|document| document.document_id).collect();
        documents.sort_unstable();
        documents.dedup();
        let names = self.file_names(&documents).await?;
        for document in traces.iter_mut().flat_map(|trace| &mut trace.spans).flat_map(|span| &mut span.documents) {
            document.file_name = names.get(&document.document_id).cloned();
        }
        Ok(())
    }
}

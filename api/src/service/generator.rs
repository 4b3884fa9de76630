//! The model that writes answers, as the configuration names it.

use std::sync::Arc;

use anyhow::Context;
use engine::{Generator, GeneratorCounters, GeneratorOptions, LocalGenerator, RemoteGenerator, RemoteOptions};

use crate::config::{Answers, Config};

/// Who writes answers.
#[derive(Debug, Clone)]
pub enum Writer {
    Local(Arc<LocalGenerator>),
    Remote(Arc<RemoteGenerator>),
}

impl Writer {
    pub(crate) fn generator(&self) -> Arc<dyn Generator> {
        match self {
            Self::Local(generator) => generator.clone(),
            Self::Remote(generator) => generator.clone(),
        }
    }

    /// What a model on this machine is doing.
    pub(crate) fn counters(&self) -> Option<GeneratorCounters> {
        match self {
            Self::Local(generator) => Some(generator.counters()),
            Self::Remote(_) => None,
        }
    }
}

/// None where answers are quoted.
pub(crate) async fn load(config: &Config, progress: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Option<Writer>> {
    match config.generator.answers(&config.models_dir())? {
        Answers::Quoted => Ok(None),
        Answers::Remote(address) => Ok(Some(Writer::Remote(Arc::new(RemoteGenerator::new(remote_options(config, address)?)?)))),
        Answers::Local(path) => {
            progress("loading the model that answers");
            let (shown, options) = (path.clone(), local_options(config));
            let opened = tokio::task::spawn_blocking(move || LocalGenerator::open(&path, &options)).await.context("loading the model")?;
            let generator = Arc::new(opened.with_context(|| format!("generator.model: {} cannot be run", shown.display()))?);
            load_adapters(&generator, config, progress).await?;
            Ok(Some(Writer::Local(generator)))
        }
    }
}

async fn load_adapters(generator: &Arc<LocalGenerator>, config: &Config, progress: &(dyn Fn(&str) + Sync)) -> anyhow::Result<()> {
    for (name, path) in &config.generator.adapters {
        progress(&format!("loading the adapter {name}"));
        let (generator, adapter, folder) = (generator.clone(), name.clone(), path.clone());
        let loaded = tokio::task::spawn_blocking(move || generator.load_adapter(&adapter, &folder)).await.context("loading an adapter")?;
        loaded.with_context(|| format!("generator.adapters.{name}: {} cannot be used", path.display()))?;
    }
    Ok(())
}

fn local_options(config: &Config) -> GeneratorOptions {
    let section = &config.generator;
    GeneratorOptions {
        precision: section.precision.into(),
        threads: Some(section.threads).filter(|threads| *threads > 0),
        cache_bytes: section.cache_mib.saturating_mul(1 << 20),
        queue_max: section.queue_max,
        ..GeneratorOptions::default()
    }
}

fn remote_options(config: &Config, address: String) -> anyhow::Result<RemoteOptions> {
    let section = &config.generator;
    let key = match section.remote_key_variable.as_str() {
        "" => None,
        name => {
            Some(std::env::var(name).with_context(|| format!("generator.remote_key_variable: there is no environment variable {name}"))?)
        }
    };
    Ok(RemoteOptions {
        key,
        context_tokens: section.remote_context_tokens,
        scores: section.remote_scores,
        concurrent_requests: section.queue_max,
        ..RemoteOptions::new(address, section.remote_model.clone())
    })
}

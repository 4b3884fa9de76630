//! Sizes that are 0 in the configuration are chosen by the machine, once, at start.

use std::path::Path;

use super::Config;

/// What sizes are chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    pub processors: usize,
}

impl Machine {
    /// This one. A container's share of processors counts, not those of the host.
    pub fn here() -> Self {
        Self { processors: std::thread::available_parallelism().map_or(1, usize::from) }
    }
}

impl Config {
    /// The same as a service started here would use it.
    ///
    /// # Errors
    /// Where the data folder can be no place of a store.
    pub fn effective(self, data_dir: &Path) -> anyhow::Result<Self> {
        let mut effective = self.sized_to(Machine::here());
        effective.store.url = effective.store_url(data_dir)?;
        effective.models.dir = effective.models_dir();
        Ok(effective)
    }

    /// The same with every size as it will be used. What is not 0 stays.
    #[must_use]
    pub fn sized_to(mut self, machine: Machine) -> Self {
        let size = |configured: &mut usize, sized: usize| {
            if *configured == 0 {
                *configured = sized;
            }
        };
        // These compute all the time: more at once would only share the processors.
        size(&mut self.rag.max_concurrent_answers, machine.processors);
        size(&mut self.rag.max_concurrent_traces, machine.processors);
        size(&mut self.ingest.max_concurrent_files, machine.processors);
        size(&mut self.generator.threads, machine.processors);
        // A query waits for files now and then. One place is the operator's and a caller has half: fewer than 4 would be none.
        size(&mut self.sql.max_concurrent, machine.processors.max(4));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULTS;

    #[test]
    fn what_is_effective_names_places_and_sizes() {
        let defaults: Config = toml::from_str(DEFAULTS).unwrap();
        let effective = defaults.effective(Path::new("/data")).unwrap();
        assert_eq!(effective.store.url, "file:///data/store/");
        assert!(effective.rag.max_concurrent_answers > 0 && !effective.models.dir.as_os_str().is_empty());
        // It can be read again as it is printed.
        let again: Config = toml::from_str(&toml::to_string_pretty(&effective).unwrap()).unwrap();
        assert_eq!(again.rag.max_concurrent_answers, effective.rag.max_concurrent_answers);
    }

    #[test]
    fn what_is_0_follows_the_machine_and_nothing_else_does() {
        let defaults: Config = toml::from_str(DEFAULTS).unwrap();
        let sizes = |config: &Config| {
            [config.rag.max_concurrent_answers, config.ingest.max_concurrent_files, config.generator.threads, config.sql.max_concurrent]
        };
        assert_eq!(sizes(&defaults.clone().sized_to(Machine { processors: 1 })), [1, 1, 1, 4]);
        let large = defaults.clone().sized_to(Machine { processors: 32 });
        assert_eq!(sizes(&large), [32, 32, 32, 32]);
        assert_eq!(sizes(&large.clone().sized_to(Machine { processors: 2 })), sizes(&large), "what is said stays");
        let mut chosen = defaults;
        chosen.rag.max_concurrent_answers = 3;
        assert_eq!(chosen.sized_to(Machine { processors: 8 }).rag.max_concurrent_answers, 3);
    }
}

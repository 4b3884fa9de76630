//! What the hub says is in a repository, and which of it a model is run from.

use reqwest::{Client, StatusCode};
use serde::Deserialize;

use super::super::download::reason;
use super::super::pull::PullOptions;
use super::{RepositoryName, is_plain};
use crate::EngineError;
use crate::files::Split;

const LISTING_MAX_BYTES: usize = 16 << 20;

/// Files beside the weights, where a repository has them; the last ones say how an encoder's tokens become a vector.
const COMPANIONS: &[&str] = &[
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "model.safetensors.index.json",
    "adapter_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
];

#[derive(Debug, Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Debug, Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

/// A file that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteFile {
    /// A plain name, or one of [`COMPANIONS`]: no other file in a folder is fetched.
    pub(super) path: String,
    pub(super) bytes: u64,
    /// Lower-case hex; none for a small file.
    pub(super) sha256: Option<String>,
}

/// The commit that the revision is, and the files in it.
pub(super) async fn ask(client: &Client, options: &PullOptions, name: &RepositoryName) -> Result<(String, Vec<RemoteFile>), EngineError> {
    let failed = |reason: String| EngineError::Download { what: format!("the list of files of {name} from the hub"), reason };
    let url = format!("{}/api/models/{}/revision/{}?blobs=true", options.hub_url, name.repository(), name.revision());
    let mut response = client.get(url).send().await.map_err(|error| failed(reason(error)))?;
    match response.status() {
        StatusCode::OK => {}
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            return Err(failed(format!(
                "it answered {status}: there is no such model, or it needs a token whose owner has agreed to its terms"
            )));
        }
        StatusCode::NOT_FOUND => return Err(failed("there is no such model or revision".to_owned())),
        status => return Err(failed(format!("it answered {status}"))),
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(reason(error)))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LISTING_MAX_BYTES {
            return Err(failed(format!("it has more than {LISTING_MAX_BYTES} bytes")));
        }
    }
    let listing: Listing = serde_json::from_slice(&bytes).map_err(|error| failed(format!("it is not one: {error}")))?;
    if listing.sha.len() < 7 || !listing.sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(failed("it names no commit".to_owned()));
    }
    let files = listing.siblings.into_iter().filter_map(|sibling| {
        let Sibling { rfilename: path, size, lfs } = sibling;
        let file = match lfs {
            Some(Lfs { sha256, size }) => RemoteFile { path, bytes: size, sha256: Some(sha256.to_ascii_lowercase()) },
            None => RemoteFile { path, bytes: size?, sha256: None },
        };
        (is_plain(&file.path) || COMPANIONS.contains(&file.path.as_str())).then_some(file)
    });
    Ok((listing.sha, files.collect()))
}

/// Safetensors and what belongs to them; in a repository without, one GGUF file.
pub(super) fn choose(name: &RepositoryName, files: Vec<RemoteFile>, named: Option<&str>) -> Result<Vec<RemoteFile>, EngineError> {
    let unsupported = |reason: String| EngineError::UnsupportedModel { name: name.to_string(), reason };
    if let Some(named) = named {
        let parts: Vec<String> = Split::parse(named).map_or_else(|| vec![named.to_owned()], |split| split.names().collect());
        let found = |part: &String| files.iter().find(|file| file.path == *part && part.ends_with(".gguf")).cloned();
        let missing = |part: &String| unsupported(format!("its repository has no GGUF file {part:?}; it has {}", list(&files)));
        return parts.iter().map(|part| found(part).ok_or_else(|| missing(part))).collect();
    }
    let is_model = |file: &&RemoteFile| file.path.ends_with(".safetensors") && !file.path.starts_with("consolidated");
    if files.iter().any(|file| is_model(&file)) {
        return Ok(files.into_iter().filter(|file| is_model(&file) || COMPANIONS.contains(&file.path.as_str())).collect());
    }
    let ggufs: Vec<RemoteFile> = files.into_iter().filter(|file| file.path.ends_with(".gguf")).collect();
    match ggufs.len() {
        0 => Err(unsupported("its repository has neither safetensors nor GGUF files".to_owned())),
        1 => Ok(ggufs),
        _ if is_one_split(&ggufs) => Ok(ggufs),
        _ => Err(unsupported(format!("its repository has several GGUF files, name one of them with --file: {}", list(&ggufs)))),
    }
}

/// Whether they are all parts of one file, and no other.
fn is_one_split(ggufs: &[RemoteFile]) -> bool {
    let split = ggufs.first().and_then(|file| Split::parse(&file.path));
    split.is_some_and(|split| split.names().count() == ggufs.len() && split.names().all(|name| ggufs.iter().any(|file| file.path == name)))
}

fn list(files: &[RemoteFile]) -> String {
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).filter(|path| path.ends_with(".gguf")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

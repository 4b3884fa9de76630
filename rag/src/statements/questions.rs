//! What a question leaves open, and which statements give it back. Part of `support/2`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use schemas::said::Said;
use schemas::words::{self, Word};

pub(super) const INTERROGATIVE: &[&str] = &["how", "what", "when", "where", "whether", "which", "who", "whom", "whose", "why"];
/// Words of other languages that ask, as they are written: where words stand alone.
const INTERROGATIVE_ELSEWHERE: &[&str] = &[
    "wer wen wem wann wo wie warum wieso weshalb welche welcher welches welchen welchem wohin woher wieviel",
    "quoi comment pourquoi combien quel quelle quels quelles quand où",
    "qué quién quiénes cuándo dónde cómo cuál cuáles cuánto cuánta cuántos cuántas",
    "quem onde quando como qual quais quanto quanta quantos quantas",
    "chi cosa dove quale quali quanti quante perché",
    "wat wie waar wanneer hoe hoeveel waarom welk welke",
    "кто что где когда как какой какая какое какие каких каким какую какова сколько скольких почему зачем куда откуда чем",
    "ماذا متى أين كيف كم لماذا أي أية",
    "क्या कौन कब कहाँ कहां कैसे कितना कितने कितनी क्यों किस किसने",
];
/// The same where a particle may follow, or no space parts words.
const INTERROGATIVE_WITHIN: &[&str] = &[
    "什么 什麼 甚么 甚麼 哪 几 幾 多少 谁 誰 怎 为何 為何 何 如何 多久 多大 多长 多長",
    "だれ どれ どの どう どこ いつ いくつ いくら なぜ どんな なに なん",
    "อะไร ไหน เมื่อไร เมื่อไหร่ ใคร ทำไม อย่างไร ยังไง กี่ เท่าใด เท่าไร เท่าไหร่",
    "អ្វី ប៉ុន្មាន ពេលណា ឯណា យ៉ាងណា នរណា",
    "ဘာ ဘယ်",
    "ຫຍັງ ໃສ ໃຜ ເທົ່າໃດ ເມື່ອໃດ",
    "무엇 언제 어디 누구 누가 왜 어떻게 얼마 어느 어떤 몇",
];
/// With these an English question begins that asks whether something is so.
const WHETHER: &[&str] = &[
    "am", "are", "can", "could", "did", "do", "does", "had", "has", "have", "is", "may", "must", "should", "was", "were", "will", "would",
];
/// What has a number and a unit for its answer, as it follows a word that asks.
const MEASURES: &str = "age amount big cold concentration cost deep depth distance dosage dose duration far fast height high hot \
     humidity large length long many much old percentage pressure price rate speed tall temperature temperatures volume warm weight wide";
/// Fewer words than this are a topic, and claim nothing.
const CLAIM_WORDS: usize = 5;

static ALONE: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    INTERROGATIVE_ELSEWHERE.iter().flat_map(|list| list.split_whitespace()).chain(INTERROGATIVE.iter().copied()).collect()
});
static WITHIN: LazyLock<Vec<&str>> = LazyLock::new(|| INTERROGATIVE_WITHIN.iter().flat_map(|list| list.split_whitespace()).collect());

/// Whether a text asks for something that it does not name.
fn asks(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut alone = lower.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    alone.any(|word| ALONE.contains(word)) || (!lower.is_ascii() && WITHIN.iter().any(|part| lower.contains(part)))
}

/// The words by which a question names what it leaves open: `speed` of `at what speed`, `many days` of `after how many days`. An
/// answer has a value in their place.
pub(crate) fn left_open(question: &str) -> Vec<String> {
    let asked = words::segment(question);
    // accents tell `qué` from `que`
    let is_asking = |word: &Word| question.get(word.range.clone()).is_some_and(|written| ALONE.contains(written.to_lowercase().as_str()));
    let mut open = Vec::new();
    for (at, _) in asked.iter().enumerate().filter(|(_, word)| is_asking(word)) {
        for word in asked.iter().skip(at + 1).take_while(|word| !words::is_stop_word(&word.text)) {
            open.push(word.text.clone());
            if !is_measure(&word.text) {
                break;
            }
        }
    }
    open
}

/// Whether what the question leaves open is a number with a unit.
pub(crate) fn asks_for_measure(question: &str) -> bool {
    left_open(question).iter().any(|word| is_measure(word))
}

fn is_measure(word: &str) -> bool {
    MEASURES.split_whitespace().any(|measure| measure == word)
}

/// Whether `text` gives the question back in its own order, the word included that asks.
pub(crate) fn restates(text: &str, question: &str) -> bool {
    if !asks(question) || !asks(text) {
        return false;
    }
    let (said, asked) = (words::segment(text), words::segment(question));
    common_order(&said, &asked) * 5 >= asked.len() * 4
}

/// Whether `question` claims something, or asks whether it is so, and `text` says exactly that: of such a question a statement
/// need add nothing to be an answer. A question that leaves something open has none of that kind.
pub(crate) fn confirms(text: &str, question: &str) -> bool {
    if asks(question) {
        return false;
    }
    let (said, asked) = (words::segment(text), words::segment(question));
    if !question.contains(words::is_unspaced) && asked.len() < CLAIM_WORDS {
        return false;
    }
    if asked.first().is_some_and(|word| WHETHER.contains(&word.text.as_str())) {
        let (said, asked) = (Said::of_words(&said), Said::of_words(&asked));
        return said.tokens == asked.tokens && said.figures == asked.figures;
    }
    said.iter().map(|word| &word.text).eq(asked.iter().map(|word| &word.text))
}

/// Length of the longest common subsequence.
fn common_order(a: &[Word], b: &[Word]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (at, other) in b.iter().enumerate() {
            let above = row.get(at + 1).copied().unwrap_or(0);
            let left = row.get(at).copied().unwrap_or(0);
            if let Some(cell) = row.get_mut(at + 1) {
                *cell = if word.text == other.text { diagonal + 1 } else { above.max(left) };
            }
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or(0)
}
